"""The training loop: any network, any stage, any number of processes; it stops and resumes at any step.

What a step computes depends on the configuration and the step's number alone (crops, learning rate), so a
resumed run on a CPU gives the very weights of an uninterrupted one.
"""

import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fsidfusion.data.patches import CropSampler, PatchCache
from fsidfusion.errors import UserError
from fsidfusion.inference.allocator import keep_large_blocks
from fsidfusion.network.checkpoint import build_model, load_model, save_weights
from fsidfusion.training import stages, state
from fsidfusion.training.presets import TrainConfig, load_config
from fsidfusion.training.validation import validate

EXPLODED = 1e4  # times the running mean of the gradient norm


@dataclass(frozen=True)
class Progress:
    """What a watcher is told after a step: position, stage, weighted losses, speed, seconds left."""

    step: int
    steps: int
    stage: str
    losses: dict[str, float]
    gradient_norm: float
    learning_rate: float
    pairs_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Plan:
    """The steps of a run, from its configuration and data."""

    steps_per_epoch: int
    reconstruction: int
    fusion: int

    @property
    def steps(self) -> int:
        """All steps of both stages."""
        return self.reconstruction + self.fusion

    def stage(self, step: int) -> str:
        """``reconstruct`` (stage I) or ``fuse`` (stage II) at a step counted from 0."""
        return "reconstruct" if step < self.reconstruction else "fuse"


def plan_of(config: TrainConfig, sampler: CropSampler) -> Plan:
    """How many steps each stage has."""
    per_epoch = config.steps_per_epoch or sampler.steps_per_epoch
    plan = Plan(per_epoch, config.reconstruction_epochs * per_epoch, config.fusion_epochs * per_epoch)
    if plan.steps == 0:
        raise UserError("reconstruction_epochs and fusion_epochs are both 0; there is nothing to train")
    return plan


