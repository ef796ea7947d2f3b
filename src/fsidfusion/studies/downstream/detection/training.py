"""Training a detector afresh on the frames of one input, and looking for objects with it."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, max_pool2d

from fsidfusion.errors import InputError
from fsidfusion.evaluation.boxes import Boxes, suppress
from fsidfusion.runtime.device import choose_device, choose_precision
from fsidfusion.studies.downstream.detection.canvas import Canvas, Chances, disturb, fit, stack
from fsidfusion.studies.downstream.detection.config import DetectConfig
from fsidfusion.studies.downstream.detection.network import STRIDE, Detector
from fsidfusion.studies.downstream.detection.targets import draw_targets, generalised_overlap
from fsidfusion.studies.downstream.inputs import Frame
from fsidfusion.studies.downstream.learning import learn
from fsidfusion.training.loop import Progress, Reached, Task, autocast

CANDIDATES = 100  # boxes of a frame, as COCO scores them
CLIP = 10.0  # of the gradient norm
OVERLAP = 0.6  # of two boxes of one class of which only one is kept
CHANCES = Chances()


def train_detector(
    frames: Sequence[Frame],
    boxes: Sequence[Boxes],
    classes: int,
    config: DetectConfig,
    seed: int = 0,
    *,
    chances: Chances = CHANCES,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    deadline: float = math.inf,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> Reached[Detector]:
    """Train a detector from random weights, or go on from the newest checkpoint of ``folder``.

    Args:
        frames: (H, W, C) uint8 each, of one number of channels.
        boxes: true boxes of each frame, in its pixels.
        classes: number of classes.
        config: of the training.
        seed: of the weights, the order of the frames and their changes; every input sees the same.
        chances: how frames are changed.
        folder: for checkpoints; none are written without it.
        identity: of the frames and boxes, as JSON holds it; a folder goes on with the same ones only.
        device: ``auto``, ``cpu``, ``cuda`` (``cuda:1``) or ``mps``.
        precision: ``fp32``, ``bf16`` for convolutions, or ``auto``.
        deadline: of time.monotonic(), at which to stop with a checkpoint.
        on_step: called after every step.

    Returns:
        what was reached; its network is the averaged detector in evaluation mode.

    Raises:
        InputError: a size that is no multiple of 16, no boxes at all, a folder with a training of something
            else, or a diverged training.
    """
    config.check()
    if not sum(map(len, boxes)):
        raise InputError(f"none of {len(frames)} frames has an object; there is nothing to learn")
    target = choose_device(device)
    precision = choose_precision(precision, target)
    canvases = [fit(frame, true, config.size) for frame, true in zip(frames, boxes)]
    torch.manual_seed(seed)
    detector = Detector(classes, canvases[0].pixels.shape[2], config.width)
    _measure_levels(detector, canvases)
    detector = detector.to(target, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    per_epoch = math.ceil(len(canvases) / config.batch)
    steps = config.epochs * per_epoch

    def batches(step: int) -> list[list[Canvas]]:
        epoch, place = step - step % per_epoch, step % per_epoch * config.batch
        order = np.random.default_rng((seed, epoch)).permutation(len(canvases))
        rng = np.random.default_rng((seed, step, 1))
        return [[disturb(canvases[i], chances, rng) for i in order[place : place + config.batch]]]

    task = Task(
        detector,
        _optimizer(detector, config),
        steps,
        batches,
        loss=lambda network, batch, step: _loss(network, batch, classes, config, target, precision),
        rate=lambda step, part: config.learning_rate * _rate(step / steps),
        pairs=config.batch,
        clip=CLIP,
        average=1 - 1 / max(1.0, config.average * steps),
        stage=lambda step: "detect",
    )
    whole = {"config": config, "chances": chances, "seed": seed, "precision": precision, **(identity or {})}
    return learn(task, folder, whole, deadline, on_step)


@torch.inference_mode()
def detect(detector: Detector, frames: Sequence[Frame], size: tuple[int, int], batch: int = 8) -> list[Boxes]:
    """Find objects, likeliest first, at most 100 in a frame.

    Args:
        detector: in evaluation mode.
        frames: (H, W, C) uint8 each.
        size: (height, width) that they are scaled to; that of the training.
        batch: frames that go through together.

    Returns:
        for each frame its boxes in its own pixels.
    """
    device = detector.mean.device
    found = []
    for start in range(0, len(frames), batch):
        part = [frames[place] for place in range(start, min(start + batch, len(frames)))]
        canvases = [fit(frame, Boxes.true((), ()), size) for frame in part]
        pixels = torch.from_numpy(stack(canvases)).to(device).float()
        logits, corners = detector(pixels.contiguous(memory_format=torch.channels_last))
        for frame, canvas, heat, sides in zip(part, canvases, logits.sigmoid(), corners):
            raw = _peaks(heat, sides)
            height, width = frame.shape[:2]
            within = np.clip(raw.corners / canvas.scale, 0, (width, height, width, height))
            boxes = Boxes(within.astype(np.float32), raw.classes, raw.scores)
            beside = np.any(boxes.corners[:, 2:] <= boxes.corners[:, :2], axis=1)  # the frame
            found.append(suppress(boxes[~beside], OVERLAP))
    return found


def _peaks(heat: Tensor, corners: Tensor) -> Boxes:
    """The likeliest cells that are likelier than their neighbours: (classes, H, W), (4, H, W)."""
    height, width = heat.shape[1:]
    peaks = torch.where(max_pool2d(heat[None], 3, 1, 1)[0] == heat, heat, 0.0).flatten()
    scores, places = peaks.topk(min(CANDIDATES, peaks.numel()))
    cells = places % (height * width)
    return Boxes(
        corners.flatten(1)[:, cells].T.cpu().numpy(),
        (places // (height * width)).cpu().numpy(),
        scores.cpu().numpy(),
    )


def _loss(
    detector: Detector,
    batch: Sequence[Canvas],
    classes: int,
    config: DetectConfig,
    device: torch.device,
    precision: str,
) -> dict[str, Tensor]:
    """Focal loss of the likelihoods (as in CenterNet) and GIoU of the boxes, over a batch."""
    height, width = (side // STRIDE for side in config.size)
    drawn = [draw_targets(canvas.boxes, classes, height, width, STRIDE) for canvas in batch]
    heat, corners, weights = (
        torch.from_numpy(np.stack([getattr(target, name) for target in drawn])).to(device)
        for name in ("heat", "corners", "weights")
    )
    pixels = torch.from_numpy(stack(batch)).to(device).float().contiguous(memory_format=torch.channels_last)
    with autocast(device, precision):
        logits, found = detector(pixels)
    likely = logits.sigmoid()
    centre = heat == 1
    right = -((1 - likely) ** 2) * logsigmoid(logits)
    wrong = -((1 - heat) ** 4) * likely**2 * logsigmoid(-logits)
    likelihood = torch.where(centre, right, wrong).sum() / centre.sum().clamp_min(1)
    held = weights > 0
    overlaps = generalised_overlap(found.movedim(1, -1)[held], corners.movedim(1, -1)[held])
    boxes = ((1 - overlaps) * weights[held]).sum() / weights.sum().clamp_min(1e-6)
    return {"likelihood": likelihood, "boxes": config.box_weight * boxes}


def _measure_levels(detector: Detector, canvases: Sequence[Canvas]) -> None:
    """Mean and deviation of every channel over the training frames."""
    levels = np.stack([canvas.pixels for canvas in canvases]).reshape(-1, canvases[0].pixels.shape[2])
    detector.mean.copy_(torch.from_numpy(levels.mean(0)))
    detector.deviation.copy_(torch.from_numpy(levels.std(0).clip(1.0)))


def _optimizer(detector: Detector, config: DetectConfig) -> torch.optim.Optimizer:
    """AdamW; offsets and the factors of normalisation do not decay."""
    decayed = [weight for weight in detector.parameters() if weight.ndim > 1]
    free = [weight for weight in detector.parameters() if weight.ndim <= 1]
    groups = [
        {"params": decayed, "part": "", "weight_decay": config.weight_decay},
        {"params": free, "part": "", "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _rate(share: float) -> float:
    """Of the greatest rate, at a share of the training."""
    rise = 0.05
    if share < rise:
        return 0.01 + 0.99 * share / rise
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - rise) / (1 - rise)))
