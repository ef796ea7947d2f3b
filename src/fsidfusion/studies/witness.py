"""Does a detector that never saw a fused picture find people in it as well as in each camera's picture?

In clear air, haze and smoke, by day and by night: one detector from an ONNX file looks at everything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsidfusion import __version__
from fsidfusion.errors import FusionError, InputError
from fsidfusion.evaluation.boxes import Boxes, time_of_day
from fsidfusion.evaluation.evaluate import Condition
from fsidfusion.evaluation.methods import Model, all_weights, file_hash
from fsidfusion.evaluation.visibility import LEVEL, RESAMPLES, SEED, SOURCES
from fsidfusion.images.degrade import STRENGTH
from fsidfusion.images.files import read_picture
from fsidfusion.images.pairs import Pair
from fsidfusion.images.pixels import Pixels, luma, quantise
from fsidfusion.studies.downstream.detection.frames import LabelledFrames
from fsidfusion.studies.downstream.detection.onnx_detector import OnnxDetector, map_classes
from fsidfusion.studies.downstream.detection.scores import FrameHits, frame_hits
from fsidfusion.studies.seeing import CONDITIONS, TARGET

LEAST_HEIGHT = 24  # pixels of a person that counts
CAMERAS = (*SOURCES, "visible, gray")  # rows beside the fused ones; detectors learn from colours
RECALLS = np.linspace(0, 1, 101)  # COCO's
_AT_ONCE = 100  # resamples


@dataclass(frozen=True)
class Found:
    """What the detector finds of the people of some frames in one row."""

    people: int
    average: float  # AP at an overlap of 0.5
    interval: tuple[float, float]  # of 95 %, over frames
    lead: float  # AP less that of the better source
    lead_interval: tuple[float, float]


@dataclass(frozen=True)
class Testimony:
    """What every row lets the detector find, by condition and then by ``all``, ``day`` and ``night``."""

    frames: int
    rows: tuple[str, ...]
    found: dict[str, dict[str, dict[str, Found]]]  # condition -> group -> row

    def cells(self, row: str, told: Callable[[Found], str]) -> str:
        """The line of a table: a row in every condition and group, each as ``told`` tells it."""
        found = (rows[row] for groups in self.found.values() for rows in groups.values())
        return f"| {row} | {' | '.join(told(each) for each in found)} |"


def measure(
    frames: LabelledFrames,
    models: Sequence[Model],
    detector: OnnxDetector,
    progress: Callable[[object], None] = lambda pair: None,
) -> Testimony:
    """Fuse labelled frames under every condition, and let the detector look at them and at their sources.

    Args:
        frames: pairs with boxes; one class is ``person``.
        models: with rows for every colour.
        detector: that finds persons.
        progress: called after each pair under each condition.

    Raises:
        InputError: no labelled person large enough, a detector that finds none, or a pair that cannot be
            read.
    """
    if TARGET not in frames.classes or TARGET not in detector.classes:
        raise InputError(f"the labels and {detector.path} must both name a class {TARGET!r}")
    number = frames.classes.index(TARGET)
    tall = [b.corners[b.classes == number, 3] - b.corners[b.classes == number, 1] for b in frames.boxes]
    if not any((heights >= LEAST_HEIGHT).any() for heights in tall):
        raise InputError(f"no frame has a labelled {TARGET} of at least {LEAST_HEIGHT} pixels in height")
    times = [time_of_day(pair.name) for pair in frames.pairs]
    groups = {"all": np.arange(len(times))} | {
        time: np.flatnonzero([of == time for of in times]) for time in ("day", "night") if time in times
    }
    rows = (*CAMERAS, *(row for model in models for row in model.rows))
    found: dict[str, dict[str, dict[str, Found]]] = {}
    for condition, degradation in CONDITIONS.items():
        seen: dict[str, list[Boxes]] = {row: [] for row in rows}
        for pair in frames.pairs:
            pictures = _pictures(pair, models, Condition(degradation))
            for row, picture in pictures.items():
                boxes = detector.find(picture, (TARGET,))
                seen[row].append(map_classes(boxes, detector.classes, frames.classes))
            progress(pair)
        hits = {row: frame_hits(frames.boxes, boxes, number, LEAST_HEIGHT) for row, boxes in seen.items()}
        found[condition] = {group: _found(hits, places) for group, places in groups.items()}
    return Testimony(len(frames.pairs), rows, found)


def average_precision(frames: Sequence[FrameHits], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """COCO's average precision at one overlap, of frames that count as often as they are drawn.

    Args:
        frames: F of them.
        weights: (R, F) how often each counts in each of R draws.

    Returns:
        (R,) 0..1; NaN where a draw holds no true box.
    """
    scores = np.concatenate([frame.scores for frame in frames])
    order = np.argsort(-scores, kind="stable")
    of_frame = np.repeat(np.arange(len(frames)), [len(frame.scores) for frame in frames])[order]
    hits = np.concatenate([frame.hits for frame in frames])[order]
    totals = weights @ np.array([frame.total for frame in frames])
    drawn = weights[:, of_frame]
    right = np.cumsum(drawn * hits, 1)
    precision = right / np.maximum(np.cumsum(drawn, 1), 1)
    precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]  # the best at this recall or beyond
    precision = np.pad(precision, ((0, 0), (0, 1)))  # recalls that are never reached
    result = np.full(len(weights), np.nan)
    for place in np.flatnonzero(totals):
        reached = np.searchsorted(right[place] / totals[place], RECALLS)
        result[place] = precision[place, reached].mean()
    return result


def to_markdown(testimony: Testimony, models: Sequence[Model], name: str, detector: str) -> str:
    """The part ``witness`` of docs/results.md; ``detector`` says in words which it was."""
    groups = list(next(iter(testimony.found.values())))
    people = next(iter(testimony.found["clear"]["all"].values())).people
    columns = [(condition, group) for condition in testimony.found for group in groups]
    heads = [condition if group == "all" else f"{condition}, {group}" for condition, group in columns]
    lines = [
        "## People found by a detector that never saw a fused picture",
        "",
        f"Written by `fsidfusion benchmark witness`, fsidfusion {__version__}: {people} people of at least"
        f" {LEAST_HEIGHT} pixels in {testimony.frames} frames of {name}; haze and smoke are this project's"
        f" own, over the visible picture, of strength {STRENGTH:g}. {detector}.",
        "",
        "AP50: average precision as COCO defines it, of persons, at an overlap of 0.5; in brackets the 95 %"
        " interval over frames. Plain names are gray pictures, `+color` has the colours of the visible one,"
        " `+heat` heat colours.",
        "",
        f"| AP50 | {' | '.join(heads)} |",
        f"|---|{'---:|' * len(heads)}",
    ]
    lines += [testimony.cells(row, _average) for row in testimony.rows]
    lines += ["", "Less the better of the two cameras, with the interval over the same frames:", ""]
    lines += [f"| AP50 less | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    lines += [testimony.cells(row, _lead) for row in testimony.rows if row not in CAMERAS]
    lines += ["", *(f"Weights: {model.name} `{model.weights}`." for model in all_weights(models))]
    return "\n".join(lines) + "\n"


def _average(found: Found) -> str:
    low, high = found.interval
    return f"{found.average:.3f} [{low:.2f}, {high:.2f}]"


def _lead(found: Found) -> str:
    low, high = found.lead_interval
    return f"{found.lead:+.3f} [{low:+.2f}, {high:+.2f}]"


def describe(detector: OnnxDetector, said: str = "") -> str:
    """The detector in words: what its user says of it, and the sha256 of its file."""
    return f"The detector: {said or detector.path.name}, sha256 `{file_hash(detector.path)}`"


def _pictures(pair: Pair, models: Sequence[Model], condition: Condition) -> Mapping[str, Pixels]:
    """What the detector looks at, by row: the infrared picture in gray, the visible one in colours too."""
    try:
        infrared, visible = (read_picture(path).pixels for path in (pair.infrared, pair.visible))
        infrared, visible = condition.degraded(pair.name, infrared, visible)
        gray, colorless = (quantise(luma(image), np.dtype(np.uint8)) for image in (infrared, visible))
        rows: dict[str, Pixels] = dict(zip(CAMERAS, (gray, visible, colorless)))
        for model in models:
            for row, (picture, _) in zip(model.rows, model.fused(pair, infrared, visible)):
                rows[row] = picture
    except FusionError as error:
        raise InputError(f"pair {pair.name}: {error}") from error
    return rows


def _found(hits: Mapping[str, Sequence[FrameHits]], places: NDArray[np.int64]) -> dict[str, Found]:
    """Every row on some frames; all rows are resampled alike, so that differences are of the same frames."""
    draws = np.random.default_rng(SEED).integers(0, len(places), (RESAMPLES, len(places)))
    weights = np.stack([np.bincount(draw, minlength=len(places)) for draw in draws])
    averages = {}
    for row, frames in hits.items():
        own = [frames[place] for place in places]
        whole = average_precision(own, np.ones((1, len(own)), np.int64))
        parts = np.array_split(weights, max(1, len(weights) // _AT_ONCE))
        averages[row] = np.concatenate([whole, *(average_precision(own, part) for part in parts)])
    best = np.maximum(*(averages[source] for source in SOURCES))
    people = sum(frames_of.total for frames_of in (hits[SOURCES[0]][place] for place in places))

    def told(values: NDArray[np.float64]) -> tuple[float, tuple[float, float]]:
        tail = (100 - LEVEL) / 2
        low, high = np.nanpercentile(values[1:], (tail, 100 - tail))
        return float(values[0]), (float(low), float(high))

    return {row: Found(people, *told(values), *told(values - best)) for row, values in averages.items()}
