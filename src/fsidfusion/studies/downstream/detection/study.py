"""The comparison: one detector trained afresh on every input under every seed, by one protocol."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from fsidfusion.evaluation.boxes import Boxes, time_of_day
from fsidfusion.evaluation.tables import open_console, score_table
from fsidfusion.images.atomic import write_text
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies.downstream.comparison import Job, Progress, Run, compare
from fsidfusion.studies.downstream.comparison_report import Study, Table
from fsidfusion.studies.downstream.detection.config import DetectConfig
from fsidfusion.studies.downstream.detection.frames import DetectionSet, LabelledFrames
from fsidfusion.studies.downstream.detection.pictures import LEGEND, choose_frames, draw_boxes
from fsidfusion.studies.downstream.detection.scores import (
    METRICS,
    PREDICTIONS,
    SUBSETS,
    Score,
    score,
    write_predictions,
)
from fsidfusion.studies.downstream.detection.training import CHANCES, detect, train_detector
from fsidfusion.studies.downstream.inputs import VISIBLE, Frames, Input
from fsidfusion.studies.downstream.learning import trained
from fsidfusion.studies.quality.scores import code_hash

_TITLES = {"all": "All frames", "day": "By day", "night": "By night"}
_SHARE = 0.95  # of a run's time that its training takes
_CODE = (
    "training/loop.py",
    *(
        f"studies/downstream/detection/{name}.py"
        for name in ("targets", "canvas", "config", "network", "scores", "training")
    ),
)


def compare_inputs(
    frames: DetectionSet,
    train: Mapping[Input, Frames],
    test: Mapping[Input, Frames],
    seeds: Sequence[int],
    folder: Path,
    *,
    config: DetectConfig,
    device: str = "cpu",
    precision: str = "fp32",
    max_minutes: float | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> list[Run]:
    """Train and score a detector on every input under every seed; see :func:`compare`.

    Args:
        frames: with true boxes.
        train: the training frames of every input.
        test: the test frames of every input.
        seeds: of weights, order and changes of the frames.
        folder: of the comparison; each run leaves its ``predictions.json`` in its own.
        config: of every training.
        device: where detectors are trained.
        precision: of the training; scores are always of fp32.
        max_minutes: see :func:`compare`.
        progress: see :func:`compare`.

    Returns:
        the finished runs, with all keys of :func:`fsidfusion.studies.downstream.detection.scores.score` and
        ``threshold``.
    """

    def learn(job: Job) -> Mapping[str, float]:
        reached = train_detector(
            train[job.input],
            frames.train.boxes,
            len(frames.train.classes),
            config,
            job.seed,
            folder=job.training,
            device=device,
            precision=precision,
            on_step=lambda at: job.tick(_SHARE * at.step / at.steps),
        )
        found = detect(trained(reached), test[job.input], config.size)
        write_predictions(job.folder / PREDICTIONS, frames.test, found)
        result = score(frames.test, found)
        return {**result.values, "threshold": result.threshold}

    identity = {
        "train": frames.train.identity,
        "test": frames.test.identity,
        "schedule": asdict(config),
        "chances": asdict(CHANCES),
        "precision": precision,
        "code": code_hash(_CODE),
    }
    return compare(
        list(train),
        seeds,
        learn,
        folder,
        identity,
        device=f"{device} in {precision}",
        max_minutes=max_minutes,
        progress=progress,
    )


def print_scores(frames: LabelledFrames, result: Score) -> None:
    """Print the scores of one detector: over all frames, by day, by night, and by class."""
    title = f"{len(frames)} frames, {sum(map(len, frames.boxes))} objects"
    table = score_table(title, "", METRICS)
    rows = [*_present(frames), *(f"all/{name}" for name in frames.classes)]
    for row in rows:
        values = (result.values[f"{row}/{metric}"] for metric in METRICS)
        cells = ("–" if math.isnan(value) else f"{value:.3f}" for value in values)
        table.add_row(row.removeprefix("all/"), *cells)
    console = open_console()
    console.print(table)
    console.print(f"precision, recall and F1 at a threshold of {result.threshold:.2f}", style="dim")


def write_scores(
    folder: Path,
    frames: LabelledFrames,
    found: Sequence[Boxes],
    result: Score,
    pictures: Frames | None,
) -> list[Path]:
    """Write scores.json, predictions.json, and the best and the worst frames as pictures with their boxes.

    Args:
        folder: made when absent.
        frames: with true boxes.
        found: of each frame.
        result: their scores.
        pictures: what the detector saw; the visible pictures without it.

    Returns:
        the files.

    Raises:
        InputError: a file that cannot be written.
    """
    scores = {key: None if math.isnan(value) else round(value, 5) for key, value in result.values.items()}
    files = [folder / "scores.json", folder / PREDICTIONS]
    write_text(files[0], json.dumps({"threshold": result.threshold, "scores": scores}, indent=1) + "\n")
    write_predictions(files[1], frames, found)
    shown = pictures or Frames(Input(VISIBLE), frames.pairs, ())
    for place, reason in choose_frames(frames, found, result.threshold).items():
        drawn = draw_boxes(shown[place], frames.boxes[place], found[place], result.threshold, frames.classes)
        files.append(folder / f"{reason.split()[0]}-{frames.pairs[place].name}.png")
        write_picture(files[-1], Picture(drawn))
    return files


def describe(name: str, frames: DetectionSet, config: DetectConfig) -> Study:
    """How a comparison on a set of this name is shown."""
    tables = [
        Table(_TITLES[subset], {metric: f"{subset}/{metric}" for metric in METRICS})
        for subset in _present(frames.test)
    ]
    classes = frames.test.classes
    tables.append(
        Table(
            "By class",
            {f"{c} {metric}": f"all/{c}/{metric}" for c in classes for metric in ("mAP50", "mAP50:95")},
        )
    )
    counts = ", ".join(
        f"{sum(int((boxes.classes == number).sum()) for boxes in frames.test.boxes)} {c}"
        for number, c in enumerate(classes)
    )
    size = f"{config.size[1]}x{config.size[0]}"
    protocol = [
        f"{name}: {len(frames.train)} frames to train on, {len(frames.test)} to test on ({counts});"
        f" split {frames.split}.",
        f"One small anchor-free detector is trained from random weights on every input alike, with frames of"
        f" {size} pixels, {config.epochs} epochs, batches of {config.batch}, mirroring, zoom, shift,"
        " contrast and brightness by lot; 'early' stacks both cameras as four channels, the upper reference.",
        "mAP by pycocotools, at an overlap of 0.5, of 0.75, and the mean of 0.5 to 0.95; precision, recall"
        " and F1 at an overlap of 0.5 and the threshold of the best F1.",
    ]
    if frames.bad:
        protocol.append(f"{len(frames.bad)} bad labels were left out, the first: {frames.bad[0]}.")
    return Study(
        "detection", f"Object detection on {name}", "fsidfusion detect compare", protocol, tables, LEGEND
    )


def _present(frames: LabelledFrames) -> list[str]:
    """All frames, and the times of day that some of them have."""
    times = {time_of_day(pair.name) for pair in frames.pairs}
    return [subset for subset in SUBSETS if subset == "all" or subset in times]
