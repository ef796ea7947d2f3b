"""Score fused images against their sources.

Nothing is averaged in or out silently: a pair without a fused file, a fused file without a pair, a source
without a partner and images of different sizes are errors, and undefined scores are listed.
"""

import math
import os
import platform
import warnings
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fsidfusion import __version__
from fsidfusion.errors import FusionError, InputError
from fsidfusion.evaluation.labels import Labels
from fsidfusion.evaluation.methods import FusedFiles, Method, file_hash, some
from fsidfusion.evaluation.visibility import Target, see
from fsidfusion.images.degrade import DEGRADATIONS, INFRARED, STRENGTH, degrade
from fsidfusion.images.files import read_picture
from fsidfusion.images.pairs import Matches, Pair, match_pairs
from fsidfusion.images.pixels import Pixels, quantise, unit
from fsidfusion.images.text import reason
from fsidfusion.metrics import DEFAULT, METRICS, find_metric, mean_scores, score
from fsidfusion.metrics.gray import GrayImage, to_gray8

Scores = dict[str, float]  # metric -> value, NaN where it is undefined


@dataclass(frozen=True)
class ScoredPair:
    """One pair under one or several rows."""

    pair: Pair
    scores: dict[str, Scores]  # by row
    hashes: dict[str, dict[str, str]]  # by row: sha256 of infrared, visible and fused
    targets: tuple[Target, ...] = ()  # labelled ones, and how visible they are in every row


@dataclass(frozen=True)
class Condition:
    """Under which methods are scored: sources as they are by default, and no labelled targets looked at."""

    degradation: str = ""  # KIND or KIND:STRENGTH of what happens to one source before it is fused
    labels: Labels | None = None  # boxes of targets, by the names of the pairs

    def degraded(self, pair: str, infrared: Pixels, visible: Pixels) -> tuple[Pixels, Pixels]:
        """The sources that are fused; seeded by the name of the pair, so that every method sees the same.

        InputError for an unknown kind or strength.
        """
        if not self.degradation:
            return infrared, visible
        kind, strength = parse_degradation(self.degradation)
        sources = [infrared, visible]
        place = 0 if kind in INFRARED else 1
        worse = degrade(unit(sources[place]), kind, strength, zlib.crc32(pair.encode()))
        sources[place] = quantise(worse, np.dtype(np.uint8))
        return sources[0], sources[1]


