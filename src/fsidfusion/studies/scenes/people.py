"""People: walking, standing, crouching or riding, in random clothes."""

from dataclasses import dataclass

import numpy as np

from fsidfusion.studies.scenes.canvas import Canvas, Frame
from fsidfusion.studies.scenes.figures import SKIN_HEAT, Figure, Part, Point, Segment, two_bones
from fsidfusion.studies.scenes.texture import Array

PERSON = 2  # MSRS class
CLOTHES = (
    (0.020, 0.022, 0.028), (0.05, 0.05, 0.055), (0.03, 0.045, 0.09), (0.10, 0.09, 0.07), (0.16, 0.025, 0.03),
    (0.22, 0.20, 0.16), (0.04, 0.08, 0.055), (0.30, 0.30, 0.31), (0.10, 0.14, 0.24), (0.36, 0.16, 0.05),
    (0.45, 0.43, 0.40),
)  # fmt: skip
TROUSERS = (
    (0.018, 0.02, 0.026),
    (0.03, 0.045, 0.085),
    (0.07, 0.065, 0.06),
    (0.16, 0.13, 0.09),
    (0.05, 0.07, 0.12),
)
SKIN = ((0.52, 0.33, 0.24), (0.44, 0.27, 0.18), (0.28, 0.16, 0.10), (0.15, 0.085, 0.055))
HAIR = ((0.015, 0.012, 0.01), (0.05, 0.03, 0.018), (0.12, 0.075, 0.03), (0.25, 0.24, 0.23))
AHEAD, UP, RIGHT = np.eye(3)
SIDES = (-1.0, 1.0)  # left, right


@dataclass(frozen=True)
class Pose:
    """Where a person stands and what the body does; angles in radians."""

    x: float
    z: float
    heading: float  # 0 walks away from the camera, pi towards it
    stature: float  # metres
    action: str  # "walk", "stand", "crouch" or "ride"
    phase: float = 0.0  # of the step, or of the pedals

    @property
    def frame(self) -> Frame:
        """Forward, height and side of the body, in units of the stature."""
        return Frame(self.x, self.z, self.heading, self.stature)


@dataclass(frozen=True)
class Skeleton:
    """Joints as forward, height, side in units of the stature; pairs are left, right."""

    hips: Point
    neck: Point
    ankles: tuple[Point, Point]
    hands: tuple[Point, Point]
    knees_to: Point  # the way the knees and
    elbows_to: Point  # the elbows bend


def skeleton(rng: np.random.Generator, pose: Pose) -> Skeleton:
    """Joints of a pose."""
    if pose.action == "ride":
        m = 1 / pose.stature  # the bicycle has its size in metres
        turns = (pose.phase, pose.phase + np.pi)
        ankles = [
            ((0.17 * np.cos(t) - 0.14) * m, (0.17 * np.sin(t) + 0.37) * m, k * 0.09 * m)
            for t, k in zip(turns, SIDES)
        ]
        hands = [(0.31 * m, 1.02 * m, k * 0.24 * m) for k in SIDES]
        hips = (-0.22 * m, 1.0 * m, 0.0)
        return Skeleton(
            hips, (hips[0] + 0.19, hips[1] + 0.24, 0.0), _pair(ankles), _pair(hands), AHEAD, -UP - 0.5 * AHEAD
        )
    if pose.action == "crouch":
        ankles, hands = [(-0.05, 0.04, -0.06), (0.06, 0.04, 0.07)], [(0.22, 0.20, -0.06), (0.24, 0.26, 0.06)]
        return Skeleton((-0.10, 0.26, 0), (0.10, 0.50, 0), _pair(ankles), _pair(hands), AHEAD + 0.6 * UP, -UP)
    walking = pose.action == "walk"
    stride = 0.17 if walking else 0.02
    forward = np.array([1, -1]) * np.sin(pose.phase)
    lifted = np.maximum(np.array([1, -1]) * np.cos(pose.phase), 0) * walking
    hips_height = float(np.sqrt(0.487**2 - (stride * forward[0]) ** 2)) + 0.042
    ankles = [(stride * f - 0.02, 0.042 + 0.07 * up, k * 0.05) for f, up, k in zip(forward, lifted, SIDES)]
    swing = -0.9 * stride * forward
    hands = [(f + 0.045, 0.475 + 0.3 * max(f, 0), k * 0.135) for f, k in zip(swing, SIDES)]
    if not walking and rng.random() < 0.4:  # a telephone at the ear, or a hand before the chest
        hands[1] = (0.13, rng.choice([0.70, 0.86]), 0.05)
    neck = (0.015 * walking, hips_height + 0.29, 0.0)
    return Skeleton((0.0, hips_height, 0.0), neck, _pair(ankles), _pair(hands), AHEAD, -AHEAD)


