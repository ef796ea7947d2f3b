"""One learner on every input under every seed: resumable, with time left, and summarised over the seeds."""

import hashlib
import json
import math
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from fsidfusion.errors import InputError
from fsidfusion.images.atomic import write_text
from fsidfusion.images.text import read_json
from fsidfusion.studies.downstream.inputs import Input
from fsidfusion.training.checkpoint import RunFolder

RESULT = "result.json"

Tick = Callable[[float], None]  # told the share of a run that is done, 0..1


@dataclass(frozen=True)
class Job:
    """One run to do."""

    input: Input
    seed: int
    folder: Path  # of the run; what is left there stays
    training: Path  # for checkpoints; named after all that the run depends on, and removed at its end
    tick: Tick


Learn = Callable[[Job], Mapping[str, float]]


@dataclass(frozen=True)
class Run:
    """The scores of one input under one seed."""

    input: Input
    seed: int
    scores: Mapping[str, float]  # NaN where a score is undefined
    seconds: float  # training and scoring, over all sittings; not fusing, which is cached
    date: str  # ISO day (UTC) of the run
    device: str
    folder: Path  # what the run left: weights, predictions


@dataclass(frozen=True)
class Progress:
    """Where a comparison stands."""

    done: int  # runs that are finished, kept ones included
    total: int
    input: str  # that is being learned from
    seed: int
    share: float  # of the run, 0..1
    seconds_left: float  # of the whole; NaN while nothing is known


@dataclass(frozen=True)
class Summary:
    """A score of one input over its seeds."""

    mean: float
    spread: float  # standard deviation over the seeds (n - 1); NaN for one seed
    seeds: int  # under which the score is defined

    def __str__(self) -> str:
        """As tables print it: "0.512 ± 0.012", "0.512" of one seed, "–" where it is undefined."""
        if math.isnan(self.mean):
            return "–"
        return f"{self.mean:.3f}" + ("" if math.isnan(self.spread) else f" ± {self.spread:.3f}")


