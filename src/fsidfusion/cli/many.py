"""Very many pairs: tables of them, workers of Ray, a limit of failures and a table of those that failed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fsidfusion.cli.messages import as_options, plain
from fsidfusion.cli.options import Inputs, Many, Run
from fsidfusion.cli.progress import progress
from fsidfusion.errors import InputError
from fsidfusion.images.encode import FORMATS
from fsidfusion.images.pairs import Matches, Task

if TYPE_CHECKING:
    from fsidfusion.fusion.files import Outcome
    from fsidfusion.fusion.plan import Plan


@dataclass(frozen=True)
class Work:
    """The pairs of one run, and where their results go."""

    matches: Matches
    task: Task
    outputs: Sequence[Path]
    temperatures: Sequence[Path]  # or none
    modality: str = "infrared"  # what the infrared place holds


@dataclass
class Done:
    """What became of the pairs, and what computed them."""

    outcomes: "list[Outcome]" = field(default_factory=list)  # of those that were tried
    stopped: str = ""  # why not all were
    device: str = ""
    precision: str = ""
    runtime: str = ""


class _TooManyFailures(Exception):
    pass


def find_work(inputs: Inputs, many: Many, output: str, format: str, temperature: str | None) -> Work:
    """The pairs that the inputs or a manifest name.

    Raises:
        InputError: both or none are given, or what they say is not sound.
    """
    from fsidfusion.fusion.outputs import output_paths
    from fsidfusion.images.manifest import read_manifest
    from fsidfusion.images.storage import as_place

    if many.manifest is None:
        matches, task = inputs.match_anywhere()
        paths = output_paths(matches.pairs, output, matches.many, f".{format}")
        warm: Sequence[Path] = ()
        if temperature is not None:
            warm = output_paths(matches.pairs, temperature, matches.many, ".tif")
        known = (name for name in ("ct", "pet", "spect") if getattr(inputs, name))
        return Work(matches, task, paths, warm, "infrared" if task == "thermal" else next(known, "pet"))
    if inputs != Inputs():
        raise InputError("`manifest` stands in place of other inputs; leave these out")
    found = read_manifest(as_place(many.manifest))
    output_paths((), output, many=True)  # a folder
    paths = [as_place(output) / _named(name, f".{format}") for name in found.outputs]
    warm = ()
    if temperature is not None:
        output_paths((), temperature, many=True)
        names = [PurePosixPath(_named(name, ".tif")).with_suffix(".tif") for name in found.outputs]
        warm = [as_place(temperature) / name for name in names]
    return Work(Matches(found.pairs, ()), found.task, paths, warm, found.modality)


def run_work(work: Work, run: Run, many: Many, plan: "Plan", shown: bool) -> Done:
    """Fuse the pairs here, or by workers of Ray.

    Raises:
        InputError: what cannot be begun at all.
    """
    from fsidfusion.fusion.stored import fuse_stored

    if many.on is None and many.workers is not None:
        raise InputError("`workers` are those of Ray; give `on` ray, too")
    if many.max_failures is not None and many.max_failures < 0:
        raise InputError(f"`max_failures` {many.max_failures}: expected 0 or more")
    done = Done()
    failed = 0

    with progress("pairs", len(work.outputs), shown=shown) as bar:

        def step(outcome: "Outcome") -> None:
            nonlocal failed
            done.outcomes.append(outcome)
            bar.step()
            failed += outcome.status == "failed"
            if many.max_failures is not None and failed > many.max_failures:
                raise _TooManyFailures

        how = (work.matches.pairs, work.outputs, plan, step, work.temperatures)
        try:
            if many.on is None:
                fuser = run.load(work.task, len(work.outputs))
                done.device, done.precision, done.runtime = fuser.device, fuser.precision, fuser.runtime
                done.outcomes = fuse_stored(fuser, *how)
            else:
                from fsidfusion.fusion.cluster import Cluster, fuse_on_ray

                cluster = Cluster(many.on, many.workers, run.threads or 1)
                settings = {**asdict(run), "task": work.task, "threads": cluster.threads}
                done.outcomes, machine = fuse_on_ray(settings, *how, cluster)
                done.device, done.precision, done.runtime = machine.device, machine.precision, machine.runtime
        except _TooManyFailures:
            left = len(work.outputs) - len(done.outcomes)
            done.stopped = (
                f"stopped: {failed} pairs failed, over `max_failures` {many.max_failures}; {left} were not"
                " tried, and the same line goes on with them"
            )
    return done


def write_failures(place: str, work: Work, outcomes: "Sequence[Outcome]", output: str) -> int:
    """Write the pairs that failed as a manifest with reasons; their number.

    Raises:
        InputError: it cannot be written.
    """
    from fsidfusion.images.manifest import write_table
    from fsidfusion.images.storage import as_place

    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    second = "visible" if work.task == "thermal" else "mri"
    columns = {
        work.modality: [str(outcome.pair.infrared) for outcome in failed],
        second: [str(outcome.pair.visible) for outcome in failed],
        "output": [_below(outcome.output, as_place(output)) for outcome in failed],
        "reason": [as_options(plain(outcome.message)) for outcome in failed],
    }
    write_table(as_place(place), columns)
    return len(failed)


def _named(name: str, extension: str) -> str:
    return name if PurePosixPath(name).suffix.lower() in FORMATS else f"{name}{extension}"


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if folder in path.parents else path.name
