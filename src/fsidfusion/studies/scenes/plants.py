"""Trees, bushes and hedges."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import ArrayLike

from fsidfusion.studies.scenes.canvas import Canvas
from fsidfusion.studies.scenes.street import paint_post
from fsidfusion.studies.scenes.texture import Array, noise_patch, smoothstep


@cache
def crown_sprite(kind: int) -> tuple[Array, ...]:
    """A tree crown (side, side, 4) at sides 256, 128, ... 16: cover, tone, normal to the right and downwards.

    A few crowns are drawn once, from fixed seeds; scenes stretch, mirror and tint them.
    """
    rng = np.random.default_rng(1000 + kind)
    side = 256
    crown = np.zeros((4, side, side), np.float32)  # cover, tone, right, down
    leaf = noise_patch(rng, 0.55, (side, side), 1.3)
    detail = noise_patch(rng, 0.9, (side, side), 2.0)
    count = 70
    angle, radius = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count))
    squash = rng.uniform(0.75, 1.0)
    near = np.sort(rng.uniform(-1, 1, count))
    for k in range(count):
        reach = float(radius[k] * 92 * np.sqrt(max(1 - 0.6 * near[k] ** 2, 0.1)))
        cx, cy = 128 + reach * float(np.cos(angle[k])), 128 + squash * reach * float(np.sin(angle[k]))
        r = rng.uniform(16, 36)
        x0, y0 = max(int(cx - 1.3 * r), 0), max(int(cy - 1.3 * r), 0)
        part = (slice(y0, int(cy + 1.3 * r) + 2), slice(x0, int(cx + 1.3 * r) + 2))
        cover, tone, right, down = crown[:, *part]
        height, width = cover.shape
        dx = (np.arange(x0, x0 + width, dtype=np.float32)[None] - cx) * (1 / r)
        dy = (np.arange(y0, y0 + height, dtype=np.float32)[:, None] - cy) * (1 / (0.8 * r))
        away = np.hypot(dx, dy)
        a = smoothstep((1 - away + 0.22 * leaf[part] + 0.10 * detail[part]) * 5) * smoothstep(
            (1.3 - away) * 5
        )
        length = np.maximum(np.sqrt(dx * dx + (dy - 0.25) ** 2 + 0.3), 1)
        shade = (0.55 + 0.15 * float(near[k] + 1)) * (1 + 0.30 * leaf[part])
        shade = shade * (1 - 0.35 * smoothstep(dy * 0.8 + 0.1))
        np.maximum(cover, a, out=cover)
        tone += a * (np.clip(shade, 0.05, 1.4) - tone)
        right += a * (dx / length - right)
        down += a * ((dy - 0.25) / length - down)
    cover, tone, right, down = crown
    # Beyond the edge the other planes keep the edge's values, so that scaling does not draw a dark rim.
    weight = cv2.GaussianBlur(cover, (0, 0), 4) + 1e-3
    planes = [
        np.where(cover > 0.9, p, cv2.GaussianBlur(p * cover, (0, 0), 4) / weight) for p in (tone, right, down)
    ]
    levels = [np.stack([cover, *planes], axis=-1).astype(np.float32)]
    while levels[-1].shape[0] > 16:
        halved = cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(halved, np.float32))
    return tuple(levels)


def paint_crown(
    canvas: Canvas,
    rng: np.random.Generator,
    centre: ArrayLike,
    size: tuple[float, float],
    colour: ArrayLike,
    sun: float,
) -> None:
    """Paint a leafy crown or bush, centre X, Y, Z and width, height in metres."""
    (x, y), depth = canvas.camera.project(centre)
    scale = 1.25 * canvas.camera.focal / float(depth)
    w, h = max(size[0] * scale, 2.0), max(size[1] * scale, 2.0)
    sprite = crown_sprite(int(rng.integers(8)))
    level = sprite[int(np.clip(np.log2(256 / w), 0, len(sprite) - 1))]
    height, width = canvas.camera.size
    x0, x1 = max(int(x - w / 2), 0), min(int(x + w / 2) + 1, width)
    y0, y1 = max(int(y - h / 2), 0), min(int(y + h / 2) + 1, height)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    if x0 >= x1 or y0 >= y1:
        return
    side = level.shape[0]
    warp = np.array([
        [mirror * side / w, 0, (x0 + 0.5 - x) * mirror * side / w + side / 2 - 0.5],
        [0, side / h, (y0 + 0.5 - y) * side / h + side / 2 - 0.5],
    ])  # fmt: skip
    piece = cv2.warpAffine(level, warp, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    alpha, tone, right, down = np.ascontiguousarray(piece.transpose(2, 0, 1))
    if w > 300:  # a near crown shows leaves, not the enlarged sprite
        leaf = noise_patch(rng, 0.5, alpha.shape, 1.6 * canvas.unit)
        alpha = smoothstep(alpha * 1.6 - 0.3 + 0.25 * leaf * (alpha < 0.98))
        tone = tone * np.maximum(1 + 0.25 * leaf, 0.3)
    right *= np.float32(mirror)
    near = np.sqrt(np.maximum(1 - right * right - down * down, 0.02))
    warming = canvas.setting.warming
    canvas.paint(
        (x0, y0), alpha, albedo=np.asarray(colour, np.float32)[:, None, None] * tone,
        normal=canvas.camera.to_world(right, down, near),
        heat=canvas.setting.air - 2.2 + 2.2 * tone + (0.17 * warming * sun) * (1 - down), depth=depth,
        sun=np.clip((1.35 * sun) * tone, 0.1, 1), occlusion=np.clip(0.25 + 0.85 * tone, 0.2, 1),
    )  # fmt: skip


def paint_tree(canvas: Canvas, seed: int, x: float, z: float, height: float) -> None:
    """A broad-leaved tree: trunk, two boughs and a crown."""
    rng = np.random.default_rng(seed)
    setting = canvas.setting
    tall = height * canvas.camera.focal / float(canvas.camera.project((x, 0.0, z))[1]) / canvas.unit
    sun = canvas.sun_at(x, z)
    bark = np.array([0.10, 0.085, 0.065]) * rng.uniform(0.7, 1.5)
    warm = setting.air + 1.6
    trunk, fork = rng.uniform(0.12, 0.2) * (height / 7), 0.42 * height
    top = x + rng.uniform(-0.25, 0.25)
    hue = np.array([rng.uniform(0.055, 0.16), rng.uniform(0.12, 0.17), rng.uniform(0.03, 0.055)])
    w, h = height * rng.uniform(0.62, 0.95), height * rng.uniform(0.62, 0.75)
    seeds = rng.integers(2**31, size=2)
    if tall > 60:
        back = np.random.default_rng(seeds[0])
        paint_crown(
            canvas, back, (top, height - h / 2 - 0.2, z + 0.6), (w * 0.9, h * 0.85), hue * 0.62, 0.5 * sun
        )
    paint_post(canvas, (x, 0, z), (top, fork + 0.6, z), (trunk * 1.25, trunk * 0.75), bark, warm, 0.35)
    for side in (-1, 1) if tall > 90 else ():
        tip = (top + side * 0.25 * w, fork + 0.30 * height, z)
        paint_post(canvas, (top, fork, z), tip, (trunk * 0.6, trunk * 0.25), bark, warm - 0.5, 0.3)
    paint_crown(canvas, np.random.default_rng(seeds[1]), (top, height - h / 2, z - 0.3), (w, h), hue, sun)


def paint_bush(
    canvas: Canvas, seed: int, x: float, z: float, size: tuple[float, float], colour: ArrayLike
) -> None:
    """A bush of `size` (width, height) metres; a row of them is a hedge."""
    centre = (x, 0.4 * size[1], z)
    paint_crown(canvas, np.random.default_rng(seed), centre, size, colour, canvas.sun_at(x, z))
