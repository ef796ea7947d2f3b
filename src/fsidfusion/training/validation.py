"""Validation during training: fuse the held-out pairs, score them, draw them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from fsidfusion.images.atomic import whole_file
from fsidfusion.images.output_range import RangeMode, apply_range, find_range
from fsidfusion.images.sheet import Labelled, contact_sheet
from fsidfusion.metrics import mean_scores, score
from fsidfusion.training.patches import PatchCache

SHOWN = 4


@dataclass(frozen=True)
class Validation:
    """How the held-out pairs come out at a step."""

    step: int
    range: RangeMode  # the output mapping that was scored
    means: dict[str, dict[str, float]]  # set: metric: mean; empty where nothing is held out
    sheet: Path  # contact sheet, which is not there either then


def validate(
    network: nn.Module,
    cache: PatchCache,
    run: Path,
    step: int,
    per_set: int = 20,
    mode: RangeMode = "percentile",
    on_pair: Callable[[int, int], None] | None = None,
) -> Validation:
    """Score the validation items of each set with the eleven metrics, at most ``per_set`` of a set.

    ``on_pair`` is told how many are done, and of how many. Draws ``run/validation/STEP.png``: sources and
    result, a few of each set.
    """
    scores: dict[str, list[dict[str, float]]] = {}
    rows: list[list[Labelled]] = []
    by_set: dict[str, list[int]] = {}
    for position in cache.positions("validation"):
        by_set.setdefault(cache.items[position].set, []).append(position)
    chosen = [position for positions in by_set.values() for position in positions[:per_set]]
    for number, position in enumerate(chosen):
        item = cache.items[position]
        done = scores.setdefault(item.set, [])
        infrared, visible = cache[position]
        fused = fuse_luma(network, infrared, visible)
        mapped = apply_range(fused, find_range(fused, mode))
        picture = np.rint(mapped * 255).astype(np.uint8)
        done.append(score(picture, infrared, visible, pair=f"{item.set}/{item.source}"))
        if len(done) <= SHOWN:
            rows.append([(f"{item.set}/{item.source}", infrared), ("", visible), ("fused", picture)])
        if on_pair:
            on_pair(number + 1, len(chosen))
    means = {name: mean_scores(entries)[0] for name, entries in scores.items()}
    sheet = run / "validation" / f"{step:08d}.png"
    if rows:
        sheet.parent.mkdir(exist_ok=True)
        with whole_file(sheet) as file:
            Image.fromarray(contact_sheet(rows, 160)).save(file, "PNG")
    return Validation(step, mode, means, sheet)


@torch.no_grad()
def fuse_luma(
    network: nn.Module, infrared: NDArray[np.uint8], visible: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """The network's output (H, W) for one uint8 pair, before the output mapping."""
    device = next(network.parameters()).device
    multiple = int(network.size_multiple)  # type: ignore[arg-type]
    height, width = infrared.shape
    padding = (0, -width % multiple, 0, -height % multiple)
    sides = [
        F.pad(
            torch.from_numpy(np.array(side))[None, None].to(device).float() / 255, padding, mode="replicate"
        )
        for side in (infrared, visible)
    ]
    fused = network(*sides)[0, 0, :height, :width]
    return fused.float().clamp(0, 1).cpu().numpy()