def compare(
    inputs: Sequence[Input],
    seeds: Sequence[int],
    learn: Learn,
    folder: Path,
    identity: Mapping[str, Any],
    *,
    device: str,
    max_minutes: float | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> list[Run]:
    """Let a learner run on every input under every seed; what was finished before is kept.

    All inputs have their turn under one seed before the next seed begins, so that a stopped comparison is
    even. Each run has its own folder below ``folder/runs`` and one ``result.json`` in it, written when all
    else is there; a run is kept while everything it depends on is the same.

    Args:
        inputs: what to learn from.
        seeds: of everything that is drawn by lot.
        learn: trains, afresh or from a checkpoint that a stopped call left, may leave files in the folder of
            the job, calls its ``tick(share)`` now and then, and returns scores by key (NaN: undefined). What
            it should not be timed for (fusing) it does not do: prepare frames before.
        folder: of the comparison.
        identity: all that a score depends on besides input and seed, as JSON holds it: the data with its
            labels and split, the settings, the code.
        device: for the record.
        max_minutes: no run is begun that would probably end later, except the first.
        progress: called after every tick and every run.

    Returns:
        the finished runs by input and seed; fewer than asked for where the time ran out.

    Raises:
        InputError: all of ``learn``'s, a folder that cannot be written, a damaged result.
    """
    jobs = [(given, seed) for seed in seeds for given in inputs]
    runs: dict[tuple[Input, int], Run | None] = {job: _kept(*job, folder, identity) for job in jobs}
    begun = time.monotonic()
    spent: list[float] = []  # seconds of each run of this call
    for given, seed in (job for job in jobs if runs[job] is None):
        start = time.monotonic()
        expected = statistics.fmean(spent) if spent else math.nan
        if max_minutes is not None and spent and start - begun + expected > 60 * max_minutes:
            break

        done = sum(run is not None for run in runs.values())
        tick = _clock(Progress(done, len(jobs), given.name, seed, 0.0, math.nan), expected, progress)
        tick(0.0)
        job = Job(
            given, seed, place := _place(folder, given, seed), _training(place, given, seed, identity), tick
        )
        _make(job)
        earlier = RunFolder(job.training, {}).position.seconds
        scores = learn(job)
        spent.append(earlier + time.monotonic() - start)
        day = datetime.now(UTC).date().isoformat()
        new = Run(given, seed, dict(scores), spent[-1], day, device, place)
        _keep(new, identity)
        shutil.rmtree(job.training, ignore_errors=True)
        runs[given, seed] = new
        tick(1.0)
    finished = (runs[given, seed] for given in inputs for seed in seeds)
    return [run for run in finished if run]


def summarise(runs: Sequence[Run], key: str) -> dict[Input, Summary]:
    """Mean and spread of a score over the seeds of each input, in the order of the runs."""
    return {
        given: _summary([run.scores.get(key, math.nan) for run in runs if run.input == given])
        for given in dict.fromkeys(run.input for run in runs)
    }


def differences(runs: Sequence[Run], key: str, ours: Input) -> dict[Input, Summary]:
    """By how much ``ours`` is above each other input, seed by seed; only seeds that both have count."""
    own = {run.seed: run.scores.get(key, math.nan) for run in runs if run.input == ours}
    others = [given for given in dict.fromkeys(run.input for run in runs) if given != ours]
    return {
        given: _summary(
            [
                own[run.seed] - run.scores.get(key, math.nan)
                for run in runs
                if run.input == given and run.seed in own
            ]
        )
        for given in others
    }


def _clock(at: Progress, expected: float, progress: Callable[[Progress], None]) -> Tick:
    """A tick that reports the time left, of this run by its own speed, or as ``expected`` seconds a run."""
    start = time.monotonic()

    def tick(share: float) -> None:
        passed = time.monotonic() - start
        each = passed / share if share > 0.02 else expected
        left = max(0.0, each - passed) + each * (at.total - at.done - 1)
        progress(replace(at, share=share, seconds_left=left))

    return tick


def _summary(values: Sequence[float]) -> Summary:
    known = [value for value in values if not math.isnan(value)]
    mean = statistics.fmean(known) if known else math.nan
    return Summary(mean, statistics.stdev(known) if len(known) > 1 else math.nan, len(known))


def _place(folder: Path, given: Input, seed: int) -> Path:
    return folder / "runs" / f"{given.name}-seed{seed}"


def _training(place: Path, given: Input, seed: int, identity: Mapping[str, Any]) -> Path:
    whole = json.dumps(_identity(given, seed, identity), sort_keys=True)
    return place / f"training-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"


def _make(job: Job) -> None:
    """Make room: a result or a begun training that is there was computed from something else."""
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / RESULT).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {job.folder} ({error.strerror}); choose another folder") from error
    for stale in set(job.folder.glob("training-*")) - {job.training}:
        shutil.rmtree(stale, ignore_errors=True)


def _identity(given: Input, seed: int, identity: Mapping[str, Any]) -> dict[str, Any]:
    whole = {"input": given.identity, "seed": seed, "task": identity}
    return json.loads(json.dumps(whole))  # as it is read again: tuples are lists


def _keep(run: Run, identity: Mapping[str, Any]) -> None:
    scores = {key: None if math.isnan(value) else value for key, value in run.scores.items()}
    content = {
        "scores": scores,
        "seconds": round(run.seconds, 2),
        "date": run.date,
        "device": run.device,
        "identity": _identity(run.input, run.seed, identity),
    }
    write_text(run.folder / RESULT, json.dumps(content, indent=1, allow_nan=False) + "\n")


class _Kept(msgspec.Struct):
    """What :func:`_keep` writes; a score that is None is NaN."""

    scores: dict[str, float | None]
    seconds: float
    date: str
    device: str
    identity: dict[str, Any]


def _kept(given: Input, seed: int, folder: Path, identity: Mapping[str, Any]) -> Run | None:
    """A finished run of exactly this, if there is one."""
    place = _place(folder, given, seed)
    path = place / RESULT
    try:
        if not path.exists():
            return None
        kept = read_json(path, _Kept, "kept result")
    except (OSError, InputError) as error:
        raise InputError(f"{path} holds no kept result ({error}); remove it") from error
    if kept.identity != _identity(given, seed, identity):
        return None
    scores = {key: math.nan if value is None else value for key, value in kept.scores.items()}
    return Run(given, seed, scores, kept.seconds, kept.date, kept.device, place)
