"""Scores of found boxes against true ones, by pycocotools."""

import contextlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError, MissingDependency, install
from fsidfusion.evaluation.boxes import Boxes, overlap, time_of_day
from fsidfusion.evaluation.methods import some
from fsidfusion.images.atomic import write_text
from fsidfusion.images.text import read_json
from fsidfusion.studies.downstream.detection.frames import LabelledFrames

METRICS = ("mAP50", "mAP75", "mAP50:95", "precision", "recall", "F1")
PREDICTIONS = "predictions.json"  # of a run, in its folder
SUBSETS = ("all", "day", "night")
HIT = 0.5  # intersection over union from which a box is right, for precision and recall


@dataclass(frozen=True)
class Score:
    """Scores by key: ``all/mAP50``, ``night/person/mAP50``; NaN where nothing is there to find."""

    values: Mapping[str, float]
    threshold: float  # of the scores of boxes, where F1 over all classes and frames is best


@dataclass(frozen=True)
class FrameHits:
    """What was found of one class in one frame, by COCO's rules at an overlap of 0.5."""

    scores: NDArray[np.float64]  # (N,) of the found boxes that count
    hits: NDArray[np.bool_]  # (N,) whether each is right
    total: int  # true boxes that count


def score(frames: LabelledFrames, found: Sequence[Boxes]) -> Score:
    """Score found boxes over all frames, those of the day and those of the night.

    mAP as COCO defines it, over classes that are there to find, with 100 boxes a frame: at an overlap of 0.5,
    of 0.75, and the mean of 0.5 to 0.95. Precision, recall and F1 at an overlap of 0.5, at the threshold of
    the boxes' scores where F1 is best; over all classes together with one threshold, and for each class with
    its own.

    Args:
        frames: with the true boxes.
        found: boxes of each frame, in its pixels.

    Raises:
        InputError: pycocotools is not installed.
    """
    values: dict[str, float] = {}
    threshold = 0.0
    for subset in SUBSETS:
        places = [
            place for place, pair in enumerate(frames.pairs) if subset in ("all", time_of_day(pair.name))
        ]
        part, best = _score([frames.boxes[p] for p in places], [found[p] for p in places], frames)
        values |= {f"{subset}/{key}": value for key, value in part.items()}
        if subset == "all":
            threshold = best
    return Score(values, threshold)


