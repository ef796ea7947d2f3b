"""People: walking, standing, crouching or riding, in random clothes."""

import cv2
import numpy as np
from fsidfusion.data.scenes.canvas import Canvas
from fsidfusion.data.scenes.figures import SKIN_HEAT, Figure, Part, Point, Pose, two_bones
from fsidfusion.data.scenes.texture import Array

PERSON = 2  # MSRS class


CLOTHES = (
    (0.020, 0.022, 0.028), (0.05, 0.05, 0.055), (0.03, 0.045, 0.09), (0.10, 0.09, 0.07), (0.16, 0.025, 0.03),
    (0.22, 0.20, 0.16), (0.04, 0.08, 0.055), (0.30, 0.30, 0.31), (0.10, 0.14, 0.24), (0.36, 0.16, 0.05), (0.45, 0.43, 0.40),
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


def _pick(rng: np.random.Generator, table: tuple[tuple[float, ...], ...]) -> Array:
    return np.array(table[rng.integers(len(table))], np.float32) * rng.uniform(0.8, 1.25)


def paint_person(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """A person in random clothes; hot in the face and hands, half as warm in the clothes."""
    parts = person_parts(rng, pose)
    forward = -np.array([0.0, -np.sin(canvas.camera.pitch), np.cos(canvas.camera.pitch)])

    def nearness(part: Part) -> float:
        ends = np.array([p for s in part.segments for p in s[:2]])
        return float(ends.mean(0) @ forward) + part.nearer

    figure = Figure(canvas, parts)
    if 0 in figure.shape:
        return
    for part in sorted(parts, key=nearness):
        figure.add(part, rng)
    setting = canvas.setting
    ys = (np.arange(figure.shape[0]) + figure.corner[1])[:, None]
    (_, foot), depth = canvas.camera.project((pose.x, 0.0, pose.z))
    lifted = np.clip((foot - ys) / (0.35 * figure.scale), 0, 1).astype(np.float32)
    heat = setting.air + figure.planes[6] * (SKIN_HEAT - setting.air)
    claim = cv2.threshold(figure.alpha, 0.5, 1, cv2.THRESH_BINARY)[1] > 0
    canvas.paint(
        figure.corner, figure.alpha, albedo=figure.planes[:3], normal=canvas.camera.to_world(*figure.planes[3:6]),
        heat=heat, depth=depth, sun=canvas.sun_at(pose.x, pose.z), occlusion=0.62 + 0.38 * lifted,
        label=PERSON, instance=canvas.new_object("person"), claim=claim,
    )  # fmt: skip


def person_parts(rng: np.random.Generator, pose: Pose) -> list[Part]:
    """All parts of a person, in world coordinates."""
    s = pose.stature
    ahead = np.array([np.sin(pose.heading), 0.0, np.cos(pose.heading)])
    right = np.array([np.cos(pose.heading), 0.0, -np.sin(pose.heading)])
    up = np.array([0.0, 1.0, 0.0])
    base = np.array([pose.x, 0.0, pose.z])

    def at(forward: float, height: float, side: float = 0.0) -> Point:
        return base + s * (forward * ahead + height * up + side * right)

    build = rng.uniform(0.9, 1.15)
    swing = np.array([np.sin(pose.phase), -np.sin(pose.phase)])  # left, right foot forward
    lift = np.maximum(np.array([np.cos(pose.phase), -np.cos(pose.phase)]), 0)
    if pose.action == "ride":
        metre = 1 / s
        hips, neck = (-0.22 * metre, 0.98 * metre), (0.10 * metre, 0.98 * metre + 0.28)
        crank = [
            np.array([0.17 * np.cos(pose.phase + k * np.pi), 0.17 * np.sin(pose.phase + k * np.pi)])
            for k in (0, 1)
        ]
        ankles = [
            ((-0.10 + c[0] - 0.04) * metre, (0.36 + c[1]) * metre, side * 0.09 * metre)
            for c, side in zip(crank, (-1, 1))
        ]
        hands = [(0.34 * metre, 1.04 * metre, side * 0.24 * metre) for side in (-1, 1)]
        knees_bend, elbows_bend = ahead, -up - 0.5 * ahead
    elif pose.action == "crouch":
        hips, neck = (-0.10, 0.26), (0.10, 0.50)
        ankles = [(-0.05, 0.04, -0.06), (0.06, 0.04, 0.07)]
        hands = [(0.22, 0.20, -0.06), (0.24, 0.26, 0.06)]
        knees_bend, elbows_bend = ahead + 0.6 * up, -up
    else:
        stride = 0.17 if pose.action == "walk" else 0.02
        bob = 0.006 * abs(np.sin(pose.phase))
        lean = 0.015 if pose.action == "walk" else 0.0
        hips, neck = (0.0, 0.515 - bob * 2), (lean, 0.815 - bob)
        ankles = [
            (stride * swing[k] - 0.02, 0.042 + (0.07 * lift[k] * (pose.action == "walk")), side * 0.05)
            for k, side in enumerate((-1, 1))
        ]
        arm = 0.9 * stride
        hands = [
            (-arm * swing[k] + 0.045, 0.475 + 0.10 * max(-arm * swing[k], 0) * 3, side * 0.135 * build)
            for k, side in enumerate((-1, 1))
        ]
        if pose.action == "stand" and rng.random() < 0.4:  # a telephone in the hand, or arms folded
            hands[1] = (0.13, rng.choice([0.70, 0.86]), 0.05)
        knees_bend, elbows_bend = ahead, -ahead
    tilt = np.array([neck[0] - hips[0], neck[1] - hips[1]])
    tilt /= np.linalg.norm(tilt)

    skin, hair = _pick(rng, SKIN), _pick(rng, HAIR)
    top, bottom, shoe = _pick(rng, CLOTHES), _pick(rng, TROUSERS), _pick(rng, TROUSERS) * 0.7
    coat = rng.random() < 0.45 and pose.action != "ride"
    skirt = not coat and rng.random() < 0.18 and pose.action in ("walk", "stand")
    short_sleeves = not coat and rng.random() < 0.3
    thick = 1.12 if coat else 1.0
    cloth_heat = rng.uniform(0.46, 0.60) - 0.10 * coat
    leg_heat = cloth_heat + rng.uniform(-0.04, 0.08)
    parts: list[Part] = []

    for k, side in enumerate((-1, 1)):
        hip, ankle = at(hips[0], hips[1], side * 0.05 * build), at(*ankles[k])
        knee = two_bones(hip, ankle, 0.25 * s, 0.24 * s, knees_bend + 0.12 * side * right)
        toe = ankle + s * (0.095 * ahead - 0.026 * up)
        heel = ankle - s * (0.022 * ahead + 0.022 * up)
        legs = [(hip, knee, 0.056 * s * build, 0.040 * s), (knee, ankle, 0.039 * s, 0.027 * s)]
        if skirt:
            parts.append(Part([(knee, ankle, 0.032 * s, 0.021 * s)], skin, 0.86, puff=0.05))
        else:
            parts.append(Part(legs, bottom, leg_heat, soft=0.02, folds=0.8))
        parts.append(Part([(heel, toe, 0.022 * s, 0.018 * s)], shoe, 0.40, puff=0.03, nearer=-0.02))
        shoulder = at(neck[0] - 0.045 * tilt[0], neck[1] - 0.045 * tilt[1], side * 0.094 * build)
        wrist = at(*hands[k])
        elbow = two_bones(shoulder, wrist, 0.165 * s, 0.155 * s, elbows_bend + 0.35 * side * right)
        upper, lower = (
            (shoulder, elbow, 0.036 * s * thick, 0.029 * s * thick),
            (elbow, wrist, 0.029 * s * thick, 0.022 * s * thick),
        )
        outer = 0.03 if side * (right[2]) < 0 else -0.03
        if short_sleeves:
            parts.append(Part([(elbow, wrist, 0.026 * s, 0.019 * s)], skin, 0.93, puff=0.04, nearer=outer))
            parts.append(
                Part(
                    [(shoulder, elbow, 0.040 * s, 0.034 * s)], top, cloth_heat, folds=0.8, nearer=outer + 0.01
                )
            )
        else:
            parts.append(Part([upper, lower], top, cloth_heat, soft=0.02, folds=0.8, nearer=outer))
        grip = wrist + (wrist - elbow) / max(float(np.linalg.norm(wrist - elbow)), 1e-6) * 0.025 * s
        parts.append(Part([(wrist, grip, 0.019 * s, 0.021 * s)], skin, 0.95, puff=0.03, nearer=outer))

    chest = (neck[0] - 0.06 * tilt[0], neck[1] - 0.06 * tilt[1])
    waist = (hips[0] + 0.11 * tilt[0], hips[1] + 0.11 * tilt[1])
    torso = [
        *(
            (
                at(neck[0], neck[1] - 0.035),
                at(chest[0], chest[1] + 0.006, k * 0.082 * build),
                0.040 * s,
                0.038 * s * thick,
            )
            for k in (-1, 1)
        ),
        (at(*chest), at(*waist), 0.074 * s * thick * build, 0.064 * s * thick * build),
        (
            at(*waist, -0.03),
            at(hips[0], hips[1], -0.042),
            0.052 * s * thick * build,
            0.054 * s * thick * build,
        ),
        (at(*waist, 0.03), at(hips[0], hips[1], 0.042), 0.052 * s * thick * build, 0.054 * s * thick * build),
    ]
    if coat:
        hem = (hips[0] - 0.01, hips[1] - rng.uniform(0.10, 0.22))
        torso.append((at(*hips), at(*hem), 0.085 * s * build, 0.098 * s * build))
    parts.append(Part(torso, top, cloth_heat + 0.03, soft=0.05, puff=0.09, folds=1.0))
    if skirt:
        knee_high = (hips[0], hips[1] - 0.17)
        parts.append(
            Part(
                [(at(*hips), at(*knee_high), 0.07 * s, 0.095 * s)],
                bottom,
                leg_heat,
                puff=0.09,
                folds=1.0,
                nearer=0.01,
            )
        )
    if rng.random() < 0.12:  # a reflecting vest
        parts.append(
            Part(
                [(at(*chest), at(*waist), 0.080 * s * build, 0.070 * s * build)],
                (0.50, 0.62, 0.06),
                cloth_heat,
                puff=0.09,
                nearer=0.05,
            )
        )
    if rng.random() < 0.25:
        pack = _pick(rng, CLOTHES)
        spine = [at(chest[0] - 0.095, chest[1] - 0.02), at(waist[0] - 0.10, waist[1] + 0.02)]
        parts.append(Part([(spine[0], spine[1], 0.062 * s, 0.07 * s)], pack, 0.18, puff=0.05, folds=0.5))
    elif rng.random() < 0.25 and pose.action == "walk":
        bag = at(hands[1][0], hands[1][1] - 0.12, hands[1][2] + 0.02)
        parts.append(
            Part(
                [(bag, bag - 0.05 * s * up, 0.05 * s, 0.06 * s)],
                _pick(rng, CLOTHES),
                0.06,
                puff=0.04,
                nearer=0.03,
            )
        )

    head = (neck[0] + 0.012 + 0.04 * tilt[0], neck[1] + 0.100)
    parts.append(
        Part(
            [(at(neck[0], neck[1] - 0.03), at(head[0] - 0.008, head[1] - 0.02), 0.028 * s, 0.027 * s)],
            skin,
            0.93,
            nearer=-0.01,
        )
    )
    face = [(at(head[0] + 0.010, head[1] - 0.022), at(head[0], head[1] + 0.014), 0.033 * s, 0.045 * s)]
    parts.append(Part(face, skin, 1.0, puff=0.07))
    covered = rng.random() < 0.28
    cap, cap_heat = (top, 0.42) if covered else (hair, 0.52)
    back = [
        (at(head[0] - 0.018, head[1] + 0.022), at(head[0] - 0.024, head[1] - 0.010), 0.046 * s, 0.036 * s)
    ]
    if not covered and rng.random() < 0.35:  # long hair
        back.append((at(head[0] - 0.03, head[1]), at(head[0] - 0.035, head[1] - 0.10), 0.036 * s, 0.022 * s))
    parts.append(Part(back, cap, cap_heat, puff=0.06, folds=0.4))
    crown = [
        (
            at(head[0] + 0.014, head[1] + 0.040, -0.016),
            at(head[0] + 0.014, head[1] + 0.040, 0.016),
            0.023 * s,
            0.023 * s,
        ),
        (at(head[0] + 0.008, head[1] + 0.040), at(head[0] - 0.020, head[1] + 0.034), 0.027 * s, 0.034 * s),
    ]
    parts.append(Part(crown, cap, cap_heat, puff=0.06, folds=0.4, nearer=0.06))
    eyes = [
        (
            at(head[0] + 0.040, head[1] + 0.002, side * 0.016),
            at(head[0] + 0.040, head[1] + 0.002, side * 0.017),
            0.0055 * s,
            0.0055 * s,
        )
        for side in (-1, 1)
    ]
    if ahead[2] < 0.15:
        parts.append(Part(eyes[:1], skin * 0.22, 0.97, nearer=0.08, puff=0.02))
        parts.append(Part(eyes[1:], skin * 0.22, 0.97, nearer=0.08, puff=0.02))
    return parts
