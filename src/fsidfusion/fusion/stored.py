"""Fuse pairs wherever they lie: what is in a store is fetched, fused as any file, and put.

While some pairs are fused, the next are fetched and the last put. A store shows a result when all of it is
there, and its temperatures before it, so that what exists can be skipped.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue

from fsidfusion.fusion.files import EXISTS, Outcome, fuse_pairs
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.outputs import check_outputs
from fsidfusion.fusion.plan import Plan
from fsidfusion.fusion.scheduler import Ahead, Behind
from fsidfusion.images.atomic import temporary_folder
from fsidfusion.images.encode import READABLE
from fsidfusion.images.pairs import Pair
from fsidfusion.images.storage import fetch, is_address, is_there, put

TOGETHER = 32  # pairs that are fetched together; three times as many are in the scratch folder
TRANSFERS = 8  # at the same time

Progress = Callable[[Outcome], None]


def fuse_stored(
    fuser: Fuser,
    pairs: Sequence[Pair],
    outputs: Sequence[Path],
    plan: Plan = Plan(),
    progress: Progress = lambda outcome: None,
    temperatures: Sequence[Path] = (),
) -> list[Outcome]:
    """Fuse pairs of files that lie on disks or in stores, and write each result whole.

    Arguments, result and errors are those of :func:`fsidfusion.fusion.files.fuse_pairs`; each place may be an
    :class:`fsidfusion.images.storage.Address`.
    """
    places = [place for pair in pairs for place in (pair.infrared, pair.visible)]
    if not any(map(is_address, (*places, *outputs, *temperatures))):
        return fuse_pairs(fuser, pairs, outputs, plan, progress, temperatures)
    check_outputs(pairs, outputs, temperatures, plan.bits)
    warm: Sequence[Path | None] = temperatures or [None] * len(pairs)
    jobs = [_Job(i, *job) for i, job in enumerate(zip(pairs, outputs, warm))]
    with temporary_folder() as scratch:
        return _Run(fuser, plan, progress, scratch).run(jobs)


@dataclass
class _Job:
    """One pair on its way, and the local files that stand for it meanwhile."""

    index: int
    pair: Pair
    output: Path
    temperature: Path | None = None
    stand_ins: dict[Path, Path] = field(default_factory=dict)  # of addresses
    missing: list[Path] = field(default_factory=list)  # of its results
    outcome: Outcome | None = None

    def local(self, place: Path) -> Path:
        return self.stand_ins.get(place, place)

    def fail(self, error: Exception) -> None:
        self.outcome = Outcome(self.pair, self.output, "failed", message=str(error))

    def told(self, outcome: Outcome) -> Outcome:
        """An outcome of local files as one of this pair."""
        message = outcome.message
        for place, local in self.stand_ins.items():
            message = message.replace(str(local), str(place))
        return replace(outcome, pair=self.pair, output=self.output, message=message)


class _Run:
    """One call of fuse_stored."""

    def __init__(self, fuser: Fuser, plan: Plan, progress: Progress, scratch: Path) -> None:
        self.fuser, self.plan, self.progress, self.scratch = fuser, plan, progress, scratch
        self.outcomes: dict[int, Outcome] = {}
        self.pool = ThreadPoolExecutor(TRANSFERS)
        self.done: SimpleQueue[_Job] = SimpleQueue()  # those that were put

    def run(self, jobs: list[_Job]) -> list[Outcome]:
        ahead, behind = Ahead(self._fetched(jobs), 1), Behind(self._put_all, 1)
        try:
            for chunk in ahead:
                self._fuse([job for job in chunk if not job.outcome])
                behind.put(chunk)
                self._settle()
            behind.close()
            self._settle()
        finally:
            ahead.close()
            behind.close()
            self.pool.shutdown(cancel_futures=True)
        return [self.outcomes[job.index] for job in jobs]

    def _settle(self) -> None:
        while True:
            try:
                job = self.done.get_nowait()
            except Empty:
                return
            assert job.outcome
            self.outcomes[job.index] = job.outcome
            self.progress(job.outcome)

    def _fetched(self, jobs: list[_Job]) -> Iterator[list[_Job]]:
        for start in range(0, len(jobs), TOGETHER):
            chunk = jobs[start : start + TOGETHER]
            list(self.pool.map(self._fetch, chunk))
            yield chunk

    def _fetch(self, job: _Job) -> None:
        """Skip what is there already, else have both sources at hand."""
        try:
            results = [place for place in (job.temperature, job.output) if place]
            job.missing = [place for place in results if self.plan.overwrite or not is_there(place)]
            if not job.missing:
                job.outcome = Outcome(job.pair, job.output, "skipped", message=EXISTS)
                return
            folder = self.scratch / str(job.index)
            folder.mkdir()
            for name, place in (("infrared", job.pair.infrared), ("visible", job.pair.visible)):
                if is_address(place) and place not in job.stand_ins:
                    job.stand_ins[place] = folder / f"{name}{_suffix(place)}"
                    fetch(place, job.stand_ins[place])
            for name, result in (("fused", job.output), ("temperatures", job.temperature)):
                if result and is_address(result):
                    job.stand_ins[result] = folder / "results" / f"{name}{_suffix(result)}"
        except Exception as error:
            job.fail(error)

    def _fuse(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        pairs = [
            Pair(str(job.index), job.local(job.pair.infrared), job.local(job.pair.visible)) for job in jobs
        ]
        outputs = [job.local(job.output) for job in jobs]
        temperatures = [job.local(job.temperature) for job in jobs if job.temperature]
        outcomes = fuse_pairs(self.fuser, pairs, outputs, self.plan, temperatures=temperatures)
        for job, outcome in zip(jobs, outcomes):
            job.outcome = job.told(outcome)

    def _put_all(self, chunk: list[_Job]) -> None:
        list(self.pool.map(self._put, chunk))

    def _put(self, job: _Job) -> None:
        try:
            if job.outcome and job.outcome.status == "fused":
                for place in job.missing:  # the picture last: where it is, both are
                    if is_address(place) and job.local(place).is_file():
                        put(job.local(place).read_bytes(), place)
        except Exception as error:
            job.fail(error)
        finally:
            for local in job.stand_ins.values():
                local.unlink(missing_ok=True)
            self.done.put(job)


def _suffix(place: Path) -> str:
    """The extension of a picture, the one part of a name that reaches the disk."""
    suffix = PurePosixPath(place).suffix.lower()
    return suffix if suffix in READABLE else ""
