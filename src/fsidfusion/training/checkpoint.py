"""The folder of a training and its checkpoints: one file holds all that a resumed training needs.

``RUN/checkpoints/STEP.safetensors``, the last two, each written whole or not at all: ``weights/…``,
``average/…`` (where weights are averaged), Adam's moments ``first/…`` and ``second/…``, and as metadata where
the training stands and what it is a training of.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from fsidfusion.errors import InputError
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.lock import alone
from fsidfusion.network.checkpoint import to_bytes

KEEP = 2
T = TypeVar("T")


@dataclass(frozen=True)
class Position:
    """Where a training stands."""

    step: int = 0  # finished ones
    seconds: float = 0.0  # over all sittings
    norm: float = 0.0  # running mean of the gradient norm


class RunFolder:
    """The folder of a training that this process alone writes to; see :func:`open_run`."""

    def __init__(self, path: Path, identity: Mapping[str, Any], writes: bool = True) -> None:
        self.path, self.identity, self.writes = path, identity, writes

    def checkpoints(self) -> list[Path]:
        """The finished checkpoints, oldest first."""
        found = (self.path / "checkpoints").glob("*.safetensors")
        return sorted(path for path in found if path.stem.isdigit())

    @property
    def newest(self) -> Path | None:
        """The newest checkpoint."""
        found = self.checkpoints()
        return found[-1] if found else None

    @property
    def position(self) -> Position:
        """Where the newest checkpoint stands; at the start without one. InputError where it is damaged."""
        return _noted(self.newest, "position", Position) if self.newest else Position()

    def save(
        self,
        position: Position,
        network: nn.Module,
        average: nn.Module | None,
        optimizer: torch.optim.Optimizer,
        buffers: Mapping[str, Tensor] = {},
    ) -> Path:
        """Write a checkpoint, and drop all but the last two.

        ``buffers`` of the network, by name, stand for those that a step at hand is changing.

        Raises:
            InputError: it cannot be written; the earlier ones are as they were.
        """
        path = self.path / "checkpoints" / f"{position.step:08d}.safetensors"
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        weights = {name: buffers.get(name, value) for name, value in network.state_dict().items()}
        tensors = {f"weights/{name}": value for name, value in weights.items()}
        if average is not None:
            tensors |= {f"average/{name}": value for name, value in average.state_dict().items()}
        counts = {}
        for parameter, state in optimizer.state.items():
            name = names[id(parameter)]
            tensors[f"first/{name}"], tensors[f"second/{name}"] = state["exp_avg"], state["exp_avg_sq"]
            counts[name] = int(state["step"])
        noted = {"position": asdict(position), "counts": counts, "identity": self.identity}
        try:
            path.parent.mkdir(exist_ok=True)
            with whole_file(path) as file:
                file.write(to_bytes(tensors, {name: json.dumps(value) for name, value in noted.items()}))
        except OSError as error:
            raise InputError(
                f"cannot write the checkpoint {path} ({error.strerror or error}); the earlier ones are "
                "untouched: make room and run again to go on"
            ) from error
        for old in self.checkpoints()[:-KEEP]:
            old.unlink(missing_ok=True)
        return path

    def restore(
        self, network: nn.Module, average: nn.Module | None, optimizer: torch.optim.Optimizer
    ) -> Position:
        """Put the newest checkpoint, if any, into network, averaged weights and optimiser, in place.

        Raises:
            InputError: it is damaged, or belongs to another network.
        """
        newest = self.newest
        if newest is None:
            return Position()
        with _readable(newest):
            with safe_open(newest, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            counts = _noted(newest, "counts", dict[str, int])
            network.load_state_dict(_part(tensors, "weights"))
            if average is not None:
                average.load_state_dict(_part(tensors, "average"))
            first, second = _part(tensors, "first"), _part(tensors, "second")
            for name, parameter in network.named_parameters():
                if name in counts:
                    optimizer.state[parameter] = {
                        "step": torch.tensor(float(counts[name])),
                        "exp_avg": torch.empty_like(parameter).copy_(first[name]).detach(),
                        "exp_avg_sq": torch.empty_like(parameter).copy_(second[name]).detach(),
                    }
        return self.position


@contextmanager
def open_run(
    path: Path, identity: Mapping[str, Any], *, resume: bool = True, writes: bool = True
) -> Iterator[RunFolder]:
    """Take a folder for a training: a new one, or a stopped one of the same training.

    Args:
        path: made when absent.
        identity: all that decides the training, as JSON holds it; each checkpoint carries it.
        resume: without it a folder that has checkpoints is refused.
        writes: only the first of several processes does.

    Raises:
        InputError: the folder cannot be written, another process trains in it, or it holds another training.
    """
    identity = json.loads(json.dumps(identity))  # as it is read again: tuples are lists
    if not writes:
        yield RunFolder(path, identity, writes)
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to the run folder {path}: {error.strerror}") from error
    with alone(path / ".lock", f"{path} is being trained in by another process"):
        run = RunFolder(path, identity)
        if any(entry.is_dir() and entry.name.isdigit() for entry in (path / "checkpoints").glob("*")):
            raise InputError(f"{path} holds checkpoints of an earlier version; choose another folder")
        if run.newest and not resume:
            raise InputError(
                f"{path} holds a run already; resume it with `resume` auto or choose another folder"
            )
        if run.newest:
            begun = _noted(run.newest, "identity", dict[str, Any])
            changed = [name for name in {**begun, **identity} if begun.get(name) != identity.get(name)]
            if changed:
                raise InputError(
                    f"{path} holds a run of other data or settings ({', '.join(changed)}); choose another "
                    "folder, or remove it"
                )
        yield run


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Whatever is wrong with a checkpoint, as one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"the checkpoint {path} cannot be resumed ({reason}); it is damaged or of another network: "
            "start anew in another folder, or remove it to go on from the one before"
        ) from error


def _noted(path: Path, name: str, model: type[T]) -> T:
    with _readable(path), safe_open(path, "pt") as file:
        return msgspec.convert(json.loads(file.metadata()[name]), model)


def _part(tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    start = f"{kind}/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