def learning_rate(config: TrainConfig, plan: Plan, step: int, part: str) -> float:
    """The rate of one part of the network at a step.

    ``step``: halved every ``halve_every`` epochs, from the start of the run, or for the fusion layer
    (``specific_fusion``) from the start of stage II, as published. ``cosine``: each stage falls to the floor.
    """
    in_stage = step if step < plan.reconstruction else step - plan.reconstruction
    rate = config.learning_rate
    if config.schedule == "step":
        since = in_stage if part == "specific_fusion" else step
        rate *= 0.5 ** (since // (plan.steps_per_epoch * config.halve_every))
        rate = max(rate, config.learning_rate_floor)
    else:
        length = plan.reconstruction if step < plan.reconstruction else plan.fusion
        fall = 0.5 * (1 + math.cos(math.pi * in_stage / length))
        rate = config.learning_rate_floor + (rate - config.learning_rate_floor) * fall
    return rate * min(1.0, (in_stage + 1) / config.warmup_steps) if config.warmup_steps else rate


def train(
    config: TrainConfig,
    cache: PatchCache,
    run: Path,
    *,
    resume: bool = True,
    max_minutes: float | None = None,
    device: str = "cpu",
    on_step: Callable[[Progress], None] | None = None,
) -> Path:
    """Train a network, or go on with a run that was stopped.

    Args:
        config: what to do; when a run is resumed it must be the stored one.
        cache: the training pairs; its ``validation`` split is only looked at.
        run: folder of the run; made when absent.
        resume: go on from the newest checkpoint in ``run``; without it a run that has checkpoints is refused.
        max_minutes: stop with a checkpoint after so long.
        device: ``cpu``, ``cuda`` or ``mps``; with torchrun each process takes its own GPU.
        on_step: called after every step on the first process.

    Returns:
        ``run/weights.safetensors`` when all steps are done, else the checkpoint folder that it stopped at.

    Raises:
        UserError: for a configuration, cache, checkpoint or disk that cannot be used, and for a diverged run.
    """
    keep_large_blocks()
    with _processes(device) as (rank, world):
        return _train(config, cache, run, resume, max_minutes, device, on_step, rank, world)


def _train(
    config: TrainConfig,
    cache: PatchCache,
    run: Path,
    resume: bool,
    max_minutes: float | None,
    device: str,
    on_step: Callable[[Progress], None] | None,
    rank: int,
    world: int,
) -> Path:
    """One process's part of :func:`train`."""
    target = torch.device(device, torch.cuda.current_device()) if device == "cuda" else torch.device(device)
    share = config.batch // config.accumulate
    if share % world:
        raise UserError(f"batch {share} per pass cannot be shared by {world} processes; choose a multiple")
    sampler = CropSampler(
        cache,
        config.crop,
        config.batch,
        config.seed,
        config.set_weights or None,
        config.augment,
        config.min_std,
    )
    plan = plan_of(config, sampler)
    _claim(run, config, resume, rank)

    torch.manual_seed(config.seed)
    network = _network(config).to(target).train()
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if world > 1 and target.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    optimizer = _optimizer(config, network)
    ema = {name: value.detach().clone() for name, value in network.state_dict().items()}
    position, found = state.Position(), state.checkpoints(run)
    if found:
        position = state.load_checkpoint(found[-1], network, ema, optimizer)

    started = saved = time.monotonic()
    first_step, norm_mean = position.step, 0.0
    offset = position.seconds
    log = (run / "metrics.jsonl").open("a") if rank == 0 else None
    checkpoint = found[-1] if found else run
    with _interrupts() as stop, nullcontext() if log is None else log:
        while position.step < plan.steps:
            step = position.step
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, plan, step, group["part"])
            losses = _backward(network, sampler, step, plan, config, target, rank, world)
            norm = _clip(optimizer, config.clip)
            if not math.isfinite(norm) or (norm_mean > 0 and norm > EXPLODED * norm_mean):
                raise UserError(
                    f"training diverged at step {step}: gradient norm {norm:.3g}, losses "
                    f"{ {k: round(v, 5) for k, v in losses.items()} }; last good checkpoint: {checkpoint}; "
                    "lower learning_rate and resume"
                )
            norm_mean = norm if norm_mean == 0 else 0.99 * norm_mean + 0.01 * norm
            optimizer.step()
            _average(ema, network, config.ema, step)
            position = state.Position(step + 1, offset + time.monotonic() - started)
            now = time.monotonic()
            if rank == 0:
                speed = (step + 1 - first_step) / (now - started)
                left = (plan.steps - step - 1) / speed
                rate = optimizer.param_groups[0]["lr"]
                progress = Progress(
                    step + 1, plan.steps, plan.stage(step), losses, norm, rate, speed * config.batch, left
                )
                _write(log, progress, position)
                if on_step:
                    on_step(progress)
                if config.validate_every and (step + 1) % config.validate_every == 0:
                    _validate(config, ema, network, cache, run, step + 1, target)
            out_of_time = stop.is_set() or (max_minutes is not None and now - started > 60 * max_minutes)
            if _agree(out_of_time or now - saved > 60 * config.checkpoint_minutes, world, target):
                if rank == 0:
                    checkpoint = state.save_checkpoint(run, position, network, ema, optimizer)
                saved = time.monotonic()
            if _agree(out_of_time, world, target):
                return checkpoint
    weights = run / "weights.safetensors"
    if rank == 0:
        state.save_checkpoint(run, position, network, ema, optimizer)
        _validate(config, ema, network, cache, run, position.step, target)
        final = _network(config)
        final.load_state_dict(ema if config.ema else network.state_dict())
        save_weights(weights, final, {"steps": str(position.step), "seed": str(config.seed)})
    return weights


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM let the step end and be saved; a second Ctrl-C stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    handlers: dict[signal.Signals, Any] = {}

    def ask(number: int, frame: object) -> None:
        stop.set()
        signal.signal(number, handlers[signal.Signals(number)])

    for number in (signal.SIGINT, signal.SIGTERM):
        handlers[number] = signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _backward(
    network: nn.Module,
    sampler: CropSampler,
    step: int,
    plan: Plan,
    config: TrainConfig,
    device: torch.device,
    rank: int,
    world: int,
) -> dict[str, float]:
    """Gradients of one step, averaged over passes and processes; the weighted losses, averaged likewise."""
    stage = stages.reconstruct if plan.stage(step) == "reconstruct" else stages.fuse
    per_pass = config.batch // config.accumulate
    per_rank = per_pass // world
    autocast = torch.autocast(device.type, torch.bfloat16) if config.precision == "bf16" else nullcontext()
    network.zero_grad(set_to_none=True)
    losses: dict[str, Tensor] = {}
    for i in range(config.accumulate):
        start = i * per_pass + rank * per_rank
        crops = sampler(step, slice(start, start + per_rank))
        infrared, visible = (torch.from_numpy(side).to(device).float() / 255 for side in crops)
        with autocast:
            terms = stage(network, infrared, visible, config)
        (stages.total(terms) / config.accumulate).backward()
        for name, term in terms.items():
            losses[name] = (
                losses.get(name, torch.zeros((), device=device)) + term.detach() / config.accumulate
            )
    if world > 1:
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients] + [torch.stack(list(losses.values()))])
        dist.all_reduce(flat)
        flat /= world
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients] + [len(losses)])):
            gradient.copy_(part.view_as(gradient))
        losses = dict(zip(losses, flat[-len(losses) :]))
    return {name: float(value) for name, value in losses.items()}


