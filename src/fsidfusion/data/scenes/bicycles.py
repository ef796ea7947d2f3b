"""Bicycles, parked or ridden."""

import cv2
import numpy as np
from fsidfusion.data.scenes.canvas import Canvas
from fsidfusion.data.scenes.figures import SKIN_HEAT, Figure, Part, Point, Pose

BIKE = 3  # MSRS class


def paint_bicycle(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """A bicycle under `pose`; its mask fills the wheels, as people outline bicycles by hand."""
    ahead = np.array([np.sin(pose.heading), 0.0, np.cos(pose.heading)])
    right = np.array([np.cos(pose.heading), 0.0, -np.sin(pose.heading)])
    base = np.array([pose.x, 0.0, pose.z])

    def at(forward: float, height: float, side: float = 0.0) -> Point:
        return base + forward * ahead + np.array([0.0, height, 0.0]) + side * right

    paint = rng.uniform(0.03, 0.45, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0.02, 0.5))
    dark, steel = np.full(3, 0.02), np.full(3, 0.42)
    rear, front, bottom, seat, head, fork = (
        (-0.50, 0.34),
        (0.56, 0.34),
        (-0.10, 0.30),
        (-0.20, 0.80),
        (0.34, 0.86),
        (0.38, 0.70),
    )
    tubes = [(rear, bottom), (rear, seat), (bottom, seat), (bottom, fork), (seat, head)]
    frame = [(at(*a), at(*b), 0.020, 0.020) for a, b in tubes]
    turn = np.linspace(0, 2 * np.pi, 29)
    parts: list[Part] = []
    hub = 0.34
    for cx, cy in (rear, front):
        rim = [at(cx + hub * np.cos(t), cy + hub * np.sin(t)) for t in turn]
        parts.append(
            Part([(a, b, 0.021, 0.021) for a, b in zip(rim, rim[1:])], dark, 0.10, soft=0.0, puff=0.02)
        )
        inner = [at(cx + 0.92 * hub * np.cos(t), cy + 0.92 * hub * np.sin(t)) for t in turn[::2]]
        parts.append(Part([(at(cx, cy), p, 0.0035, 0.0035) for p in inner], steel, 0.0, soft=0.0, puff=0.01))
    parts.append(Part(frame, paint, 0.05, soft=0.0, puff=0.02))
    parts.append(
        Part(
            [(at(*front), at(*fork), 0.016, 0.018), (at(*fork), at(0.31, 0.98), 0.02, 0.018)],
            paint,
            0.05,
            soft=0.0,
            puff=0.02,
        )
    )
    bar = [(at(0.31, 1.0, -0.27), at(0.31, 1.0, 0.27), 0.016, 0.016)]
    parts.append(Part(bar, dark, 0.12, puff=0.02))
    parts.append(
        Part(
            [(at(-0.34, 0.95), at(-0.10, 0.94), 0.045, 0.022)],
            dark,
            0.30 if pose.action == "ride" else 0.0,
            puff=0.03,
        )
    )
    parts.append(Part([(at(*seat), at(-0.22, 0.93), 0.016, 0.016)], steel, 0.0, puff=0.02))
    crank = [
        at(-0.10 + k * 0.17 * np.cos(pose.phase), 0.30 + k * 0.17 * np.sin(pose.phase), 0.08 * k)
        for k in (-1, 1)
    ]
    parts.append(Part([(crank[0], crank[1], 0.016, 0.016)], steel * 0.5, 0.05, puff=0.02))
    figure = Figure(canvas, parts)
    if 0 in figure.shape:
        return
    for part in parts:
        figure.add(part, rng)
    claim = np.zeros(figure.shape, np.uint8)
    for cx, cy in (rear, front):
        disc = (
            canvas.camera.project([at(cx + 0.355 * np.cos(t), cy + 0.355 * np.sin(t)) for t in turn])[0]
            - figure.corner
        )
        cv2.fillPoly(claim, [np.round((disc - 0.5) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    setting = canvas.setting
    _, depth = canvas.camera.project(base)
    canvas.paint(
        figure.corner, figure.alpha, albedo=figure.planes[:3], normal=canvas.camera.to_world(*figure.planes[3:6]),
        heat=setting.air + 0.6 + figure.planes[6] * (SKIN_HEAT - setting.air) + 0.3 * setting.warming, depth=depth,
        sun=canvas.sun_at(pose.x, pose.z), occlusion=0.85, label=BIKE, instance=canvas.new_object("bicycle"),
        claim=(claim > 0) | (figure.alpha > 0.5),
    )  # fmt: skip
