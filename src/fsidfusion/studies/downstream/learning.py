"""Training a learner of a downstream task in a folder of its own, by the loop of all trainings."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from fsidfusion.training.checkpoint import open_run
from fsidfusion.training.loop import Progress, Reached, Task, fit
from fsidfusion.training.stops import StopRequested

CHECKPOINT_MINUTES = 1.0

Network = TypeVar("Network", bound=nn.Module)
Batch = TypeVar("Batch")


def learn(
    task: Task[Network, Batch],
    folder: Path | None,
    identity: Mapping[str, Any],
    deadline: float,
    on_step: Callable[[Progress], None],
) -> Reached[Network]:
    """Train; in a folder with a checkpoint a minute, from which a training of the same identity goes on.

    Raises:
        InputError: the folder cannot be written, is in use or holds another training, or a diverged training.
    """
    plain = {name: asdict(value) if is_dataclass(value) else value for name, value in identity.items()}  # type: ignore[arg-type]
    with open_run(folder, plain) if folder else nullcontext() as run:
        return fit(
            task,
            run,
            deadline=deadline,
            checkpoint_minutes=CHECKPOINT_MINUTES,
            on_step=lambda progress, network: on_step(progress),
        )


def trained(reached: Reached[Network]) -> Network:
    """The network of a training that ran to its end. StopRequested where it did not."""
    if not reached.finished:
        raise StopRequested(reached.stopped)
    return reached.network
