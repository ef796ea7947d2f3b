"""What stands along a road: lamps, signs, guardrails, cones and wheel stops."""

import numpy as np
from numpy.typing import ArrayLike

from fsidfusion.data.scenes.canvas import Canvas, Light
from fsidfusion.data.scenes.houses import draw_text
from fsidfusion.data.scenes.texture import band, noise_patch

CAR_STOP, GUARDRAIL, CONE = 5, 6, 7  # MSRS classes


def paint_post(
    canvas: Canvas,
    low: ArrayLike,
    high: ArrayLike,
    radii: tuple[float, float],
    colour: ArrayLike,
    heat: float,
    noise: float = 0.0,
    label: int = 0,
) -> None:
    """Paint a round, tapering post between two world points; `noise` roughens it as bark does."""
    ends, depths = canvas.camera.project([low, high])
    r0, r1 = (max(r * canvas.camera.focal / d, 0.35) for r, d in zip(radii, depths))
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
    thin = min(1.0, min(radii) * canvas.camera.focal / depths.mean() / 0.35)
    ys, xs = np.mgrid[0 : alpha.shape[0], 0 : alpha.shape[1]].astype(np.float32) + 0.5
    px, py = xs + corner[0] - ends[0][0], ys + corner[1] - ends[0][1]
    t = np.clip((px * direction[0] + py * direction[1]) / length**2, 0, 1)
    off = np.clip((px * side[0] + py * side[1]) / (r0 + (r1 - r0) * t), -0.99, 0.99).astype(np.float32)
    tone: ArrayLike = 1.0
    if noise:
        grain = noise_patch(np.random.default_rng(1), 0.6, alpha.shape, 1.2 * canvas.unit)
        tone = np.clip(1 + noise * grain, 0.2, None)
    normal = canvas.camera.to_world(off * side[0], off * side[1], np.sqrt(1 - off**2))
    t = t.astype(np.float32)
    canvas.paint(
        corner, alpha * np.float32(thin), albedo=np.asarray(colour, np.float32)[:, None, None] * tone, normal=normal,
        heat=heat - 0.8 * off**2, depth=depths[0] + (depths[1] - depths[0]) * t, occlusion=0.9 - 0.25 * np.abs(off), label=label,
    )  # fmt: skip


def paint_lamp(canvas: Canvas, x: float, z: float, reach: float, colour: tuple[float, float, float]) -> None:
    """A street lamp 6.5 m high whose arm reaches `reach` metres over the road."""
    setting = canvas.setting
    metal = (0.16, 0.17, 0.17)
    paint_post(canvas, (x, 0, z), (x, 6.4, z), (0.085, 0.05), metal, setting.air + 0.4)
    paint_post(canvas, (x, 6.38, z), (x + reach, 6.55, z), (0.045, 0.035), metal, setting.air)
    head = (x + reach * 1.12, 6.50, z)
    paint_post(
        canvas,
        (x + reach * 0.8, 6.55, z),
        (x + reach * 1.3, 6.52, z),
        (0.10, 0.08),
        metal,
        setting.air + 3 + 16 * setting.lamps,
    )
    if setting.lamps:
        (u, v), depth = canvas.camera.project(head)
        r = max(0.22 * canvas.camera.focal / float(depth), 0.8)
        pixels = [
            (u + 1.7 * r * np.cos(t), v + 0.45 * r * np.sin(t) + 0.15 * r)
            for t in np.linspace(0, 6.28, 16)[:-1]
        ]
        cover = canvas.polygon(pixels)
        if cover is not None:
            canvas.paint(
                *cover,
                albedo=0.5,
                normal=(0, -1, 0),
                heat=setting.air + 38,
                depth=depth,
                glow=np.array(colour) * 9 * setting.lamps,
            )
        canvas.lights.append(
            Light(
                np.array(head),
                np.array(colour) * (26 * setting.lamps),
                np.array([0.0, -1.0, 0.0]),
                0.25,
                0.25,
            )
        )


