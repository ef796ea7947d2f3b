"""The patch cache: aligned luma pairs as flat uint8 memory maps with an index, and crops drawn from it.

A cache is a folder::

    index.json      version, settings, and one entry per item: where it comes from and where its pixels lie
    infrared.npy    uint8, one dimension: the items' pixels one after another, row-major
    visible.npy     the same for the visible (or MRI) luma

An item is a fixed patch (as published: 128 x 128 at stride 200) or a whole picture from which training draws
random crops.
"""

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.lock import alone

VERSION = 1
VALIDATION_EVERY = 20
_NAMES = ("infrared", "visible")


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
    top: int
    left: int
    height: int
    width: int
    offset: int


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


def prepare(
    pairs: Iterable[SourcePair],
    output: Path,
    settings: PatchSettings | None = None,
    on_pair: Callable[[SourcePair, int], None] | None = None,
) -> "PatchCache":
    """Write a cache; a stopped run goes on after the last pair that was written whole.

    Pixels are appended to ``output`` + ``.partial`` with a journal line per pair, once they are on the disk,
    and the folder gets its name only when it is complete.

    Raises:
        InputError: when ``output`` exists or another process writes it, no patch is left, a pair differs in
            size, the settings changed between a stopped run and this one, or the disk is full (what is
            written is kept).
    """
    settings = settings or PatchSettings()
    if settings.patch < 0 or settings.stride < 1 or not 0 <= settings.min_contrast <= 1:
        raise InputError(
            f"patch {settings.patch}, stride {settings.stride}, contrast {settings.min_contrast}: expected "
            "at least 0, at least 1, and 0..1"
        )
    if not 0 <= settings.low < settings.high <= 100:
        raise InputError(
            f"percentiles {settings.low:g} and {settings.high:g}: expected two of 0..100, the lower first"
        )
    partial = output.with_name(output.name + ".partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with alone(output.with_name(f".{output.name}.lock"), f"{output} is being written by another process"):
            if output.exists():
                raise InputError(
                    f"{output} exists already; remove it or choose another folder for the patches"
                )
            items = _append(pairs, partial, settings, on_pair)
            if items:
                _finish(partial, settings, items)
                partial.replace(output)
                return PatchCache(output)
            shutil.rmtree(partial, ignore_errors=True)  # nothing in it is worth going on from
    except OSError as error:
        raise InputError(
            f"cannot write {partial} ({error.strerror or error}); what is there is kept: make room, "
            "and run again"
        ) from error
    raise InputError(
        f"no patch of {settings.patch} x {settings.patch} pixels with enough contrast was found; the "
        "pictures may be smaller: take a smaller --patch or --min-contrast, or --patch 0 for whole pictures"
    )


def _append(
    pairs: Iterable[SourcePair],
    partial: Path,
    settings: PatchSettings,
    on_pair: Callable[[SourcePair, int], None] | None,
) -> list[Item]:
    """Append the pixels of all pairs that a stopped run has not written; the items of all of them."""
    partial.mkdir(exist_ok=True)
    items, done, offset = _journal(partial, settings)
    with (
        (partial / "infrared.raw").open("ab") as infrared_file,
        (partial / "visible.raw").open("ab") as visible_file,
        (partial / "journal.jsonl").open("a") as journal,
    ):
        for file in (infrared_file, visible_file):
            file.truncate(offset)
            file.seek(offset)
        for pair in pairs:
            if (pair.set, pair.stem) in done:
                continue
            infrared, visible = pair.read()
            if infrared.shape != visible.shape:
                raise InputError(
                    f"{pair.set}/{pair.stem}: the images differ in size, {_size(infrared)} and "
                    f"{_size(visible)}; patches need aligned pairs of one size"
                )
            new = []
            for top, left, first, second in cut(infrared, visible, settings):
                infrared_file.write(np.ascontiguousarray(first).data)
                visible_file.write(np.ascontiguousarray(second).data)
                new.append(
                    Item(pair.set, pair.stem, pair.split, top, left, first.shape[0], first.shape[1], offset)
                )
                offset += first.size
            for file in (infrared_file, visible_file):
                _to_disk(file)  # before the journal says so
            journal.write(_signed(json.dumps([pair.set, pair.stem, [asdict(item) for item in new]])))
            journal.flush()
            items.extend(new)
            if on_pair:
                on_pair(pair, len(new))
    return items


def _finish(partial: Path, settings: PatchSettings, items: list[Item]) -> None:
    """Give the pixels their headers and write the index."""
    size = items[-1].offset + items[-1].height * items[-1].width
    for name in _NAMES:
        _raw_to_npy(partial / f"{name}.raw", partial / f"{name}.npy", size)
    index = {"version": VERSION, "settings": asdict(settings), "items": [asdict(item) for item in items]}
    (partial / "index.json").write_text(json.dumps(index))
    for leftover in ("infrared.raw", "visible.raw", "journal.jsonl", "settings.json"):
        (partial / leftover).unlink()


def _journal(partial: Path, settings: PatchSettings) -> tuple[list[Item], set[tuple[str, str]], int]:
    """What an earlier, stopped run has written: items, finished pairs, and the offset behind them.

    Only whole lines count whose pixels are there: what a crash cut off or spoilt is read again.
    """
    note = partial / "settings.json"
    if note.exists() and note.read_text(errors="replace") != json.dumps(asdict(settings)):
        raise InputError(f"{partial} holds a stopped run with other settings; remove it or use its settings")
    note.write_text(json.dumps(asdict(settings)))
    raws = [partial / f"{name}.raw" for name in _NAMES]
    there = min(raw.stat().st_size if raw.exists() else 0 for raw in raws)
    items: list[Item] = []
    done: set[tuple[str, str]] = set()
    journal = partial / "journal.jsonl"
    whole = []
    for line in journal.read_text(errors="replace").splitlines(keepends=True) if journal.exists() else []:
        text = line.partition(" ")[2].removesuffix("\n")
        if line != _signed(text):
            break
        set_, stem, entries = json.loads(text)
        new = [Item(**entry) for entry in entries]
        if any(item.offset + item.height * item.width > there for item in new):
            break
        done.add((set_, stem))
        items += new
        whole.append(line)
    journal.write_text("".join(whole))
    return items, done, items[-1].offset + items[-1].height * items[-1].width if items else 0


def _signed(text: str) -> str:
    """A line of the journal: a checksum, and what it is of."""
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def _raw_to_npy(raw: Path, npy: Path, size: int) -> None:
    """Written, not mapped: on a full disk a write raises, a mapped page kills the process."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
    with raw.open("rb") as source, npy.open("wb") as target:
        np.lib.format.write_array_header_1_0(target, header)
        shutil.copyfileobj(source, target, 1 << 24)
        _to_disk(target)


def _to_disk(file: IO[bytes]) -> None:
    """Written is not yet stored: a power cut may lose it until the disk has confirmed it."""
    file.flush()
    os.fsync(file.fileno())


def _size(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


class PatchCache:
    """A cache opened for reading; items are views of the memory maps, nothing is copied.

    Raises:
        InputError: when the folder is not a cache or its files do not fit the index.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        try:
            index = json.loads((self.folder / "index.json").read_text())
            names = {field.name for field in fields(Item)}
            self.items = [Item(**{k: v for k, v in entry.items() if k in names}) for entry in index["items"]]
            self.settings = PatchSettings(**index["settings"])
            version = index["version"]
            self._pixels = [np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in _NAMES]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{folder} is not a readable patch cache ({error}); make one with 'fsidfusion data prepare'"
            ) from error
        end = max((item.offset + item.height * item.width for item in self.items), default=0)
        if version != VERSION or not end or any(p.dtype != np.uint8 or p.size < end for p in self._pixels):
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
                "name these (--set 'set_weights={name: share}'), or take all items equally often: "
                "--set 'set_weights={}'"
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
