"""Train the segmenter: one schedule for every input; it stops at any step and goes on from there."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fsidfusion.errors import InputError
from fsidfusion.runtime.device import choose_device, choose_precision
from fsidfusion.studies.downstream.inputs import Frame
from fsidfusion.studies.downstream.learning import learn
from fsidfusion.studies.downstream.segmentation.classes import IGNORED, Mask
from fsidfusion.studies.downstream.segmentation.config import STRIDE, SegmentConfig
from fsidfusion.studies.downstream.segmentation.crops import Batch, Crops
from fsidfusion.studies.downstream.segmentation.network import Segmenter
from fsidfusion.training.loop import Progress, Reached, Task, autocast

CLIP = 5.0  # of the gradient norm


def train_segmenter(
    frames: Sequence[Frame],
    masks: Sequence[Mask],
    classes: int,
    config: SegmentConfig,
    seed: int,
    *,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    device: str = "auto",
    deadline: float = math.inf,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> Reached[Segmenter]:
    """Train a segmenter from scratch, or go on from the newest checkpoint of ``folder``.

    Args:
        frames: (H, W, C) uint8 each, all of one C; sizes may differ.
        masks: (H, W) indices of classes or IGNORED, of the same sizes.
        classes: number of classes.
        config: the schedule.
        seed: decides the first weights and all crops.
        folder: for checkpoints; none are written without it.
        identity: of the frames and masks, as JSON holds it; a folder goes on with the same ones only.
        device: ``auto``, ``cpu``, ``cuda`` (``cuda:1``) or ``mps``.
        deadline: of time.monotonic(), at which to stop with a checkpoint.
        on_step: called after every step.

    Returns:
        what was reached; its network is the segmenter in evaluation mode on its device.

    Raises:
        InputError: a wrong configuration, nothing to learn from, a folder with a training of something else,
            a diverged training, and what reading frames raises.
    """
    config.check()
    if not frames or len(frames) != len(masks):
        raise InputError(
            f"{len(frames)} frames and {len(masks)} masks cannot be trained on; give one of each"
        )
    target = choose_device(device)
    torch.manual_seed(seed)
    network = Segmenter(frames[0].shape[2], classes).to(target, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    crops = Crops(frames, masks, config.crop, config.batch, seed)
    weights = class_weights(masks, classes, config).to(target)

    def loss(network: Segmenter, batch: Batch, step: int) -> dict[str, Tensor]:
        pixels, labels = (torch.from_numpy(side).to(target) for side in batch)
        with autocast(target, _precision(target)):
            logits = network(pixels.contiguous(memory_format=torch.channels_last))
        return {"loss": segmentation_loss(logits, labels, weights, config.dice)}

    groups = [{"params": list(network.parameters()), "part": ""}]
    task = Task(
        network,
        torch.optim.AdamW(groups, weight_decay=config.weight_decay),
        config.steps,
        batches=lambda step: [crops(step)],
        loss=loss,
        rate=lambda step, part: learning_rate(config, step),
        pairs=config.batch,
        clip=CLIP,
        stage=lambda step: "segment",
    )
    whole = {"config": config, "seed": seed, "channels": network.channels, "classes": classes}
    return learn(task, folder, {**whole, **(identity or {})}, deadline, on_step)


def learning_rate(config: SegmentConfig, step: int) -> float:
    """The rate at a step counted from 0: a linear rise over the warm-up, then half a cosine to 0."""
    rise = max(1, round(config.warmup * config.steps))
    if step < rise:
        return config.learning_rate * (step + 1) / rise
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, config.steps - rise)))


def class_weights(masks: Sequence[Mask], classes: int, config: SegmentConfig) -> Tensor:
    """Weights (C,) of the cross-entropy: a bounded power of each class's share, of mean 1 over all pixels."""
    counts = sum(np.bincount(mask.ravel(), minlength=256)[:classes] for mask in masks)
    share = np.maximum(
        counts / max(1, int(np.sum(counts))), 1e-4
    )  # a class of ten pixels is no weight of 1e5
    weights = share**-config.rare
    return torch.from_numpy((weights / (share * weights).sum()).astype(np.float32))


def segmentation_loss(logits: Tensor, labels: Tensor, weights: Tensor, dice: float) -> Tensor:
    """Weighted cross-entropy, and 1 - the soft dice of the classes present in the batch times ``dice``.

    Args:
        logits: (B, C, H, W) float32.
        labels: (B, H, W) int64, 0 .. C - 1 or IGNORED.
        weights: (C,) of the cross-entropy.
        dice: weight of the dice term.
    """
    counted = labels != IGNORED
    if not counted.any():
        return 0.0 * logits.sum()
    entropy = F.cross_entropy(logits, labels, weights, ignore_index=IGNORED)
    if not dice:
        return entropy
    shares = logits.softmax(1) * counted[:, None]
    truth = labels.where(counted, 0)
    right = shares.gather(1, truth[:, None]).flatten()  # the share of the true class, 0 where none counts
    number = logits.shape[1]
    overlap = torch.zeros(number, device=logits.device).index_add(0, truth.flatten(), right)
    pixels = torch.bincount(labels[counted], minlength=number)
    present = pixels > 0
    dices = 2 * overlap[present] / (shares.sum((0, 2, 3)) + pixels)[present]
    return entropy + dice * (1 - dices.mean())


@torch.inference_mode()
def predict(network: Segmenter, frame: Frame) -> Mask:
    """The label map (H, W) of indices for a frame (H, W, C) uint8 of any size.

    Raises:
        InputError: a frame of another number of channels.
    """
    if frame.shape[2] != network.channels:
        raise InputError(
            f"this segmenter takes {network.channels} channels, the frames have {frame.shape[2]}"
        )
    device = next(network.parameters()).device
    height, width = frame.shape[:2]
    pixels = torch.from_numpy(frame.transpose(2, 0, 1).astype(np.float32) / 255)[None].to(device)
    padded = F.pad(pixels, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
    with autocast(device, _precision(device)):
        logits = network(padded.contiguous(memory_format=torch.channels_last))
    return logits[0, :, :height, :width].argmax(0).to(torch.uint8).cpu().numpy()


@cache
def _precision(device: torch.device) -> str:
    """bf16 where the device computes in it natively."""
    return choose_precision("auto", device)
