"""``fsidfusion segment``: learn to label scenes from one camera, both, or fused pictures, and compare."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from fsidfusion import DEFAULT_MODEL
from fsidfusion.cli.messages import say, warn
from fsidfusion.cli.options import (
    Device,
    File,
    Folder,
    Machine,
    Minutes,
    Names,
    OutputFolder,
)
from fsidfusion.errors import InputError, ModelError
from fsidfusion.studies.downstream.segmentation.config import SegmentConfig

if TYPE_CHECKING:
    from fsidfusion.studies.downstream.segmentation.classes import Classes
    from fsidfusion.studies.downstream.segmentation.masks import LabelledSet, Split


@dataclass(frozen=True, kw_only=True)
class Data:
    """A set with masks."""

    data: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """folder with train and test, each with ir, vi and Segmentation_labels (MSRS; FMB with --classes)"""
    classes: File = None
    """class file (YAML: values, names, colours, ignored values); the nine classes of MSRS without it"""
    bad_labels: Literal["refuse", "skip"] = "refuse"
    """what to do with a pair whose mask is missing, of another size, or holds unknown values"""

    def read_classes(self) -> "Classes":
        """The classes of the file, or those of MSRS."""
        from fsidfusion.studies.downstream.segmentation.classes import load_classes

        return load_classes(self.classes)

    def open(self, split: "Split", classes: "Classes") -> "LabelledSet":
        """A split; what is skipped is reported."""
        from fsidfusion.studies.downstream.segmentation.masks import count_bad, open_labelled

        labelled = open_labelled(self.data, split, classes, self.bad_labels)
        for error in labelled.bad:
            warn(f"skipped: {error}")
        if labelled.bad:
            warn(f"{split}: {count_bad(labelled.bad)} skipped")
        return labelled

    def about(self) -> str:
        """What the set says of itself in about.txt."""
        path = self.data / "about.txt"
        return path.read_text("utf-8").strip() if path.exists() else ""


@dataclass(frozen=True, kw_only=True)
class Train(Data):
    """Train a segmenter on one input; a stopped training goes on where it was."""

    output: OutputFolder
    """folder of the run: checkpoints, weights.safetensors"""
    config: SegmentConfig
    machine: Machine
    input: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = DEFAULT_MODEL
    """infrared, visible, early (both stacked), a baseline, a network or its .safetensors file; MODEL+heat"""
    seed: int = 0
    """of the first weights and all crops"""
    max_minutes: Minutes = None
    """stop with a checkpoint after so many minutes"""
    cache: Folder = None
    """folder of fused pictures; OUTPUT/fused by default"""

    def run(self) -> int:
        """Train; 1 where the time was up or bad masks were skipped, 130 and 143 where it was stopped."""
        from fsidfusion.cli.downstream import fuse_inputs
        from fsidfusion.cli.training import deadline, ended, training_progress
        from fsidfusion.studies.downstream.inputs import open_inputs
        from fsidfusion.studies.downstream.segmentation.network import save_segmenter
        from fsidfusion.studies.downstream.segmentation.study import data_hash
        from fsidfusion.studies.downstream.segmentation.training import train_segmenter

        end = deadline(self.max_minutes)
        self.config.check()
        self.machine.set_up()
        classes, given = self.read_classes(), open_inputs([self.input])[0]
        labelled = self.open("train", classes)
        device = self.machine.device
        frames = fuse_inputs([given], labelled.pairs, self.cache or self.output / "fused", device)[given]
        with training_progress() as (show, _):
            reached = train_segmenter(
                frames,
                labelled.masks,
                len(classes),
                self.config,
                self.seed,
                folder=self.output,
                identity={"input": given.identity, "data": data_hash(labelled)},
                device=device,
                deadline=end,
                on_step=show,
            )
        if not reached.finished:
            return ended(reached)
        weights = self.output / "weights.safetensors"
        save_segmenter(weights, reached.network, classes, self.input)
        say(f"weights: {weights}")
        return 1 if labelled.bad else 0


@dataclass(frozen=True, kw_only=True)
class Evaluate(Data):
    """Score a segmenter, or the label maps of any other one, on the test split."""

    output: OutputFolder
    """folder for scores.json, confusion.svg, the predictions and pictures.png"""
    weights: File = None
    """that 'segment train' wrote"""
    input: Annotated[str | None, tyro.conf.arg(metavar="NAME|FILE")] = None
    """what the segmenter sees, where it is not what it was trained on (or lies elsewhere)"""
    predictions: Folder = None
    """instead of weights: a folder with NAME.png for every test pair, in the values of the masks"""
    device: Device = "auto"
    """where to fuse and predict"""
    cache: Folder = None
    """folder of fused pictures; OUTPUT/fused by default"""

    def run(self) -> int:
        """Score, print, draw."""
        from fsidfusion.cli.downstream import fuse_inputs
        from fsidfusion.cli.progress import progress
        from fsidfusion.images.atomic import write_text
        from fsidfusion.images.files import Picture, write_picture
        from fsidfusion.report.plots import as_file
        from fsidfusion.runtime.device import choose_device
        from fsidfusion.studies.downstream.inputs import open_inputs
        from fsidfusion.studies.downstream.segmentation.evaluation import (
            ALL,
            confusion_by_condition,
            predict_set,
            read_predictions,
            worst_and_best,
        )
        from fsidfusion.studies.downstream.segmentation.network import load_segmenter
        from fsidfusion.studies.downstream.segmentation.pictures import (
            confusion_plot,
            label_sheet,
            truth_rows,
        )
        from fsidfusion.studies.downstream.segmentation.tables import print_scores, scores_json

        if (self.weights is None) == (self.predictions is None):
            raise ModelError("give either --weights FILE or --predictions FOLDER")
        classes = self.read_classes()
        if self.weights is not None:
            network, learnt, trained_on = load_segmenter(self.weights, choose_device(self.device))
            if self.classes is None:
                classes = learnt
            elif learnt.values != classes.values:
                raise ModelError(f"{self.weights} was trained on other classes than {self.classes} names")
            given = open_inputs([self.input or trained_on])[0]
            labelled = self.open("test", classes)
            cache = self.cache or self.output / "fused"
            frames = fuse_inputs([given], labelled.pairs, cache, self.device)[given]
            with progress("pairs", len(labelled.pairs)) as bar:
                folder = self.output / "predictions"
                predictions = predict_set(network, frames, labelled, classes, folder, bar.step)
        else:
            labelled = self.open("test", classes)
            assert self.predictions is not None
            predictions = read_predictions(self.predictions, labelled, classes)
        matrices = confusion_by_condition(labelled, predictions, classes)
        print_scores(matrices, classes, f"{self.data.resolve().name}, {len(labelled.pairs)} test pairs")
        write_text(self.output / "scores.json", scores_json(matrices, classes))
        title = str(self.weights or self.predictions)
        write_text(
            self.output / "confusion.svg", as_file(confusion_plot(matrices[ALL], classes.names, title))
        )
        rows = truth_rows(labelled, predictions, classes, worst_and_best(labelled, predictions, classes))
        write_picture(self.output / "pictures.png", Picture(label_sheet(rows, classes)))
        say(f"wrote {self.output}: scores.json, confusion.svg, pictures.png")
        return 1 if labelled.bad else 0


@dataclass(frozen=True, kw_only=True)
class Compare(Data):
    """Train and score one segmenter on every input and seed; a stopped comparison goes on where it was."""

    output: OutputFolder
    """folder of the runs, report.html and table.md"""
    config: SegmentConfig
    machine: Machine
    inputs: Names = ()
    """infrared, visible, early (both stacked), baselines, networks or .safetensors files, each of these also
    as MODEL+heat, in heat colours; by default the three, all shipped networks and some baselines"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """one run of every input for each"""
    part: Literal["test", "validation"] = "test"
    """what to score on: the test scenes, or a fifth of the training scenes, which then are not trained on"""
    max_minutes: Minutes = None
    """begin no run that would probably end later"""
    cache: Folder = None
    """folder of fused pictures; OUTPUT/fused by default"""

    def run(self) -> int:
        """Compare."""
        from fsidfusion.cli.downstream import comparison_progress, fuse_inputs, write_results
        from fsidfusion.runtime.device import choose_device
        from fsidfusion.studies.downstream.comparison import compare
        from fsidfusion.studies.downstream.inputs import open_inputs
        from fsidfusion.studies.downstream.segmentation.study import (
            Segmentation,
            choose_cards,
            confusion_section,
        )

        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds {self.seeds} are none or not all different; give such as --seeds 0 1 2")
        self.config.check()
        self.machine.set_up()
        classes, inputs = self.read_classes(), open_inputs(self.inputs)
        whole = self.open("train", classes)
        train, test = whole.split() if self.part == "validation" else (whole, self.open("test", classes))
        device = str(choose_device(self.machine.device))
        task = Segmentation(self.data.resolve().name, self.about(), train, test, classes, self.config, device)
        cache = self.cache or self.output / "fused"
        seen, tested = (fuse_inputs(inputs, part.pairs, cache, device) for part in (train, test))
        with comparison_progress() as progress_of_all:
            runs = compare(
                inputs,
                self.seeds,
                lambda job: task.learn(job, seen[job.input], tested[job.input]),
                self.output,
                task.identity(),
                device=device,
                max_minutes=self.max_minutes,
                progress=progress_of_all,
            )
        cards, extra = choose_cards(task, runs, tested), [confusion_section(runs, classes)]
        write_results(task.study(), runs, self.output, cards, extra)
        missing = len(inputs) * len(self.seeds) - len(runs)
        if missing:
            warn(f"the time ran out with {missing} trainings to go; run again to go on")
        return 1 if missing or whole.bad or test.bad else 0


@dataclass(frozen=True, kw_only=True)
class Show(Data):
    """Look at masks: colours over the visible picture, with a legend."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE|FOLDER")]
    """a picture for one sheet of some pairs, or a folder for one overlay of every pair"""
    split: Literal["train", "test"] = "test"
    """which part of the set"""
    predictions: Folder = None
    """label maps NAME.png to show beside the masks"""
    number: int = 6
    """pairs on a sheet, spread over the set"""

    def run(self) -> int:
        """Draw."""
        from fsidfusion.images.encode import FORMATS
        from fsidfusion.images.files import Picture, write_picture
        from fsidfusion.studies.downstream.segmentation.evaluation import read_predictions
        from fsidfusion.studies.downstream.segmentation.pictures import label_sheet, legend, truth_rows

        classes = self.read_classes()
        labelled = self.open(self.split, classes)
        predictions = read_predictions(self.predictions, labelled, classes) if self.predictions else None
        places = range(len(labelled.pairs))
        if self.output.suffix.lower() in FORMATS:
            number = min(max(1, self.number), len(places))
            chosen = [round(share * (len(places) - 1) / max(1, number - 1)) for share in range(number)]
            rows = truth_rows(labelled, predictions, classes, chosen)
            write_picture(self.output, Picture(label_sheet(rows, classes)))
        else:
            for place in places:
                row = truth_rows(labelled, predictions, classes, [place])[0]
                write_picture(self.output / f"{labelled.pairs[place].name}.png", Picture(row[-1][1]))
            write_picture(self.output / "legend.png", Picture(legend(classes, 640)))
        say(f"wrote {self.output}")
        return 1 if labelled.bad else 0


@tyro.conf.configure(
    tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff
)
def segment(task: Train | Evaluate | Compare | Show) -> int:
    """Semantic segmentation from infrared, visible or fused pictures: train, score, compare, look.

    Exit status: 0 done, 1 the time ran out or bad masks were skipped, 2 nothing could be done, 130 stopped by
    Ctrl-C and 143 by SIGTERM.

    Args:
        task: what to do.
    """
    return task.run()
