"""``fsidfusion detect``: find people and cars in one camera, both, or fused pictures, and compare."""

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
    Models,
    Names,
    OutputFolder,
    Precision,
)
from fsidfusion.errors import InputError, ModelError
from fsidfusion.studies.downstream.detection.config import DetectConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fsidfusion.evaluation.boxes import Boxes
    from fsidfusion.images.pixels import Pixels
    from fsidfusion.studies.downstream.detection.frames import DetectionSet, LabelledFrames
    from fsidfusion.studies.downstream.inputs import Frames


@dataclass(frozen=True, kw_only=True)
class Data:
    """A set of pairs with boxes."""

    data: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """folder with ir and vi, or with train and test that hold them, and labels (YOLO text or COCO JSON)"""
    labels: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER|FILE")] = None
    """where the labels lie, if elsewhere"""
    classes: Names = ()
    """names of the classes, if no classes.txt, data.yaml or JSON file tells them"""
    bad_labels: Literal["refuse", "skip"] = "refuse"
    """what to do with boxes of unknown classes or outside the frame, malformed lines, missing label files"""
    part: Literal["test", "validation"] = "test"
    """what to score on: the test frames, or a fifth of the training frames, which then are not trained on"""

    def open(self) -> "DetectionSet":
        """The set; what is left out of it is reported."""
        from fsidfusion.studies.downstream.detection.frames import open_detection_set

        found = open_detection_set(self.data, self.part, self.labels, self.classes, self.bad_labels)
        for bad in found.bad:
            warn(f"left out: {bad}")
        if found.bad:
            warn(f"{len(found.bad)} bad labels were left out")
        return found


@dataclass(frozen=True, kw_only=True)
class Train(Data):
    """Train a detector on one input; a stopped training goes on where it was."""

    output: OutputFolder
    """folder of the run: checkpoints, detector.safetensors"""
    config: DetectConfig
    machine: Machine
    precision: Precision = "auto"
    """of the training; auto takes bf16 where the device has it natively"""
    input: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = DEFAULT_MODEL
    """infrared, visible, early (both stacked), a baseline, a network or its .safetensors file; MODEL+heat"""
    seed: int = 0
    """of the first weights, the order of the frames and their changes"""
    max_minutes: Minutes = None
    """stop with a checkpoint after so many minutes"""
    cache: Folder = None
    """fused pictures; OUTPUT/fused by default"""

    def run(self) -> int:
        """Train; 1 where the time was up or bad labels were left out, 130 and 143 where it was stopped."""
        from fsidfusion.cli.downstream import fuse_inputs
        from fsidfusion.cli.training import deadline, ended, training_progress
        from fsidfusion.studies.downstream.detection.files import Trained, save_detector
        from fsidfusion.studies.downstream.detection.training import train_detector
        from fsidfusion.studies.downstream.inputs import open_inputs

        end = deadline(self.max_minutes)
        self.config.check()
        self.machine.set_up()
        found, given = self.open(), open_inputs([self.input])[0]
        device = self.machine.device
        frames = fuse_inputs([given], found.train.pairs, self.cache or self.output / "fused", device)[given]
        with training_progress() as (show, _):
            reached = train_detector(
                frames,
                found.train.boxes,
                len(found.train.classes),
                self.config,
                self.seed,
                folder=self.output,
                identity={"input": given.identity, "frames": found.train.identity},
                device=device,
                precision=self.precision,
                deadline=end,
                on_step=show,
            )
        if not reached.finished:
            return ended(reached)
        path = self.output / "detector.safetensors"
        classes = found.train.classes
        save_detector(
            path, Trained(reached.network, classes, self.input, given.weights, self.config, self.seed)
        )
        say(f"wrote {path}, trained on {len(frames)} frames of {given.name}")
        return 1 if found.bad else 0


