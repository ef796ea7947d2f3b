"""The training loop: one for every task; it stops and resumes at any step.

A task is the batches of a step and the loss of a batch. Both depend on the step's number alone, so a resumed
training on a CPU gives the very weights of an uninterrupted one.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fsidfusion._signals import at_last
from fsidfusion.errors import InputError
from fsidfusion.training.checkpoint import Position, RunFolder
from fsidfusion.training.processes import agree
from fsidfusion.training.stops import StopRequested, stop_requests

EXPLODED = 1e4  # times the running mean of the gradient norm
PATIENCE = 10.0  # seconds that a thread which ends the process waits for what is being written
TIME = -1  # why a training stopped: its time was up

Network = TypeVar("Network", bound=nn.Module)
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Task(Generic[Network, Batch]):
    """What is trained, by what, for how long."""

    network: Network
    """on its device, in training mode"""
    optimizer: torch.optim.Optimizer
    """an Adam; each group has a ``part``: groups of one part are clipped together and share a rate"""
    steps: int
    """of the whole training"""
    batches: Callable[[int], Sequence[Batch]]
    """what this process computes in a step, counted from 0: gradients are the mean over these batches"""
    loss: Callable[[Network, Batch, int], dict[str, Tensor]]
    """the weighted terms of a batch in a step, scalars to be summed"""
    rate: Callable[[int, str], float]
    """learning rate at a step of a part"""
    pairs: int
    """that a step sees, in all batches of all processes; frames, where there are no pairs"""
    clip: float = math.inf
    """largest gradient norm of each part"""
    average: float = 0.0
    """decay of the moving average of the weights, which is then what the training gives; 0: none"""
    stage: Callable[[int], str] = field(default=lambda step: "train")
    """what a step is called"""


@dataclass(frozen=True)
class Progress:
    """What a watcher is told after a step."""

    step: int  # finished ones
    steps: int
    stage: str
    losses: dict[str, float]  # weighted
    gradient_norm: float
    learning_rate: float
    pairs_per_second: float
    seconds: float  # over all sittings
    seconds_left: float


@dataclass(frozen=True)
class Reached(Generic[Network]):
    """How a training, or this sitting of it, ended."""

    step: int  # finished ones
    steps: int
    network: Network  # in evaluation mode; with averaged weights where the task averages them
    stopped: int = 0  # the signal that asked for it, TIME, or 0
    path: Path | None = None  # what to go on from or, of finished weights, their file

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step == self.steps


def fit(
    task: Task[Network, Batch],
    run: RunFolder | None = None,
    *,
    deadline: float = math.inf,
    checkpoint_minutes: float = 5.0,
    on_step: Callable[[Progress, Network], None] = lambda progress, network: None,
    between: Callable[[int, Network], None] = lambda step, network: None,
    world: int = 1,
) -> Reached[Network]:
    """Train, from the newest checkpoint of the run where there is one.

    A stop that is asked for leaves the step at hand, which a resumed training does again.

    Args:
        task: what to train; its network and optimiser are changed in place.
        run: for checkpoints; none are written without it.
        deadline: of time.monotonic(), at which to stop with a checkpoint.
        checkpoint_minutes: between two checkpoints.
        on_step: called after every step, with the network as it would be kept, in evaluation mode where it
            is an average.
        between: called between two steps, and before the first one of a resumed training, with the number of
            finished steps and that network; a stop leaves it, so it may be called again for these steps.
        world: number of processes that train together.

    Raises:
        InputError: a diverged training, or a checkpoint that cannot be read or written.
    """
    network, optimizer = task.network, task.optimizer
    averaged = _averaged(network, task.average) if task.average else None
    average = None if averaged is None else cast(Network, averaged.module)
    kept = network if average is None else average
    position = run.restore(network, average, optimizer) if run else Position()
    if averaged is not None:
        averaged.n_averaged.fill_(position.step + 1)  # the weights at the start count as the first
    device = next(network.parameters()).device
    parts = _parts(network, optimizer)
    first, before = position.step, position.seconds
    home = _Home(task, average, run, position)
    started = saved = time.monotonic()
    stopped, alone = 0, world == 1  # several processes stop together, after a step
    with stop_requests() as stop, at_last(home.keep):
        while position.step < task.steps and not stopped:
            step = position.step
            for group in optimizer.param_groups:
                group["lr"] = task.rate(step, group["part"])
            try:
                with stop.breaking(alone):
                    if step == first > 0:
                        between(step, kept)
                    home.begin()
                    losses = _backward(task, step, world, device)
            except StopRequested:
                home.undo()
                stopped = stop.number
                break
            with home.changing:
                norm = _clip(parts, task.clip)
                if not math.isfinite(norm) or (position.norm > 0 and norm > EXPLODED * position.norm):
                    raise InputError(
                        f"training diverged at step {step}: gradient norm {norm:.3g}, losses "
                        f"{ {k: round(v, 5) for k, v in losses.items()} }; last good checkpoint: "
                        f"{home.path or 'none'}; start again with a lower learning_rate in another folder"
                    )
                optimizer.step()
                if averaged is not None:
                    averaged.update_parameters(network)
                now = time.monotonic()
                mean = 0.99 * position.norm + 0.01 * norm if position.norm else norm
                position = Position(step + 1, before + now - started, mean)
                on_step(_progress(task, position, losses, norm, (step + 1 - first) / (now - started)), kept)
                home.finish(position)
            with suppress(StopRequested), stop.breaking(alone):
                between(step + 1, kept)
            stopped = agree(stop.number or (TIME if time.monotonic() > deadline else 0), world, device)
            if not stopped and position.step < task.steps and now - saved > 60 * checkpoint_minutes:
                home.save()
                saved = time.monotonic()
        home.save()
    return Reached(position.step, task.steps, kept.eval(), stopped, home.path)


class _Home(Generic[Network, Batch]):
    """What a training has finished; it can be written at any time, while the next step is computed too."""

    def __init__(
        self, task: Task[Network, Batch], average: Network | None, run: RunFolder | None, position: Position
    ) -> None:
        self.changing = threading.RLock()  # held where weights, moments or averages change
        self.path = run.newest if run else None
        self._task, self._average, self._run = task, average, run
        self._position = self._saved = position
        self._buffers: dict[str, Tensor] = {}  # as they were: those of norms change in a forward pass

    def begin(self) -> None:
        """A step begins, whose gradients come first."""
        self._buffers = {name: buffer.clone() for name, buffer in self._task.network.named_buffers()}

    def undo(self) -> None:
        """The step at hand is left."""
        for name, buffer in self._task.network.named_buffers():
            if name in self._buffers:
                buffer.copy_(self._buffers[name])
        self._buffers = {}

    def finish(self, position: Position) -> None:
        """The step is done."""
        self._position, self._buffers = position, {}

    def save(self) -> None:
        """Write a checkpoint, where there is something new and a place for it."""
        with self.changing:
            if self._run and self._run.writes and self._position != self._saved:
                network, optimizer = self._task.network, self._task.optimizer
                self.path = self._run.save(self._position, network, self._average, optimizer, self._buffers)
                self._saved = self._position

    def keep(self) -> str:
        """Write a checkpoint from another thread, and let no step end any more."""
        if not self._run or not self.changing.acquire(timeout=PATIENCE):
            return ""
        try:
            self.save()
        except InputError as error:
            return str(error)
        return stopped_after(self._position.step, self._task.steps, self.path)


def stopped_after(step: int, steps: int, path: Path | None, why: str = "") -> str:
    """What is said of a training that was stopped."""
    kept = f", kept in {path}; run again to go on" if path else ": there is nothing to keep yet"
    return f"stopped{why} after {step} of {steps} steps{kept}"


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """The sum of all terms, a scalar."""
    return torch.stack(list(terms.values())).sum()


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Where networks compute in ``precision``: bf16 by autocast, else (fp32) as they are."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def _averaged(network: nn.Module, decay: float) -> AveragedModel:
    """The exponential moving average of weights and buffers, with a ramp: young ones follow faster."""

    @torch.no_grad()
    def follow(means: Sequence[Tensor], values: Sequence[Tensor], number: Tensor | int) -> None:
        weight = 1 - min(decay, int(number) / (9 + int(number)))
        for mean, value in zip(means, values):
            if value.is_floating_point():
                mean.lerp_(value, weight)
            else:  # a counter
                mean.copy_(value)

    return AveragedModel(network, multi_avg_fn=follow, use_buffers=True).eval()


def _backward(task: Task[Network, Batch], step: int, world: int, device: torch.device) -> dict[str, float]:
    """Gradients of one step, averaged over batches and processes; the weighted losses, averaged likewise."""
    network = task.network
    network.zero_grad(set_to_none=True)
    losses: dict[str, Tensor] = {}
    batches = task.batches(step)
    for batch in batches:
        terms = task.loss(network, batch, step)
        (total(terms) / len(batches)).backward()
        for name, term in terms.items():
            losses[name] = losses.get(name, torch.zeros((), device=device)) + term.detach() / len(batches)
    if world > 1:
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients] + [torch.stack(list(losses.values()))])
        dist.all_reduce(flat)
        flat /= world
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients] + [len(losses)])):
            gradient.copy_(part.view_as(gradient))
        losses = dict(zip(losses, flat[-len(losses) :]))
    return {name: float(value) for name, value in losses.items()}


def _parts(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[list[nn.Parameter]]:
    """The parameters of each part, in the order of the network."""
    of = {id(p): group["part"] for group in optimizer.param_groups for p in group["params"]}
    parts: dict[str, list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if id(parameter) in of:
            parts.setdefault(of[id(parameter)], []).append(parameter)
    return list(parts.values())


def _clip(parts: Sequence[Sequence[nn.Parameter]], limit: float) -> float:
    """Clip the gradient norm of each part to ``limit``; return the norm of all before that."""
    norms = []
    for part in parts:
        gradients = [p for p in part if p.grad is not None]
        if gradients:
            norms.append(torch.nn.utils.clip_grad_norm_(gradients, limit))
    return float(torch.stack(norms).norm()) if norms else 0.0


def _progress(
    task: Task[Network, Batch], at: Position, losses: dict[str, float], norm: float, steps_per_second: float
) -> Progress:
    return Progress(
        at.step,
        task.steps,
        task.stage(at.step - 1),
        losses,
        norm,
        task.optimizer.param_groups[0]["lr"],
        steps_per_second * task.pairs,
        at.seconds,
        (task.steps - at.step) / steps_per_second,
    )
