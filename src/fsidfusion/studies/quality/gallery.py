"""The best and the worst pairs of every metric as small pictures for the report."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path

import numpy as np

from fsidfusion.evaluation.evaluate import Evaluation
from fsidfusion.evaluation.methods import Model, file_hash
from fsidfusion.evaluation.published import COLUMNS
from fsidfusion.fusion.color import render
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.files import read_picture
from fsidfusion.images.output_range import find_range
from fsidfusion.images.pairs import Pair
from fsidfusion.images.pixels import Pixels, quantise, unit
from fsidfusion.report.page import LONGEST_SIDE, QUALITY, webp
from fsidfusion.studies.quality.scores import SetScores, identity

BUDGET = 9_000_000  # bytes of all pictures; base64 makes a third more of them


@dataclass(frozen=True)
class Shown:
    """One pair in the report."""

    set: str
    pair: str
    reasons: tuple[str, ...]  # "worst VIF", "best Qabf"
    scores: dict[str, float]  # of the row that chose the pair
    pictures: dict[str, bytes]  # label -> WebP


def build_gallery(
    results: Sequence[SetScores], models: Sequence[Model], folder: Path, budget: int = BUDGET
) -> list[Shown]:
    """Pictures of the pairs where the first model scores best and worst, for each metric and set.

    Args:
        results: the first evaluation of each set is the one that chooses.
        models: whose fused pictures are shown, under their first range; the first one is that of the first
            evaluation.
        folder: where encoded pictures are kept for the next report.
        budget: bytes; the sets take turns, and the pairs that no longer fit are left out.

    Returns:
        the pairs by set, in the order of :func:`choose`.
    """
    queues = [
        [(result, pair, reasons) for pair, reasons in choose(result.evaluations[0]).items()]
        for result in results
    ]
    shown: list[Shown] = []
    spent = 0
    for result, name, reasons in (item for turn in zip_longest(*queues) for item in turn if item):
        pair = next(pair for pair in result.pairs.pairs if pair.name == name)
        pictures = _pictures(result, pair, models, folder)
        spent += sum(map(len, pictures.values()))
        if spent > budget and shown:
            break
        scores = result.evaluations[0].scores[name]
        shown.append(Shown(result.pairs.name, name, reasons, scores, pictures))
    order = [result.pairs.name for result in results]
    return sorted(shown, key=lambda item: order.index(item.set))


def choose(evaluation: Evaluation, metrics: Sequence[str] = COLUMNS) -> dict[str, tuple[str, ...]]:
    """Pair -> why it is shown, beginning with the worst; metrics that are higher the better."""
    reasons: dict[str, tuple[str, ...]] = {}
    for pick, word in ((min, "worst"), (max, "best")):
        for metric in metrics:
            scores = {
                pair: row[metric] for pair, row in evaluation.scores.items() if row[metric] == row[metric]
            }
            if scores:
                pair = pick(scores, key=lambda name: scores[name])
                reasons[pair] = (*reasons.get(pair, ()), f"{word} {metric}")
    return reasons


def _pictures(result: SetScores, pair: Pair, models: Sequence[Model], folder: Path) -> dict[str, bytes]:
    """Both sources and the fused pictures of a pair, by label."""
    coloured = 0 if result.pairs.task == "medical" else 1
    labels = ("infrared", "visible") if coloured else (pair.infrared.parent.name, pair.visible.parent.name)
    read = cache(lambda: [read_picture(path).pixels for path in (pair.infrared, pair.visible)])
    files = file_hash(pair.infrared) + file_hash(pair.visible)

    def fuse(model: Model) -> Pixels:
        luma = model.luma(*read())
        range_ = find_range(luma, model.ranges[0])
        return render(luma, range_, read()[coloured], np.dtype(np.uint8), uptake=not coloured)

    pictures = {
        label: _encoded(folder, f"{files} {place}", lambda place=place: read()[place])  # type: ignore[misc]
        for place, label in enumerate(labels)
    }
    for model in (model.suited(result.pairs.task) for model in models):
        key = json.dumps(identity(model, model.rows[0], files))
        pictures[model.rows[0]] = _encoded(folder, key, partial(fuse, model))
    return pictures


def _encoded(folder: Path, key: str, make: Callable[[], Pixels]) -> bytes:
    """A picture as WebP of a bounded size; made once, then kept in the folder under its key."""
    path = folder / f"{hashlib.sha256(f'{key} {LONGEST_SIDE} {QUALITY}'.encode()).hexdigest()[:32]}.webp"
    if not path.exists():
        pixels = make()
        levels = pixels if pixels.dtype == np.uint8 else quantise(unit(pixels), np.dtype(np.uint8))
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(webp(levels, LONGEST_SIDE))
    return path.read_bytes()
