"""The patch cache: aligned luma pairs as flat uint8 memory maps with an index, and crops drawn from it.

A cache is a folder::

    index.json      version, settings, and one entry per item: where it comes from and where its pixels lie
    infrared.npy    uint8, one dimension: the items' pixels one after another, row-major
    visible.npy     the same for the visible (or MRI) luma

An item is a fixed patch (as published: 128 x 128 at stride 200) or a whole picture from which training draws
random crops.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.text import read_json, reason

AtLeast0 = Annotated[int, msgspec.Meta(ge=0)]
AtLeast1 = Annotated[int, msgspec.Meta(ge=1)]

VERSION = 1
VALIDATION_EVERY = 20
NAMES = ("infrared", "visible")


@dataclass(frozen=True)
class PatchSettings:
    """How pictures become items; the defaults are the published constants.

    Attributes:
        patch: side of the square patches in pixels; 0 keeps each picture whole.
        stride: distance between patches in pixels.
        min_contrast: a patch is dropped where, in either image, (high - low) / high is below this.
        low, high: the percentiles of grey levels that it compares.
    """

    patch: int = 128
    stride: int = 200
    min_contrast: float = 0.1
    low: float = 10
    high: float = 90


@dataclass(frozen=True)
class Item:
    """One patch or picture of the cache: where it comes from and where its pixels lie."""

    set: str
    source: str
    split: str
    top: AtLeast0
    left: AtLeast0
    height: AtLeast1
    width: AtLeast1
    offset: AtLeast0


@dataclass(frozen=True)
class SourcePair:
    """A pair on its way into a cache: its set, stem, split and a reader of both luma images (H, W) uint8."""

    set: str
    stem: str
    split: str
    read: Callable[[], tuple[NDArray[np.uint8], NDArray[np.uint8]]]


def split_of(stems: Iterable[str]) -> dict[str, str]:
    """The project's fixed split: every 20th of the sorted stems of a set is ``validation``."""
    ordered = sorted(stems)
    return {
        stem: "validation" if i % VALIDATION_EVERY == 0 and len(ordered) > 1 else "train"
        for i, stem in enumerate(ordered)
    }


def has_contrast(patch: NDArray[np.uint8], settings: PatchSettings) -> bool:
    """The published rule: keep a patch whose (p90 - p10) / p90 reaches the least contrast."""
    low, high = np.percentile(patch, (settings.low, settings.high))
    return bool(high > 0 and (high - low) / high >= settings.min_contrast)


def cut(
    infrared: NDArray[np.uint8], visible: NDArray[np.uint8], settings: PatchSettings
) -> list[tuple[int, int, NDArray[np.uint8], NDArray[np.uint8]]]:
    """Cut one pair into (top, left, infrared patch, visible patch) by the published grid and rule."""
    if settings.patch == 0:
        return [(0, 0, infrared, visible)]
    side, kept = settings.patch, []
    for top in range(0, infrared.shape[0] - side + 1, settings.stride):
        for left in range(0, infrared.shape[1] - side + 1, settings.stride):
            window = np.s_[top : top + side, left : left + side]
            first, second = infrared[window], visible[window]
            if has_contrast(first, settings) and has_contrast(second, settings):
                kept.append((top, left, first, second))
    return kept


class PatchCache:
    """A cache opened for reading; items are views of the memory maps, nothing is copied.

    Raises:
        InputError: when the folder is not a cache or its files do not fit the index.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        try:
            index = read_json(self.folder / "index.json", _Index, "index")
            self.items, self.settings = index.items, index.settings
            self._pixels = [np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in NAMES]
        except Exception as error:  # damaged headers may raise nearly anything
            raise InputError(
                f"{folder} is not a readable patch cache ({reason(error)}); make one with"
                " 'fsidfusion data prepare'"
            ) from error
        end = max((item.offset + item.height * item.width for item in self.items), default=0)
        fit = all(p.dtype == np.uint8 and p.ndim == 1 and p.size >= end for p in self._pixels)
        if index.version != VERSION or not end or not fit:
            raise InputError(f"{folder}: the cache is damaged or of another version; prepare it again")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The item's infrared and visible luma, each (height, width) uint8."""
        item = self.items[position]
        window = slice(item.offset, item.offset + item.height * item.width)
        infrared, visible = (pixels[window].reshape(item.height, item.width) for pixels in self._pixels)
        return infrared, visible

    def positions(self, split: str) -> list[int]:
        """Positions of the items of one split (``train`` or ``validation``)."""
        return [i for i, item in enumerate(self.items) if item.split == split]