def _pair(points: list[tuple[float, float, float]]) -> tuple[Point, Point]:
    return points[0], points[1]


def _pick(rng: np.random.Generator, table: tuple[tuple[float, ...], ...]) -> Array:
    return np.array(table[rng.integers(len(table))], np.float32) * rng.uniform(0.8, 1.25)


def person_parts(rng: np.random.Generator, pose: Pose) -> list[Part]:
    """All parts of a person in random clothes, in units of the stature."""
    bones = skeleton(rng, pose)
    hips, neck = np.array(bones.hips), np.array(bones.neck)
    spine = (neck - hips) / np.linalg.norm(neck - hips)
    build = rng.uniform(0.9, 1.15)
    skin, top, bottom = _pick(rng, SKIN), _pick(rng, CLOTHES), _pick(rng, TROUSERS)
    shoe = _pick(rng, TROUSERS) * 0.7
    coat = rng.random() < 0.45 and pose.action != "ride"
    skirt = not coat and rng.random() < 0.18 and pose.action in ("walk", "stand")
    bare_arms = not coat and rng.random() < 0.3
    thick = 1.12 if coat else 1.0
    warmth = rng.uniform(0.46, 0.60) - 0.10 * coat
    leg_warmth = warmth + rng.uniform(-0.04, 0.08)
    parts: list[Part] = []
    thighs: list[Segment] = []

    for k, ankle, hand in zip(SIDES, bones.ankles, bones.hands):
        hip, ankle, hand = hips + k * 0.05 * build * RIGHT, np.array(ankle), np.array(hand)
        knee = two_bones(hip, ankle, 0.25, 0.24, bones.knees_to + 0.12 * k * RIGHT)
        thighs.append((hip, hip + rng.uniform(0.35, 0.75) * (knee - hip), 0.068 * build, 0.070 * build))
        if skirt:
            parts.append(Part([(knee, ankle, 0.032, 0.021)], skin, 0.86, puff=0.03))
        else:
            leg: list[Segment] = [(hip, knee, 0.056 * build, 0.040), (knee, ankle, 0.039, 0.027)]
            parts.append(Part(leg, bottom, leg_warmth, soft=0.012, puff=0.035, folds=0.8))
        heel, toe = ankle - 0.022 * (AHEAD + UP), ankle + 0.095 * AHEAD - 0.026 * UP
        parts.append(Part([(heel, toe, 0.022, 0.018)], shoe, 0.40, puff=0.02, nearer=-0.01))
        shoulder = neck - 0.045 * spine + k * 0.094 * build * RIGHT
        elbow = two_bones(shoulder, hand, 0.165, 0.155, bones.elbows_to + 0.35 * k * RIGHT)
        if bare_arms:
            parts.append(Part([(elbow, hand, 0.026, 0.019)], skin, 0.93, puff=0.025))
            parts.append(
                Part([(shoulder, elbow, 0.038, 0.033)], top, warmth, puff=0.035, folds=0.8, nearer=0.006)
            )
        else:
            arm: list[Segment] = [
                (shoulder, elbow, 0.036 * thick, 0.029 * thick),
                (elbow, hand, 0.029 * thick, 0.022 * thick),
            ]
            parts.append(Part(arm, top, warmth, soft=0.012, puff=0.035, folds=0.8))
        grip = hand + 0.025 * (hand - elbow) / np.linalg.norm(hand - elbow)
        parts.append(Part([(hand, grip, 0.019, 0.021)], skin, 0.95, puff=0.02, detail=True))

    chest, waist = neck - 0.06 * spine, hips + 0.11 * spine
    wide = thick * build
    torso: list[Segment] = [(chest, waist, 0.074 * wide, 0.064 * wide)]
    for k in SIDES:
        torso.append(
            (neck - 0.035 * UP, chest + 0.006 * UP + k * 0.082 * build * RIGHT, 0.040, 0.038 * thick)
        )
        torso.append(
            (waist + k * 0.03 * RIGHT, hips + k * 0.042 * RIGHT - 0.02 * UP, 0.054 * wide, 0.058 * wide)
        )
    parts.append(
        Part(
            torso + (thighs if coat else []),
            top,
            warmth + 0.03,
            soft=0.03,
            puff=0.055,
            folds=1.0,
            nearer=0.03,
        )
    )
    if skirt:
        cloth: list[Segment] = [(hips, hips - 0.17 * UP, 0.07, 0.095)]
        parts.append(Part(cloth, bottom, leg_warmth, puff=0.055, folds=1.0, nearer=0.025))
    if rng.random() < 0.12:  # a reflecting vest
        vest: list[Segment] = [(chest, waist, 0.080 * wide, 0.070 * wide)]
        vest += [(neck - 0.05 * UP, chest + k * 0.05 * build * RIGHT, 0.036, 0.044) for k in SIDES]
        parts.append(Part(vest, (0.50, 0.62, 0.06), warmth, soft=0.02, puff=0.055, folds=0.4, nearer=0.04))
    load = rng.random()
    if load < 0.25:
        pack: list[Segment] = [
            (chest - 0.095 * AHEAD - 0.02 * UP, waist - 0.10 * AHEAD + 0.02 * UP, 0.062, 0.07)
        ]
        parts.append(Part(pack, _pick(rng, CLOTHES), 0.18, puff=0.03, folds=0.5))
    elif load < 0.42 and pose.action == "walk":
        bag = np.array(bones.hands[1]) + np.array([0.0, -0.13, 0.02])
        parts.append(
            Part([(bag, bag - 0.05 * UP, 0.05, 0.06)], _pick(rng, CLOTHES), 0.06, puff=0.025, nearer=0.02)
        )
    return parts + _head(rng, neck + 0.012 * AHEAD + 0.092 * UP, neck, skin, top)


