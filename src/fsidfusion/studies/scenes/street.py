"""What stands along a road: lamps, signs, guardrails, cones and wheel stops."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fsidfusion.studies.scenes.canvas import Canvas, Light
from fsidfusion.studies.scenes.houses import draw_text, text_width
from fsidfusion.studies.scenes.texture import Array, band, noise_patch

CAR_STOP, GUARDRAIL, CONE = 5, 6, 7  # MSRS classes
RAIL = (  # the folds of a guardrail from below: heights, how far they look up, tone
    (0.42, 0.50, -0.6, 0.90),
    (0.50, 0.56, 0.6, 1.10),
    (0.56, 0.62, -0.6, 0.85),
    (0.62, 0.70, 0.6, 1.00),
    (0.70, 0.74, -0.5, 0.90),
)


def paint_post(
    canvas: Canvas,
    low: Sequence[float],
    high: Sequence[float],
    radii: tuple[float, float],
    colour: ArrayLike,
    heat: float,
    noise: float = 0.0,
    label: int = 0,
) -> None:
    """Paint a round, tapering post between two world points; `noise` roughens it as bark."""
    ends, depths = canvas.camera.project([low, high])
    r0, r1 = (max(r * canvas.camera.focal / d, 0.35) for r, d in zip(radii, depths.tolist()))
    direction = ends[1] - ends[0]
    length = float(np.hypot(*direction))
    if length < 0.5:
        return
    side = np.array([-direction[1], direction[0]]) / length
    cover = canvas.polygon(
        [ends[0] + side * r0, ends[1] + side * r1, ends[1] - side * r1, ends[0] - side * r0]
    )
    if cover is None:
        return
    corner, alpha = cover
    thin = min(1.0, min(radii) * canvas.camera.focal / float(depths.mean()) / 0.35)
    xs = np.arange(alpha.shape[1], dtype=np.float32)[None] + float(corner[0] + 0.5 - ends[0, 0])
    ys = np.arange(alpha.shape[0], dtype=np.float32)[:, None] + float(corner[1] + 0.5 - ends[0, 1])
    (sx, sy), (dx, dy) = side.tolist(), (direction / length**2).tolist()
    t = np.clip(xs * dx + ys * dy, 0, 1)
    off = np.clip((xs * sx + ys * sy) / (r0 + (r1 - r0) * t), -0.99, 0.99)
    albedo = np.asarray(colour, np.float32)[:, None, None]
    if noise and r0 > 2:
        grain = noise_patch(np.random.default_rng(1), 0.6, alpha.shape, 1.2 * canvas.unit)
        albedo = albedo * np.maximum(1 + noise * grain, 0.2)
    squared = off * off
    canvas.paint(
        corner, alpha * thin, albedo=albedo,
        normal=canvas.camera.to_world(off * sx, off * sy, np.sqrt(1 - squared)),
        heat=heat - 0.8 * squared, depth=float(depths[0]) + float(depths[1] - depths[0]) * t,
        occlusion=0.9 - 0.25 * np.abs(off), label=label,
    )  # fmt: skip


def paint_lamp(canvas: Canvas, x: float, z: float, reach: float, colour: Array) -> None:
    """A street lamp 6.5 m high whose arm reaches `reach` metres over the road; warm when it burns."""
    air, power = canvas.setting.air, canvas.setting.lamps
    metal = (0.16, 0.17, 0.17)
    paint_post(canvas, (x, 0, z), (x, 6.4, z), (0.085, 0.05), metal, air + 0.4)
    paint_post(canvas, (x, 6.38, z), (x + reach, 6.55, z), (0.045, 0.035), metal, air)
    hood = (x + reach * 0.8, 6.55, z), (x + reach * 1.3, 6.52, z)
    paint_post(canvas, *hood, (0.10, 0.08), metal, air + 3 + 16 * power)
    if not power:
        return
    head = np.array([x + reach * 1.12, 6.50, z])
    (u, v), depth = canvas.camera.project(head)
    r = max(0.22 * canvas.camera.focal / float(depth), 0.8)
    turn = np.linspace(0, 2 * np.pi, 16)[:-1]
    cover = canvas.polygon(
        np.column_stack([u + 1.7 * r * np.cos(turn), v + 0.15 * r + 0.45 * r * np.sin(turn)])
    )
    if cover is not None:
        canvas.paint(
            *cover, albedo=0.5, normal=(0, -1, 0), heat=air + 38, depth=depth, glow=9 * power * colour
        )
    canvas.lights.append(Light(head, 26 * power * colour, np.array([0.0, -1.0, 0.0]), 0.25, 0.25))


@dataclass(frozen=True)
class _Sign:
    """A traffic sign: corners of its plate, the angle of the first, colours, and the print."""

    corners: int
    start: float
    rim: tuple[float, float, float]
    field: tuple[float, float, float]
    inner: float  # size of the field within the rim
    text: str
    height: float  # of the text, in radii
    ink: tuple[float, float, float]


RED, WHITE, BLUE, BLACK = (0.50, 0.03, 0.03), (0.70, 0.70, 0.68), (0.03, 0.10, 0.42), (0.03, 0.03, 0.03)
SIGNS = (
    _Sign(28, 0.0, RED, WHITE, 0.76, "30", 0.62, BLACK),
    _Sign(3, -np.pi / 2, RED, WHITE, 0.70, "I", 0.50, BLACK),
    _Sign(4, np.pi / 4, WHITE, BLUE, 0.90, "P", 0.90, WHITE),
    _Sign(28, 0.0, RED, RED, 0.94, "-", 0.0, WHITE),
)


def paint_sign(canvas: Canvas, seed: int, x: float, z: float) -> None:
    """A traffic sign on a post; its print is seen only by the visible camera."""
    setting, sign = canvas.setting, SIGNS[np.random.default_rng(seed).integers(len(SIGNS))]
    paint_post(canvas, (x, 0, z), (x, 2.9, z), (0.035, 0.035), (0.35, 0.35, 0.36), setting.air)
    (u, v), depth = (value.tolist() for value in canvas.camera.project((x, 2.45, z - 0.05)))
    r = 0.36 * canvas.camera.focal / depth
    angles = sign.start + np.arange(sign.corners) * (2 * np.pi / sign.corners)
    rim = np.column_stack([u + r * np.cos(angles), v + r * np.sin(angles)])
    plate = canvas.polygon(rim)
    if plate is None:
        return
    corner, alpha = plate
    inside = canvas.polygon((u, v) + sign.inner * (rim - (u, v)))
    ink, inner = np.zeros((2, *alpha.shape), np.float32)
    if inside is not None:
        (left, top), cover = inside
        left, top = left - corner[0], top - corner[1]
        inner[top : top + cover.shape[0], left : left + cover.shape[1]] = cover
    if sign.text == "-":
        rows = np.arange(alpha.shape[0], dtype=np.float32)[:, None] + (corner[1] + 0.5 - v)
        columns = np.arange(alpha.shape[1], dtype=np.float32)[None] + (corner[0] + 0.5 - u)
        ink[:] = band(rows, -0.14 * r, 0.14 * r, 1.0) * band(columns, -0.55 * r, 0.55 * r, 1.0)
    else:
        size = sign.height * r
        length = size * (text_width(sign.text) - (0.0 if sign.text == "I" else 0.2))
        draw_text(ink, sign.text, (u - corner[0] - length / 2, v - corner[1] - size / 2), size)
    albedo = np.array(sign.rim, np.float32)[:, None, None] * np.ones_like(alpha)
    for mask, colour in ((inner, sign.field), (ink, sign.ink)):
        albedo += mask * (np.array(colour, np.float32)[:, None, None] - albedo)
    canvas.paint(
        corner, alpha, albedo=albedo * (1.25 if setting.lamps else 1.0),  # it throws head lights back
        normal=(0, 0.05, -1), depth=depth, heat=setting.air - 1.2,
    )  # fmt: skip


def paint_guardrail(canvas: Canvas, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A length of steel guardrail between two ground points X, Z, with a post at its near end."""
    air = canvas.setting.air
    (x0, z0), (x1, z1) = start, end
    if min(z0, z1) < 1.0:
        return
    inward = -1.0 if x0 > 0 else 1.0
    post = ((x0, 0, z0), (x0, 0.72, z0))
    paint_post(canvas, *post, (0.05, 0.05), (0.22, 0.22, 0.22), air, label=GUARDRAIL)
    for low, high, tilt, tone in RAIL:
        corners = [(x0, low, z0), (x1, low, z1), (x1, high, z1), (x0, high, z0)]
        pixels, depth = canvas.camera.project(corners)
        cover = canvas.polygon(pixels)
        if cover is None:
            continue
        left, right = (depth[0], depth[1]) if pixels[0, 0] < pixels[1, 0] else (depth[1], depth[0])
        canvas.paint(
            *cover, albedo=np.array([0.40, 0.41, 0.42]) * tone,
            normal=np.array([inward, tilt, -0.3]) / np.hypot(1.05, tilt), heat=air - 0.6 + 0.5 * tilt,
            depth=np.linspace(left, right, cover[1].shape[1], dtype=np.float32)[None],
            glow=0.08 * canvas.setting.sky(np.float32(max(tilt, 0.0))), label=GUARDRAIL,
        )  # fmt: skip