class _Index(msgspec.Struct):
    """``index.json``; what later versions add is left out."""

    version: int
    settings: PatchSettings
    items: list[Item]


class CropSampler:
    """Batches of crops that depend on (seed, step) alone, so that a resumed run sees what it would have seen.

    Args:
        cache: where the items come from; only the ``train`` split is drawn.
        crop: side of the square crops; equal to the patch side, each item is taken whole.
        batch: crops per step, over all processes.
        set_weights: how often each set is drawn, relative; without it every item is equally likely and each
            epoch is one permutation of all items.
        augment: random flips and transposition.
        min_std: redraw a crop while both images are flatter than this (grey levels).

    Raises:
        InputError: for a cache without training items, a crop larger than an item, or an unknown set.
    """

    def __init__(
        self,
        cache: PatchCache,
        crop: int,
        batch: int,
        seed: int,
        set_weights: dict[str, float] | None = None,
        augment: bool = True,
        min_std: float = 0.0,
    ) -> None:
        self.cache, self.crop, self.batch, self.seed = cache, crop, batch, seed
        self.augment, self.min_std = augment, min_std
        positions = cache.positions("train")
        if not positions:
            raise InputError(f"{cache.folder} holds no training items; at least 2 pairs of a set are needed")
        small = [cache.items[i] for i in positions if min(cache.items[i].height, cache.items[i].width) < crop]
        if small:
            raise InputError(
                f"crop {crop} is larger than {small[0].set}/{small[0].source} "
                f"({small[0].width}x{small[0].height}) and {len(small) - 1} more; choose a smaller crop"
            )
        self.by_set: dict[str, list[int]] = {}
        for position in positions:
            self.by_set.setdefault(cache.items[position].set, []).append(position)
        unknown = set(set_weights or {}) - set(self.by_set)
        if unknown:
            raise InputError(
                f"set_weights names {', '.join(sorted(unknown))}; the cache holds {', '.join(self.by_set)}: "
                "name these (set_weights={name: share}), or take all items equally often: "
                "set_weights={}"
            )
        self.set_weights = set_weights
        self.positions = positions

    @property
    def steps_per_epoch(self) -> int:
        """Steps that show every training item once (the last, short batch is filled from the next epoch)."""
        return max(1, -(-len(self.positions) // self.batch))

    def __call__(self, step: int, part: slice = slice(None)) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Infrared and visible crops (batch, 1, crop, crop) uint8 of a step; ``part``: a process's share."""
        rng = np.random.default_rng([self.seed, 1, step])
        chosen = self._choose(step, rng)
        seeds = rng.integers(1 << 62, size=len(chosen))
        crops = [
            self._cut(position, np.random.default_rng(int(seed)))
            for position, seed in zip(chosen[part], seeds[part], strict=True)
        ]
        infrared, visible = (np.stack(side)[:, None] for side in zip(*crops, strict=True))
        return infrared, visible

    def _choose(self, step: int, rng: np.random.Generator) -> list[int]:
        if self.set_weights is None:
            first = step * self.batch
            chosen = []
            for place in range(first, first + self.batch):
                epoch, index = divmod(place, len(self.positions))
                chosen.append(self.positions[self._order(epoch)[index]])
            return chosen
        names = list(self.set_weights)
        weights = np.array([self.set_weights[name] for name in names], np.float64)
        drawn = rng.choice(len(names), size=self.batch, p=weights / weights.sum())
        return [int(rng.choice(self.by_set[names[i]])) for i in drawn]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if getattr(self, "_epoch", None) != epoch:
            self._epoch = epoch
            self._permutation = np.random.default_rng([self.seed, 2, epoch]).permutation(len(self.positions))
        return self._permutation

    def _cut(self, position: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        pair = self.cache[position]
        height, width = pair[0].shape
        for _ in range(8):  # a black corner of a scan teaches nothing; after 8 draws take what comes
            top, left = rng.integers(height - self.crop + 1), rng.integers(width - self.crop + 1)
            crops = [image[top : top + self.crop, left : left + self.crop] for image in pair]
            if self.min_std <= 0 or max(float(crop.std()) for crop in crops) >= self.min_std:
                break
        if self.augment:
            turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
            crops = [np.rot90(crop, turns) for crop in crops]
            crops = [crop[:, ::-1] if mirror else crop for crop in crops]
        return np.ascontiguousarray(crops[0]), np.ascontiguousarray(crops[1])
