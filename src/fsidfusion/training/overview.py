"""Training of the light network's overview: what it should see in a pair, and the run that teaches it.

The rest of the network stays as it is. Visible crops are degraded by weather whose veil is known, so that
veil and gain have exact targets; people are boxes that were drawn by hand on training pairs
(``recipes/people.json``) and the masks of rendered scenes: where one does not stand out in the fused picture
already, the target sets it off. Clean crops, which are most, must stay clean, and the sky must stay as it is
in any weather: infrared shows it black, so that nothing can be seen behind its veil.

    python -m fsidfusion.training.overview CACHE SCENES NETWORK.safetensors RUN [--steps N]
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

from fsidfusion.errors import InputError
from fsidfusion.images.degrade import degrade
from fsidfusion.network.blocks import within
from fsidfusion.network.checkpoint import load_model, save_weights
from fsidfusion.network.light import MOST_COVER, LightFusion
from fsidfusion.training.patches import PatchCache
from fsidfusion.training.validation import fuse_luma

Plane = NDArray[np.float32]
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

CROP, BATCH = 224, 8
SHARES = {"msrs_full": 0.23, "msrs128": 0.17, "roadscene": 0.17, "scenes": 0.2, "unlabelled": 0.33}
VEILS = ("haze",) * 4 + ("smoke",) * 4 + ("glare", "dark", "noise")  # the last two are not to be undone
CLEAN = 0.65  # share of crops that stay as they are
SMALL = (240, 320)  # what squeezed frames of 128x128 are stretched to


@dataclass(frozen=True)
class Example:
    """A pair with what is to be seen in it, all (H, W): levels 0..1, and where targets are, 0..1."""

    infrared: Plane
    visible: Plane
    fused: Plane  # by the network without an overview
    targets: Plane
    levels: Plane  # that targets are to have
    sky: Plane  # where infrared shows the sky, 0 or 1
    labelled: bool
    veiled: bool  # by smoke that is in the picture, of unknown thickness


def examples(cache: PatchCache, scenes: Path, network: LightFusion) -> dict[str, list[Example]]:
    """The examples of each set of ``SHARES``: labelled and other training pairs, and rendered scenes.

    Raises:
        InputError: a cache without the labelled sets, or a folder without rendered scenes.
    """
    people = json.loads((files("fsidfusion.training") / "recipes" / "people.json").read_text())
    found: dict[str, list[Example]] = {name: [] for name in SHARES}
    for position in cache.positions("train"):
        item = cache.items[position]
        if item.set not in people:
            continue
        infrared, visible = (_plane(side) for side in cache[position])
        boxes = people[item.set].get(item.source)
        if infrared.shape == (128, 128):  # squeezed
            infrared, visible = (_stretched(side) for side in (infrared, visible))
            scale = np.array([SMALL[1], SMALL[0]] * 2) / 128
            boxes = None if boxes is None else [tuple(box * scale) for box in np.array(boxes).reshape(-1, 4)]
        name = "unlabelled" if boxes is None else item.set
        masks = [] if boxes is None else [_by_warmth(infrared, tuple(box), boxes) for box in boxes]
        found[name].append(_example(infrared, visible, masks, network, boxes is not None, False))
    for path in sorted((scenes / "train" / "ir").glob("*.png")):
        names = [path.parents[1] / folder / path.name for folder in ("ir", "vi", "Segmentation_labels")]
        infrared, visible = (_plane(np.asarray(Image.open(name).convert("L"))) for name in names[:2])
        labels = np.asarray(Image.open(names[2]))
        masks = [ndimage.gaussian_filter((labels == 2).astype(np.float32), 0.7)]
        smoke = path.stem.endswith("S")
        found["scenes"].append(_example(infrared, visible, masks, network, True, smoke))
    if empty := [name for name, pairs in found.items() if not pairs]:
        raise InputError(f"there are no training pairs of {', '.join(empty)}; see docs/training.md")
    return found


def _plane(pixels: NDArray[np.uint8]) -> Plane:
    return pixels.astype(np.float32) / np.float32(255)


def _stretched(side: Plane) -> Plane:
    size = SMALL[::-1]
    return np.asarray(Image.fromarray(side).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)


def _by_warmth(infrared: Plane, box: Box, boxes: Sequence[Box]) -> Plane:
    """A soft mask of what in a box is warmer than its surroundings; nothing where nothing clearly is."""
    height, width = infrared.shape
    left, top, right, bottom = box
    w, h = right - left, bottom - top
    ring = np.zeros((height, width), bool)
    ring[_window(left - w / 2, top - h / 4, right + w / 2, bottom + h / 4)] = True
    for other in boxes:
        ring[_window(*other)] = False
    core = infrared[_window(left + 0.2 * w, top + 0.08 * h, right - 0.2 * w, bottom - 0.08 * h)]
    inside = np.zeros((height, width), np.float32)
    if w < 3 or h < 6 or core.size < 6 or ring.sum() < 15:
        return inside
    warm, around = np.percentile(core, 60), np.median(infrared[ring])
    if warm - around < 0.05:
        return inside
    inside[_window(left - 0.12 * w, top - 0.04 * h, right + 0.12 * w, bottom + 0.04 * h)] = 1
    t = np.clip(((infrared - around) / (warm - around) - 0.3) / 0.3, 0, 1)
    return (t * t * (3 - 2 * t) * ndimage.gaussian_filter(inside, 1.5)).astype(np.float32)


def _window(left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
    return slice(max(0, round(top)), max(0, round(bottom))), slice(max(0, round(left)), max(0, round(right)))


def _example(
    infrared: Plane, visible: Plane, masks: list[Plane], network: LightFusion, labelled: bool, veiled: bool
) -> Example:
    fused = fuse_luma(network, *(np.rint(side * 255).astype(np.uint8) for side in (infrared, visible)))
    targets = np.max(masks, axis=0) if masks else np.zeros_like(infrared)
    levels = _levels(infrared, fused, targets)
    near = ndimage.binary_dilation(targets > 0.3, iterations=14)  # there veils are to be undone
    sky = np.where(near & (infrared >= 0.02), 0, _sky(infrared)).astype(np.float32)
    return Example(infrared, visible, fused, targets, levels, sky, labelled, veiled)


def _sky(infrared: Plane) -> Plane:
    """1 where infrared shows the sky: cold, calm, large, and joined to the upper edge; 0 elsewhere."""
    height, width = infrared.shape
    smooth = ndimage.gaussian_filter(infrared, 1)
    low, high = np.percentile(smooth, (1, 95))
    cold = ndimage.binary_opening(smooth < min(low + 0.25 * (high - low), 0.22), iterations=2)
    parts, _ = ndimage.label(cold)
    sky = np.zeros((height, width), np.float32)
    for number in np.unique(parts[:3]):
        part = parts == number
        if number == 0 or part.sum() < 0.015 * height * width:
            continue
        if np.median(np.nonzero(part)[0]) < height / 2 and infrared[part].std() < 0.045:
            sky[part] = 1
    return sky


def _levels(infrared: Plane, fused: Plane, targets: Plane) -> Plane:
    """What each target is to look like: its own infrared texture, above nearly all that is around it.

    One that stands out already keeps the median level that it has.
    """
    levels = fused.copy()
    parts, _ = ndimage.label(targets > 0.3)
    others = ndimage.binary_dilation(targets > 0.2, iterations=2)
    for number, place in enumerate(ndimage.find_objects(parts), 1):
        part = parts[place] == number
        top, left = place[0].start, place[1].start
        h, w = part.shape
        around = _window(left - 0.6 * w - 2, top - h / 4 - 1, left + 1.6 * w + 2, top + 1.25 * h + 1)
        ring = fused[around][~others[around]]
        if part.sum() < 8 or ring.size < 12:
            continue
        warm, shown = np.median(infrared[place][part]), np.median(fused[place][part])
        need = min(np.percentile(ring, 95) + 0.11, 0.92)
        apart = np.percentile(ring, 92) < np.percentile(fused[place][part], 12) or shown >= need
        gain, level = (1.15, shown) if apart else (1.0, max(need, shown))
        near = _window(left - 3, top - 3, left + w + 3, top + h + 3)
        mine = (targets[near] > 0) & ((parts[near] == number) | (parts[near] == 0))
        levels[near][mine] = np.clip(level + gain * (infrared[near] - warm), 0, 1)[mine]
    return levels


@dataclass(frozen=True)
class Batch:
    """Crops (B, 1, CROP, CROP) and what is known about them."""

    infrared: Tensor
    visible: Tensor
    seen: Tensor  # the visible crop as the network gets it
    fused: Tensor
    targets: Tensor
    levels: Tensor
    veil: Tensor  # light that was added, A (1 - t)
    cover: Tensor  # 1 - t, at most MOST_COVER
    sky: Tensor
    labelled: Tensor  # (B, 1, 1, 1): whether targets are known
    undone: Tensor  # (B, 1, 1, 1): whether the visible crop is to be restored
    known: Tensor  # (B, 1, 1, 1): whether its veil is known


def batch(found: dict[str, list[Example]], seed: int, step: int) -> Batch:
    """The crops of a step; they depend on seed and step alone."""
    rng = np.random.default_rng([seed, step])
    shares = np.array(list(SHARES.values()))
    crops = [_crop(found[rng.choice(list(SHARES), p=shares / shares.sum())], rng) for _ in range(BATCH)]
    planes = [torch.from_numpy(np.stack(side))[:, None] for side in zip(*(crop[0] for crop in crops))]
    flags = [torch.tensor(side).view(-1, 1, 1, 1) for side in zip(*(crop[1] for crop in crops))]
    return Batch(*planes, *flags)


def _crop(pairs: list[Example], rng: np.random.Generator) -> tuple[list[Plane], tuple[float, float, float]]:
    example = pairs[rng.integers(len(pairs))]
    height, width = example.infrared.shape
    small = (height, width) == SMALL
    side = min(CROP / rng.uniform(0.95, 3.0) if small else CROP / rng.uniform(0.75, 1.7), height, width)
    top, left = rng.uniform(0, height - side), rng.uniform(0, width - side)
    places = np.argwhere(example.targets > 0.5)
    if len(places) and rng.random() < 0.6:  # around a target
        y, x = places[rng.integers(len(places))] - rng.uniform(0.1, 0.9, 2) * side
        top, left = float(np.clip(y, 0, height - side)), float(np.clip(x, 0, width - side))
    elif rng.random() < 0.35 and example.sky.mean() > 0.03:  # within the sky
        places = np.argwhere(example.sky > 0.5)
        y, x = places[rng.integers(len(places))] - rng.uniform(0.3, 0.9, 2) * side
        top, left = float(np.clip(y, 0, height - side)), float(np.clip(x, 0, width - side))
    box = (left, top, left + side, top + side)

    def cut(plane: Plane, resample: Image.Resampling = Image.Resampling.BILINEAR) -> Plane:
        return np.asarray(Image.fromarray(plane).resize((CROP, CROP), resample, box)).clip(0, 1)

    sources = (example.infrared, example.visible)
    infrared, visible = (cut(plane, Image.Resampling.BICUBIC) for plane in sources)
    fused, targets, levels, sky = (
        cut(plane) for plane in (example.fused, example.targets, example.levels, example.sky)
    )
    if small:  # what was enlarged lacks the grain of a camera
        infrared = degrade(infrared, "noise", rng.uniform(0, 0.1), int(rng.integers(1 << 31)))
        visible = degrade(visible, "noise", rng.uniform(0.02, 0.15), int(rng.integers(1 << 31)))
    if rng.random() < 0.4:
        infrared = np.clip(infrared * rng.uniform(0.75, 1.5) + rng.uniform(-0.03, 0.06), 0, 1)
    if rng.random() < 0.3:
        visible = visible ** rng.uniform(0.75, 1.35)
    seen, veil, cover, undone = visible, np.zeros_like(visible), np.zeros_like(visible), 0.0
    if rng.random() > CLEAN and not example.veiled:
        kind, strength = str(rng.choice(VEILS)), rng.uniform(0.25, 1)
        weather = int(rng.integers(1 << 31))
        seen = degrade(visible, kind, strength, weather)
        if kind not in ("dark", "noise"):
            undone, veil = 1.0, degrade(visible * 0, kind, strength, weather)
            if kind != "glare":
                white = degrade(visible * 0 + 1, kind, strength, weather)
                cover = np.clip(1 - (white - veil), 0, MOST_COVER)
    planes = [infrared, visible, seen, fused, targets, levels, veil, cover, sky]
    if rng.random() < 0.5:
        planes = [plane[:, ::-1] for plane in planes]
    flags = (float(example.labelled), undone, 1.0 - example.veiled)
    return [np.ascontiguousarray(p, np.float32) for p in planes], flags


def losses(network: LightFusion, crops: Batch) -> dict[str, Tensor]:
    """The weighted terms of a step; what is fused stands in for the network, which need not run."""
    assert network.overview is not None
    planes = (crops.infrared, crops.seen, crops.fused)
    infrared, seen, fused = (F.pixel_unshuffle(image, 2) for image in planes)
    cells, level = network.overview.cells(infrared, seen)
    answers, agreed = (network.overview.spread(x) for x in (cells, network.overview.agreed(cells, level)))
    cold = infrared * answers.cold + answers.sky
    cleared = answers.clear(infrared, seen)
    score = infrared * answers.slope + answers.offset
    shown = fused + within(score, 0, 1) * (infrared * answers.texture + answers.level - fused)
    visible, used, cold, score, shown = (
        F.pixel_shuffle(plane, 2)
        for plane in (cleared, agreed.clear(infrared, seen), cold, score, within(shown, 0, 1))
    )
    left = F.avg_pool2d(visible.detach() - crops.visible, 4)  # of the veil: targets must stand out of it too
    left = F.avg_pool2d(left, 9, 1, 4, count_include_pad=False).clamp_min(0)
    raised = crops.levels + F.interpolate(left, scale_factor=4, mode="bilinear")
    levels = torch.where(crops.targets > 0, torch.maximum(crops.levels, raised.clamp(max=0.97)), crops.levels)
    wanted = crops.fused + crops.targets * (levels - crops.fused)
    weight = crops.labelled * (1 + 7 * crops.targets)
    missed, false = crops.targets * F.relu(1 - score), (1 - crops.targets) * F.relu(score)
    skyline = F.max_pool2d(
        F.avg_pool2d(crops.sky, 4), 17, 1, 8
    )  # what is warm before the cold sky: no target
    false = false * (1 + 5 * F.interpolate(skyline, scale_factor=4))
    cover = 1 - 1 / answers.gain
    known = (answers.veil - F.avg_pool2d(crops.veil, 2)).abs() + (cover - F.avg_pool2d(crops.cover, 2)).abs()
    below = 1 - F.avg_pool2d(crops.sky, 2)
    restored = torch.where(crops.sky > 0, crops.seen, crops.visible)
    close = F.interpolate(F.max_pool2d(F.avg_pool2d(crops.targets, 4), 9, 1, 4), scale_factor=4)
    return {
        "shown": 10 * (weight * (shown - wanted).abs()).mean(),
        "targets": (crops.labelled * (7 * missed + 2 * false)).mean(),
        "clean": 30 * (crops.known * (1 - crops.undone) * (visible - crops.seen).abs()).mean(),
        "used": 100 * (crops.known * (1 - crops.undone) * (used - crops.seen).abs()).mean(),
        "veil": 4 * (crops.known * below * known).mean(),
        "unveiled": 4 * (crops.undone * (visible - restored).abs()).mean(),
        "held": 10 * (crops.sky * (visible - crops.seen).abs()).mean(),
        "sky": (
            1.5 * crops.sky * F.relu(1 - cold) + (1 - crops.sky) * (1.5 + 4 * close) * F.relu(cold)
        ).mean(),
    }


def train(
    cache: PatchCache,
    scenes: Path,
    network: Path,
    run: Path,
    steps: int = 8000,
    seed: int = 0,
    width: int = 32,
    learning_rate: float = 2e-3,
) -> Path:
    """Teach a network an overview of ``width`` channels, or the one that it has; ``run/weights.safetensors``.

    AdamW by cosine, averaged weights (0.995), written every 500 steps. A run is minutes on a CPU and starts
    anew if stopped.
    """
    given = load_model(network)
    if not isinstance(given, LightFusion):
        raise InputError(f"{network} is no light network; give one")
    torch.manual_seed(seed)
    plain = LightFusion(**{**given.config, "overview": 0}).eval()
    trained = LightFusion(**{**given.config, "overview": given.config["overview"] or width})
    for part in (plain, trained):
        part.load_state_dict(given.state_dict(), strict=False)
    assert trained.overview is not None
    found = examples(cache, scenes, plain)
    average = {name: value.detach().clone() for name, value in trained.state_dict().items()}
    optimizer = torch.optim.AdamW(
        trained.overview.parameters(), learning_rate, (0.9, 0.99), weight_decay=1e-4
    )
    run.mkdir(parents=True, exist_ok=True)
    with (run / "metrics.jsonl").open("w") as record:
        for step in range(steps):
            share = (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps))) * min(1, (step + 1) / 50)
            optimizer.param_groups[0]["lr"] = learning_rate * share
            terms = losses(trained, batch(found, seed, step))
            optimizer.zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(trained.overview.parameters(), 1.0)
            optimizer.step()
            for name, value in trained.state_dict().items():
                average[name].lerp_(value, 1 - min(0.995, (1 + step) / (10 + step)))
            told = {name: round(float(term.detach()), 5) for name, term in terms.items()}
            record.write(json.dumps({"step": step + 1, **told}) + "\n")
            record.flush()
            if (step + 1) % 500 == 0 or step + 1 == steps:
                averaged = LightFusion(**trained.config)
                averaged.load_state_dict(average)
                save_weights(
                    run / "weights.safetensors", averaged, {"steps": str(step + 1), "seed": str(seed)}
                )
    return run / "weights.safetensors"


if __name__ == "__main__":
    import tyro

    def main(
        cache: tyro.conf.Positional[Path],
        scenes: tyro.conf.Positional[Path],
        network: tyro.conf.Positional[Path],
        run: tyro.conf.Positional[Path],
        steps: int = 8000,
        seed: int = 0,
        learning_rate: float = 2e-3,
    ) -> None:
        """Train the overview of a light network.

        Args:
            cache: of 'fsidfusion data prepare --patch 0'.
            scenes: of 'fsidfusion data render'.
            network: the weights to start from; with an overview, it is trained on.
            run: folder of the run.
            steps: of eight crops.
            seed: of weights and crops.
            learning_rate: at the start.
        """
        print(train(PatchCache(cache), scenes, network, run, steps, seed, learning_rate=learning_rate))

    tyro.cli(main)
