"""Fuse very many pairs on many machines: Ray Data brings rows of places to workers that keep a model warm.

A worker does with its pairs what :func:`fsidfusion.fusion.stored.fuse_stored` does on one machine, so the
pictures are the same. What exists is told before the workers start, and looked at again before a pair is
fused: a pair whose worker died is done again by another, and what was written by then is left as it is. A
pair that takes its workers with it is tried alone, and then fails by itself.
"""

import logging
import os
import pickle
import secrets
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from fsidfusion import __version__
from fsidfusion.errors import FusionError, InputError, required
from fsidfusion.fusion.files import EXISTS, Outcome
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.outputs import check_outputs
from fsidfusion.fusion.plan import Plan
from fsidfusion.fusion.stored import fuse_stored
from fsidfusion.images.atomic import temporary_folder
from fsidfusion.images.pairs import Pair
from fsidfusion.images.storage import as_place, is_address, present
from fsidfusion.images.text import reason
from fsidfusion.runtime.device import free_memory, resident_memory

TOGETHER = 64  # most pairs of one task: what is done again at most when a worker dies
_TASKS = 8  # at least, for each worker, so that all end at about the same time
_TRIES = 3  # of a task whose worker dies
_OBJECTS = (
    200 << 20
)  # bytes of Ray's own store on one machine: places and outcomes pass through it, no pixels
_LONGEST_TEMPORARY = 40  # characters of a folder: names of sockets in it may have 107
_TOKEN = secrets.token_hex(32)  # of all that this process starts; another user's processes do not know it
_SHARE = 0.5  # of the free memory, for all workers of a machine

Progress = Callable[[Outcome], None]


@dataclass(frozen=True)
class Cluster:
    """Where the workers run, and how many there are."""

    address: str = "ray"  # this machine (or RAY_ADDRESS); ray://HOST:PORT for a cluster that runs
    workers: int | None = None  # by default one for each GPU, or for so many CPUs as a worker has threads
    threads: int = 1  # CPUs of a worker

    def __post_init__(self) -> None:
        is_remote = self.address.startswith("ray://") and self.address.rpartition(":")[2].isdigit()
        if self.address != "ray" and not is_remote:
            raise InputError(f"`on` {self.address!r} is no place to run: expected ray or ray://HOST:PORT")
        for name, number in (("workers", self.workers), ("threads", self.threads)):
            if number is not None and number < 1:
                raise InputError(f"`{name}` {number}: expected 1 or more")


@dataclass(frozen=True)
class Machine:
    """What a worker computes with."""

    device: str = "cpu"
    precision: str = "fp32"
    runtime: str = "numpy"


def fuse_on_ray(
    settings: Mapping[str, Any],
    pairs: Sequence[Pair],
    outputs: Sequence[Path],
    plan: Plan = Plan(),
    progress: Progress = lambda outcome: None,
    temperatures: Sequence[Path] = (),
    cluster: Cluster = Cluster(),
) -> tuple[list[Outcome], Machine]:
    """Fuse pairs by workers of Ray, and write each result whole.

    Args:
        settings: of the :class:`fsidfusion.fusion.fuser.Fuser` that every worker makes.
        pairs: as for :func:`fsidfusion.fusion.stored.fuse_stored`, as are ``outputs``, ``plan`` and
            ``temperatures``. Local paths lie on a disk that all machines share.
        outputs: see there.
        plan: see there.
        progress: called with each outcome as soon as it is known, from the calling thread.
        temperatures: see there.
        cluster: where, and by how many workers.

    Returns:
        the outcomes in the order of the pairs, and what the workers computed with.

    Raises:
        InputError: as ``fuse_stored``; a model that a worker cannot load; Ray that is not reached.
        MissingDependency: Ray is not installed.
    """
    check_outputs(pairs, outputs, temperatures, plan.bits)
    results = [(place, *more) for place, *more in zip(outputs, *([temperatures] if temperatures else []))]
    there = set() if plan.overwrite else present([place for places in results for place in places])
    outcomes: dict[int, Outcome] = {}
    rows: list[_Row] = []
    for index, (pair, places) in enumerate(zip(pairs, results)):
        if all(place in there for place in places):
            outcomes[index] = Outcome(pair, places[0], "skipped", message=EXISTS)
            progress(outcomes[index])
            continue
        first, second, output, *warm = map(_for_workers, (pair.infrared, pair.visible, *places))
        rows.append((index, first, second, output, warm[0] if warm else ""))
    machine = Machine()
    if rows:
        with _session(cluster) as ray:
            for found, told in _told(ray, rows, dict(settings), plan, cluster):
                machine = found
                for index, outcome in told:
                    outcomes[index] = _as_asked(outcome, pairs[index], outputs[index])
                    progress(outcomes[index])
    return [outcomes[index] for index in range(len(pairs))], machine


_Row = tuple[int, str, str, str, str]  # index, infrared, visible, output, temperatures or ""
_Told = tuple[Machine, list[tuple[int, Outcome]]]


