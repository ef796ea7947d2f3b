"""How fast training gets its crops: from the patch cache, and by decoding pictures each time, in one run."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.studies.scenes import render_scene
from fsidfusion.training.patches import CropSampler, PatchSettings, SourcePair
from fsidfusion.training.prepare import prepare

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Reading:
    """Pairs of crops a second in one form, and how many times the slowest form's that is."""

    form: str
    pairs_per_second: float
    ratio: float


def measure(
    number: int = 24, size: tuple[int, int] = (480, 640), patch: int = 128, batch: int = 8, repeats: int = 20
) -> list[Reading]:
    """Draw batches of aligned crops from rendered scenes in several forms, in turns; medians.

    All files have just been written, so that they come from the system's cache and not from the disk: what
    differs is decoding. The last form reads the bytes of as many patches from one file, in order and without
    a copy, which is as fast as files can be.

    Args:
        number: scenes, (H, W) = ``size`` each.
        patch: side of the patches (cut as published) and of the crops.
        batch: pairs of a batch.
        repeats: batches in each form.
    """
    pairs = [_rendered(seed, size) for seed in range(number)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings = PatchSettings(patch, min(200, patch))
        cache = prepare(pairs, root / "cache", settings)
        whole = prepare(pairs, root / "whole", PatchSettings(0))
        patches = [_written(root, f"patch{i}", cache[i]) for i in range(len(cache))]
        pictures = [_written(root, f"picture{i}", whole[i]) for i in range(len(whole))]
        sampler, crops = (CropSampler(one, patch, batch, 0, augment=False) for one in (cache, whole))
        rng = np.random.default_rng(0)

        def decoded() -> None:
            for i in rng.integers(len(patches), size=batch):
                for path in patches[i]:
                    _decode(path)

        def decoded_and_cut() -> None:
            for i in rng.integers(len(pictures), size=batch):
                for path in pictures[i]:
                    np.ascontiguousarray(_decode(path)[:patch, :patch])

        def read() -> None:
            with (cache.folder / "infrared.npy").open("rb") as file:
                for _ in range(2 * batch):
                    file.read(patch * patch)

        steps = iter(range(10**9))
        forms: dict[str, Callable[[], object]] = {
            "decode each patch's PNG": decoded,
            "decode each picture's PNG, cut a crop": decoded_and_cut,
            "patch cache": lambda: sampler(next(steps)),
            "cache of whole pictures, cut a crop": lambda: crops(next(steps)),
            "bytes of a file": read,
        }
        seconds = _timed(forms, repeats)
    slowest = next(iter(seconds.values()))
    return [Reading(form, batch / taken, slowest / taken) for form, taken in seconds.items()]


def _rendered(seed: int, size: tuple[int, int]) -> SourcePair:
    scene = render_scene(seed, size)
    pair = scene.infrared, np.asarray(cv2.cvtColor(scene.visible, cv2.COLOR_RGB2GRAY), np.uint8)
    return SourcePair("rendered", str(seed), "train", lambda: pair)


def _timed(forms: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    times: dict[str, list[float]] = {form: [] for form in forms}
    for repeat in range(repeats + 1):  # the first round warms up
        for form, draw in forms.items():
            started = time.perf_counter()
            draw()
            if repeat:
                times[form].append(time.perf_counter() - started)
    return {form: median(taken) for form, taken in times.items()}


def _written(root: Path, name: str, pair: tuple[Picture, Picture]) -> tuple[Path, Path]:
    paths = root / f"{name}_ir.png", root / f"{name}_vi.png"
    for path, pixels in zip(paths, pair):
        cv2.imwrite(str(path), np.ascontiguousarray(pixels))
    return paths


def _decode(path: Path) -> Picture:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


def print_readings(readings: list[Reading]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("form", "pairs/s", "times faster", title="aligned crops for training")
    for reading in readings:
        table.add_row(reading.form, f"{reading.pairs_per_second:,.0f}", f"{reading.ratio:.1f}")
    Console().print(table)
