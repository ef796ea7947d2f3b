"""Fuse many files: reading, computing and writing overlap, and one bad pair does not stop the others.

Quick pairs go through side by side, each in one thread of the CPU from reading to writing. Those that take
long, or go to another device, are computed one after the other with all threads, while others are read and
written. What is in flight is bounded in bytes, so that huge pictures take little more memory than one.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from fsidfusion.alignment.transform import Alignment
from fsidfusion.alignment.warp import Aligned, Rectangle, align_pair, where_known
from fsidfusion.errors import FusionError, InputError, NotEnoughMemory
from fsidfusion.fusion.fuser import Colour, Fuser
from fsidfusion.fusion.outputs import check_outputs
from fsidfusion.images.files import (
    MAX_PIXELS,
    Bits,
    Picture,
    output_bits,
    output_format,
    read_header,
    read_picture,
    write_picture,
)
from fsidfusion.images.pairs import Pair
from fsidfusion.images.pixels import quantise, resize, unit
from fsidfusion.runtime.device import format_bytes
from fsidfusion.thermal.gain import Levels, apply_gain, is_raw, parse_gain
from fsidfusion.thermal.highlight import highlight
from fsidfusion.thermal.reading import (
    Thermal,
    hot_levels,
    read_thermal,
    read_thermal_header,
    read_visible,
)
from fsidfusion.thermal.temperature import Celsius, resample, write_temperature
from fsidfusion.thermal.validity import Mask

Status = Literal["fused", "skipped", "failed"]

_KNOWN = 0.99  # share of the pixels sampled that were measured
IN_FLIGHT_SHARE = 0.1  # of the memory limit, for pictures read ahead or not yet written


@dataclass(frozen=True)
class Options:
    """How pairs of files are fused."""

    color: Colour = "visible"
    bits: Bits = "auto"  # of the result; auto: 16 where one of the sources has more than 8
    overwrite: bool = False  # else what exists is skipped
    resize: bool = False  # resample the infrared file to the visible one's size, where they differ
    max_pixels: int = MAX_PIXELS
    thermal: Thermal = Thermal()
    agc_visible: str = "off"  # gain control of visible files: off, linear, plateau, clahe, window:LOW..HIGH
    align: Alignment | Literal["auto"] | None = None  # auto: estimated for each pair
    crop: bool = False  # the aligned result to what both pictures fill

    def check(self) -> None:
        """Raises InputError for an option that cannot be read."""
        self.thermal.check()
        if self.agc_visible == "auto" or parse_gain(self.agc_visible).celsius:
            raise InputError(
                f"gain control {self.agc_visible!r} is not for visible pictures; expected off, linear,"
                " plateau, clahe or window:7000..9000 (levels)"
            )


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


def fuse_files(
    fuser: Fuser,
    pairs: Sequence[Pair],
    outputs: Sequence[Path],
    options: Options = Options(),
    report: Callable[[Outcome], None] = lambda outcome: None,
    temperatures: Sequence[Path] = (),
) -> list[Outcome]:
    """Fuse pairs of files and write each result whole.

    Args:
        fuser: the model.
        pairs: what to fuse; one file in both places is FLIR's, with a visible picture in it.
        outputs: one path for each pair; the extension is the format.
        options: colour, depth and what to do with what exists or differs in size.
        report: called with each outcome as soon as it is known, from the calling thread.
        temperatures: one path for each pair, for the temperatures of its infrared file as float32 TIFF, in
            degrees Celsius and on the grid of the result; or none.

    Returns:
        the outcomes in the order of the pairs; bad pairs are outcomes, not exceptions.

    Raises:
        InputError: before anything is written: an output that is an input, is named twice or lies where
            nothing can be written, a format that is unknown or cannot hold the depth asked for, or an option
            for thermal files that cannot be read.
    """
    options.check()
    check_outputs(pairs, outputs, temperatures, options.bits)
    places: Sequence[Path | None] = temperatures or [None] * len(pairs)
    jobs = [_Job(*job) for job in zip(range(len(pairs)), pairs, outputs, places)]
    return _Run(fuser, options, report).run(jobs)


@dataclass
class _Job:
    """One pair on its way; ``failure`` or ``result`` is what its last step came to."""

    index: int
    pair: Pair
    output: Path
    temperature: Path | None = None
    size: tuple[int, int] = (0, 0)
    bits: Literal[8, 16] = 8
    bytes: int = 0  # of sources and result
    sources: tuple[Picture, Picture] | None = None  # infrared, visible
    celsius: Celsius | None = None  # of the infrared file, on the grid of the result
    known: Mask | None = None  # where it shows something; None: everywhere
    aligned: Aligned | None = None
    hot: Levels | None = None  # likewise, what the threshold of hot targets is compared with
    result: Picture | None = None
    failure: str = ""
    seconds: float = 0.0
    note: str = ""

    @property
    def files(self) -> list[Path]:
        return [self.output, *([self.temperature] if self.temperature else [])]

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
        self.thermal = options.thermal.of_scan() if options.color == "infrared" else options.thermal
        self.threshold, self.gain_visible = self.thermal.threshold(), parse_gain(options.agc_visible)
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
            if not self.options.overwrite and all(path.exists() for path in job.files):
                self._settle(job, job.outcome("skipped", "exists; --overwrite replaces it"))
                continue
            try:
                self._prepare(job)
            except FusionError as error:
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
            read(path, self.options.max_pixels)
            for read, path in (
                (read_thermal_header, job.pair.infrared),
                (read_thermal_header if self._is_embedded(job) else read_header, job.pair.visible),
            )
        )
        job.size = (visible.height, visible.width)
        size = (infrared.height, infrared.width)
        if isinstance(self.options.align, Alignment):
            self.options.align.fitted(job.size, size)
        elif size != job.size and not self.options.align and not self.options.resize:
            raise InputError(
                f"sizes differ: {job.pair.infrared} is {infrared.width}x{infrared.height},"
                f" {job.pair.visible} is {visible.width}x{visible.height}; give --align, or --resize"
            )
        job.bits, job.note = output_bits(job.output, self.options.bits, max(infrared.bits, visible.bits))
        output_format(job.output, *job.size, bits=job.bits)
        needed = infrared.bytes + 2 * visible.bytes
        if job.temperature or self.threshold or infrared.bits > 8:
            needed += 4 * visible.height * visible.width  # temperatures, or levels through a gain
        if self.options.align or infrared.bits > 8:
            needed += (infrared.bits // 8 * infrared.channels + 12) * visible.height * visible.width
        working = needed + 8 * visible.height * visible.width  # and fused luma, and the encoder's copy
        if working > self.fuser.memory:
            raise NotEnoughMemory(
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
                infrared, visible = self._read_infrared(job), self._read_visible(job)
                if self.options.align:
                    infrared = self._align(job, infrared, visible)
                elif self.options.resize and infrared.size != visible.size:
                    infrared = replace(infrared, pixels=resize(infrared.pixels, *visible.size), alpha=None)
                    self._fit_levels(job, partial(resample, height=visible.size[0], width=visible.size[1]))
                if job.known is not None and job.aligned is None:
                    job.aligned = where_known(infrared.pixels, visible.pixels, job.known)
                    infrared = replace(infrared, pixels=job.aligned.infrared)
                job.sources = infrared, visible
            except FusionError as error:
                job.failure = str(error)
            except MemoryError:
                job.failure = f"{job.pair.visible}: no memory to read the pair"
            job.seconds += time.perf_counter() - start
        return False

    def _align(self, job: _Job, infrared: Picture, visible: Picture) -> Picture:
        assert self.options.align is not None
        try:
            job.aligned, note = align_pair(
                infrared.pixels,
                visible.pixels,
                self.options.align,
                crop=self.options.crop,
                known=job.known,
            )
        except FusionError as error:
            raise InputError(f"{job.pair.infrared}: {error}") from error
        self._say(job, note)
        self._fit_levels(job, job.aligned.levels)
        return replace(infrared, pixels=job.aligned.infrared, alpha=None)

    def _read_infrared(self, job: _Job) -> Picture:
        reading = read_thermal(
            job.pair.infrared, self.thermal, self.options.max_pixels, job.temperature is not None
        )
        job.celsius = reading.scene.temperatures if job.temperature else None
        job.known = reading.scene.known
        job.hot = hot_levels(reading.scene, self.threshold) if self.threshold else None
        self._say(job, reading.note or _dull(reading.picture, "--agc"))
        return reading.picture

    def _read_visible(self, job: _Job) -> Picture:
        read = read_visible if self._is_embedded(job) else read_picture
        picture = read(job.pair.visible, self.options.max_pixels)
        if self.gain_visible.mode == "off":
            self._say(job, _dull(picture, "--agc-vis"))
            return picture
        try:
            return replace(picture, pixels=apply_gain(picture.pixels, self.gain_visible))
        except FusionError as error:
            raise InputError(f"{job.pair.visible}: {error}") from error

    def _is_embedded(self, job: _Job) -> bool:
        """Whether the visible picture is the one in FLIR's thermal file."""
        return job.pair.visible == job.pair.infrared

    def _fit_levels(self, job: _Job, fit: Callable[[Levels], Levels]) -> None:
        """Bring what goes with the infrared picture to the grid of the result, as the picture itself."""
        job.celsius = None if job.celsius is None else fit(job.celsius)
        job.hot = None if job.hot is None else fit(job.hot)
        job.known = None if job.known is None else fit(job.known.astype(np.float32)) > _KNOWN

    def _say(self, job: _Job, note: str) -> None:
        job.note = "; ".join(filter(None, (job.note, note)))

    def _fuse(self, jobs: list[_Job]) -> None:
        """Put what could be read through the model together; the sources are let go."""
        jobs = [job for job in jobs if job.sources]
        start = time.perf_counter()
        try:
            results = self._pictures(jobs)
        except FusionError as error:
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
            [job.aligned for job in jobs],
            color=self.options.color,
            dtype=dtype,
        )
        if self.threshold:
            fused = [
                pixels if job.hot is None else highlight(pixels, job.hot, self.threshold)
                for pixels, job in zip(fused, jobs)
            ]
        coloured = infrared if self.options.color == "infrared" else visible
        return [
            Picture(
                pixels,
                None if seen.alpha is None else quantise(unit(seen.alpha), dtype),
                source.profile if source.pixels.ndim == pixels.ndim else None,
                seen.exif,
            )
            for pixels, source, seen in zip(fused, coloured, visible)
        ]

    def _write(self, batch: _Batch) -> bool:
        for job in batch.jobs:
            start = time.perf_counter()
            try:
                if job.result:
                    if self.options.crop and job.aligned:
                        self._crop(job, job.result, job.aligned.common_part())
                    self._say(job, self._write_files(job, job.result))
            except FusionError as error:
                job.failure = str(error)
            job.result = job.celsius = job.hot = job.known = job.aligned = None
            job.seconds += time.perf_counter() - start
        return True

    def _crop(self, job: _Job, result: Picture, part: Rectangle) -> None:
        alpha = None if result.alpha is None else result.alpha[part]
        job.result = replace(result, pixels=np.ascontiguousarray(result.pixels[part]), alpha=alpha)
        job.celsius = None if job.celsius is None else np.ascontiguousarray(job.celsius[part])
        job.size = job.result.size

    def _write_files(self, job: _Job, result: Picture) -> str:
        """Both files of a pair or none; what exists is left, unless it is to be replaced."""
        missing = [path for path in job.files if self.options.overwrite or not path.exists()]
        if job.temperature in missing and job.celsius is not None:
            write_temperature(job.temperature, job.celsius)
        try:
            return write_picture(job.output, result) if job.output in missing else ""
        except FusionError:
            if job.temperature in missing:
                job.temperature.unlink(missing_ok=True)
            raise

    def _finish(self, batch: _Batch) -> None:
        self.in_flight -= batch.bytes
        for job in batch.jobs:
            self._settle(job, job.outcome("failed", job.failure) if job.failure else job.outcome("fused"))

    def _settle(self, job: _Job, outcome: Outcome) -> None:
        self.outcomes[job.index] = outcome
        self.report(outcome)


def _dull(picture: Picture, option: str) -> str:
    """A note about raw counts that go as they are."""
    if not is_raw(picture.pixels):
        return ""
    return f"a source fills under a quarter of its 16 bits; {option} linear maps it to the full range"
