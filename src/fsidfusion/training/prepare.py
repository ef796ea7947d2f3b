"""Writing a patch cache: every pair is cut once, and a stopped run goes on where it was."""

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.lock import alone
from fsidfusion.training.patches import (
    NAMES,
    VERSION,
    Item,
    PatchCache,
    PatchSettings,
    SourcePair,
    cut,
)
from fsidfusion.training.stops import StopRequested, stop_requests

_Entry = tuple[str, str, list[Item], tuple[int, int]]  # of the journal: set, stem, items, their checksums


def prepare(
    pairs: Iterable[SourcePair],
    output: Path,
    settings: PatchSettings | None = None,
    on_pair: Callable[[SourcePair, int], None] | None = None,
) -> PatchCache:
    """Write a cache; a stopped run goes on after the last pair that was written whole.

    Pixels are appended to ``output`` + ``.partial`` with a journal line per pair, once they are on the disk,
    and the folder gets its name only when it is complete.

    Raises:
        StopRequested: after the pair at which Ctrl-C or SIGTERM came.
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
        "pictures may be smaller: take a smaller `patch` or `min_contrast`, or `patch` 0 for whole pictures"
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
        stop_requests() as stop,
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
            new, sums = [], [0, 0]
            for top, left, *patches in cut(infrared, visible, settings):
                for place, file in enumerate((infrared_file, visible_file)):
                    pixels = np.ascontiguousarray(patches[place]).data
                    file.write(pixels)
                    sums[place] = zlib.crc32(pixels, sums[place])
                height, width = patches[0].shape
                new.append(Item(pair.set, pair.stem, pair.split, top, left, height, width, offset))
                offset += height * width
            for file in (infrared_file, visible_file):
                _to_disk(file)  # before the journal says so
            entry = [pair.set, pair.stem, [asdict(item) for item in new], sums]
            journal.write(_signed(json.dumps(entry)))
            journal.flush()
            items.extend(new)
            if on_pair:
                on_pair(pair, len(new))
            if stop.number:
                raise StopRequested(stop.number)
    return items


def _finish(partial: Path, settings: PatchSettings, items: list[Item]) -> None:
    """Give the pixels their headers and write the index."""
    size = items[-1].offset + items[-1].height * items[-1].width
    for name in NAMES:
        _raw_to_npy(partial / f"{name}.raw", partial / f"{name}.npy", size)
    index = {"version": VERSION, "settings": asdict(settings), "items": [asdict(item) for item in items]}
    (partial / "index.json").write_text(json.dumps(index))
    for leftover in ("infrared.raw", "visible.raw", "journal.jsonl", "settings.json"):
        (partial / leftover).unlink()


def _journal(partial: Path, settings: PatchSettings) -> tuple[list[Item], set[tuple[str, str]], int]:
    """What an earlier, stopped run has written: items, finished pairs, and the offset behind them.

    A pair counts if its line and its pixels are what was written: what a crash spoilt is read again.
    """
    note, journal = partial / "settings.json", partial / "journal.jsonl"
    if note.exists() and note.read_text(errors="replace") != json.dumps(asdict(settings)):
        raise InputError(f"{partial} holds a stopped run with other settings; remove it or use its settings")
    note.write_text(json.dumps(asdict(settings)))
    items: list[Item] = []
    done: set[tuple[str, str]] = set()
    offset, whole = 0, []
    raws = [partial / f"{name}.raw" for name in NAMES]
    if journal.exists() and all(raw.exists() for raw in raws):
        with raws[0].open("rb") as infrared, raws[1].open("rb") as visible:
            for line in journal.read_text(errors="replace").splitlines(keepends=True):
                text = line.partition(" ")[2].removesuffix("\n")
                if line != _signed(text):
                    break
                try:
                    set_, stem, new, sums = msgspec.json.decode(text, type=_Entry)
                except msgspec.MsgspecError:
                    break
                size = sum(item.height * item.width for item in new)
                if [zlib.crc32(infrared.read(size)), zlib.crc32(visible.read(size))] != [*sums]:
                    break
                done.add((set_, stem))
                items += new
                whole.append(line)
                offset += size
    journal.write_text("".join(whole))
    return items, done, offset


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