class _Worker:
    """One process with a model; what is wrong with the model is told by the first answer."""

    def __init__(self, settings: dict[str, Any], plan: Plan, neighbours: int, version: str) -> None:
        from fsidfusion.runtime.allocator import keep_large_blocks

        self.plan = plan
        self.failure: str | None = None
        if version != __version__:
            self.failure = f"a worker has fsidfusion {__version__}, expected {version}; install the same"
            return
        if settings.get("memory") is None:
            free = int(_SHARE * free_memory() / neighbours)
            settings = {**settings, "memory": resident_memory() + free}
        try:
            self.fuser = Fuser(**settings)
        except FusionError as error:
            self.failure = str(error)
            return
        if self.fuser.device == "cpu":
            keep_large_blocks()
        self.machine = Machine(self.fuser.device, self.fuser.precision, self.fuser.runtime)

    def __call__(self, rows: Any) -> dict[str, list[bytes]]:
        """Fuse the pairs of a table; the answer is one row."""
        if self.failure:
            return {"told": [pickle.dumps(self.failure)]}
        columns = [column.to_pylist() for column in rows.columns]
        indices, infrared, visible, outputs, temperatures = columns
        pairs = [
            Pair(str(i), as_place(one), as_place(other)) for i, one, other in zip(indices, infrared, visible)
        ]
        warm = [as_place(place) for place in temperatures if place]
        places = [as_place(place) for place in outputs]
        outcomes = fuse_stored(self.fuser, pairs, places, self.plan, temperatures=warm)
        told = [  # it was not there before: an earlier worker wrote it, and died
            (i, replace(one, status="fused", message="") if one.status == "skipped" else one)
            for i, one in zip(indices, outcomes)
        ]
        return {"told": [pickle.dumps((self.machine, told))]}


class _Foreman:
    """Drives the workers from within the cluster, for a client that only asks what is new."""

    def __init__(self, *task: Any) -> None:
        ray = _import_ray()
        self.told = _drive(ray, *task)

    def next(self) -> _Told | None:
        """What was told next, or nothing when all is."""
        return next(self.told, None)


def _told(
    ray: Any, rows: list[_Row], settings: dict[str, Any], plan: Plan, cluster: Cluster
) -> Iterator[_Told]:
    """What the workers tell; InputError where they cannot work at all."""
    try:
        if not cluster.address.startswith("ray://"):
            yield from _drive(ray, rows, settings, plan, cluster)
            return
        foreman = ray.remote(num_cpus=0)(_Foreman).remote(rows, settings, plan, cluster)
        try:
            while (told := ray.get(foreman.next.remote())) is not None:
                yield told
        finally:
            ray.kill(foreman)
    except FusionError:
        raise
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, FusionError):
            raise cause from error
        raise InputError(f"Ray stopped ({reason(_last_line(error))}); see its logs") from error