def paint_sign(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A traffic sign on a post; its print is seen only by the visible camera."""
    setting = canvas.setting
    paint_post(canvas, (x, 0, z), (x, 2.9, z), (0.035, 0.035), (0.35, 0.35, 0.36), setting.air)
    (u, v), depth = canvas.camera.project((x, 2.45, z - 0.05))
    r = 0.36 * canvas.camera.focal / float(depth)
    kind = rng.choice(["limit", "warning", "park", "ban"])
    corners = {"limit": 28, "warning": 3, "park": 4, "ban": 28}[kind]
    start = {"limit": 0.0, "warning": -np.pi / 2, "park": np.pi / 4, "ban": 0.0}[kind]
    red, white, blue = (0.50, 0.03, 0.03), (0.70, 0.70, 0.68), (0.03, 0.10, 0.42)
    outer, inner = {"limit": (red, white), "warning": (red, white), "park": (white, blue), "ban": (red, red)}[
        kind
    ]
    shared: dict[str, ArrayLike] = {"normal": (0, 0.05, -1), "depth": depth, "heat": setting.air - 1.2}
    for scale, colour in ((1.0, outer), (0.76 if corners != 4 else 0.9, inner)):
        angles = start + np.arange(corners) * 2 * np.pi / corners
        cover = canvas.polygon(
            np.column_stack([u + scale * r * np.cos(angles), v + scale * r * np.sin(angles)])
        )
        if cover is None:
            return
        canvas.paint(
            *cover, albedo=np.array(colour) * (1.25 if setting.lamps else 1.0), **shared
        )  # retro-reflecting
    (left, top), alpha = cover
    ink = np.zeros(alpha.shape, np.float32)
    text, height = {"limit": ("30", 0.62), "warning": ("I", 0.55), "park": ("P", 0.9), "ban": ("", 1.0)}[kind]
    if kind == "ban":
        ink[:] = band(
            (np.arange(alpha.shape[0])[:, None] + top - v).astype(np.float32), -0.14 * r, 0.14 * r, 1.0
        )
        ink *= band((np.arange(alpha.shape[1])[None] + left - u).astype(np.float32), -0.55 * r, 0.55 * r, 1.0)
    else:
        size = height * r
        length = (len(text) * 5.0 - 1.2) * size / 6 if text != "I" else size * 0.65
        draw_text(
            ink,
            text,
            (u - left - length / 2, v - top - size / 2 + (0.12 * r if kind == "warning" else 0)),
            size,
        )
    canvas.paint(
        (left, top), ink * alpha, albedo=white if kind in ("park", "ban") else (0.03, 0.03, 0.03), **shared
    )


def paint_guardrail(canvas: Canvas, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A length of steel guardrail between two ground points X, Z, with a post at its near end."""
    air = canvas.setting.air
    (x0, z0), (x1, z1) = start, end
    if min(z0, z1) < 1.0:
        return
    inward = -np.sign(x0) or 1.0
    paint_post(canvas, (x0, 0, z0), (x0, 0.72, z0), (0.05, 0.05), (0.22, 0.22, 0.22), air, label=GUARDRAIL)
    for low, high, tilt, tone in (
        (0.42, 0.50, -0.6, 0.9),
        (0.50, 0.56, 0.6, 1.1),
        (0.56, 0.62, -0.6, 0.85),
        (0.62, 0.70, 0.6, 1.0),
        (0.70, 0.74, -0.5, 0.9),
    ):
        corners = [(x0, low, z0), (x1, low, z1), (x1, high, z1), (x0, high, z0)]
        pixels, depth = canvas.camera.project(corners)
        cover = canvas.polygon(pixels)
        if cover is None:
            continue
        alpha = cover[1]
        ramp = np.linspace(0, 1, alpha.shape[1], dtype=np.float32)[None]
        first, last = (depth[0], depth[1]) if pixels[0, 0] < pixels[1, 0] else (depth[1], depth[0])
        normal = np.array([inward, tilt, -0.3]) / np.hypot(1.05, tilt)
        canvas.paint(
            cover[0], alpha, albedo=np.array([0.40, 0.41, 0.42]) * tone, normal=normal, heat=air - 0.6 + tilt * 0.5,
            depth=float(first) + (float(last) - float(first)) * ramp, glow=canvas.setting.sky(np.float32(max(tilt, 0.0))) * 0.08, label=GUARDRAIL,
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
