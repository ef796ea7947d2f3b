"""Smoke, which hides things in the visible and hardly in the infrared, and flames."""

from dataclasses import dataclass

import numpy as np

from fsidfusion.images.degrade import veil
from fsidfusion.studies.scenes.canvas import Canvas
from fsidfusion.studies.scenes.texture import Array, noise_patch, smoothstep


@dataclass(frozen=True)
class Plume:
    """A cloud of smoke at a place; metres."""

    x: float
    z: float
    width: float
    height: float
    drift: float  # to the right, at the top
    density: float  # 0..1
    fire: float  # 0 none .. 1: flames at its foot


Area = tuple[slice, slice]


def _frame_part(canvas: Canvas, left: float, right: float, top: float, bottom: float) -> Area | None:
    height, width = canvas.camera.size
    y0, y1, x0, x1 = max(int(top), 0), min(int(bottom), height), max(int(left), 0), min(int(right), width)
    return (slice(y0, y1), slice(x0, x1)) if y0 < y1 and x0 < x1 else None


def _grid(area: Area) -> tuple[Array, Array]:
    """Columns (1, w) and rows (h, 1) of a part of the frame."""
    return (
        np.arange(area[1].start, area[1].stop, dtype=np.float32)[None],
        np.arange(area[0].start, area[0].stop, dtype=np.float32)[:, None],
    )


def add_smoke(canvas: Canvas, rng: np.random.Generator, plume: Plume, light: Array, heat: Array) -> None:
    """Lay a plume, and its fire, over the light (3, H, W) and the temperature (H, W) of what is behind it."""
    setting = canvas.setting
    (x, y), depth = (v.tolist() for v in canvas.camera.project((plume.x, 0.0, plume.z)))
    scale = canvas.camera.focal / depth
    reach = (1.3 * plume.width + abs(plume.drift)) * scale
    area = _frame_part(canvas, x - reach, x + reach, y - 1.5 * plume.height * scale, y + 0.5 * scale)
    if area is None:
        return
    columns, rows = _grid(area)
    v = (y - rows) / (plume.height * scale)  # 0 at the ground, 1 at the top
    u = (columns - x) / (plume.width * scale)
    shape = (rows.size, columns.size)
    billow = noise_patch(rng, 1.45, shape, 0.022 * scale * plume.width)
    puffs = noise_patch(rng, 1.15, shape, 0.010 * scale * plume.width)
    rise = np.clip(v, 0, 1)
    middle, spread = plume.drift / plume.width * rise**1.4, 0.30 + 0.55 * rise**0.8
    body = 1.15 - ((u - middle + 0.10 * billow) / spread) ** 2
    body -= 3.2 * np.maximum(v - 0.5, 0) ** 2 + 30 * np.maximum(0.02 - v, 0)
    cover = smoothstep(body * 0.9 + 0.26 * billow + 0.14 * puffs) * plume.density
    cover *= canvas.depth[area] > plume.z - 0.5
    tone = np.clip(0.78 + 0.14 * billow + 0.14 * puffs, 0.35, 1.4)

    colour = 0.42 * setting.ambient + 0.16 * setting.sun
    if setting.time_of_day == "night":
        colour = colour + 0.6 * light[:, *area].mean((1, 2))
    smoke = colour[:, None, None] * tone
    if plume.fire:
        squared = ((columns - x) ** 2 + (0.8 * (rows - y + 0.4 * scale)) ** 2) / scale**2
        smoke = smoke + np.array([0.75, 0.26, 0.06], np.float32)[:, None, None] * (
            plume.fire / (1 + 0.9 * squared)
        )
    light[:, *area] = veil(light[:, *area], smoke, cover)
    heat[area] += cover * (0.10 * (setting.air + 5 - heat[area]) + tone - 0.8)
    if plume.fire:
        _add_flames(canvas, rng, plume, light, heat)


def _add_flames(canvas: Canvas, rng: np.random.Generator, plume: Plume, light: Array, heat: Array) -> None:
    (x, y), depth = (v.tolist() for v in canvas.camera.project((plume.x, 0.0, plume.z)))
    scale = canvas.camera.focal / depth
    w, h = 0.55 * plume.fire * scale, 1.1 * plume.fire * scale
    area = _frame_part(canvas, x - 2 * w, x + 2 * w, y - 1.3 * h, y + 2)
    if area is None:
        return
    columns, rows = _grid(area)
    u, v = (columns - x) / w, (y - rows) / h
    lick = noise_patch(rng, 1.1, (rows.size, columns.size), max(0.02 * scale, 0.7))
    body = 1 - (u + 0.25 * lick * v) ** 2 / np.maximum(1.1 - v, 0.05) - 0.7 * v + 0.40 * lick
    body -= 14 * np.maximum(0.06 - v, 0)
    flame = smoothstep(body * 1.6) * (canvas.depth[area] > plume.z - 0.3)
    core = smoothstep(body * 1.2 - 0.35)
    colour = np.stack([2.2 + 1.5 * core, 0.75 + 1.6 * core, 0.10 + 0.55 * core])
    light[:, *area] += flame * (colour - light[:, *area])
    heat[area] += 55 * flame