def paint_cone(canvas: Canvas, x: float, z: float) -> None:
    """An orange road cone 0.72 m high with white bands."""
    air, sun = canvas.setting.air, canvas.setting.warming
    orange, white = (0.62, 0.13, 0.02), (0.72, 0.72, 0.70)
    paint_post(canvas, (x, 0.0, z), (x, 0.05, z), (0.21, 0.20), (0.05, 0.05, 0.05), air, label=CONE)

    def radius(y: float) -> float:
        return 0.155 - 0.125 * y / 0.72

    for low, high, colour in (
        (0.04, 0.22, orange),
        (0.22, 0.36, white),
        (0.36, 0.48, orange),
        (0.48, 0.58, white),
        (0.58, 0.72, orange),
    ):
        paint_post(
            canvas,
            (x, low, z),
            (x, high, z),
            (radius(low), radius(high)),
            colour,
            air + 0.3 + 0.2 * sun,
            label=CONE,
        )


def paint_car_stop(canvas: Canvas, x: float, z: float) -> None:
    """A concrete wheel stop across a parking bay: 0.14 m high, 1.7 m along Z."""
    air = canvas.setting.air
    near = -np.sign(x) or 1.0
    face = [(x, 0.0, z - 0.85), (x, 0.0, z + 0.85), (x, 0.13, z + 0.80), (x, 0.13, z - 0.80)]
    top = [
        (x, 0.13, z - 0.80),
        (x, 0.13, z + 0.80),
        (x - near * 0.16, 0.13, z + 0.80),
        (x - near * 0.16, 0.13, z - 0.80),
    ]
    front = [
        (x, 0.0, z - 0.85),
        (x - near * 0.18, 0.0, z - 0.85),
        (x - near * 0.16, 0.13, z - 0.80),
        (x, 0.13, z - 0.80),
    ]
    for corners, normal, tone in (
        (top, (0, 1, 0), 0.36),
        (face, (near, 0.1, 0), 0.32),
        (front, (0, 0.1, -1), 0.30),
    ):
        pixels, depth = canvas.camera.project(corners)
        cover = canvas.polygon(pixels)
        if cover is not None:
            warm = 1.5 + 0.5 * canvas.setting.warming * normal[1]
            canvas.paint(
                *cover,
                albedo=(tone, tone, tone * 0.93),
                normal=normal,
                heat=air + warm,
                depth=depth.mean(),
                label=CAR_STOP,
            )