def _head(rng: np.random.Generator, middle: Array, neck: Array, skin: Array, cloth: Array) -> list[Part]:
    """Neck, face, hair or a cap, and shaded eyes around the `middle` of a head."""

    def at(forward: float, up: float, side: float = 0.0) -> Point:
        return middle + np.array([forward, up, side])

    covered = rng.random() < 0.28
    cap, warmth = (cloth, 0.42) if covered else (_pick(rng, HAIR), 0.52)
    back: list[Segment] = [(at(-0.018, 0.022), at(-0.024, -0.010), 0.046, 0.036)]
    if not covered and rng.random() < 0.35:  # long hair
        back.append((at(-0.03, 0.0), at(-0.035, -0.10), 0.036, 0.022))
    crown: list[Segment] = [
        (at(0.014, 0.040, -0.016), at(0.014, 0.040, 0.016), 0.023, 0.023),
        (at(0.008, 0.040), at(-0.020, 0.034), 0.027, 0.034),
    ]
    face: list[Segment] = [(at(0.010, -0.022), at(0.0, 0.014), 0.033, 0.045)]
    parts = [
        Part([(neck - 0.03 * UP, at(-0.008, -0.02), 0.028, 0.027)], skin, 0.93, nearer=-0.006, detail=True),
        Part(face, skin, 1.0, puff=0.04),
        Part(back, cap, warmth, puff=0.035, folds=0.4),
        Part(crown, cap, warmth, puff=0.035, folds=0.4, nearer=0.034),
    ]
    for k in SIDES:
        socket: list[Segment] = [(at(0.040, 0.003, k * 0.016), at(0.040, 0.003, k * 0.017), 0.0055, 0.0055)]
        parts.append(Part(socket, skin * 0.3, 0.97, puff=0.012, nearer=0.004, detail=True))
    return parts


def paint_person(canvas: Canvas, seed: int, pose: Pose) -> None:
    """A person; hot in the face and hands, half as warm in the clothes."""
    rng = np.random.default_rng(seed)
    figure = Figure(canvas, pose.frame, person_parts(rng, pose), rng)
    setting = canvas.setting
    (_, foot), depth = (v.tolist() for v in canvas.camera.project((pose.x, 0.0, pose.z)))
    rows = (np.arange(figure.shape[0], dtype=np.float32) + figure.corner[1])[:, None]
    lifted = np.clip((foot - rows) * (1 / (0.2 * figure.scale)), 0, 1)
    canvas.paint(
        figure.corner, figure.alpha,
        albedo=figure.planes[:3], normal=canvas.camera.to_world(*figure.planes[3:6]),
        heat=setting.air + figure.planes[6] * (SKIN_HEAT - setting.air), depth=depth,
        sun=canvas.sun_at(pose.x, pose.z), occlusion=0.62 + 0.38 * lifted,
        label=PERSON, instance=canvas.new_object("person"),
    )  # fmt: skip