@dataclass(frozen=True)
class Evaluation:
    """The scores of one row on a set of pairs."""

    name: str
    convention: str
    scores: dict[str, Scores]  # by pair, in the order of the pairs
    hashes: dict[str, dict[str, str]]  # by pair: sha256 of infrared, visible and fused
    source: dict[str, Any]  # the folder, or the model and its weights' sha256
    targets: tuple[Target, ...] = ()  # of all pairs, and how visible they are in every row

    @property
    def mean(self) -> Scores:
        """The mean over all pairs where a metric is defined."""
        return mean_scores(self.scores.values())[0]

    @property
    def undefined(self) -> dict[str, list[str]]:
        """Metric -> the pairs that its mean leaves out."""
        names = {m: [p for p, row in self.scores.items() if math.isnan(row[m])] for m in self.metrics}
        return {metric: pairs for metric, pairs in names.items() if pairs}

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics, in the order asked for."""
        return tuple(next(iter(self.scores.values())))

    def record(self) -> dict[str, Any]:
        """All of it as JSON holds it; NaN becomes None."""
        return {
            "convention": self.convention,
            "mean": _without_nan(self.mean),
            "undefined": self.undefined,
            "pairs": {pair: _without_nan(row) for pair, row in self.scores.items()},
            "sha256": self.hashes,
            "source": self.source,
            "versions": versions(),
        }


def evaluate(
    infrared: str | Path | Sequence[str | Path],
    visible: str | Path | Sequence[str | Path],
    fused: str | Path,
    *,
    metrics: str | Sequence[str] = DEFAULT,
    convention: str = "cddfuse",
    recursive: bool = False,
    threads: int | None = None,
) -> Evaluation:
    """Score a folder of fused pictures against its sources; files are matched by stem.

        result = fsidfusion.evaluate("ir", "vis", "fused")
        result.mean["VIF"], result.scores["00004N"]["VIF"]

    Args:
        infrared: folders, files or globs: infrared, or CT, PET, SPECT.
        visible: the same of visible pictures, or MRI.
        fused: a folder, or one file for one pair. Colour is scored on its luma, 16 bits on 8.
        metrics: names, or ``default`` or ``all``.
        convention: ``cddfuse``, as the published tables, or ``tang``; see docs/metrics.md.
        recursive: look into sub-folders of folders.
        threads: threads; one for every core by default.

    Raises:
        InputError: files without their partners on any side, sizes that differ, unreadable files, an unknown
            metric or convention.
    """
    first, second = ([side] if isinstance(side, str | Path) else list(side) for side in (infrared, visible))
    pairs = whole_pairs(match_pairs(first, second, recursive))
    method: Method = FusedFiles(str(fused), pairs, recursive)
    return evaluate_methods(pairs, [method], choose_metrics(metrics, convention), convention, threads)[0]


def evaluate_methods(
    pairs: Sequence[Pair],
    methods: Sequence[Method],
    metrics: Sequence[str] = DEFAULT,
    convention: str = "cddfuse",
    threads: int | None = None,
    progress: Callable[[ScoredPair], None] = lambda scored: None,
    condition: Condition = Condition(),
    failed: Callable[[Pair, str], None] | None = None,
) -> list[Evaluation]:
    """Score every row of several methods on the same pairs; one evaluation a row, in their order.

    Args:
        pairs: what to score, at least one.
        methods: with rows of different names.
        metrics: names; see :func:`choose_metrics`.
        convention: of the metrics.
        threads: threads; one for every core by default.
        progress: called after each pair, from the calling thread.
        condition: what happens to a source before it is fused (scores are against the sources as they are),
            and the labelled targets that are looked for.
        failed: called with each pair that cannot be scored, and why; it is then left out, as long as any is
            left. By default the first one ends the evaluation.

    Raises:
        InputError: rows of the same name, and whatever is wrong with a pair: the first one found.
    """
    rows = [row for method in methods for row in method.rows]
    twice = sorted({row for row in rows if rows.count(row) > 1})
    if twice:
        raise InputError(f"two results are called {some(twice)}; give each of them once, under its own name")
    found: dict[str, ScoredPair] = {}

    def keep(scored: ScoredPair) -> None:
        found[scored.pair.name] = scored
        progress(scored)

    wrong: list[str] = []

    def leave(pair: Pair, why: str) -> None:
        if failed is None:
            raise InputError(why)
        wrong.append(why)
        failed(pair, why)

    score_pairs(pairs, methods, keep, metrics, convention, threads, condition, leave)
    if not found and wrong:
        raise InputError(f"no pair can be scored: {wrong[0]}")
    ordered = [found[pair.name] for pair in pairs if pair.name in found]
    targets = tuple(target for scored in ordered for target in scored.targets)
    return [
        Evaluation(
            row,
            convention,
            {scored.pair.name: scored.scores[row] for scored in ordered},
            {scored.pair.name: scored.hashes[row] for scored in ordered},
            method.describe(row),
            targets,
        )
        for method in methods
        for row in method.rows
    ]


def score_pairs(
    pairs: Sequence[Pair],
    methods: Sequence[Method],
    progress: Callable[[ScoredPair], None],
    metrics: Sequence[str] = DEFAULT,
    convention: str = "cddfuse",
    threads: int | None = None,
    condition: Condition = Condition(),
    failed: Callable[[Pair, str], None] | None = None,
) -> None:
    """Read, fuse and score pairs in threads (most of a metric's time is spent outside Python's lock).

    ``progress`` gets each pair as it is finished, in any order, from the calling thread, and ``failed`` each
    that cannot be scored, whatever the cause; without it the first one ends all, with its InputError.
    """
    for name in metrics:
        find_metric(name, convention)
    threads = _core_count() if threads is None else threads
    if threads < 1:
        raise InputError(f"{threads} threads cannot score; give 1 or more, or none for one a core")
    theirs = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the pairs already fill the cores
    pool = ThreadPoolExecutor(threads)
    waiting = list(reversed(pairs))
    running: dict[Future[ScoredPair], Pair] = {}
    try:
        with warnings.catch_warnings():  # undefined scores are told by the evaluation as a whole
            warnings.filterwarnings("ignore", message=".*undefined, given as NaN")
            while waiting or running:
                while waiting and len(running) < 2 * threads:  # bounds what is held in memory
                    pair = waiting.pop()
                    running[pool.submit(_score_pair, pair, methods, metrics, convention, condition)] = pair
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    pair = running.pop(future)
                    try:
                        scored = future.result()
                    except InputError as error:
                        if failed is None:
                            raise
                        failed(pair, str(error))
                    else:
                        progress(scored)
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(theirs)


def whole_pairs(matches: Matches) -> tuple[Pair, ...]:
    """The pairs, where no file is left without its partner; InputError otherwise."""
    if matches.alone:
        alone = some([str(path) for path in matches.alone])
        raise InputError(f"{alone}: no partner of the same stem; add it, or remove the file")
    return matches.pairs


def choose_metrics(metrics: str | Sequence[str], convention: str = "cddfuse") -> tuple[str, ...]:
    """Metric names from names, ``default`` (the eleven) or ``all``. InputError for an unknown one."""
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    chosen: list[str] = []
    for name in names:
        if name == "all":
            chosen += [metric.name for metric in METRICS if metric.convention in (convention, "all")]
        elif name == "default":
            chosen += DEFAULT
        else:
            chosen.append(name)
    for name in chosen:
        find_metric(name, convention)
    return tuple(dict.fromkeys(chosen))


def parse_degradation(text: str) -> tuple[str, float]:
    """``smoke`` or ``smoke:0.8`` as kind and strength. InputError for anything else."""
    kind, colon, number = text.partition(":")
    try:
        strength = float(number) if colon else STRENGTH
    except ValueError:
        strength = math.nan
    if kind not in DEGRADATIONS or not 0 < strength <= 1:
        raise InputError(
            f"degradation {text!r} is unknown; expected one of {', '.join(DEGRADATIONS)}, with a strength"
            f" over 0 up to 1 if not {STRENGTH:g}: smoke:0.8"
        )
    return kind, strength


def versions() -> dict[str, str]:
    """What computed the scores."""
    return {
        "fsidfusion": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def _core_count() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _score_pair(
    pair: Pair, methods: Sequence[Method], metrics: Sequence[str], convention: str, condition: Condition
) -> ScoredPair:
    scores: dict[str, Scores] = {}
    hashes: dict[str, dict[str, str]] = {}
    pictures: dict[str, Pixels] = {}
    try:
        infrared, visible = (read_picture(path).pixels for path in (pair.infrared, pair.visible))
        sources = {"infrared": file_hash(pair.infrared), "visible": file_hash(pair.visible)}
        first, second = (GrayImage(to_gray8(_eight_bits(image))) for image in (infrared, visible))
        seen = condition.degraded(pair.name, infrared, visible)
        for method in methods:
            for row, (image, digest) in zip(method.rows, method.fused(pair, *seen)):
                gray = to_gray8(_eight_bits(image))
                scores[row] = score(gray, first, second, metrics, convention, pair.name)
                hashes[row] = {**sources, "fused": digest}
                pictures[row] = image
        return ScoredPair(pair, scores, hashes, _targets(pair, condition, *seen, pictures))
    except FusionError as error:
        raise InputError(f"pair {pair.name}: {error}") from error
    except Exception as error:  # a file that went away in between, and whatever else: it is this pair's
        raise InputError(f"pair {pair.name}: {type(error).__name__}: {reason(error)}") from error


def _targets(
    pair: Pair, condition: Condition, infrared: Pixels, visible: Pixels, pictures: dict[str, Pixels]
) -> tuple[Target, ...]:
    if condition.labels is None or pair.name not in condition.labels.boxes:
        return ()
    boxes = condition.labels.boxes[pair.name]
    return tuple(see(pair.name, boxes, condition.labels.classes, infrared, visible, pictures))


def _eight_bits(pixels: Pixels) -> Pixels:
    return pixels if pixels.dtype == np.uint8 else quantise(unit(pixels), np.dtype(np.uint8))


def _without_nan(scores: Scores) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in scores.items()}