@dataclass(frozen=True, kw_only=True)
class Evaluate(Data):
    """Score a trained detector, or the boxes that any other detector found."""

    detector: File = None
    """detector.safetensors of 'detect train', or an ONNX file of YOLOX, YOLOv5, v8, 11 or NanoDet"""
    detector_classes: Names = ()
    """what an ONNX file finds, in order, if not the 80 classes of COCO"""
    input: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = DEFAULT_MODEL
    """what an ONNX file looks at: infrared, visible, a rule or network, MODEL+heat"""
    pictures: Folder = None
    """look at these pictures, named as the frames, instead of an input"""
    predictions: File = None
    """COCO results (image_id: the frame's name or its id in the labels; category_id: class from 0, or as in
    the labels; bbox; score)"""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")] = None
    """also write scores.json, predictions.json and pictures of the best and the worst frames"""
    device: Device = "auto"
    """where to fuse and to detect"""
    cache: Folder = None
    """fused pictures; beside the detector by default"""

    def run(self) -> int:
        """Score, print and write; 1 where bad labels were left out."""
        from fsidfusion.studies.downstream.detection.scores import read_predictions, score
        from fsidfusion.studies.downstream.detection.study import print_scores, write_scores

        if (self.detector is None) == (self.predictions is None):
            raise InputError("give either --detector FILE or --predictions FILE")
        labelled = self.open()
        frames = labelled.test
        if self.predictions is not None:
            found, pictures = read_predictions(self.predictions, frames), None
        elif self.detector is not None and self.detector.suffix.lower() == ".onnx":
            found, pictures = self._found_by_onnx(self.detector, frames)
        else:
            assert self.detector is not None
            from fsidfusion.cli.downstream import fuse_inputs
            from fsidfusion.runtime.device import choose_device
            from fsidfusion.studies.downstream.detection.files import load_detector
            from fsidfusion.studies.downstream.detection.training import detect
            from fsidfusion.studies.downstream.inputs import open_inputs

            device = str(choose_device(self.device))
            trained = load_detector(self.detector, device)
            given = open_inputs([trained.input])[0]
            if given.weights != trained.weights:
                raise ModelError(
                    f"{self.detector} was trained on other weights of {trained.input}; train again"
                )
            if trained.classes != frames.classes:
                raise InputError(
                    f"{self.detector} finds {', '.join(trained.classes)}, the labels name"
                    f" {', '.join(frames.classes)}; give --classes"
                )
            cache = self.cache or self.detector.parent / "fused"
            pictures = fuse_inputs([given], frames.pairs, cache, device)[given]
            found = detect(trained.detector, pictures, trained.config.size)
        result = score(frames, found)
        print_scores(frames, result)
        if self.output:
            for path in write_scores(self.output, frames, found, result, pictures):
                say(f"wrote {path}")
        return 1 if labelled.bad else 0

    def _found_by_onnx(self, path: Path, frames: "LabelledFrames") -> "tuple[list[Boxes], Frames | None]":
        """What any detector finds in the pictures of an input, or in those of a folder."""
        from fsidfusion.cli.downstream import fuse_inputs
        from fsidfusion.images.files import read_picture
        from fsidfusion.images.pairs import files_by_stem
        from fsidfusion.studies.downstream.detection.onnx_detector import OnnxDetector, map_classes
        from fsidfusion.studies.downstream.inputs import open_inputs

        detector = OnnxDetector(path, self.detector_classes)
        if not set(detector.classes) & set(frames.classes):
            raise InputError(
                f"{path} finds none of {', '.join(frames.classes)}; name what it finds (--detector-classes)"
            )
        shown: Frames | None = None
        looked: Iterable[Pixels]
        if self.pictures is not None:
            files = files_by_stem([self.pictures])
            missing = [pair.name for pair in frames.pairs if pair.name not in files]
            if missing:
                raise InputError(
                    f"{self.pictures} has no picture of frame {missing[0]} ({len(missing)} in all)"
                )
            looked = (read_picture(files[pair.name]).pixels for pair in frames.pairs)
        else:
            given = open_inputs([self.input])[0]
            if given.channels != 3:
                raise InputError(f"input {self.input} is no picture that an ONNX file could look at")
            cache = self.cache or (self.output or Path("out/detect")) / "fused"
            looked = shown = fuse_inputs([given], frames.pairs, cache, self.device)[given]
        boxes = (detector.find(picture, frames.classes) for picture in looked)
        found = [map_classes(seen, detector.classes, frames.classes) for seen in boxes]
        return found, shown