def _network(config: TrainConfig) -> nn.Module:
    if not config.init:
        return build_model(config.network, config.network_options)
    network = load_model(config.init)
    if network.architecture != config.network:
        raise UserError(
            f"init {config.init} holds {network.architecture}, but the run trains {config.network}"
        )
    return network


def _optimizer(config: TrainConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Adam (AdamW with a weight decay), one group for each part (child module) of the network."""
    groups = [
        {"params": [p for p in child.parameters() if p.requires_grad], "part": name}
        for name, child in network.named_children()
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
    )


def _clip(optimizer: torch.optim.Optimizer, limit: float) -> float:
    """Clip the gradient norm of each part to ``limit`` (0: leave it); return the norm of all before that."""
    norms = []
    for group in optimizer.param_groups:
        gradients = [p for p in group["params"] if p.grad is not None]
        if gradients:
            norms.append(torch.nn.utils.clip_grad_norm_(gradients, limit if limit > 0 else math.inf))
    return float(torch.stack(norms).norm()) if norms else 0.0


@torch.no_grad()
def _average(ema: dict[str, Tensor], network: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average with a ramp: young averages follow faster. Counters are copied."""
    decay = min(decay, (1 + step) / (10 + step))
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            ema[name].lerp_(value, 1 - decay)
        else:
            ema[name].copy_(value)


def _validate(
    config: TrainConfig,
    ema: dict[str, Tensor],
    network: nn.Module,
    cache: PatchCache,
    run: Path,
    step: int,
    device: torch.device,
) -> None:
    shown = build_model(config.network, config.network_options).to(device)
    shown.load_state_dict(ema if config.ema else network.state_dict())
    validate(shown.eval(), cache, run, step)


def _claim(run: Path, config: TrainConfig, resume: bool, rank: int) -> None:
    """Take the run folder: a new one, or a stopped one with the same configuration."""
    stored = run / "config.yaml"
    if state.checkpoints(run):
        if not resume:
            raise UserError(
                f"{run} holds a run already; resume it with --resume auto or choose another folder"
            )
        if stored.exists() and load_config(str(stored)) != config:
            raise UserError(
                f"{run} was started with another configuration ({stored}); use it or another folder"
            )
    if rank == 0:
        try:
            run.mkdir(parents=True, exist_ok=True)
            config.save(stored)
        except OSError as error:
            raise UserError(f"cannot write to the run folder {run}: {error.strerror}") from error


@contextmanager
def _processes(device: str) -> Iterator[tuple[int, int]]:
    """This process's rank and the number of processes; joins the group that torchrun describes.

    The group is left together: a process that ended with its connections open would be aborted by them.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0, 1
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _agree(flag: bool, world: int, device: torch.device) -> bool:
    """The first process decides for all, since clocks differ."""
    if world == 1:
        return flag
    shared = torch.tensor(float(flag), device=device)
    dist.broadcast(shared, 0)
    return bool(shared)


def _write(log: TextIO | None, progress: Progress, position: state.Position) -> None:
    line = {
        "step": progress.step,
        "stage": progress.stage,
        "seconds": round(position.seconds, 2),
        "lr": progress.learning_rate,
        "gradient_norm": progress.gradient_norm,
        **{name: round(value, 6) for name, value in progress.losses.items()},
    }
    print(json.dumps(line), file=log, flush=progress.step % 20 == 0)