def count_hits(true: Boxes, found: Boxes, threshold: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which true boxes of a frame were found, and which found ones, of those above a threshold, are right.

    Returns:
        a mask of ``true``, and one of ``found`` (false below the threshold).
    """
    hit, right = np.zeros(len(true), bool), np.zeros(len(found), bool)
    overlaps = overlap(found.corners, true.corners)
    for place in np.argsort(-found.scores, kind="stable"):
        if found.scores[place] < threshold:
            break
        fits = (overlaps[place] >= HIT) & ~hit & (true.classes == found.classes[place])
        if fits.any():
            right[place] = hit[np.argmax(np.where(fits, overlaps[place], -1.0))] = True
    return hit, right


def frame_hits(
    true: Sequence[Boxes], found: Sequence[Boxes], number: int, least_height: float = 0
) -> list[FrameHits]:
    """The hits of class ``number`` frame by frame.

    Boxes lower than ``least_height`` pixels count neither as found nor as missed, neither right nor wrong.

    Raises:
        InputError: pycocotools is not installed.
    """
    ours, theirs = ([boxes[boxes.classes == number] for boxes in side] for side in (true, found))
    places: dict[int, Any] = {}
    for entry in _evaluate(ours, theirs, number + 1, least_height).evalImgs:
        if entry is not None and entry["category_id"] == number:
            places[entry["image_id"]] = entry
    hits = []
    for place in range(len(true)):
        if place not in places:
            hits.append(FrameHits(np.zeros(0), np.zeros(0, bool), 0))
            continue
        entry = places[place]
        counts = ~np.asarray(entry["dtIgnore"][0], bool)
        scores = np.asarray(entry["dtScores"], np.float64)[counts]
        right = (np.asarray(entry["dtMatches"][0]) > 0)[counts]
        hits.append(FrameHits(scores, right, int((~np.asarray(entry["gtIgnore"], bool)).sum())))
    return hits


def frame_score(true: Boxes, found: Boxes, threshold: float) -> float:
    """F1 of one frame at a threshold; 1 where nothing is there and nothing is found."""
    hit, _ = count_hits(true, found, threshold)
    either = len(true) + int((found.scores >= threshold).sum())
    return 2 * int(hit.sum()) / either if either else 1.0


def write_predictions(path: Path, frames: LabelledFrames, found: Sequence[Boxes]) -> None:
    """Write boxes as a COCO list of results: image_id is the name of the frame, category_id the class."""
    results = [
        {
            "image_id": pair.name,
            "category_id": int(number),
            "bbox": [round(float(v), 4) for v in (x0, y0, x1 - x0, y1 - y0)],
            "score": float(f"{likely:.9g}"),
        }
        for pair, boxes in zip(frames.pairs, found)
        for (x0, y0, x1, y1), number, likely in zip(boxes.corners, boxes.classes, boxes.scores)
    ]
    write_text(path, json.dumps(results) + "\n")


def read_predictions(path: Path, frames: LabelledFrames) -> list[Boxes]:
    """The boxes that a detector found, from COCO JSON, for each frame.

    A list of results (image_id, category_id, bbox, score), or an object that holds it as ``annotations``
    beside its own ``images`` and ``categories``. Without those an image_id is that of the COCO labels, or the
    name of the frame, or its digits; a category_id is that of the COCO labels, or the class counted from 0.

    Raises:
        InputError: no such file, an image or a category that is none of the frames', or a malformed result.
    """
    try:
        content: Any = read_json(path, object, "COCO file of results")
        whole: dict[str, Any] = content if isinstance(content, dict) else {"annotations": content}
        results = list(whole["annotations"])
        images = {image["id"]: Path(image["file_name"]).stem for image in whole.get("images", ())}
        categories = {c["id"]: frames.classes.index(c["name"]) for c in whole.get("categories", ())}
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} holds no COCO results for {', '.join(frames.classes)} ({type(error).__name__}: {error})"
        ) from error
    places = _image_places(frames, images)
    if not categories:
        categories = next((dict(labels.categories) for labels in frames.labels if labels.categories), {})
        categories = categories or dict(enumerate(range(len(frames.classes))))
    rows: list[list[tuple[list[float], int, float]]] = [[] for _ in frames.pairs]
    for number, result in enumerate(results):
        try:
            image, category = result["image_id"], result["category_id"]
            x, y, w, h = map(float, result["bbox"])
            likely = float(result["score"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{path}: result {number} lacks image_id, category_id, bbox or score ({error!r})"
            ) from error
        if image not in places or category not in categories:
            what = f"image_id {image!r}" if image not in places else f"category_id {category!r}"
            known = places if image not in places else categories
            raise InputError(
                f"{path}: result {number} has {what}, which is none of {some([repr(key) for key in known])}"
            )
        if not all(map(math.isfinite, (x, y, w, h, likely))):
            raise InputError(f"{path}: result {number} is not finite")
        rows[places[image]].append(([x, y, x + w, y + h], categories[category], likely))
    return [
        Boxes(
            np.array([corners for corners, _, _ in row], np.float32).reshape(-1, 4),
            np.array([number for _, number, _ in row], np.int64),
            np.array([likely for _, _, likely in row], np.float32),
        )
        for row in rows
    ]


def _image_places(frames: LabelledFrames, images: Mapping[Any, str]) -> dict[Any, int]:
    """The place of a frame for everything that may name it."""
    by_name = {pair.name: place for place, pair in enumerate(frames.pairs)}
    ids = images or next((labels.ids for labels in frames.labels if labels.ids), {})
    if ids:
        return {key: by_name[name] for key, name in ids.items() if name in by_name}
    digits = {"".join(filter(str.isdigit, name)): place for name, place in by_name.items()}
    numbered = {int(text): place for text, place in digits.items() if text}
    return {**by_name, **(numbered if len(numbered) == len(by_name) else {})}


def _score(
    true: Sequence[Boxes], found: Sequence[Boxes], frames: LabelledFrames
) -> tuple[dict[str, float], float]:
    """The scores of some frames, and the best threshold over all classes."""
    names = ("mAP50", "mAP75", "mAP50:95")
    values = dict.fromkeys([*METRICS, *(f"{c}/{m}" for c in frames.classes for m in METRICS)], math.nan)
    if not sum(map(len, true)):
        return values, 0.0
    result = _evaluate(true, found, len(frames.classes))
    precision = result.eval["precision"][:, :, :, 0, -1]  # (overlaps, recalls, classes); -1: nothing to find
    known = [number for number in range(len(frames.classes)) if (precision[:, :, number] > -1).any()]
    average = {  # (classes,) each
        "mAP50": precision[0].mean(0),
        "mAP75": precision[5].mean(0),
        "mAP50:95": precision.mean((0, 1)),
    }
    for name in names:
        values[name] = float(np.mean([average[name][number] for number in known]))
        values |= {f"{frames.classes[number]}/{name}": float(average[name][number]) for number in known}
    curves = [_hits(result, number) for number in range(len(frames.classes))]
    totals = [sum(int((boxes.classes == number).sum()) for boxes in true) for number in range(len(curves))]
    for number in known:
        best, _ = _best_point(*curves[number], totals[number])
        values |= {f"{frames.classes[number]}/{name}": value for name, value in best.items()}
    scores, hits = (np.concatenate([curve[part] for curve in curves]) for part in (0, 1))
    best, threshold = _best_point(scores, hits, sum(totals))
    return {**values, **best}, threshold


def _evaluate(true: Sequence[Boxes], found: Sequence[Boxes], classes: int, least_height: float = 0) -> Any:
    """pycocotools' evaluation of all frames and classes; the range of its areas is here one of heights."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise MissingDependency(f"scores need pycocotools: {install('downstream')}") from error
    truth, results = COCO(), COCO()
    images = [{"id": place} for place in range(len(true))]
    categories = [{"id": number} for number in range(classes)]
    for side, listing in ((truth, true), (results, found)):
        side.dataset = {
            "images": images,
            "categories": categories,
            "annotations": [{**entry, "id": number} for number, entry in enumerate(_annotations(listing), 1)],
        }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        results.createIndex()
        evaluation = COCOeval(truth, results, "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[least_height, 1e10]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _annotations(listing: Sequence[Boxes]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": place,
            "category_id": int(number),
            "bbox": [float(x0), float(y0), float(x1 - x0), float(y1 - y0)],
            "area": float(y1 - y0),  # what COCO leaves out by area is left out by height
            "iscrowd": 0,
            "score": float(likely),
        }
        for place, boxes in enumerate(listing)
        for (x0, y0, x1, y1), number, likely in zip(boxes.corners, boxes.classes, boxes.scores)
    ]


def _hits(evaluation: Any, number: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores of the boxes of a class, and whether each is right at an overlap of 0.5."""
    images = [e for e in evaluation.evalImgs if e is not None and e["category_id"] == number]
    scores = [np.asarray(image["dtScores"], np.float64) for image in images]
    hits = [np.asarray(image["dtMatches"][0]) > 0 for image in images]
    return np.concatenate([*scores, []]), np.concatenate([*hits, np.zeros(0, bool)])


def _best_point(
    scores: NDArray[np.float64], hits: NDArray[np.bool_], total: int
) -> tuple[dict[str, float], float]:
    """Precision, recall and F1 where F1 is best, and the threshold there."""
    if not scores.size:
        return {"precision": 0.0, "recall": 0.0, "F1": 0.0}, 0.0
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(hits[order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + total)
    ends = np.append(np.diff(scores[order]) != 0, True)  # boxes of one score are taken together
    best = int(np.argmax(np.where(ends, f1, -1.0)))
    point = {
        "precision": float(right[best] / (best + 1)),
        "recall": float(right[best] / total),
        "F1": float(f1[best]),
    }
    return point, float(scores[order][best])
