"""Many damaged files for one reader, in a process with limits: nothing in them ends, fills or holds it.

Run as ``python fuzzing.py READER FIRST COUNT FOLDER`` it is that process; a case is known by its number.
"""

import json
import mmap
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fsidfusion.errors import FusionError
from memory_peak import growth_below
from mutation import damaged

SECONDS = 20  # that one case may take, whatever the machine is busy with
STUCK = 60.0  # seconds of no progress after which the process is ended: native code heeds no alarm
START = 600.0  # seconds until the first case: libraries are imported, on a machine that may be busy
GROWTH = 1 << 30  # bytes of resident memory that one case may take
ROOM = 6 << 30  # bytes of address space beyond what the libraries take
MEMORY = Path("/dev/shm")
SHOWN = 5  # faults that are described


@dataclass
class Outcome:
    """What became of the cases of one reader."""

    read: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)  # the first few, each with its number
    faulty: int = 0
    slowest: float = 0.0  # seconds

    @property
    def cases(self) -> int:
        return self.read + self.refused + self.faulty

    def add(self, other: "Outcome") -> None:
        self.read, self.refused = self.read + other.read, self.refused + other.refused
        self.faulty, self.slowest = self.faulty + other.faulty, max(self.slowest, other.slowest)
        self.faults += other.faults[: SHOWN - len(self.faults)]

    def fault(self, said: str) -> None:
        self.faulty += 1
        if len(self.faults) < SHOWN:
            self.faults.append(said)


class Late(BaseException):
    """A case takes too long; no reader may catch it."""


def run(reader: str, folder: Path, cases: Iterable[int], progress: mmap.mmap | None = None) -> Outcome:
    """Damage and read in this process; ``progress`` takes the number of the case at hand, and the outcome."""
    from readers import READERS

    folder = Path(tempfile.mkdtemp(dir=folder))
    name, seeds, read = READERS[reader](folder)
    path, outcome = folder / name, Outcome()
    path.write_bytes(seeds[0])
    with suppress(FusionError):  # processes that serve the reader start, and libraries are imported
        read(path)

    def late(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    try:
        for number in cases:
            if progress is not None:
                counts = outcome.read, outcome.refused, outcome.faulty
                progress[:40] = struct.pack("<4qd", number, *counts, outcome.slowest)
            path.write_bytes(damaged(seeds, number))
            start = time.perf_counter()
            signal.alarm(SECONDS)
            try:
                with growth_below(GROWTH), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read(path)
                outcome.read += 1
            except FusionError as error:
                said = str(error)
                if len(said.splitlines()) == 1 and len(said) < 2500:
                    outcome.refused += 1
                else:
                    outcome.fault(f"case {number} of {reader}: no line: {said[:300]!r}")
            except BaseException as error:
                signal.alarm(0)
                ours = [line for line in traceback.format_exc().splitlines() if "fsidfusion/" in line]
                at = ours[-1].strip() if ours else ""
                outcome.fault(f"case {number} of {reader}: {type(error).__name__}: {str(error)[:200]} {at}")
            finally:
                signal.alarm(0)
            outcome.slowest = max(outcome.slowest, time.perf_counter() - start)
    finally:
        signal.signal(signal.SIGALRM, before)
        shutil.rmtree(folder)
    return outcome


def fuzz(reader: str, first: int, count: int, folder: Path) -> Outcome:
    """Run cases in processes with limits, going on behind a case that ends or holds one."""
    total, end = Outcome(), first + count
    paths = os.pathsep.join(dict.fromkeys(path for path in sys.path if path))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    while first < end and len(total.faults) < SHOWN:
        progress, result = folder / "progress", folder / "result.json"
        progress.write_bytes(bytes(40))
        result.unlink(missing_ok=True)
        command = [sys.executable, __file__, reader, str(first), str(end - first), str(folder)]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        end_of_stderr = _watch(process, progress)
        number, read, refused, faulty, slowest = struct.unpack("<4qd", progress.read_bytes())
        if result.exists():
            total.add(Outcome(**json.loads(result.read_text())))
            return total
        total.add(Outcome(read, refused, [], faulty, slowest))
        total.fault(f"case {number} of {reader}: the process {end_of_stderr}")
        first = max(first, number) + 1
    return total


def _watch(process: "subprocess.Popen[bytes]", progress: Path) -> str:
    """Wait for the end, or end what stands still; how it ended, in words."""
    seen, since = b"", time.monotonic()
    while True:
        try:
            error = process.communicate(timeout=1)[1]
            return f"ended with {process.returncode}: {error[-500:].decode(errors='replace')}"
        except subprocess.TimeoutExpired:
            now = progress.read_bytes()
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > (patience := STUCK if any(now) else START):
                process.kill()
                process.communicate()
                return f"stood still for {patience:g} s"


def _child(reader: str, first: int, count: int, folder: Path) -> None:
    import readers  # noqa: F401 (libraries first, then the limit on what comes on top of them)

    memory = MEMORY if MEMORY.is_dir() else folder  # where a file costs microseconds
    with (
        tempfile.TemporaryDirectory(dir=memory) as place,
        (folder / "progress").open("r+b") as file,
        mmap.mmap(file.fileno(), 40) as progress,
    ):
        run(reader, Path(place), ())
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        errors = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # native libraries tell of each case there
        outcome = run(reader, Path(place), range(first, first + count), progress)
        os.dup2(errors, 2)
    (folder / "result.json").write_text(json.dumps(outcome.__dict__))


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