def _drive(
    ray: Any, rows: list[_Row], settings: dict[str, Any], plan: Plan, cluster: Cluster
) -> Iterator[_Told]:
    """All rows by all workers; those whose workers died again and again once more, each alone.

    Alone, since whatever else waits for a worker that dies is taken for dead as well.
    """
    workers, resources = _workers(ray, settings, cluster)
    together = max(1, min(TOGETHER, -(-len(rows) // (_TASKS * workers))))
    left = {row[0]: row for row in rows}
    machine = Machine()
    for size in (together, 1):
        for machine, told in _pass(ray, list(left.values()), settings, plan, size, workers, resources):
            for index, _ in told:
                left.pop(index, None)
            yield machine, told
        if not left:
            return
    why = f"its workers died {_TRIES} times: of memory (`memory`), or in a library; try it by itself"
    lost = []
    for index, infrared, visible, output, _ in left.values():
        pair = Pair(str(index), Path(infrared), Path(visible))
        lost.append((index, Outcome(pair, Path(output), "failed", message=f"{visible}: {why}")))
    yield machine, lost


def _pass(
    ray: Any,
    rows: list[_Row],
    settings: dict[str, Any],
    plan: Plan,
    together: int,
    workers: int,
    resources: dict[str, float],
) -> Iterator[_Told]:
    arrow = required("pyarrow", "Ray Data")
    names = ("index", "infrared", "visible", "output", "temperatures")
    table = arrow.table(dict(zip(names, zip(*rows))))
    blocks = [table.slice(start, together) for start in range(0, len(rows), together)]
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")  # of max_task_retries
    here = max(1, int((os.cpu_count() or 1) // max(resources["num_cpus"], 1)))
    dataset = ray.data.from_arrow(blocks).map_batches(
        _Worker,
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(
            size=min(workers, len(blocks)), max_tasks_in_flight_per_actor=1 if together == 1 else 2
        ),
        fn_constructor_args=(settings, plan, min(workers, here), __version__),
        max_restarts=-1,
        max_task_retries=_TRIES - 1,
        **resources,
    )
    for answer in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for told in answer.column("told").to_pylist():
            content = pickle.loads(told)
            if isinstance(content, str):
                raise InputError(content)
            yield content


def _workers(ray: Any, settings: dict[str, Any], cluster: Cluster) -> tuple[int, dict[str, float]]:
    """How many workers, and what each takes."""
    there = ray.cluster_resources()
    device = str(settings.get("device", "auto"))
    takes: dict[str, float] = {"num_cpus": cluster.threads}
    fit = int(there.get("CPU", 1) // cluster.threads)
    if device.startswith("cuda") or (device == "auto" and there.get("GPU")):
        takes["num_gpus"] = 1
        fit = int(there.get("GPU", 0))
    return cluster.workers or max(1, fit), takes


@contextmanager
def _session(cluster: Cluster) -> Iterator[Any]:
    """Ray, started or reached, and left again; one that the caller has begun stays as it is."""
    ray = _import_ray()
    if ray.is_initialized():
        yield ray
        return
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    with temporary_folder(_short_temporary()) as folder:
        try:
            with _no_native_lines():
                if cluster.address != "ray":
                    ray.init(cluster.address, **quiet)
                elif os.environ.get("RAY_ADDRESS"):
                    ray.init(**quiet)
                else:
                    with _by_itself():
                        ray.init("local", **_own(cluster), _temp_dir=str(folder), **quiet)
        except Exception as error:
            where = (
                "cannot be started" if cluster.address == "ray" else f"is not reached at {cluster.address}"
            )
            raise InputError(f"Ray {where} ({reason(_last_line(error))}); check that it runs") from error
        try:
            yield ray
        finally:
            ray.shutdown()


def _own(cluster: Cluster) -> dict[str, Any]:
    """What a Ray of this run alone has; nothing of it can be reached from another machine."""
    return {
        "num_cpus": max(os.cpu_count() or 1, (cluster.workers or 1) * cluster.threads),
        "object_store_memory": _OBJECTS,
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
    }


@contextmanager
def _by_itself() -> Iterator[None]:
    """Have the Ray that is started here listen on the loopback device alone, and ask for no cloud.

    Ray would give even 127.0.0.1 up for the address that other machines see, and its dashboard, which there
    is also without a page, asks the clouds' own addresses for statistics that are off. No option says so.
    """
    try:
        node = import_module("ray._private.node").Node
        constants: Any = import_module("ray._private.ray_constants")
        server, clusters = node.start_api_server, constants.ENABLE_RAY_CLUSTER
        variable = constants.ENABLE_RAY_CLUSTERS_ENV_VAR  # for the processes that it starts
    except (ImportError, AttributeError) as error:
        raise InputError("this version of Ray cannot be kept to this machine; install another") from error
    node.start_api_server = lambda self, **options: None
    constants.ENABLE_RAY_CLUSTER = False
    before = os.environ.get(variable)
    os.environ[variable] = "0"
    if "RAY_AUTH_TOKEN_PATH" not in os.environ:  # or Ray would write one into the home of the user
        os.environ.setdefault("RAY_AUTH_TOKEN", _TOKEN)
    try:
        yield
    finally:
        node.start_api_server, constants.ENABLE_RAY_CLUSTER = server, clusters
        del os.environ[variable]
        if before is not None:
            os.environ[variable] = before


@contextmanager
def _no_native_lines() -> Iterator[None]:
    """Have Ray's own libraries, which write to the terminal past Python, say what ends them and no more.

    That they were told so is a line, too; a level that the user has set stays, with all lines.
    """
    level = "RAY_BACKEND_LOG_LEVEL"
    if level in os.environ:
        yield
        return
    os.environ[level] = "fatal"
    sys.stderr.flush()
    terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)
        del os.environ[level]


def _import_ray() -> Any:
    """Ray with Ray Data, quiet: no statistics of use leave the machine, no bars, no log on the terminal."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    ray = required("ray", "`on` ray")
    required("pyarrow", "`on` ray")
    data = required("ray.data", "`on` ray")
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with suppress(ImportError, AttributeError):  # it would print on standard output when a worker dies
        worker = import_module("ray._private.worker")
        worker.print_to_stdstream = lambda *told, **how: None  # type: ignore[attr-defined]
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1
    return ray


def _for_workers(place: Path) -> str:
    """A place as all workers know it, whatever folder they run in."""
    return str(place if is_address(place) else place.absolute())


def _as_asked(outcome: Outcome, pair: Pair, output: Path) -> Outcome:
    """What a worker told, with the names that the caller gave."""
    message = outcome.message
    for place in (pair.infrared, pair.visible, output):
        message = message.replace(_for_workers(place), str(place))
    return replace(outcome, pair=pair, output=output, message=message)


def _short_temporary() -> str | None:
    return "/tmp" if len(tempfile.gettempdir()) > _LONGEST_TEMPORARY and sys.platform != "win32" else None


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
