"""Fuse many files: reading, computing and writing overlap, and one bad pair does not stop the others.

Quick pairs go through side by side, each in one thread of the CPU from reading to writing. Those that take
long, or go to another device, are computed one after the other with all threads, while others are read and
written. What is in flight is bounded in bytes, so that huge pictures take little more memory than one.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from fsidfusion.errors import FusionError, NotEnoughMemory
from fsidfusion.fusion.fuser import AIM, QUICK_PIXELS, Fuser
from fsidfusion.fusion.outputs import check_outputs
from fsidfusion.fusion.pipeline import Fusion, Pipeline, check_alignment, sizes_differ
from fsidfusion.fusion.plan import Plan
from fsidfusion.fusion.scheduler import overlap
from fsidfusion.images.atomic import is_written
from fsidfusion.images.encode import output_bits, output_format
from fsidfusion.images.files import read_header, read_picture, write_picture
from fsidfusion.images.pairs import Pair
from fsidfusion.runtime.device import format_bytes
from fsidfusion.thermal.measure import Measures
from fsidfusion.thermal.reading import read_scene, read_thermal_header, read_visible
from fsidfusion.thermal.temperature import write_temperature

Status = Literal["fused", "skipped", "failed"]

EXISTS = "exists; `overwrite` replaces it"
IN_FLIGHT_SHARE = 0.1  # of the memory limit, for pictures read ahead or not yet written


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
    measures: Measures | None = None  # of the infrared file's temperatures, where they are known


def fuse_pairs(
    fuser: Fuser,
    pairs: Sequence[Pair],
    outputs: Sequence[Path],
    plan: Plan = Plan(),
    progress: Callable[[Outcome], None] = lambda outcome: None,
    temperatures: Sequence[Path] = (),
) -> list[Outcome]:
    """Fuse pairs of files and write each result whole.

    Args:
        fuser: the model.
        pairs: what to fuse; one file in both places is FLIR's, with a visible picture in it.
        outputs: one path for each pair; the extension is the format.
        plan: colour, depth and what to do with what exists or differs in size.
        progress: called with each outcome as soon as it is known, from the calling thread.
        temperatures: one path for each pair, for the temperatures of its infrared file as float32 TIFF, in
            degrees Celsius and on the grid of the result; or none.

    Returns:
        the outcomes in the order of the pairs; bad pairs are outcomes, not exceptions.

    Raises:
        InputError: before anything is written: an output that is an input, is named twice or lies where
            nothing can be written, or a format that is unknown or cannot hold the depth asked for.
    """
    check_outputs(pairs, outputs, temperatures, plan.bits)
    places: Sequence[Path | None] = temperatures or [None] * len(pairs)
    jobs = [_Job(index, *job) for index, job in enumerate(zip(pairs, outputs, places))]
    return _Run(fuser, plan, progress).run(jobs)


def in_flight(fuser: Fuser) -> int:
    """Bytes of pictures that may be read ahead or wait to be written, beside one pair that always may."""
    quick = 2 * fuser.threads * QUICK_PIXELS * 8  # a pair a thread computed, and one read, in 8 bytes a pixel
    return min(int(IN_FLIGHT_SHARE * fuser.memory), max(quick, int(IN_FLIGHT_SHARE * AIM)))


@dataclass(frozen=True)
class Checked:
    """What the headers of a pair tell."""

    size: tuple[int, int]  # (H, W) of the visible picture
    bits: Literal[8, 16]  # of the result
    note: str  # where the format of the result cannot hold the depth of the sources
    bytes: int  # of sources and result


def check_pair(fuser: Fuser, pair: Pair, output: Path, plan: Plan, temperature: bool = False) -> Checked:
    """Look at the headers of a pair before anything is decoded.

    Args:
        fuser: the model, whose memory limit counts.
        pair: the files.
        output: whose extension is the format.
        plan: what is to be done.
        temperature: the temperatures are written too.

    Raises:
        InputError: files that cannot be read or do not belong together, or a format that cannot hold them.
        NotEnoughMemory: the pair does not fit into the memory limit.
    """
    of_thermal = partial(read_thermal_header, thermal=plan.infrared)
    infrared = of_thermal(pair.infrared, plan.max_pixels)
    of_visible = of_thermal if pair.is_embedded else read_header
    visible = of_visible(pair.visible, plan.max_pixels)
    size, other = (visible.height, visible.width), (infrared.height, infrared.width)
    check_alignment(plan.align, other, size)
    if size != other and not plan.align and not plan.resize:
        raise sizes_differ((str(pair.infrared), str(pair.visible)), (other, size))
    bits, note = output_bits(output, plan.bits, max(infrared.bits, visible.bits))
    output_format(output, *size, bits=bits)
    pixels = visible.height * visible.width
    needed = infrared.bytes + 2 * visible.bytes
    if temperature or plan.infrared.threshold() or infrared.bits > 8:
        needed += 4 * pixels  # temperatures, or levels through a gain
    if plan.align or infrared.bits > 8:
        needed += (infrared.bits // 8 * infrared.channels + 12) * pixels
    working = needed + 8 * pixels  # and fused luma, and the encoder's copy
    if working > fuser.memory:
        raise NotEnoughMemory(
            f"{pair.visible} ({visible.width}x{visible.height}) needs over {format_bytes(working)},"
            f" the limit is {format_bytes(fuser.memory)}; give more (`memory`)"
        )
    return Checked(size, bits, note, needed)


@dataclass
class FromFiles(Fusion):
    """A pair of files; where its result goes is decided by its kinds."""

    pair: Pair = field(default_factory=lambda: Pair("", Path(), Path()))

    def read(self, plan: Plan) -> None:
        """Decode both files; InputError for what is wrong with them."""
        self.scene, self.infrared = read_scene(
            self.pair.infrared, plan.infrared, plan.max_pixels, self.wants_celsius
        )
        read = read_visible if self.pair.is_embedded else read_picture
        self.visible = read(self.pair.visible, plan.max_pixels)
        if self.pair.is_embedded:  # it has the view of the thermal one
            pixels = plan.infrared.geometry()(self.visible.pixels)
            self.visible = replace(self.visible, pixels=pixels)


@dataclass
class _Files(FromFiles):
    """A pair of files, and the files that its result goes to."""

    output: Path = Path()
    temperature: Path | None = None

    def write(self, plan: Plan) -> None:
        """Both files or none; what exists is left, unless it is to be replaced."""
        assert self.result is not None
        temperature = self.temperature
        if temperature and self.celsius is not None and (plan.overwrite or not is_written(temperature)):
            write_temperature(temperature, self.celsius, self.result.exif, self.result.xmp)
        else:
            temperature = None
        try:
            if plan.overwrite or not is_written(self.output):
                self.say(write_picture(self.output, self.result, plan.quality))
        except BaseException:
            if temperature:
                temperature.unlink(missing_ok=True)
            raise


@dataclass
class _Job:
    """One pair on its way, and what its last step came to."""

    index: int
    pair: Pair
    output: Path
    temperature: Path | None = None
    size: tuple[int, int] = (0, 0)
    bits: Literal[8, 16] = 8
    bytes: int = 0  # of sources and result
    fusion: Fusion | None = None
    failure: str = ""
    seconds: float = 0.0
    note: str = ""
    measures: Measures | None = None

    @property
    def files(self) -> list[Path]:
        return [self.output, *([self.temperature] if self.temperature else [])]

    def outcome(self, status: Status, message: str = "") -> Outcome:
        what = message or self.note
        return Outcome(self.pair, self.output, status, *self.size, self.seconds, what, self.measures)

    def begin(self) -> Fusion:
        """The fusion of this pair, from its files on."""
        self.fusion = _Files(
            names=(str(self.pair.infrared), str(self.pair.visible)),
            dtype=np.dtype(np.uint16 if self.bits == 16 else np.uint8),
            wants_celsius=self.temperature is not None,
            notes=[self.note] if self.note else [],
            pair=self.pair,
            output=self.output,
            temperature=self.temperature,
        )
        return self.fusion

    def step(self, run: Callable[[Fusion], None]) -> None:
        """One step of this pair; whatever goes wrong in it is the failure of this pair alone."""
        if self.failure or self.fusion is None:
            return
        start = time.perf_counter()
        try:
            run(self.fusion)
        except FusionError as error:
            self.failure = str(error)
        except MemoryError:
            self.failure = f"{self.pair.visible}: no memory for the pair; give more (`memory`)"
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            self.failure = f"{self.pair.visible}: {type(error).__name__}: {reason}"
        self.seconds += time.perf_counter() - start


@dataclass(frozen=True)
class _Batch:
    """Pairs of one size and depth, which go through the model together."""

    jobs: list[_Job]
    passes: int  # such batches that may go through at the same time

    @property
    def bytes(self) -> int:
        return sum(job.bytes for job in self.jobs)


class _Run:
    """One call of fuse_pairs."""

    def __init__(self, fuser: Fuser, plan: Plan, progress: Callable[[Outcome], None]) -> None:
        self.fuser, self.plan, self.progress = fuser, plan, progress
        self.pipeline = Pipeline(fuser, plan)
        self.outcomes: dict[int, Outcome] = {}

    def run(self, jobs: list[_Job]) -> list[Outcome]:
        done = overlap(
            self._batches(jobs),
            self._prepare,
            self._fuse,
            self._finish,
            single=lambda: self.fuser.use_threads(1),
            threads=self.fuser.threads,
            limit=in_flight(self.fuser),
        )
        try:
            for batch in done:
                for job in batch.jobs:
                    self._settle(
                        job, job.outcome("failed", job.failure) if job.failure else job.outcome("fused")
                    )
        finally:
            done.close()
            self.fuser.use_threads(self.fuser.threads)
        return [self.outcomes[job.index] for job in jobs]

    def _batches(self, jobs: list[_Job]) -> Iterator[_Batch]:
        """Consecutive jobs of one size and depth, as many as gain from going through the model together."""
        batch: list[_Job] = []
        for job in jobs:
            if not self.plan.overwrite and all(is_written(path) for path in job.files):
                self._settle(job, job.outcome("skipped", EXISTS))
                continue
            job.begin()
            job.step(lambda fusion, job=job: self._check(job))  # type: ignore[misc]
            if job.failure:
                self._settle(job, job.outcome("failed", job.failure))
                continue
            job.begin()  # with its depth
            full = len(batch) >= self.fuser.batch_size(*job.size)
            if batch and (full or (job.size, job.bits) != (batch[0].size, batch[0].bits)):
                yield self._batch(batch, len(jobs))
                batch = []
            batch.append(job)
        if batch:
            yield self._batch(batch, len(jobs))

    def _batch(self, batch: list[_Job], total: int) -> _Batch:
        alone = total == len(batch)
        return _Batch(batch, 1 if alone else self.fuser.parallel_passes(*batch[0].size))

    def _check(self, job: _Job) -> None:
        """Check a pair by the headers of its files, and settle the depth of its result."""
        found = check_pair(self.fuser, job.pair, job.output, self.plan, job.temperature is not None)
        job.size, job.bits, job.note, job.bytes = found.size, found.bits, found.note, found.bytes

    def _prepare(self, batch: _Batch) -> None:
        for job in batch.jobs:
            job.step(self.pipeline.prepare)

    def _fuse(self, batch: _Batch) -> None:
        jobs = [job for job in batch.jobs if not job.failure]
        fusions = [job.fusion for job in jobs if job.fusion]
        start = time.perf_counter()
        try:
            self.pipeline.fuse(*fusions)
        except Exception:  # one of them is the cause: each by itself tells which
            for job in jobs:
                job.step(self.pipeline.fuse)
            return
        for job in jobs:
            job.seconds += (time.perf_counter() - start) / len(jobs)

    def _finish(self, batch: _Batch) -> None:
        for job in batch.jobs:
            job.step(self.pipeline.finish)
            if job.fusion and job.fusion.result and not job.failure:
                job.size, job.note = job.fusion.result.size, "; ".join(job.fusion.notes)
                job.measures = job.fusion.measures
            job.fusion = None  # and its pictures

    def _settle(self, job: _Job, outcome: Outcome) -> None:
        self.outcomes[job.index] = outcome
        self.progress(outcome)
