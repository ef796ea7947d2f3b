"""From nothing to a fused pair: the time of the whole command, against that of `import torch`, and its peak.

    python scripts/bench_start.py [--height 480] [--width 640] [--repeats 5]

A rendered pair is fused by `fsidfusion fuse` in a process of its own, with the runtime that the default
install has. Both are timed in turns; the median counts. Without torch there is no ratio.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import cv2
import psutil

from bench_metrics import rendered_triple


def measure(height: int, width: int, repeats: int) -> tuple[float, float | None, float]:
    """Seconds of fusing a pair, those of `import torch` (None: not installed), peak of the former in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        infrared, visible, fused = (str(Path(folder) / name) for name in ("ir.png", "vis.png", "fused.png"))
        for path, image in zip((infrared, visible), rendered_triple(height, width)[1:], strict=True):
            cv2.imwrite(path, image)
        fuse = [sys.executable, "-m", "fsidfusion", "fuse", "--ir", infrared, "--vis", visible, "-o", fused]
        fuse += ["--runtime", "onnxruntime", "--overwrite"]
        bare = [sys.executable, "-c", "import torch"] if find_spec("torch") else None
        runs: list[tuple[float, float]] = []
        bares: list[float] = []
        for _ in range(repeats + 1):
            runs.append(_run(fuse))
            if bare:
                bares.append(_run(bare)[0])
    runs, bares = runs[1:], bares[1:]  # the first ones read the disk
    seconds = statistics.median(seconds for seconds, _ in runs)
    return seconds, statistics.median(bares) if bares else None, max(peak for _, peak in runs) / 2**20


def _run(command: list[str]) -> tuple[float, float]:
    """Seconds and peak of resident bytes of a command that must succeed."""
    start, peak = time.perf_counter(), 0
    child = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while child.poll() is None:
        try:
            memory = child.memory_info()
            peak = max(peak, getattr(memory, "peak_wset", memory.rss))
        except psutil.Error:
            pass
        time.sleep(0.002)
    seconds = time.perf_counter() - start
    if child.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended with status {child.returncode}: {child.stderr.read().decode()}"
        )
    return seconds, peak


def main(height: int = 480, width: int = 640, repeats: int = 5) -> None:
    """Measure, and print a line each.

    Args:
        height: of the pair, in pixels.
        width: of the pair, in pixels.
        repeats: the median of so many runs counts; one before them is left out.
    """
    seconds, bare, peak = measure(height, width, repeats)
    print(f"one pair of {width}x{height} from a cold start: {seconds:.2f} s, {peak:.0f} MiB at the peak")
    print(f"import torch: {bare:.2f} s; ratio {seconds / bare:.2f}" if bare else "no torch here: no ratio")


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
