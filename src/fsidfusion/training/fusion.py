"""Training a fusion network: from a configuration and a patch cache to weights, by the loop of all tasks."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fsidfusion.errors import InputError
from fsidfusion.network.checkpoint import build_model, load_model, save_weights
from fsidfusion.runtime.allocator import keep_large_blocks
from fsidfusion.runtime.device import choose_device
from fsidfusion.training import stages
from fsidfusion.training.checkpoint import open_run
from fsidfusion.training.loop import Progress, Reached, Task, autocast, fit
from fsidfusion.training.patches import CropSampler, PatchCache
from fsidfusion.training.presets import TrainConfig, load_config
from fsidfusion.training.processes import joined
from fsidfusion.training.record import Record, disk_errors
from fsidfusion.training.run_report import reported
from fsidfusion.training.schedule import Steps, learning_rate, steps_of
from fsidfusion.training.validation import validate

Crops: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # infrared and visible, (B, 1, crop, crop)


def train(
    config: TrainConfig,
    cache: PatchCache,
    run: Path,
    *,
    resume: bool = True,
    deadline: float = math.inf,
    device: str = "cpu",
    tensorboard: bool = False,
    on_step: Callable[[Progress], None] | None = None,
    on_validation: Callable[[int, int], None] | None = None,
) -> Reached[nn.Module]:
    """Train a network, or go on with a run that was stopped.

    Args:
        config: what to do; when a run is resumed it must be the stored one.
        cache: the training pairs; its ``validation`` split is only looked at.
        run: folder of the run; made when absent.
        resume: go on from the newest checkpoint in ``run``; without it a run that has checkpoints is refused.
        deadline: of time.monotonic(), at which to stop with a checkpoint.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; each process of torchrun takes a GPU.
        tensorboard: also write TensorBoard's events to ``run/tensorboard``.
        on_step: called after every step on the first process.
        on_validation: called there with the number of validated pairs, and of how many.

    Returns:
        what was reached; its path is ``run/weights.safetensors`` when all is done, else the checkpoint at
        which it stopped. The weights of the end of stage I are kept as ``run/stage-one.safetensors``, and
        however the run ends, ``run/report.html`` shows it.

    Raises:
        InputError: for a configuration, cache, checkpoint or disk that cannot be used, for a folder that
            another process trains in, and for a diverged run.
    """
    keep_large_blocks()
    target = choose_device(device)
    with joined(target) as (rank, world):
        if world > 1 and target.type == "cuda":
            if target.index is not None:
                raise InputError(f"device {device}: each process of torchrun takes its own GPU; give cuda")
            target = torch.device("cuda", torch.cuda.current_device())
        task, plan = _task(config, cache, target, rank, world)
        identity = {"pairs": _digest(cache)}
        with (
            open_run(run, identity, resume=resume, writes=rank == 0) as folder,
            reported(run, rank == 0),
            disk_errors(run),
        ):
            done = folder.position.step
            if rank == 0:
                _store(config, run, done)
            weights = run / "weights.safetensors"
            if done == plan.steps and weights.exists():
                return Reached(plan.steps, plan.steps, load_model(weights), path=weights)
            with Record(run, done, tensorboard, rank == 0) as record:

                def look(network: nn.Module, step: int) -> None:
                    kept, pairs = _frozen(config, network).to(target), config.validate_pairs
                    record.add_validation(validate(kept, cache, run, step, pairs, on_pair=on_validation))

                def watch(progress: Progress, network: nn.Module) -> None:
                    if rank:
                        return
                    record.add_step(progress)
                    if on_step:
                        on_step(progress)
                    if progress.step == plan.reconstruction and plan.fusion:
                        _export(config, network, run / "stage-one.safetensors", progress.step)

                def look_if_due(step: int, network: nn.Module) -> None:
                    every = config.validate_every
                    due = every and step % every == 0 and step < plan.steps
                    if due and rank == 0 and step not in record.validated:
                        look(network, step)

                reached = fit(
                    task,
                    folder,
                    deadline=deadline,
                    checkpoint_minutes=config.checkpoint_minutes,
                    on_step=watch,
                    between=look_if_due,
                    world=world,
                )
                if reached.stopped:
                    return reached
                if rank == 0:
                    look(reached.network, reached.step)
                    _export(config, reached.network, weights, reached.step)
    return replace(reached, path=weights)


def _task(
    config: TrainConfig, cache: PatchCache, device: torch.device, rank: int, world: int
) -> tuple[Task[nn.Module, Crops], Steps]:
    """The two stages as a task of the loop, for one of several processes."""
    share = config.batch // (config.accumulate * world)
    if share * config.accumulate * world != config.batch:
        per_pass = config.batch // config.accumulate
        raise InputError(
            f"batch {per_pass} per pass cannot be shared by {world} processes; choose a multiple"
        )
    sampler = CropSampler(
        cache,
        config.crop,
        config.batch,
        config.seed,
        config.set_weights or None,
        config.augment,
        config.min_std,
    )
    plan = steps_of(config, sampler)
    torch.manual_seed(config.seed)
    network = _network(config).to(device).train()
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if world > 1 and device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)

    def batches(step: int) -> list[Crops]:
        starts = (share * (i * world + rank) for i in range(config.accumulate))
        return [sampler(step, slice(start, start + share)) for start in starts]

    def loss(network: nn.Module, crops: Crops, step: int) -> dict[str, Tensor]:
        stage = stages.reconstruct if plan.stage(step) == "reconstruct" else stages.fuse
        infrared, visible = (torch.from_numpy(side).to(device).float() / 255 for side in crops)
        with autocast(device, config.precision):
            return stage(network, infrared, visible, config)

    task = Task(
        network,
        _optimizer(config, network),
        plan.steps,
        batches,
        loss,
        rate=lambda step, part: learning_rate(config, plan, step, part),
        pairs=config.batch,
        clip=config.clip or math.inf,
        average=config.ema,
        stage=plan.stage,
    )
    return task, plan


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


def _frozen(config: TrainConfig, network: nn.Module) -> nn.Module:
    """A network of its own with the weights of one that is being trained."""
    frozen = build_model(config.network, network.config)  # type: ignore[arg-type]
    frozen.load_state_dict(network.state_dict())
    return frozen.eval()


def _export(config: TrainConfig, network: nn.Module, path: Path, steps: int) -> None:
    save_weights(path, _frozen(config, network), {"steps": str(steps), "seed": str(config.seed)})


def _store(config: TrainConfig, run: Path, step: int) -> None:
    """Write ``config.yaml``. InputError where the steps that are done were of another configuration."""
    stored = run / "config.yaml"
    if step and stored.exists() and load_config(str(stored)) != config:
        raise InputError(f"{run} was started with another configuration ({stored}); use it or another folder")
    config.save(stored)


def _digest(cache: PatchCache) -> str:
    """Of the pairs that the crops come from: a resumed run sees what it would have seen."""
    return hashlib.sha256((cache.folder / "index.json").read_bytes()).hexdigest()
