"""From files to training pairs: which sets, which split, and luma images read when they are needed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.files import read_picture
from fsidfusion.images.pairs import Pair, match_pairs
from fsidfusion.images.pixels import luma
from fsidfusion.images.sets import PairSet, find_sets
from fsidfusion.training.patches import SourcePair, split_of


def read_luma(path: Path) -> NDArray[np.uint8]:
    """One picture as rounded 8-bit luma (H, W), Y = 0.299 R + 0.587 G + 0.114 B."""
    return np.rint(luma(read_picture(path).pixels) * 255).astype(np.uint8)


def training_sets(root: Path) -> tuple[list[PairSet], list[PairSet]]:
    """The sets below a folder to train on, and those left out: test splits where there are train splits too.

    Raises:
        InputError: when there is none.
    """
    sets = find_sets(root)
    if not sets:
        raise InputError(f"{root} holds no set of pairs; expected folders such as ir and vi, or CT and MRI")
    if any(found.split == "train" for found in sets):
        return [s for s in sets if s.split != "test"], [s for s in sets if s.split == "test"]
    return sets, []


def source_pairs(
    root: Path | None = None,
    infrared: Sequence[str | Path] = (),
    visible: Sequence[str | Path] = (),
    validation: bool = True,
) -> list[SourcePair]:
    """The pairs of :func:`training_sets` below ``root``, or those of two lists of files and folders.

    Each set is split by name (`split_of`) unless ``validation`` is off; then all pairs are for training.

    Raises:
        InputError: when nothing is found, or both or neither way of naming the pairs is used.
    """
    if (root is None) == (not infrared and not visible):
        raise InputError("name the pairs in one way: a folder of sets (`data`), or `ir` with `vis`")
    if root is not None:
        sets = training_sets(root)[0]
    else:
        sets = [PairSet("pairs", match_pairs(infrared, visible).pairs, "thermal")]
    sources = []
    for found in sets:
        splits = split_of(pair.name for pair in found.pairs) if validation else {}
        sources += [_source(found.name, pair, splits.get(pair.name, "train")) for pair in found.pairs]
    return sources


def _source(set_: str, pair: Pair, split: str) -> SourcePair:
    return SourcePair(set_, pair.name, split, lambda: (read_luma(pair.infrared), read_luma(pair.visible)))
