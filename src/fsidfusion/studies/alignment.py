"""Measure alignment: on pairs whose true infrared picture is known, and on pairs warped by known maps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.alignment.estimate import estimate
from fsidfusion.alignment.models import transform_points
from fsidfusion.alignment.sampling import pixel_grid, sample
from fsidfusion.alignment.transform import Alignment
from fsidfusion.alignment.warp import InfraredWarp
from fsidfusion.errors import FusionError, InputError
from fsidfusion.images.files import read_picture
from fsidfusion.images.pairs import match_pairs
from fsidfusion.images.pixels import Pixels, luma, quantise
from fsidfusion.studies.scenes import render_scene

METHODS: dict[str, dict[str, object]] = {
    # row of the tables: how `estimate` is called
    "edges": {"method": "edges"},
    "edges and field": {"method": "edges", "field": True},
    "ecc": {"method": "ecc"},
    "mi": {"method": "mi"},
}
SCENES = 6  # rendered for the known maps
_TURN, _SHIFT, _ELASTIC = 8.0, 0.04, 1.8  # degrees; share of the width; median pixels of the elastic part
_WAVES = (4, 5)  # random vectors down and across, that the elastic part is drawn through
_SAME = 0.1  # pixels: a mean error that changes by less is as before

Map = NDArray[np.float32]  # (H, W, 2): x, y in the infrared picture for each visible pixel


@dataclass(frozen=True)
class Error:
    """How far off an infrared picture is."""

    mean: float  # of the distances, in pixels
    median: float
    residual: float  # mean absolute difference to the true infrared picture, in grey levels of 255


@dataclass(frozen=True)
class Result:
    """One method on one pair."""

    name: str
    before: Error
    after: Error  # as before, where the estimate was refused
    refused: str  # why, or ""

    @property
    def change(self) -> int:
        """-1 for a smaller mean error, 1 for a larger one, 0 where it is as before."""
        difference = self.after.mean - self.before.mean
        return 0 if abs(difference) < _SAME else int(np.sign(difference))


@dataclass(frozen=True)
class Case:
    """A pair and what is true of it."""

    name: str
    infrared: Pixels  # warped
    visible: Pixels
    true_infrared: Pixels
    true_map: Map
    nominal: bool = False  # the true infrared picture is only taken to be aligned with the visible one


def misaligned_cases(folder: Path) -> list[Case]:
    """The pairs of a folder with ``vi``, ``ir_warp`` and ``ir``, whose true maps come from dense matching.

    Both infrared pictures are of one spectrum, so that correlation of intensities (ECC, affine) and then
    dense optical flow (DIS) between them give the map.

    Raises:
        InputError: folders that are missing or do not match.
    """
    cases = []
    for pair in match_pairs([folder / "ir_warp"], [folder / "vi"]).pairs:
        true = next(iter(match_pairs([folder / "ir"], [pair.visible]).pairs)).infrared
        warped, visible, infrared = (
            read_picture(path).pixels for path in (pair.infrared, pair.visible, true)
        )
        cases.append(Case(pair.name, warped, visible, infrared, dense_map(infrared, warped)))
    return cases


def scene_cases(number: int = SCENES) -> list[Case]:
    """Rendered pairs of 480x640, warped by known maps: rotation, shift and a slight elastic part."""
    return [
        _warped_case(f"scene {seed}", scene.infrared, scene.visible, seed)
        for seed in range(number)
        if (scene := render_scene(seed))
    ]


def pair_cases(infrared: Path, visible: Path, most: int = 30) -> list[Case]:
    """Pairs of files, which are nearly aligned, warped by known maps.

    Published pairs are off by some pixels themselves, and a method that sees so cannot meet their nominal
    alignment. So :func:`align_case` asks how well the known map is recovered: what is estimated from the
    warped pair is compared with what is estimated from the pair as it is, followed by the known map.

    Raises:
        InputError: folders that hold no pairs.
    """
    pairs = match_pairs([infrared], [visible]).pairs
    step = max(1.0, len(pairs) / most)
    chosen = [pairs[int(place * step)] for place in range(min(len(pairs), most))]
    return [
        _warped_case(
            pair.name,
            read_picture(pair.infrared).pixels,
            read_picture(pair.visible).pixels,
            seed,
            nominal=True,
        )
        for seed, pair in enumerate(chosen)
    ]


def measure(
    cases: Sequence[Case], methods: Sequence[str], progress: Callable[[object], None] = lambda done: None
) -> dict[str, list[Result]]:
    """Align every case by every method; ``progress`` is called after each.

    Raises:
        InputError: an unknown method.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise InputError(f"method {unknown[0]!r} is unknown; choose among {', '.join(METHODS)}")
    results: dict[str, list[Result]] = {name: [] for name in methods}
    for case in cases:
        for name in methods:
            results[name].append(align_case(case, name))
            progress(name)
    return results


def align_case(case: Case, method: str) -> Result:
    """Estimate from the warped infrared picture and the visible one alone, and compare with the truth."""
    size = case.visible.shape[:2]
    still = pixel_grid(size)
    before = _error(case, still, case.infrared)
    if case.nominal:
        case = _with_own_truth(case, still, method)
        before = _error(case, still, case.infrared)
    try:
        alignment: Alignment = estimate([(case.infrared, case.visible)], **METHODS[method])  # type: ignore[arg-type]
    except FusionError as refusal:
        return Result(case.name, before, before, str(refusal))
    warp = InfraredWarp(alignment, case.infrared.shape[:2], size, feather=0.0)
    after = _error(case, alignment.place(still), warp(case.infrared, case.visible).infrared)
    return Result(case.name, before, after, "")