@dataclass(frozen=True, kw_only=True)
class Compare(Data):
    """Train and score one detector on every input under every seed, by one protocol.

    Writes report.html and table.md. A stopped comparison goes on where it was; what was finished is kept
    while data, weights, code and schedule are the same. Calls with different --seeds may run at the same time
    into one folder; a last one with all seeds collects what they found.
    """

    config: DetectConfig
    machine: Machine
    output: OutputFolder = Path("out/detect")
    """where everything is written"""
    precision: Precision = "auto"
    """of the training; auto takes bf16 where the device has it natively"""
    inputs: Models = ()
    """infrared, visible, early, networks, baselines, each of these two also as MODEL+heat, in heat colours;
    by default the first three, all shipped networks and some baselines"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """each is one training of every input"""
    max_minutes: Minutes = None
    """begin no training that would probably end later; run again to go on"""
    name: str = ""
    """of the data in the report; by default the folder's"""
    cache: Folder = None
    """fused pictures; OUTPUT/fused by default"""

    def run(self) -> int:
        """Compare, print and write; 1 where the time ran out, or bad labels were left out."""
        from fsidfusion.cli.downstream import comparison_progress, fuse_inputs, write_results
        from fsidfusion.runtime.device import choose_device, choose_precision
        from fsidfusion.studies.downstream.detection.pictures import build_cards
        from fsidfusion.studies.downstream.detection.study import compare_inputs, describe
        from fsidfusion.studies.downstream.inputs import open_inputs

        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise InputError(f"seeds {self.seeds}: expected one or more different numbers from 0")
        self.config.check()
        self.machine.set_up()
        target = choose_device(self.machine.device)
        device, precision = str(target), choose_precision(self.precision, target)
        inputs, found = open_inputs(self.inputs), self.open()
        cache = self.cache or self.output / "fused"
        pairs = [*found.train.pairs, *found.test.pairs]
        both = fuse_inputs(inputs, pairs, cache, device)
        number = len(found.train)
        train = {given: frames.part(0, number) for given, frames in both.items()}
        test = {given: frames.part(number, len(pairs)) for given, frames in both.items()}
        with comparison_progress() as progress_of_all:
            runs = compare_inputs(
                found,
                train,
                test,
                self.seeds,
                self.output,
                config=self.config,
                device=device,
                precision=precision,
                max_minutes=self.max_minutes,
                progress=progress_of_all,
            )
        study = describe(self.name or self.data.resolve().name, found, self.config)
        write_results(study, runs, self.output, build_cards(found.test, runs, test), ())
        missing = len(inputs) * len(self.seeds) - len(runs)
        if missing:
            warn(f"the time ran out with {missing} trainings to go; run again to go on")
        return 1 if missing or found.bad else 0


@tyro.conf.configure(
    tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes
)
def detect(task: Train | Evaluate | Compare) -> int:
    """Find people, bicycles and cars: does fusion help? By one detector, trained alike on every input.

    Compare: fsidfusion detect compare --data MSRS -o out/detect

    Any other detector: fsidfusion detect evaluate --data MSRS --predictions coco.json

    Exit status: 0 done, 1 the time ran out or bad labels were left out, 2 nothing could be done, 130 stopped
    by Ctrl-C and 143 by SIGTERM.

    Args:
        task: what to do.
    """
    return task.run()
