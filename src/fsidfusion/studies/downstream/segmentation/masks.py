"""Labelled scenes: pairs with their masks, checked before anything is learnt from them."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from fsidfusion.errors import FusionError, InputError
from fsidfusion.images.files import read_header
from fsidfusion.images.pairs import Pair
from fsidfusion.images.sets import open_set
from fsidfusion.studies.downstream.segmentation.classes import UNKNOWN, Classes, Mask

Split = Literal["train", "test"]
Kind = Literal["missing", "unreadable", "size", "unknown value"]

VALIDATE_EVERY = 5
_CONDITION = re.compile(r"\d+([DN])(S?)")  # MSRS names, and those of rendered scenes


class BadMaskError(InputError):
    """One mask that cannot be used; the message names its file."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class LabelledSet:
    """Pairs of a split with their masks as indices of classes, equally long and in one order."""

    pairs: tuple[Pair, ...]
    masks: tuple[Mask, ...]  # (H, W) each
    bad: tuple[BadMaskError, ...] = ()  # of pairs that were left out

    def split(self) -> "tuple[LabelledSet, LabelledSet]":
        """Itself without every fifth pair, and these: what schedules are chosen on.

        Raises:
            InputError: fewer than five pairs.
        """
        if len(self.pairs) < VALIDATE_EVERY:
            raise InputError(f"{len(self.pairs)} pairs are too few to hold out every fifth; add some")
        parts = []
        for held in (False, True):
            chosen = [i for i in range(len(self.pairs)) if (i % VALIDATE_EVERY == VALIDATE_EVERY - 1) == held]
            parts.append(
                LabelledSet(tuple(self.pairs[i] for i in chosen), tuple(self.masks[i] for i in chosen))
            )
        return parts[0], parts[1]


def read_mask(path: Path) -> Mask:
    """The values of a mask file as they are: (H, W) uint8; a palette's colours do not matter.

    Raises:
        InputError: a file that cannot be read, of colours that differ between channels, or of 16 bits.
    """
    try:
        read_header(path)  # which refuses what is no picture, or too large
        with Image.open(path, formats=("PNG", "BMP", "TIFF", "WEBP", "GIF")) as image:
            values = np.asarray(image.convert("L") if image.mode == "1" else image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is no readable mask ({' '.join(str(error).split())[:100]})") from error
    if values.ndim == 3 and (values[..., :3] == values[..., :1]).all():
        values = values[..., 0]
    if values.ndim != 2 or (values.dtype != np.uint8 and values.max(initial=0) > 255):
        raise InputError(f"{path} holds colours or 16 bits; expected one value of 0..255 for each pixel")
    return values.astype(np.uint8)


def open_labelled(
    root: Path,
    split: Split,
    classes: Classes,
    on_bad: Literal["refuse", "skip"] = "refuse",
    on_mask: Callable[[], None] = lambda: None,
) -> LabelledSet:
    """Open a split of a labelled set and check every mask.

    Args:
        root: folder with ``train`` and ``test``, each holding the two modalities and their masks
            (``Segmentation_labels``, ``labels`` or ``label``).
        split: which of them.
        classes: what the values mean.
        on_bad: ``skip`` leaves out the pairs of bad masks; ``refuse`` raises.
        on_mask: called after each mask.

    Raises:
        InputError: no such set, a bad mask to be refused (the first is named, all are counted), or none good.
    """
    if not (root / split).is_dir():
        raise InputError(f"{root} has no folder {split}; expected train and test with ir, vi and their masks")
    found = open_set(root, split)
    pairs, masks, bad = [], [], []
    for pair in found.pairs:
        try:
            masks.append(_checked(pair, classes))
            pairs.append(pair)
        except BadMaskError as error:
            bad.append(error)
        on_mask()
    if bad and on_bad == "refuse":
        raise InputError(
            f"{bad[0]}; {count_bad(bad)} of {len(found.pairs)} pairs: mend them, or `bad_labels` skip"
        )
    if not pairs:
        raise InputError(f"no pair of {root / split} has a usable mask; the first: {bad[0]}")
    return LabelledSet(tuple(pairs), tuple(masks), tuple(bad))


def count_bad(bad: Sequence[BadMaskError]) -> str:
    """How many masks are bad in which way: "3 bad masks (2 missing, 1 size)"."""
    kinds = Counter(one.kind for one in bad)
    return f"{len(bad)} bad masks ({', '.join(f'{number} {kind}' for kind, number in kinds.items())})"


def condition(name: str) -> str:
    """When a scene was taken, as far as its name tells: ``day``, ``night``, ``smoke``, or "" for unknown.

    MSRS names end in D or N; those of rendered scenes also in DS or NS, in smoke by day or night.
    """
    match = _CONDITION.fullmatch(name.rsplit("/", 1)[-1])
    if not match:
        return ""
    return "smoke" if match[2] else "day" if match[1] == "D" else "night"


def read_indices(path: Path, size: tuple[int, int], classes: Classes) -> Mask:
    """A mask file (or a prediction in one) as indices of classes and IGNORED.

    Args:
        path: the file.
        size: (H, W) that it must have.
        classes: what its values mean.

    Raises:
        BadMaskError: it is missing, unreadable, of another size, or holds unknown values.
    """
    if not path.exists():
        raise BadMaskError("missing", f"{path} does not exist")
    try:
        values = read_mask(path)
    except FusionError as error:
        raise BadMaskError("unreadable", str(error)) from error
    if values.shape != size:
        sizes = f"{values.shape[1]}x{values.shape[0]}, its picture {size[1]}x{size[0]}"
        raise BadMaskError("size", f"{path} is {sizes}")
    indices = classes.indices(values)
    unknown = indices == UNKNOWN
    if unknown.any():
        row, column = np.argwhere(unknown)[0]
        text = (
            f"{path} holds the value {values[row, column]} at row {row}, column {column}"
            f" ({unknown.sum()} pixels of unknown values); the classes are {_ranges(classes.values)}"
        )
        raise BadMaskError("unknown value", text)
    return indices


def _checked(pair: Pair, classes: Classes) -> Mask:
    if pair.labels is None:
        raise BadMaskError("missing", f"{pair.visible} has no mask")
    try:
        visible, infrared = ((h.height, h.width) for h in map(read_header, (pair.visible, pair.infrared)))
    except FusionError as error:
        raise BadMaskError("unreadable", str(error)) from error
    if infrared != visible:
        sizes = f"{infrared[1]}x{infrared[0]}, {pair.visible} {visible[1]}x{visible[0]}"
        raise BadMaskError("size", f"{pair.infrared} is {sizes}")
    return read_indices(pair.labels, visible, classes)


def _ranges(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    whole = len(values) == high - low + 1
    return f"{low}..{high}" if whole else ", ".join(map(str, values))
