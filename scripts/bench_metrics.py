"""How long each metric takes, against the same metric written down with ``scipy.signal.convolve2d``.

    python scripts/bench_metrics.py [--height 480] [--width 640] [--repeats 5]

The plain formulas are those that the tests compare the library with.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from fsidfusion.metrics import DEFAULT, METRICS, score

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from metrics_naive import NAIVE

TOTAL = "all eleven"


@dataclass(frozen=True)
class SpeedRow:
    """One line of the table; ``naive_ms`` and ``ratio`` are None for metrics without a naive counterpart."""

    metric: str
    ms: float
    naive_ms: float | None
    ratio: float | None


def rendered_triple(
    height: int = 480, width: int = 640, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Render a fused image and two sources, each (H, W) uint8, with the statistics of natural images.

    Both sources share edges (a random field of a steep spectrum, cut into two levels), with noise and smooth
    brightness of their own; F is the pixel maximum.
    """
    rng = np.random.default_rng(seed)
    shape = _smooth_field(height, width, rng)
    sources = []
    for share in (0.3, 0.7):
        own = _smooth_field(height, width, rng)
        mixed = 60 * np.sign(shape) * share + 40 * shape * share + 50 * own * (1 - share)
        sources.append(np.clip(np.rint(110 + mixed + rng.normal(0, 2, mixed.shape)), 0, 255).astype(np.uint8))
    return np.maximum(sources[0], sources[1]), sources[0], sources[1]


def measure(height: int = 480, width: int = 640, repeats: int = 5, naive: bool = True) -> list[SpeedRow]:
    """Time every metric of the default convention alone, and the eleven together, in one thread.

    The best of ``repeats`` runs counts (naive: of two). The last row is the eleven in one call of ``score``
    against the sum of the naive ones. OpenCV's thread count is put back afterwards.
    """
    fused, first, second = rendered_triple(height, width)
    fields = [image.astype(np.float64) for image in (fused, first, second)]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        rows = []
        for name in dict.fromkeys(metric.name for metric in METRICS):
            ms = _best(partial(score, fused, first, second, metrics=[name]), repeats)
            slow = _best(partial(NAIVE[name], *fields), 2) if naive and name in NAIVE else None
            rows.append(SpeedRow(name, ms, slow, slow / ms if slow else None))
        ms = _best(partial(score, fused, first, second), repeats)
        slow = sum(row.naive_ms or 0.0 for row in rows if row.metric in DEFAULT) if naive else None
        return [*rows, SpeedRow(TOTAL, ms, slow, slow / ms if slow else None)]
    finally:
        cv2.setNumThreads(threads)


def print_speed(rows: list[SpeedRow], console: Console | None = None) -> None:
    """Print the rows of ``measure`` as a table."""
    table = Table(title="Metrics on one triple, one thread")
    for heading in ("metric", "ms", "convolve2d ms", "ratio"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for row in rows:
        naive = "" if row.naive_ms is None else f"{row.naive_ms:.1f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.1f}x"
        table.add_row(row.metric, f"{row.ms:.1f}", naive, ratio, end_section=row.metric == METRICS[-1].name)
    (console or Console()).print(table)


def _smooth_field(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random periodic (H, W) field of amplitude spectrum f^-1.7, mean 0, standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) / frequency**1.7, s=(height, width))
    return field / field.std()


def _best(call: Callable[[], object], repeats: int) -> float:
    """Shortest of ``repeats`` runs, in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def main(height: int = 480, width: int = 640, repeats: int = 5, naive: bool = True) -> None:
    """Time every metric on one rendered triple, against its formula written down plainly.

    Args:
        height: of the images, in pixels.
        width: of the images, in pixels.
        repeats: the best of so many runs counts.
        naive: also time the plain formulas.
    """
    print_speed(measure(height, width, repeats, naive))


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
