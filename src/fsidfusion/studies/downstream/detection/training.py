"""Training a detector afresh on the frames of one input, and looking for objects with it."""

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, max_pool2d

from fsidfusion.errors import InputError
from fsidfusion.studies.downstream.detection.boxes import Boxes, draw_targets, generalised_overlap, suppress
from fsidfusion.studies.downstream.detection.canvas import Canvas, Chances, disturb, fit, stack
from fsidfusion.studies.downstream.detection.network import MULTIPLE, STRIDE, Detector
from fsidfusion.studies.downstream.inputs import Frame

CANDIDATES = 100  # boxes of a frame, as COCO scores them
OVERLAP = 0.6  # of two boxes of one class of which only one is kept


@dataclass(frozen=True)
class Schedule:
    """How a detector is trained; the same for every input."""

    size: tuple[int, int] = (240, 320)
    """height and width that frames are scaled to, multiples of 16"""
    epochs: int = 80
    """passes over the training frames"""
    batch: int = 8
    """frames of a step"""
    learning_rate: float = 2e-3
    """greatest rate of AdamW; it rises over the first twentieth and falls as a cosine"""
    weight_decay: float = 0.02
    """of AdamW"""
    width: int = 16
    """channels of the first layer"""
    average: float = 0.1
    """share of the steps that the moving average of the weights, which is the detector, reaches back"""
    box_weight: float = 4.0
    """of the loss of the boxes beside that of the likelihoods"""


SCHEDULE = Schedule()
CHANCES = Chances()


def train_detector(
    frames: Sequence[Frame],
    boxes: Sequence[Boxes],
    classes: int,
    schedule: Schedule = SCHEDULE,
    seed: int = 0,
    device: str = "cpu",
    precision: str = "fp32",
    chances: Chances = CHANCES,
    tick: Callable[[float], None] = lambda share: None,
) -> Detector:
    """Train a detector from random weights.

    Args:
        frames: (H, W, C) uint8 each, of one number of channels.
        boxes: true boxes of each frame, in its pixels.
        classes: number of classes.
        schedule: of the training.
        seed: of the weights, the order of the frames and their changes; every input sees the same.
        device: ``cpu``, ``cuda`` or ``mps``.
        precision: ``fp32``, or ``bf16`` for convolutions.
        chances: how frames are changed.
        tick: told the share that is done after every step.

    Returns:
        the averaged detector in evaluation mode.

    Raises:
        InputError: a size that is no multiple of 16, no boxes at all, or a diverged training.
    """
    if any(side % MULTIPLE or side <= 0 for side in schedule.size):
        raise InputError(f"size {schedule.size} should be two multiples of {MULTIPLE}, such as 240 320")
    if not sum(map(len, boxes)):
        raise InputError(f"none of {len(frames)} frames has an object; there is nothing to learn")
    canvases = [fit(frame, true, schedule.size) for frame, true in zip(frames, boxes)]
    torch.manual_seed(seed)
    detector = Detector(classes, canvases[0].pixels.shape[2], schedule.width)
    _measure_levels(detector, canvases)
    detector.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = copy.deepcopy(detector).eval()
    optimizer = _optimizer(detector, schedule)
    per_epoch = math.ceil(len(canvases) / schedule.batch)
    steps = schedule.epochs * per_epoch
    detector.train()
    for step in range(steps):
        if step % per_epoch == 0:
            order = np.random.default_rng((seed, step)).permutation(len(canvases))
        places = order[step % per_epoch * schedule.batch :][: schedule.batch]
        rng = np.random.default_rng((seed, step, 1))
        batch = [disturb(canvases[place], chances, rng) for place in places]
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * _rate(step / steps)
        loss = _loss(detector, batch, classes, schedule, device, precision)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(detector.parameters(), 10.0))
        if not math.isfinite(norm):
            raise InputError(f"training diverged at step {step} of {steps}; lower the learning rate")
        optimizer.step()
        _follow(averaged, detector, min(1 - 1 / max(1.0, schedule.average * steps), (1 + step) / (10 + step)))
        tick((step + 1) / steps)
    return averaged


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
    detector: Detector, batch: Sequence[Canvas], classes: int, schedule: Schedule, device: str, precision: str
) -> Tensor:
    """Focal loss of the likelihoods (as in CenterNet) and GIoU of the boxes, over a batch."""
    height, width = (side // STRIDE for side in schedule.size)
    drawn = [draw_targets(canvas.boxes, classes, height, width, STRIDE) for canvas in batch]
    heat, corners, weights = (
        torch.from_numpy(np.stack([getattr(target, name) for target in drawn])).to(device)
        for name in ("heat", "corners", "weights")
    )
    pixels = torch.from_numpy(stack(batch)).to(device).float().contiguous(memory_format=torch.channels_last)
    kind = torch.device(device).type
    with torch.autocast(kind, torch.bfloat16) if precision == "bf16" else nullcontext():
        logits, found = detector(pixels)
    likely = logits.sigmoid()
    centre = heat == 1
    right = -((1 - likely) ** 2) * logsigmoid(logits)
    wrong = -((1 - heat) ** 4) * likely**2 * logsigmoid(-logits)
    likelihood = torch.where(centre, right, wrong).sum() / centre.sum().clamp_min(1)
    held = weights > 0
    overlaps = generalised_overlap(found.movedim(1, -1)[held], corners.movedim(1, -1)[held])
    boxes = ((1 - overlaps) * weights[held]).sum() / weights.sum().clamp_min(1e-6)
    return likelihood + schedule.box_weight * boxes


def _measure_levels(detector: Detector, canvases: Sequence[Canvas]) -> None:
    """Mean and deviation of every channel over the training frames."""
    levels = np.stack([canvas.pixels for canvas in canvases]).reshape(-1, canvases[0].pixels.shape[2])
    detector.mean.copy_(torch.from_numpy(levels.mean(0)))
    detector.deviation.copy_(torch.from_numpy(levels.std(0).clip(1.0)))


def _optimizer(detector: Detector, schedule: Schedule) -> torch.optim.Optimizer:
    """AdamW; offsets and the factors of normalisation do not decay."""
    decayed = [weight for weight in detector.parameters() if weight.ndim > 1]
    free = [weight for weight in detector.parameters() if weight.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": schedule.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=schedule.learning_rate)


def _rate(share: float) -> float:
    """Of the greatest rate, at a share of the training."""
    rise = 0.05
    if share < rise:
        return 0.01 + 0.99 * share / rise
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - rise) / (1 - rise)))


@torch.no_grad()
def _follow(averaged: nn.Module, detector: nn.Module, decay: float) -> None:
    for mean, value in zip(averaged.state_dict().values(), detector.state_dict().values()):
        if value.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)
