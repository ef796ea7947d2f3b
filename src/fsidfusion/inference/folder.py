"""Fuse many files: reading, computing and writing overlap, and one bad pair does not stop the others.

What is in flight is bounded in bytes, so that a folder of huge pictures takes little more memory than one.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from fsidfusion.data.pairs import Pair
from fsidfusion.errors import UserError
from fsidfusion.images import (
    FORMATS,
    MAX_PIXELS,
    Bits,
    Picture,
    output_bits,
    output_format,
    read_header,
    read_picture,
    write_picture,
)
from fsidfusion.inference.device import format_bytes
from fsidfusion.inference.fuser import Colour, Fuser
from fsidfusion.pixels import quantise, resize, sample_range, stretch, unit

Status = Literal["fused", "skipped", "failed"]

BATCHES_AHEAD = 2  # read while one is computed
IN_FLIGHT_SHARE = 0.1  # of the memory limit, for pictures read ahead or not yet written
FLAT_SHARE = 1 / 8  # of the range of 16 bits: a picture that fills less is probably raw sensor counts
_THREADS = 4  # for reading, and as many for writing; they wait for the disk or run outside Python's lock


@dataclass(frozen=True)
class Options:
    """How pairs of files are fused."""

    color: Colour = "visible"
    bits: Bits = "auto"  # of the result; auto: 16 where one of the sources has more than 8
    overwrite: bool = False  # else what exists is skipped
    resize: bool = False  # resample the infrared file to the visible one's size, where they differ
    max_pixels: int = MAX_PIXELS
    stretch: Literal["off", "infrared", "both"] = "off"  # sources that are raw counts to the full range first


@dataclass(frozen=True)
class Outcome:
    """What became of one pair."""

    pair: Pair
    output: Path
    status: Status
    height: int = 0
    width: int = 0
    seconds: float = 0.0  # reading, computing and writing
    message: str = ""  # why it failed, or what the output could not hold


def output_paths(pairs: Sequence[Pair], output: str, many: bool, extension: str = ".png") -> list[Path]:
    """Where the result of each pair goes: below a folder under the pair's name, or the one file named.

    Args:
        pairs: pairs with different names.
        output: a file with a picture's extension, or a folder (made if need be).
        many: the call names groups of files, so that ``output`` must be a folder.
        extension: of the files in a folder.

    Raises:
        UserError: a file where a folder is needed, or the other way round, or an unknown extension.
    """
    path = Path(output)
    if many and (path.is_file() or path.suffix.lower() in FORMATS):
        raise UserError(f"output {output} is a file, but groups of pairs are given; give a folder")
    if not many and path.suffix and not path.is_dir() and not output.endswith(("/", "\\")):
        output_format(path)
        return [path]
    if path.exists() and not path.is_dir():
        raise UserError(
            f"output {output} is a file of no known kind; give a folder, or a name such as fused.png"
        )
    return [path / f"{pair.name}{extension}" for pair in pairs]


def fuse_files(
    fuser: Fuser,
    pairs: Sequence[Pair],
    outputs: Sequence[Path],
    options: Options = Options(),
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Fuse pairs of files and write each result whole.

    Args:
        fuser: the model.
        pairs: what to fuse.
        outputs: one path for each pair; the extension is the format.
        options: colour, depth and what to do with what exists or differs in size.
        report: called with each outcome as soon as it is known, from the calling thread.

    Returns:
        the outcomes in the order of the pairs; bad pairs are outcomes, not exceptions.

    Raises:
        UserError: before anything is written: an output that is an input or is named twice, or a format
            that is unknown or cannot hold the depth asked for.
    """
    _check_outputs(pairs, outputs, options)
    return _Run(fuser, options, report).run([_Job(*job) for job in zip(range(len(pairs)), pairs, outputs)])


@dataclass
class _Job:
    index: int
    pair: Pair
    output: Path
    size: tuple[int, int] = (0, 0)
    bits: Literal[8, 16] = 8
    bytes: int = 0  # of sources and result
    sources: tuple[Picture, Picture] | None = None  # infrared, visible
    seconds: float = 0.0
    note: str = ""

    def outcome(self, status: Status, message: str = "") -> Outcome:
        return Outcome(self.pair, self.output, status, *self.size, self.seconds, message or self.note)


