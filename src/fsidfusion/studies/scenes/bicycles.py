"""Bicycles, parked or ridden."""

from itertools import pairwise

import cv2
import numpy as np

from fsidfusion.studies.scenes.canvas import Canvas, Frame
from fsidfusion.studies.scenes.figures import SKIN_HEAT, Figure, Part, Segment
from fsidfusion.studies.scenes.people import Pose

BIKE = 3  # MSRS class
HUB = 0.34  # metres: height of the hubs
REAR, FRONT = (-0.50, HUB, 0.0), (0.56, HUB, 0.0)
BOTTOM, SEAT, HEAD, FORK = (-0.10, 0.30, 0.0), (-0.20, 0.80, 0.0), (0.34, 0.86, 0.0), (0.38, 0.70, 0.0)
TURN = np.linspace(0, 2 * np.pi, 25)


def _circle(middle: tuple[float, float, float], radius: float) -> list[tuple[float, float, float]]:
    return [(middle[0] + radius * np.cos(t), middle[1] + radius * np.sin(t), 0.0) for t in TURN]


def _bicycle_parts(rng: np.random.Generator, pose: Pose) -> list[Part]:
    """Wheels, frame, handlebar, saddle and pedals, in metres."""
    paint = rng.uniform(0.03, 0.45, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0.02, 0.5))
    dark, steel = np.full(3, 0.02), np.full(3, 0.42)
    turn = 0.17 * np.array([np.cos(pose.phase), np.sin(pose.phase)])
    tubes = [(REAR, BOTTOM), (REAR, SEAT), (BOTTOM, SEAT), (BOTTOM, FORK), (SEAT, HEAD)]
    saddle = 0.30 if pose.action == "ride" else 0.0
    pedals = [(-0.10 + k * turn[0], 0.30 + k * turn[1], 0.08 * k) for k in (-1, 1)]
    groups: list[tuple[list[Segment], object, float]] = []
    for wheel in (REAR, FRONT):
        spokes: list[Segment] = [(wheel, p, 0.0035, 0.0035) for p in _circle(wheel, 0.31)[::2]]
        groups.append(([(a, b, 0.021, 0.021) for a, b in pairwise(_circle(wheel, HUB))], dark, 0.10))
        groups.append((spokes, steel, 0.0))
    groups += [
        ([(a, b, 0.02, 0.02) for a, b in tubes], paint, 0.05),
        ([(FRONT, FORK, 0.016, 0.018), (FORK, (0.31, 0.98, 0.0), 0.02, 0.018)], paint, 0.05),
        ([((0.31, 1.0, -0.27), (0.31, 1.0, 0.27), 0.016, 0.016)], dark, 0.12),
        ([(SEAT, (-0.22, 0.93, 0.0), 0.016, 0.016)], steel, 0.0),
        ([((-0.34, 0.95, 0.0), (-0.10, 0.94, 0.0), 0.045, 0.022)], dark, saddle),
        ([(pedals[0], pedals[1], 0.016, 0.016)], steel * 0.5, 0.05),
    ]
    # All lie in one plane: `nearer` keeps them in this order.
    return [
        Part(
            segments,
            np.asarray(colour),
            warmth,
            soft=0.0,
            puff=0.02,
            nearer=4.0 * k,
            detail=len(segments) == 13,
        )
        for k, (segments, colour, warmth) in enumerate(groups)
    ]


def paint_bicycle(canvas: Canvas, seed: int, pose: Pose) -> None:
    """A bicycle under `pose`; its mask fills the wheels, as people outline bicycles by hand."""
    rng, frame = np.random.default_rng(seed), Frame(pose.x, pose.z, pose.heading)
    figure = Figure(canvas, frame, _bicycle_parts(rng, pose), rng)
    claim = np.zeros(figure.shape, np.uint8)
    if 0 in figure.shape:
        return
    for wheel in (REAR, FRONT):
        disc = canvas.camera.project(frame.world(_circle(wheel, 0.36)))[0] - figure.corner
        cv2.fillPoly(claim, [np.round((disc - 0.5) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    setting = canvas.setting
    canvas.paint(
        figure.corner, figure.alpha,
        albedo=figure.planes[:3], normal=canvas.camera.to_world(*figure.planes[3:6]),
        heat=setting.air + 0.6 + figure.planes[6] * (SKIN_HEAT - setting.air) + 0.3 * setting.warming,
        depth=float(canvas.camera.project((pose.x, 0.0, pose.z))[1]), sun=canvas.sun_at(pose.x, pose.z),
        occlusion=0.85, label=BIKE, instance=canvas.new_object("bicycle"),
        claim=(claim > 0) | (figure.alpha > 0.5),
    )  # fmt: skip
