"""What Ray costs: pairs a second of workers against ``fuse`` with as many threads, start-up told apart.

Every run is a process of its own. Outcomes are timed as they come; the rate is that of the last four fifths,
and what else the run took is start-up, ending included. The time that all processes of a run computed is
taken beside it: on a machine that others use, it alone tells what a pair costs.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from fsidfusion.errors import InputError
from fsidfusion.images.atomic import temporary_folder
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.images.pairs import match_pairs

SCENES = 8  # rendered; the other pairs are copies of their files
LEFT_OUT = 0.2  # of the outcomes: while caches are cold and workers come up
MILLION = 1_000_000
WORKERS = (1, 16, 64, 256)  # that the table foretells
_TASK = "from fsidfusion.studies.speed.scale import answer; answer()"


@dataclass(frozen=True)
class Run:
    """One run over all pairs."""

    form: str  # fuse, or ray
    workers: int  # of ray; for fuse threads
    seconds: float  # the whole run
    rate: float  # pairs a second, once it runs
    computed: float  # seconds of all processors for a pair, once it runs; of all processes

    def startup(self, pairs: int) -> float:
        """Seconds that the run took beyond its rate."""
        return max(0.0, self.seconds - pairs / self.rate)


@dataclass(frozen=True)
class Scale:
    """All runs, and what they were about."""

    runs: tuple[Run, ...]
    pairs: int
    size: tuple[int, int]  # (H, W)
    model: str
    bytes_in: float  # of a pair's two files
    bytes_out: float  # of its result
    machine: dict[str, str]

    def of(self, form: str, workers: int) -> Run:
        """The run of so many workers or threads."""
        return next(run for run in self.runs if (run.form, run.workers) == (form, workers))

    def overhead(self, workers: int) -> tuple[float, float]:
        """What a pair takes more by workers of Ray than by as many threads of ``fuse``: of time, computed."""
        fuse, ray = self.of("fuse", workers), self.of("ray", workers)
        return fuse.rate / ray.rate - 1, ray.computed / fuse.computed - 1


def measure(
    pairs: int,
    size: tuple[int, int],
    workers: Sequence[int],
    model: str,
    progress: Callable[[Run], None] = lambda run: None,
) -> Scale:
    """Fuse rendered pairs in PNG by ``fuse`` and by Ray, on this machine.

    Args:
        pairs: in each run; with fewer than some hundreds the rate is that of chance.
        size: (H, W) of the pairs.
        workers: numbers of workers, and of threads of ``fuse``.
        model: a shipped network, a file or a rule.
        progress: called after each run.

    Raises:
        InputError: a run that failed.
    """
    from fsidfusion.runtime.runtimes import installed_runtimes, processor, version_of

    names = (*installed_runtimes(), "ray")
    machine = {
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "versions": ", ".join(f"{name} {version_of(name)}" for name in names),
    }
    runs = []
    with temporary_folder() as made:
        folder = str(made)
        bytes_in = _render(made, pairs, size)
        for number in workers:
            for form in ("fuse", "ray"):
                output = Path(folder) / f"{form}-{number}"
                question = {
                    "folder": folder,
                    "output": str(output),
                    "form": form,
                    "workers": number,
                    "model": model,
                    "pairs": pairs,
                    "every": max(1, pairs // 40),
                }
                start = time.perf_counter()
                answered = _ask(question)
                seconds = time.perf_counter() - start
                runs.append(Run(form, number, seconds, answered["rate"], answered["computed"]))
                progress(runs[-1])
        bytes_out = sum(path.stat().st_size for path in output.iterdir()) / pairs
    return Scale(tuple(runs), pairs, size, model, bytes_in, bytes_out, machine)


def steady(moments: Sequence[float]) -> float:
    """Outcomes a second, of the moments (in order) at which they were told, without the first ones.

    Ray tells a whole task at a time, so what was told at one moment counts as one.
    """
    first = _warm(moments)
    later = [moment for moment in moments if moment > first]
    if not later:
        raise InputError(f"{len(moments)} pairs are too few for a rate; take more (`pairs`)")
    begun = max(moment for moment in moments if moment <= first)
    return len(later) / (later[-1] - begun)


def _warm(moments: Sequence[float]) -> float:
    return moments[int(LEFT_OUT * len(moments))] + 0.01


def to_markdown(scale: Scale) -> str:
    """The measurement as a page."""
    machine, height, width = scale.machine, *scale.size
    numbers = list(dict.fromkeys(run.workers for run in scale.runs))
    lines = [
        "## Many pairs",
        "",
        f"{scale.pairs} pairs of {width}x{height} in PNG by {scale.model}, from a local disk; processor"
        f" {machine['processor']}, {machine['cores']} cores; {machine['versions']}. Written by",
        "`fsidfusion benchmark scale`. The rate leaves out the first fifth of the pairs; start-up is what",
        "the run took beyond its rate: libraries, Ray, workers, models, and the end.",
        "",
        "| | pairs/s | start-up s | ms a pair | against `fuse` | computed ms a pair | against `fuse` |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for number in numbers:
        for form in ("fuse", "ray"):
            run = scale.of(form, number)
            name = f"`fuse`, {number} threads" if form == "fuse" else f"Ray, {number} workers of 1 thread"
            name = name.replace("1 threads", "1 thread").replace("1 workers", "1 worker")
            costs = [f"{share:+.1%}" if form == "ray" else "" for share in scale.overhead(number)]
            numbered = f"{run.rate:.1f} | {run.startup(scale.pairs):.1f} | {1e3 / run.rate:.1f}"
            lines.append(f"| {name} | {numbered} | {costs[0]} | {1e3 * run.computed:.1f} | {costs[1]} |")
    most = max(numbers)
    each = scale.of("ray", most).rate / most
    lines += [
        "",
        f"A million pairs, foretold from the rate of {most} workers here ({each:.1f} pairs/s each) as if",
        "more workers changed nothing but the number; network, store and shared disks are not in it:",
        "",
        "| workers of 1 CPU | hours | read GB | written GB | both MB/s |",
        "|---:|---:|---:|---:|---:|",
    ]
    for number in WORKERS:
        rate = each * number
        traffic = (scale.bytes_in + scale.bytes_out) * rate / 1e6
        lines.append(
            f"| {number} | {MILLION / rate / 3600:.2f} | {scale.bytes_in * MILLION / 1e9:.0f} |"
            f" {scale.bytes_out * MILLION / 1e9:.0f} | {traffic:.0f} |"
        )
    return "\n".join(lines) + "\n"


def to_json(scale: Scale) -> str:
    """The measurement for programs."""
    runs = [{**asdict(run), "startup": run.startup(scale.pairs)} for run in scale.runs]
    overhead = {run.workers: scale.overhead(run.workers) for run in scale.runs if run.form == "ray"}
    return json.dumps({**asdict(scale), "runs": runs, "overhead": overhead}, indent=1)


def answer() -> None:
    """Do the run that standard input asks for; what a process of :func:`measure` does."""
    question = json.load(sys.stdin)
    moments: list[float] = []
    computed: list[float] = []

    def step(_outcome: object) -> None:
        moments.append(time.perf_counter())
        at_end = len(moments) == question["pairs"]
        computed.append(_computed() if at_end or not len(moments) % question["every"] else 0.0)

    _fuse(question, step)
    print(json.dumps({"rate": steady(moments), "computed": _each(computed)}))


def _each(computed: Sequence[float]) -> float:
    """Seconds for one pair, between the first sample after those that are left out and the last one."""
    samples = [
        (at, seconds) for at, seconds in enumerate(computed) if seconds and at >= LEFT_OUT * len(computed)
    ]
    (first, begun), (last, ended) = samples[0], samples[-1]
    return (ended - begun) / (last - first)


def _computed() -> float:
    """Seconds of all processors so far, of this process and of all that it started, also those that ended."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _fuse(question: dict[str, Any], progress: Callable[[object], None]) -> None:
    from fsidfusion.fusion.cluster import Cluster, fuse_on_ray
    from fsidfusion.fusion.files import fuse_pairs
    from fsidfusion.fusion.fuser import Fuser
    from fsidfusion.runtime.allocator import keep_large_blocks

    folder, output = Path(question["folder"]), Path(question["output"])
    pairs = match_pairs([folder / "ir"], [folder / "vis"]).pairs
    outputs = [output / f"{pair.name}.png" for pair in pairs]
    number, model = question["workers"], question["model"]
    if question["form"] == "ray":
        cluster = Cluster(workers=number)
        outcomes, _ = fuse_on_ray({"model": model}, pairs, outputs, progress=progress, cluster=cluster)
    else:
        fuser = Fuser(model, threads=number)
        keep_large_blocks()
        outcomes = fuse_pairs(fuser, pairs, outputs, progress=progress)
    failed = [outcome.message for outcome in outcomes if outcome.status != "fused"]
    if failed:
        raise InputError(failed[0])


def _ask(question: dict[str, Any]) -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, "-c", _TASK], input=json.dumps(question), capture_output=True, text=True, check=False
    )
    if process.returncode != 0:
        reason = (process.stderr.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        raise InputError(f"the run of {question['form']} failed: {reason}")
    answered: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return answered


def _render(folder: Path, pairs: int, size: tuple[int, int]) -> float:
    """Write the pairs; the bytes of one, on average."""
    from fsidfusion.studies.scenes import render_scene

    for side in ("ir", "vis"):
        (folder / side).mkdir()
    sizes = []
    for seed in range(min(SCENES, pairs)):
        scene = render_scene(seed, size)
        for side, pixels in (("ir", scene.infrared), ("vis", scene.visible)):
            first = folder / side / f"{seed:06}.png"
            write_picture(first, Picture(pixels))
            sizes.append(first.stat().st_size)
            for number in range(seed + SCENES, pairs, SCENES):
                os.link(first, folder / side / f"{number:06}.png")
    return 2 * sum(sizes) / len(sizes)
