"""Look at training pairs before they cost a day: unreadable, ill-fitting or doubled ones."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import FusionError
from fsidfusion.images.pairs import Pair, match_pairs
from fsidfusion.images.sets import PairSet
from fsidfusion.training.patches import split_of
from fsidfusion.training.sources import read_luma

FLAT = 1.0  # grey levels of standard deviation below which an image is constant
SHIFT = 4.0  # pixels from which two images may be called misaligned,
GAIN = (
    0.12  # if the shift raises their correlation by so much; aligned pairs stay below 0.1 in 98 of 100 cases
)
ALIKE = 24  # of the 512 bits of two pairs' marks: the same scene at another size or quality stays below
_MARK = 16  # side of the mark of an image


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or may be."""

    set: str
    pair: str
    kind: str  # unreadable | alone | sizes | constant | duplicate | alike | misaligned
    text: str


@dataclass(frozen=True)
class Shown:
    """A pair for the contact sheet: its name and both luma images (H, W) uint8."""

    name: str
    infrared: NDArray[np.uint8]
    visible: NDArray[np.uint8]


def check_sets(
    sets: Iterable[PairSet], per_set: int = 3, on_pair: Callable[[str], None] | None = None
) -> tuple[list[Finding], list[Shown]]:
    """Read every pair of the sets once.

    The splits between which no pair may appear twice are ``test`` (folders of that name) and the two that the
    project makes of each other set by name, ``train`` and ``validation``.

    Returns:
        What was found, and for a contact sheet ``per_set`` pairs of each set, those with findings first.
    """
    findings: list[Finding] = []
    shown: list[Shown] = []
    seen: dict[str, tuple[str, str, str]] = {}  # digest of both images: set, pair, split
    marks: list[tuple[str, str, str, NDArray[np.bool_]]] = []  # set, pair, split, mark
    for found in sets:
        splits = {pair.name: "test" for pair in found.pairs}
        if found.split != "test":
            splits = split_of(pair.name for pair in found.pairs)
        good: list[Shown] = []
        bad: list[Shown] = []
        for pair in found.pairs:
            if on_pair:
                on_pair(f"{found.name}/{pair.name}")
            images, faults = _read(pair)
            if images:
                faults += _faults(*images)
                digest = sha256(images[0].tobytes() + images[1].tobytes()).hexdigest()
                first = seen.setdefault(digest, (found.name, pair.name, splits[pair.name]))
                if first[2] != splits[pair.name]:
                    text = f"{splits[pair.name]} pair equals {first[0]}/{first[1]} of the {first[2]} split"
                    faults.append(("duplicate", text))
                if not faults:
                    marks.append((found.name, pair.name, splits[pair.name], mark_of(*images)))
                (bad if faults else good).append(Shown(f"{found.name}/{pair.name}", *images))
            findings += [Finding(found.name, pair.name, kind, text) for kind, text in faults]
            del good[per_set:], bad[per_set:]
        findings += [Finding(found.name, p.stem, "alone", f"{p} has no partner") for p in lone_files(found)]
        shown += (bad + good)[:per_set]
    return findings + _alike(marks), shown


def mark_of(infrared: NDArray[np.uint8], visible: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """512 bits that hardly change with size and compression: where each image, shrunk, rises to the right."""
    shrunk = [
        cv2.resize(image, (_MARK + 1, _MARK), interpolation=cv2.INTER_AREA).astype(np.int16)
        for image in (infrared, visible)
    ]
    return np.concatenate([(small[:, 1:] > small[:, :-1]).ravel() for small in shrunk])


def _alike(marks: list[tuple[str, str, str, NDArray[np.bool_]]]) -> list[Finding]:
    """The pairs that show nearly the same as one of another split, each with the nearest."""
    if not marks:
        return []
    signs = np.stack([mark for *_, mark in marks]).astype(np.float32) * 2 - 1
    ranks = np.array([("train", "validation", "test").index(split) for _, _, split, _ in marks])
    findings = []
    for place, (set_, pair, split, mark) in enumerate(marks):
        differing = (mark.size - signs @ signs[place]) / 2
        differing[ranks >= ranks[place]] = mark.size  # said once, at the pair that is held out further
        nearest = int(differing.argmin())
        if differing[nearest] <= ALIKE:
            other = f"{marks[nearest][0]}/{marks[nearest][1]} of the {marks[nearest][2]} split"
            text = f"{split} pair looks like {other} ({differing[nearest]:.0f} of {mark.size} bits differ)"
            findings.append(Finding(set_, pair, "alike", text))
    return findings


def _read(pair: Pair) -> tuple[list[NDArray[np.uint8]], list[tuple[str, str]]]:
    """Both luma images, or none and the faults."""
    images, faults = [], []
    for path in (pair.infrared, pair.visible):
        try:
            images.append(read_luma(path))
        except FusionError as error:
            faults.append(("unreadable", str(error)))
    return ([] if faults else images), faults


def _faults(infrared: NDArray[np.uint8], visible: NDArray[np.uint8]) -> list[tuple[str, str]]:
    """What is wrong with two images, as (kind, text)."""
    faults = [
        ("constant", f"the {name} image is constant (deviation {image.std():.2f} grey levels)")
        for name, image in (("infrared", infrared), ("visible", visible))
        if image.std() < FLAT
    ]
    if infrared.shape != visible.shape:
        sizes = " and ".join(f"{image.shape[1]}x{image.shape[0]}" for image in (infrared, visible))
        return [*faults, ("sizes", f"the images differ in size: {sizes}")]
    shift, gain = estimate_shift(infrared, visible)
    if shift >= SHIFT and gain >= GAIN:
        text = f"the images look shifted by {shift:.0f} pixels (correlation {gain:.2f} higher there)"
        faults.append(("misaligned", text))
    return faults


def estimate_shift(infrared: NDArray[np.uint8], visible: NDArray[np.uint8]) -> tuple[float, float]:
    """The shift in whole pixels, up to a sixteenth of a side, at which two images agree best.

    Returns:
        Its length, and by how much the correlation of edge strengths there exceeds that without a shift.
    """
    reach = min(infrared.shape) // 16
    if reach < 1:
        return 0.0, 0.0
    first, second = _edges(infrared), _edges(visible)
    centre = second[reach:-reach, reach:-reach]
    correlation = cv2.matchTemplate(first, centre, cv2.TM_CCOEFF_NORMED)
    down, across = np.unravel_index(int(correlation.argmax()), correlation.shape)
    gain = float(correlation.max() - correlation[reach, reach])
    return float(np.hypot(down - reach, across - reach)), gain


def _edges(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 2.0)
    strength = cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    return np.sqrt(strength).astype(np.float32)  # so that a few strong edges do not decide


def lone_files(found: PairSet) -> tuple[Path, ...]:
    """Pictures in the two folders of a set that belong to no pair."""
    first = found.pairs[0]
    return match_pairs([first.infrared.parent], [first.visible.parent]).alone