class _Run:
    """One call of fuse_files: what is in flight, and what became of the rest."""

    def __init__(self, fuser: Fuser, options: Options, report: Callable[[Outcome], None]) -> None:
        self.fuser, self.options, self.report = fuser, options, report
        self.limit = int(IN_FLIGHT_SHARE * fuser.memory)
        self.outcomes: dict[int, Outcome] = {}
        self.in_flight = 0  # bytes of the jobs that are read, computed or written
        self.writing: dict[Future[Outcome], _Job] = {}

    def run(self, jobs: list[_Job]) -> list[Outcome]:
        readers, writers = ThreadPoolExecutor(_THREADS), ThreadPoolExecutor(_THREADS)
        batches = self._batches(jobs)
        upcoming = next(batches, None)
        ahead: deque[list[tuple[_Job, Future[None]]]] = deque()
        try:
            while upcoming or ahead:
                while upcoming and len(ahead) < BATCHES_AHEAD and self._admits(upcoming):
                    ahead.append([(job, readers.submit(self._read, job)) for job in upcoming])
                    upcoming = next(batches, None)
                if ahead:
                    self._fuse(self._read_jobs(ahead.popleft()), writers)
                self._collect(block=not ahead)
            while self.writing:
                self._collect(block=True)
        finally:  # also where the user stops the run: files being written become whole, the rest is dropped
            readers.shutdown(cancel_futures=True)
            writers.shutdown(cancel_futures=True)
        return [self.outcomes[job.index] for job in jobs]

    def _admits(self, batch: list[_Job]) -> bool:
        """Take a batch in, if it fits beside what is in flight; one always may be."""
        total = sum(job.bytes for job in batch)
        if self.in_flight and self.in_flight + total > self.limit:
            return False
        self.in_flight += total
        return True

    def _batches(self, jobs: list[_Job]) -> Iterator[list[_Job]]:
        """Consecutive jobs of one size and depth, as many as gain from going through the model together."""
        batch: list[_Job] = []
        for job in jobs:
            if job.output.exists() and not self.options.overwrite:
                self._finish(job, job.outcome("skipped", "exists; --overwrite replaces it"))
                continue
            try:
                self._prepare(job)
            except UserError as error:
                self._finish(job, job.outcome("failed", str(error)))
                continue
            full = len(batch) >= self.fuser.batch_size(*job.size)
            if batch and (full or (job.size, job.bits) != (batch[0].size, batch[0].bits)):
                yield batch
                batch = []
            batch.append(job)
        if batch:
            yield batch

    def _prepare(self, job: _Job) -> None:
        """Check a pair by the headers of its files, and settle the depth of its result."""
        infrared, visible = (
            read_header(path, self.options.max_pixels) for path in (job.pair.infrared, job.pair.visible)
        )
        job.size = (visible.height, visible.width)
        if (infrared.height, infrared.width) != job.size and not self.options.resize:
            raise UserError(
                f"sizes differ: {job.pair.infrared} is {infrared.width}x{infrared.height},"
                f" {job.pair.visible} is {visible.width}x{visible.height}; align them, or give --resize"
            )
        job.bits, job.note = output_bits(job.output, self.options.bits, max(infrared.bits, visible.bits))
        output_format(job.output, *job.size, bits=job.bits)
        needed = infrared.bytes + 2 * visible.bytes
        working = needed + 8 * visible.height * visible.width  # and fused luma, and the encoder's copy
        if working > self.fuser.memory:
            raise UserError(
                f"{job.pair.visible} ({visible.width}x{visible.height}) needs over {format_bytes(working)},"
                f" the limit is {format_bytes(self.fuser.memory)}; give more (--memory)"
            )
        job.bytes = needed

    def _read(self, job: _Job) -> None:
        start = time.perf_counter()
        infrared = self._read_source(job, job.pair.infrared, self.options.stretch != "off")
        visible = self._read_source(job, job.pair.visible, self.options.stretch == "both")
        if self.options.resize and infrared.size != visible.size:
            infrared = replace(infrared, pixels=resize(infrared.pixels, *visible.size), alpha=None)
        job.sources = infrared, visible
        job.seconds += time.perf_counter() - start

    def _read_source(self, job: _Job, path: Path, stretched: bool) -> Picture:
        picture = read_picture(path, self.options.max_pixels)
        if stretched:
            return replace(picture, pixels=stretch(picture.pixels))
        if picture.pixels.dtype == np.uint16:
            low, high = sample_range(picture.pixels)
            if 0 < high - low < FLAT_SHARE * 65535:
                job.note = (
                    job.note or "a source fills under 1/8 of its 16 bits; --stretch maps it to the full range"
                )
        return picture

    def _read_jobs(self, reading: list[tuple[_Job, Future[None]]]) -> list[_Job]:
        """The jobs of a batch whose files could be read."""
        jobs = []
        for job, future in reading:
            try:
                future.result()
                jobs.append(job)
            except UserError as error:
                self._finish(job, job.outcome("failed", str(error)))
            except MemoryError:
                self._finish(job, job.outcome("failed", f"{job.pair.visible}: no memory to read the pair"))
        return jobs

    def _fuse(self, jobs: list[_Job], writers: ThreadPoolExecutor) -> None:
        """Put a batch through the model, and hand the results to the writers."""
        if not jobs:
            return
        start = time.perf_counter()
        try:
            results = self._pictures(jobs)
        except UserError as error:
            if len(jobs) > 1:  # one of them may be the cause
                for job in jobs:
                    self._fuse([job], writers)
            else:
                self._finish(jobs[0], jobs[0].outcome("failed", f"{jobs[0].pair.visible}: {error}"))
            return
        seconds = (time.perf_counter() - start) / len(jobs)
        for job, picture in zip(jobs, results):
            job.seconds += seconds
            job.sources = None
            self.writing[writers.submit(self._write, job, picture)] = job

    def _pictures(self, jobs: list[_Job]) -> list[Picture]:
        infrared, visible = zip(*(job.sources for job in jobs if job.sources))
        dtype = np.dtype(np.uint16 if jobs[0].bits == 16 else np.uint8)
        fused = self.fuser.fuse_batch(
            [picture.pixels for picture in infrared],
            [picture.pixels for picture in visible],
            color=self.options.color,
            dtype=dtype,
        )
        coloured = infrared if self.options.color == "infrared" else visible
        return [
            Picture(
                pixels,
                None if seen.alpha is None else quantise(unit(seen.alpha), dtype),
                source.profile if source.pixels.ndim == pixels.ndim else None,
            )
            for pixels, source, seen in zip(fused, coloured, visible)
        ]

    def _write(self, job: _Job, picture: Picture) -> Outcome:
        start = time.perf_counter()
        try:
            lost = write_picture(job.output, picture)
        except UserError as error:
            return job.outcome("failed", str(error))
        job.seconds += time.perf_counter() - start
        return job.outcome("fused", "; ".join(filter(None, (job.note, lost))))

    def _collect(self, block: bool) -> None:
        """Take note of what has been written; wait for some of it if ``block``."""
        for future in wait(self.writing, None if block else 0, FIRST_COMPLETED).done:
            self._finish(self.writing.pop(future), future.result())

    def _finish(self, job: _Job, outcome: Outcome) -> None:
        job.sources = None
        self.in_flight -= job.bytes  # 0 where the pair was never taken in
        self.outcomes[job.index] = outcome
        self.report(outcome)


def _check_outputs(pairs: Sequence[Pair], outputs: Sequence[Path], options: Options) -> None:
    """What is wrong with the call as a whole, before anything is read or written."""
    inputs = {_identity(path) for pair in pairs for path in (pair.infrared, pair.visible)}
    taken: set[Path] = set()
    for output in outputs:
        output_format(output, bits=16 if options.bits == "16" else 8)
        place = output.resolve()
        if _identity(output) in inputs:
            raise UserError(
                f"output {output} is also an input, and inputs are never replaced; choose another"
            )
        if place in taken:
            raise UserError(f"output {output} is named by two pairs; rename one of their files")
        taken.add(place)


def _identity(path: Path) -> object:
    """The same for two names of one file."""
    return (stat.st_dev, stat.st_ino) if path.exists() and (stat := path.stat()) else path.resolve()