def _with_own_truth(case: Case, still: Map, method: str) -> Case:
    """The case with the map that the method's own estimate of the pair as it is leads to."""
    try:
        own = estimate([(case.true_infrared, case.visible)], **METHODS[method])  # type: ignore[arg-type]
    except FusionError:
        return case
    return replace(case, true_map=sample(case.true_map, own.place(still)))


def dense_map(fixed: Pixels, moving: Pixels) -> Map:
    """Where each pixel of a picture lies in another of its spectrum: ECC, then DIS flow (Kroeger 2016)."""
    first, second = (luma(picture) for picture in (fixed, moving))
    matrix: Any = np.eye(2, 3, dtype=np.float32)
    everywhere = np.full(first.shape, 255, np.uint8)
    rule = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-7)
    _, matrix = cv2.findTransformECC(first, second, matrix, cv2.MOTION_AFFINE, rule, everywhere, 5)
    near = cv2.warpAffine(second, matrix, first.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    images = (quantise(np.asarray(image, np.float32), np.dtype(np.uint8)) for image in (first, near))
    dense: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    points = pixel_grid(first.shape) + dense.calc(*images, None)
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float32)


def known_warp(size: tuple[int, int], seed: int) -> tuple[Map, Map]:
    """A random rotation, shift and smooth elastic part, and its inverse, for a frame (H, W).

    Returns:
        the map of each pixel to the warped picture, and of each warped pixel back to the picture.
    """
    generator = np.random.default_rng(seed)
    height, width = size
    centre = (width - 1) / 2, (height - 1) / 2
    turn = cv2.getRotationMatrix2D(centre, generator.uniform(-_TURN, _TURN), generator.uniform(0.99, 1.01))
    matrix = np.vstack((turn, (0.0, 0.0, 1.0)))
    matrix[:2, 2] += generator.uniform(-_SHIFT, _SHIFT, 2) * width
    vectors = generator.normal(size=(*_WAVES, 2)).astype(np.float32)
    elastic = cv2.resize(vectors, (width, height), interpolation=cv2.INTER_CUBIC)
    elastic = elastic * (_ELASTIC / np.median(np.linalg.norm(elastic, axis=-1))).astype(np.float32)
    still = pixel_grid(size)
    into = transform_points(matrix, still + elastic).astype(np.float32)
    goal = transform_points(np.linalg.inv(matrix), still).astype(np.float32)
    back = goal
    for _ in range(15):  # x = goal - elastic(x), a contraction
        back = goal - sample(elastic, back)
    return into, back


def to_markdown(tables: dict[str, dict[str, list[Result]]]) -> str:
    """A table of the methods for each set, and one of single pairs for the first."""
    lines = []
    for name, results in tables.items():
        pairs = len(next(iter(results.values())))
        lines += [
            f"### {name}, {pairs} pairs",
            "",
            "| method | error before | after | median after | residual before | after | better | worse"
            " | refused |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for method, rows in results.items():
            mean = [np.mean([getattr(row, when).mean for row in rows]) for when in ("before", "after")]
            grey = [np.mean([getattr(row, when).residual for row in rows]) for when in ("before", "after")]
            counts = [
                sum(row.change < 0 for row in rows),
                sum(row.change > 0 for row in rows),
                sum(bool(row.refused) for row in rows),
            ]
            cells = [
                *(f"{value:.2f}" for value in (*mean, np.median([row.after.median for row in rows]), *grey)),
                *map(str, counts),
            ]
            lines.append(f"| {method} | {' | '.join(cells)} |")
        lines.append("")
    for name, results in list(tables.items())[:1]:
        lines += _single_pairs(name, results)
    return "\n".join(lines)


def _single_pairs(name: str, results: dict[str, list[Result]]) -> list[str]:
    pairs = [row.name for row in next(iter(results.values()))]
    lines = [
        f"Mean end-point error of each pair of {name}, in pixels:",
        "",
        f"| pair | before | {' | '.join(results)} |",
        "|---" + "|---:" * (len(results) + 1) + "|",
    ]
    for place, pair in enumerate(pairs):
        cells = [
            "refused" if rows[place].refused else f"{rows[place].after.mean:.2f}" for rows in results.values()
        ]
        before = next(iter(results.values()))[place].before.mean
        lines.append(f"| {pair} | {before:.2f} | {' | '.join(cells)} |")
    return [*lines, ""]


def _warped_case(name: str, infrared: Pixels, visible: Pixels, seed: int, nominal: bool = False) -> Case:
    height, width = infrared.shape[:2]
    into, back = known_warp((height, width), seed)
    warped = sample(infrared, back, cubic=True, outside=0.0)
    return Case(name, warped, visible, infrared, into, nominal)


def _error(case: Case, estimated: Map, infrared: Pixels) -> Error:
    """Over the pixels whose true place lies inside the warped picture, 2 pixels from its border or more."""
    height, width = case.infrared.shape[:2]
    x, y = case.true_map[..., 0], case.true_map[..., 1]
    inside = (x >= 2) & (y >= 2) & (x <= width - 3) & (y <= height - 3)
    lengths = np.linalg.norm(estimated - case.true_map, axis=-1)[inside]
    difference = np.abs(luma(infrared) - luma(case.true_infrared))[inside]
    return Error(float(lengths.mean()), float(np.median(lengths)), float(difference.mean()) * 255)
