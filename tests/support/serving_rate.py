"""Pairs a second of 640x480 by the service and by fuse on folders: python tests/support/serving_rate.py

Both take turns. The rates are of whole runs; fuse begins with loading its model, the service has done so. So
the CPU seconds a pair are printed too, less what fuse needs for two pairs.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service import Served

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("night_street.png", "smoke_rescue.png", "dusk_crossing.png")
PAIRS, TURNS, CLIENTS = 40, 3, 4
OPTIONS = ("--runtime", "onnxruntime")


def run_fuse(root: Path, pairs: int) -> tuple[float, float]:
    """Pairs a second as it says, and CPU seconds."""
    output = root / "out"
    folders = root / f"ir{pairs}", root / f"vis{pairs}"
    command = [sys.executable, "-m", "fsidfusion", "fuse", "--device", "cpu", *OPTIONS, "-o", str(output)]
    before = os.times()
    told = subprocess.run(
        [*command, "--ir", str(folders[0]), "--vis", str(folders[1])],
        capture_output=True,
        text=True,
        check=True,
    )
    after = os.times()
    shutil.rmtree(output)
    rate = re.search(r"([\d.]+) pairs/s", told.stdout)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return float(rate[1]) if rate else 0.0, cpu


def run_served(service: Served, root: Path) -> tuple[float, float]:
    """Pairs a second of several clients, and CPU seconds of the service."""

    def cpu() -> float:
        fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    files = sorted((root / f"ir{PAIRS}").iterdir())

    def send(share: list[Path]) -> None:
        with service.client() as client:
            for infrared in share:
                service.fuse(client, infrared, root / f"vis{PAIRS}" / infrared.name).raise_for_status()

    begun, start = cpu(), time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(send, (files[number::CLIENTS] for number in range(CLIENTS))))
    return PAIRS / (time.perf_counter() - start), cpu() - begun


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, Served(*OPTIONS) as service:
        root = Path(folder)
        for count in (2, PAIRS):
            for side in ("ir", "vis"):
                (root / f"{side}{count}").mkdir()
                for number in range(count):
                    source = EXAMPLES / side / NAMES[number % len(NAMES)]
                    shutil.copy(source, root / f"{side}{count}" / f"{number:03}.png")
        run_served(service, root)
        turns = [(run_fuse(root, PAIRS), run_served(service, root)) for _ in range(TURNS)]
        few = run_fuse(root, 2)[1]
        fuse, served = (statistics.median(turn[side][0] for turn in turns) for side in (0, 1))
        fuse_cpu = (statistics.median(turn[0][1] for turn in turns) - few) / (PAIRS - 2)
        served_cpu = statistics.median(turn[1][1] for turn in turns) / PAIRS
        print(f"fuse {fuse:.1f} pairs/s, served {served:.1f}: {served / fuse:.2f} of it")
        print(
            f"CPU a pair: fuse {1000 * fuse_cpu:.0f} ms, service {1000 * served_cpu:.0f} ms:"
            f" {fuse_cpu / served_cpu:.2f} of its pairs for the same work"
        )


if __name__ == "__main__":
    main()
