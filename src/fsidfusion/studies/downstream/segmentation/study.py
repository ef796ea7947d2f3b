"""One segmenter on every input under every seed: what a run does, and how the comparison is shown."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsidfusion.images.atomic import write_text
from fsidfusion.images.text import read_json
from fsidfusion.report import page as pieces
from fsidfusion.report.page import LONGEST_SIDE, Card, Section, Swatch, webp
from fsidfusion.studies.downstream.comparison import Job, Run
from fsidfusion.studies.downstream.comparison_report import Study, Table
from fsidfusion.studies.downstream.inputs import Frames, Input, pairs_hash
from fsidfusion.studies.downstream.learning import trained
from fsidfusion.studies.downstream.segmentation.classes import Classes, Mask
from fsidfusion.studies.downstream.segmentation.config import SegmentConfig
from fsidfusion.studies.downstream.segmentation.evaluation import (
    ALL,
    CONDITIONS,
    confusion_by_condition,
    frame_iou,
    predict_set,
    read_predictions,
)
from fsidfusion.studies.downstream.segmentation.masks import LabelledSet, condition
from fsidfusion.studies.downstream.segmentation.network import save_segmenter
from fsidfusion.studies.downstream.segmentation.pictures import confusion_plot, overlay
from fsidfusion.studies.downstream.segmentation.scores import SCORES, Confusion, score
from fsidfusion.studies.downstream.segmentation.training import train_segmenter
from fsidfusion.studies.quality.scores import code_hash

CONFUSION = "confusion.json"
PREDICTIONS = "predictions"
MEAN, PIXELS = "mean", "pixel accuracy"
_TRAINING_SHARE = 0.95  # of a run's time; the rest is prediction
_CODE = (
    "training/loop.py",
    *(
        f"studies/downstream/segmentation/{name}.py"
        for name in ("classes", "config", "crops", "evaluation", "masks", "network", "scores", "training")
    ),
)


@dataclass(frozen=True)
class Segmentation:
    """A segmentation task: the data of both splits, the classes, and the schedule."""

    name: str  # of the set
    about: str  # what kind of data it is, one paragraph or ""
    train: LabelledSet
    test: LabelledSet
    classes: Classes
    config: SegmentConfig
    device: str = "auto"

    def identity(self) -> dict[str, Any]:
        """All that a score depends on besides the input and the seed."""
        return {
            "train": data_hash(self.train),
            "test": data_hash(self.test),
            "classes": self.classes.record(),
            "config": asdict(self.config),
            "code": code_hash(_CODE),
        }

    def learn(self, job: Job, train: Frames, test: Frames) -> dict[str, float]:
        """Train on the frames of one input and score the test frames; see :func:`score_keys` for the keys.

        Leaves ``weights.safetensors``, ``confusion.json`` and ``predictions/`` in the folder of the job.
        """
        reached = train_segmenter(
            train,
            self.train.masks,
            len(self.classes),
            self.config,
            job.seed,
            folder=job.training,
            device=self.device,
            on_step=lambda at: job.tick(_TRAINING_SHARE * at.step / at.steps),
        )
        network, folder = trained(reached), job.folder
        save_segmenter(folder / "weights.safetensors", network, self.classes, job.input.name)
        shutil.rmtree(folder / PREDICTIONS, ignore_errors=True)
        predictions = predict_set(network, test, self.test, self.classes, folder / PREDICTIONS)
        matrices = confusion_by_condition(self.test, predictions, self.classes)
        write_confusion(folder / CONFUSION, matrices)
        return score_keys(matrices, self.classes)

    def study(self, command: str = "fsidfusion segment compare") -> Study:
        """The tables and the protocol in words."""
        conditions = {condition(pair.name) for pair in self.test.pairs} - {""}
        present = [n for place, n in enumerate(self.classes.names) if _in_any(self.test.masks, place)]
        tables = [
            Table(
                "Means over the classes",
                {**{score: f"{ALL} {score} {MEAN}" for score in SCORES}, PIXELS: f"{ALL} {PIXELS}"},
            ),
            *(
                Table(
                    f"{score[0].upper()}{score[1:]} by class",
                    {name: f"{ALL} {score} {name}" for name in (MEAN, *present)},
                )
                for score in SCORES
            ),
        ]
        if conditions:
            columns = {
                name: f"{name} IoU {MEAN}" for name in sorted({ALL, *conditions}, key=CONDITIONS.index)
            }
            tables.append(Table("Mean IoU by condition", columns))
        return Study("segmentation", "Segmentation", command, self.protocol(), tables)

    def protocol(self) -> list[str]:
        """Data, learner and schedule, as paragraphs."""
        absent = [n for place, n in enumerate(self.classes.names) if not _in_any(self.test.masks, place)]
        config = self.config
        lacking = f", of which no test mask holds {', '.join(absent)}" if absent else ""
        data = (
            f"{self.name}: {len(self.train.pairs)} training and {len(self.test.pairs)} test pairs,"
            f" {len(self.classes)} classes{lacking}. {self.about}"
        )
        learner = (
            "For every input and seed the same small U-Net (about 1 M parameters) is trained from scratch:"
            f" {config.steps} steps of {config.batch} crops of {config.crop[0]}x{config.crop[1]}, scaled,"
            " mirrored and of varied brightness, AdamW with a cosine schedule, cross-entropy with mild class"
            " weights, and dice. One seed gives every input the same first weights and the same crops."
        )
        scores = (
            "IoU = TP / (TP + FP + FN), accuracy = TP / (TP + FN), F-score = 2 TP / (2 TP + FP + FN), of the"
            " pixels of all test frames together; means are over the classes that the masks hold."
        )
        return [data.strip(), learner, scores]


def score_keys(matrices: Mapping[str, Confusion], classes: Classes) -> dict[str, float]:
    """Scores by key: "all IoU mean", "night IoU car", "all pixel accuracy"."""
    keys: dict[str, float] = {}
    for name, matrix in matrices.items():
        result = score(matrix, classes.names)
        keys[f"{name} {PIXELS}"] = result.pixel_accuracy
        for kind in SCORES:
            keys[f"{name} {kind} {MEAN}"] = result.mean[kind]
            keys |= {f"{name} {kind} {c}": v for c, v in zip(classes.names, result.by_class[kind])}
    return keys


def choose_cards(task: Segmentation, runs: Sequence[Run], frames: Mapping[Input, Frames]) -> list[Card]:
    """For each condition the frames on which the first network (or input) is best and worst, as overlays.

    Args:
        task: the test scenes.
        runs: the first seed of each input is shown.
        frames: of the test pairs, by input.
    """
    shown = {run.input: run for run in reversed(runs)}
    order = list(dict.fromkeys(run.input for run in runs))
    subject = next((given for given in order if given.kind == "ours"), order[0])
    predictions = {
        given: read_predictions(shown[given].folder / PREDICTIONS, task.test, task.classes) for given in order
    }
    values = [
        frame_iou(mask, predicted, task.classes)
        for mask, predicted in zip(task.test.masks, predictions[subject])
    ]
    others = [given for given in order if given != subject]
    cards = []
    for group in dict.fromkeys(condition(pair.name) for pair in task.test.pairs):
        places = [
            i for i, p in enumerate(task.test.pairs) if condition(p.name) == group and values[i] == values[i]
        ]
        places.sort(key=lambda i: values[i])
        for place, word in {places[-1]: "best", places[0]: "worst"}.items() if places else ():
            base = frames[subject][place][..., :3]
            pictures = {"truth": webp(overlay(base, task.test.masks[place], task.classes), LONGEST_SIDE)}
            for given in (*others[:1], subject, *others[1:]):
                seen = overlay(frames[given][place][..., :3], predictions[given][place], task.classes)
                pictures[given.name] = webp(seen, LONGEST_SIDE)
            title = f"{task.test.pairs[place].name}{', ' + group if group else ''}"
            cards.append(Card(title, (f"{word} IoU {values[place]:.3f}",), pictures))
    return cards


def confusion_section(runs: Sequence[Run], classes: Classes) -> Section:
    """Of the report: each input's confusion matrix over all its seeds, and the classes' colours."""
    drawn = []
    for given in dict.fromkeys(run.input for run in runs):
        counts = sum(read_confusion(run.folder / CONFUSION)[ALL] for run in runs if run.input == given)
        drawn.append(confusion_plot(np.asarray(counts), classes.names, given.name))
    colours = [Swatch(name, color=f"rgb{colour}") for name, colour in zip(classes.names, classes.colours)]
    body = pieces.body(pieces.plots(drawn), pieces.heading("Colours of the classes"), pieces.legend(*colours))
    return Section("confusion", "Confusion", "where the pixels of each class went, all seeds", body)


def write_confusion(path: Path, matrices: Mapping[str, Confusion]) -> None:
    """Write confusion matrices by condition as JSON."""
    write_text(path, json.dumps({name: matrix.tolist() for name, matrix in matrices.items()}) + "\n")


def read_confusion(path: Path) -> dict[str, Confusion]:
    """What :func:`write_confusion` wrote."""
    content = read_json(path, dict[str, list[list[int]]], "confusion matrix")
    return {name: np.array(matrix, np.int64) for name, matrix in content.items()}


def data_hash(labelled: LabelledSet) -> str:
    """One sha256 of the pairs' names and files and of their masks."""
    digest = hashlib.sha256(pairs_hash(labelled.pairs).encode())
    for mask in labelled.masks:
        digest.update(str(mask.shape).encode() + mask.tobytes())
    return digest.hexdigest()


def _in_any(masks: Sequence[Mask], place: int) -> bool:
    return any(bool((mask == place).any()) for mask in masks)
