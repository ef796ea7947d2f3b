"""The training loop: any network, any stage, any number of processes; it stops and resumes at any step.

What a step computes depends on the configuration and the step's number alone (crops, learning rate), so a
resumed run on a CPU gives the very weights of an uninterrupted one.
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fsidfusion.errors import InputError
from fsidfusion.network.checkpoint import build_model, load_model, save_weights
from fsidfusion.runtime.allocator import keep_large_blocks
from fsidfusion.runtime.device import choose_device
from fsidfusion.training import stages, state
from fsidfusion.training.patches import CropSampler, PatchCache
from fsidfusion.training.presets import TrainConfig, load_config
from fsidfusion.training.processes import agree, joined, stop_requests
from fsidfusion.training.record import Progress, Record, disk_errors
from fsidfusion.training.run_report import reported
from fsidfusion.training.schedule import Plan, learning_rate, plan_of
from fsidfusion.training.validation import Validation, validate

EXPLODED = 1e4  # times the running mean of the gradient norm


def train(
    config: TrainConfig,
    cache: PatchCache,
    run: Path,
    *,
    resume: bool = True,
    max_minutes: float | None = None,
    device: str = "cpu",
    tensorboard: bool = False,
    on_step: Callable[[Progress], None] | None = None,
    on_validation: Callable[[int, int], None] | None = None,
) -> Path:
    """Train a network, or go on with a run that was stopped.

    Args:
        config: what to do; when a run is resumed it must be the stored one.
        cache: the training pairs; its ``validation`` split is only looked at.
        run: folder of the run; made when absent.
        resume: go on from the newest checkpoint in ``run``; without it a run that has checkpoints is refused.
        max_minutes: stop with a checkpoint after so long.
        device: ``cpu``, ``cuda`` or ``mps``; with torchrun each process takes its own GPU.
        tensorboard: also write TensorBoard's events to ``run/tensorboard``.
        on_step: called after every step on the first process.
        on_validation: called there with the number of validated pairs, and of how many.

    Returns:
        ``run/weights.safetensors`` when all steps are done, else the checkpoint folder that it stopped at.
        The weights of the end of stage I are kept as ``run/stage-one.safetensors``, and however the run
        ends, ``run/report.html`` shows it.

    Raises:
        InputError: for a configuration, cache, checkpoint or disk that cannot be used, and for a diverged
            run.
    """
    keep_large_blocks()
    with joined(device) as (rank, world):
        return _train(
            config, cache, run, resume, max_minutes, device, tensorboard, on_step, on_validation, rank, world
        )


def _train(
    config: TrainConfig,
    cache: PatchCache,
    run: Path,
    resume: bool,
    max_minutes: float | None,
    device: str,
    tensorboard: bool,
    on_step: Callable[[Progress], None] | None,
    on_validation: Callable[[int, int], None] | None,
    rank: int,
    world: int,
) -> Path:
    """One process's part of :func:`train`."""
    target = torch.device(device, torch.cuda.current_device()) if world > 1 and device == "cuda" else None
    target = target or choose_device(device)
    share = config.batch // config.accumulate
    if share % world:
        raise InputError(f"batch {share} per pass cannot be shared by {world} processes; choose a multiple")
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
    torch.manual_seed(config.seed)
    network = _network(config).to(target).train()
    _claim(run, config, resume, rank)
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if world > 1 and target.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    optimizer = _optimizer(config, network)
    ema = {name: value.detach().clone() for name, value in network.state_dict().items()}
    position, found = state.Position(), state.checkpoints(run)
    if found:
        position = state.load_checkpoint(found[-1], network, ema, optimizer)

    def look(step: int) -> Validation:
        shown = _trained(config, ema, network).to(target)
        return validate(shown, cache, run, step, config.validate_pairs, on_pair=on_validation)

    started = saved = time.monotonic()
    first_step, norm_mean = position.step, 0.0
    offset = position.seconds
    checkpoint, weights = found[-1] if found else run, run / "weights.safetensors"
    if position.step == plan.steps and weights.exists():
        with reported(run, rank == 0):
            return weights
    with (
        reported(run, rank == 0),
        stop_requests() as stop,
        disk_errors(run),
        Record(run, position.step, tensorboard, rank == 0) as record,
    ):
        while position.step < plan.steps:
            step = position.step
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, plan, step, group["part"])
            losses = _backward(network, sampler, step, plan, config, target, rank, world)
            norm = _clip(optimizer, config.clip)
            if not math.isfinite(norm) or (norm_mean > 0 and norm > EXPLODED * norm_mean):
                raise InputError(
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
                record.add_step(progress, position.seconds)
                if on_step:
                    on_step(progress)
                if step + 1 == plan.reconstruction and plan.fusion:
                    _export(config, ema, network, run / "stage-one.safetensors", position)
                if config.validate_every and (step + 1) % config.validate_every == 0:
                    record.add_validation(look(step + 1))
            out_of_time = stop.is_set() or (max_minutes is not None and now - started > 60 * max_minutes)
            if agree(out_of_time or now - saved > 60 * config.checkpoint_minutes, world, target):
                if rank == 0:
                    checkpoint = state.save_checkpoint(run, position, network, ema, optimizer)
                saved = time.monotonic()
            if agree(out_of_time, world, target):
                return checkpoint
        if rank == 0:
            state.save_checkpoint(run, position, network, ema, optimizer)
            record.add_validation(look(position.step))
            _export(config, ema, network, weights, position)
    return weights


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
    """The network at its start; InputError where it cannot do what the configuration asks of it."""
    if config.init:
        network = load_model(config.init)
        if network.architecture != config.network:
            raise InputError(
                f"init {config.init} holds {network.architecture}, but the run trains {config.network}"
            )
    else:
        try:
            network = build_model(config.network, config.network_options)
        except (ValueError, RuntimeError) as error:
            raise InputError(f"network_options of {config.network}: {error}") from error
    multiple, smallest = int(network.size_multiple), int(network.minimum_size)  # type: ignore[arg-type]
    if config.crop % multiple or config.crop < smallest:
        raise InputError(
            f"crop is {config.crop}; {config.network} takes multiples of {multiple}, at least {smallest}"
        )
    held = config.reconstruction_epochs or (config.fusion_epochs and config.reconstruction_weight)
    if held and not hasattr(network, "reconstruct"):
        raise InputError(
            f"{config.network} does not reconstruct its inputs; set reconstruction_epochs=0 and "
            "reconstruction_weight=0"
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


def _trained(config: TrainConfig, ema: dict[str, Tensor], network: nn.Module) -> nn.Module:
    """A network with the weights to be judged and kept: the averaged ones where there are any."""
    trained = build_model(config.network, network.config)  # type: ignore[arg-type]
    trained.load_state_dict(ema if config.ema else network.state_dict())
    return trained.eval()


def _export(
    config: TrainConfig, ema: dict[str, Tensor], network: nn.Module, path: Path, position: state.Position
) -> None:
    note = {"steps": str(position.step), "seed": str(config.seed)}
    save_weights(path, _trained(config, ema, network), note)


def _claim(run: Path, config: TrainConfig, resume: bool, rank: int) -> None:
    """Take the run folder: a new one, or a stopped one with the same configuration."""
    stored = run / "config.yaml"
    if state.checkpoints(run):
        if not resume:
            raise InputError(
                f"{run} holds a run already; resume it with --resume auto or choose another folder"
            )
        if stored.exists() and load_config(str(stored)) != config:
            raise InputError(
                f"{run} was started with another configuration ({stored}); use it or another folder"
            )
    if rank == 0:
        try:
            run.mkdir(parents=True, exist_ok=True)
            config.save(stored)
        except OSError as error:
            raise InputError(f"cannot write to the run folder {run}: {error.strerror}") from error
