"""Fuse many files: reading, computing and writing overlap, and one bad pair does not stop the others.

Quick pairs go through side by side, each in one thread of the CPU from reading to writing. Those that take
long, or go to another device, are computed one after the other with all threads, while others are read and
written. What is in flight is bounded in bytes, so that huge pictures take little more memory than one.
"""

import os
import time
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

IN_FLIGHT_SHARE = 0.1  # of the memory limit, for pictures read ahead or not yet written
FLAT_SHARE = 1 / 8  # of the range of 16 bits: a picture that fills less is probably raw sensor counts


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
        UserError: before anything is written: an output that is an input, is named twice or lies where
            nothing can be written, or a format that is unknown or cannot hold the depth asked for.
    """
    _check_outputs(pairs, outputs, options)
    return _Run(fuser, options, report).run([_Job(*job) for job in zip(range(len(pairs)), pairs, outputs)])


@dataclass
class _Job:
    """One pair on its way; ``failure`` or ``result`` is what its last step came to."""

    index: int
    pair: Pair
    output: Path
    size: tuple[int, int] = (0, 0)
    bits: Literal[8, 16] = 8
    bytes: int = 0  # of sources and result
    sources: tuple[Picture, Picture] | None = None  # infrared, visible
    result: Picture | None = None
    failure: str = ""
    seconds: float = 0.0
    note: str = ""

    def outcome(self, status: Status, message: str = "") -> Outcome:
        return Outcome(self.pair, self.output, status, *self.size, self.seconds, message or self.note)


@dataclass(frozen=True)
class _Batch:
    """Pairs of one size and depth, which go through the model together."""

    jobs: list[_Job]
    passes: int  # such batches that may go through at the same time

    @property
    def bytes(self) -> int:
        return sum(job.bytes for job in self.jobs)


class _Run:
    """One call of fuse_files: what is in flight, and what became of the rest."""

    def __init__(self, fuser: Fuser, options: Options, report: Callable[[Outcome], None]) -> None:
        self.fuser, self.options, self.report = fuser, options, report
        self.limit = int(IN_FLIGHT_SHARE * fuser.memory)
        self.outcomes: dict[int, Outcome] = {}
        self.in_flight = 0  # bytes of the batches that are read, computed or written
        self.running: dict[Future[bool], _Batch] = {}  # the result says whether the batch is done

    def run(self, jobs: list[_Job]) -> list[Outcome]:
        pool = ThreadPoolExecutor(self.fuser.threads + 1)
        batches = self._batches(jobs)
        upcoming = next(batches, None)
        try:
            while upcoming or self.running:
                while upcoming and self._admits(upcoming):
                    self.in_flight += upcoming.bytes
                    step = self._complete if upcoming.passes > 1 else self._read
                    self.running[pool.submit(step, upcoming)] = upcoming
                    upcoming = next(batches, None)
                for future in wait(self.running, return_when=FIRST_COMPLETED).done:
                    batch = self.running.pop(future)
                    if future.result():
                        self._finish(batch)
                    else:  # read: it is the turn of this thread, which a user can interrupt
                        self._fuse(batch.jobs)
                        self.running[pool.submit(self._write, batch)] = batch
        finally:  # also where the user stops the run: files being written become whole, the rest is dropped
            pool.shutdown(cancel_futures=True)
            self.fuser.use_threads(self.fuser.threads)
        return [self.outcomes[job.index] for job in jobs]

    def _admits(self, batch: _Batch) -> bool:
        """Whether a batch fits beside what is in flight; one always does."""
        fits = self.in_flight + batch.bytes <= self.limit and len(self.running) <= batch.passes
        return fits or not self.in_flight

    def _batches(self, jobs: list[_Job]) -> Iterator[_Batch]:
        """Consecutive jobs of one size and depth, as many as gain from going through the model together."""
        batch: list[_Job] = []
        for job in jobs:
            if job.output.exists() and not self.options.overwrite:
                self._settle(job, job.outcome("skipped", "exists; --overwrite replaces it"))
                continue
            try:
                self._prepare(job)
            except UserError as error:
                self._settle(job, job.outcome("failed", str(error)))
                continue
            full = len(batch) >= self.fuser.batch_size(*job.size)
            if batch and (full or (job.size, job.bits) != (batch[0].size, batch[0].bits)):
                yield _Batch(
                    batch, self.fuser.parallel_passes(*batch[0].size) if len(jobs) > len(batch) else 1
                )
                batch = []
            batch.append(job)
        if batch:
            yield _Batch(batch, self.fuser.parallel_passes(*batch[0].size) if len(jobs) > len(batch) else 1)

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

    def _complete(self, batch: _Batch) -> bool:
        """All of the way, in one thread."""
        self.fuser.use_threads(1)
        self._read(batch)
        self._fuse(batch.jobs)
        return self._write(batch)

    def _read(self, batch: _Batch) -> bool:
        for job in batch.jobs:
            start = time.perf_counter()
            try:
                infrared = self._read_source(job, job.pair.infrared, self.options.stretch != "off")
                visible = self._read_source(job, job.pair.visible, self.options.stretch == "both")
                if self.options.resize and infrared.size != visible.size:
                    infrared = replace(infrared, pixels=resize(infrared.pixels, *visible.size), alpha=None)
                job.sources = infrared, visible
            except UserError as error:
                job.failure = str(error)
            except MemoryError:
                job.failure = f"{job.pair.visible}: no memory to read the pair"
            job.seconds += time.perf_counter() - start
        return False

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

    def _fuse(self, jobs: list[_Job]) -> None:
        """Put what could be read through the model together; the sources are let go."""
        jobs = [job for job in jobs if job.sources]
        start = time.perf_counter()
        try:
            results = self._pictures(jobs)
        except UserError as error:
            if len(jobs) > 1:  # one of them may be the cause
                for job in jobs:
                    self._fuse([job])
            else:
                jobs[0].failure, jobs[0].sources = f"{jobs[0].pair.visible}: {error}", None
            return
        for job, picture in zip(jobs, results):
            job.seconds += (time.perf_counter() - start) / len(jobs)
            job.result, job.sources = picture, None

    def _pictures(self, jobs: list[_Job]) -> list[Picture]:
        infrared, visible = ([job.sources[place] for job in jobs if job.sources] for place in (0, 1))
        dtype = np.dtype(np.uint16 if jobs and jobs[0].bits == 16 else np.uint8)
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

    def _write(self, batch: _Batch) -> bool:
        for job in batch.jobs:
            start = time.perf_counter()
            try:
                lost = write_picture(job.output, job.result) if job.result else ""
                job.note = "; ".join(filter(None, (job.note, lost)))
            except UserError as error:
                job.failure = str(error)
            job.result = None
            job.seconds += time.perf_counter() - start
        return True

    def _finish(self, batch: _Batch) -> None:
        self.in_flight -= batch.bytes
        for job in batch.jobs:
            self._settle(job, job.outcome("failed", job.failure) if job.failure else job.outcome("fused"))

    def _settle(self, job: _Job, outcome: Outcome) -> None:
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
    for folder in {output.parent for output in outputs}:
        present = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not present.is_dir() or not os.access(present, os.W_OK):
            raise UserError(
                f"output folder {folder} cannot be written: {present} is no folder of yours; choose another"
            )


def _identity(path: Path) -> object:
    """The same for two names of one file."""
    return (stat.st_dev, stat.st_ino) if path.exists() and (stat := path.stat()) else path.resolve()
