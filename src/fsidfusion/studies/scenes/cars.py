"""Cars: a lofted body, wheels and lamps, rasterised as numbered faces and shaded from their normals."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from fsidfusion.studies.scenes.canvas import Canvas, Frame, Light
from fsidfusion.studies.scenes.carbody import (
    GLASS,
    GRILLE,
    HEADLAMP,
    PAINTED,
    PLASTIC,
    PLATE,
    RIM,
    SEAM,
    SHAPES,
    TAILLAMP,
    TYRE,
    Loft,
    loft,
)
from fsidfusion.studies.scenes.texture import Array, noise_patch

CAR = 1  # MSRS class
PAINTS = (
    (0.55, 0.56, 0.57), (0.70, 0.70, 0.69), (0.30, 0.31, 0.33), (0.03, 0.032, 0.036), (0.10, 0.105, 0.115),
    (0.035, 0.06, 0.16), (0.30, 0.02, 0.025), (0.05, 0.11, 0.09), (0.42, 0.38, 0.31), (0.10, 0.22, 0.36),
    (0.50, 0.32, 0.03),
)  # fmt: skip
COLOURS = {
    GLASS: (0.018, 0.02, 0.022), PLASTIC: (0.025, 0.025, 0.027), TYRE: (0.022, 0.022, 0.023),
    RIM: (0.34, 0.34, 0.35),
    HEADLAMP: (0.62, 0.64, 0.66), TAILLAMP: (0.34, 0.015, 0.015), GRILLE: (0.02, 0.02, 0.021),
    PLATE: (0.62, 0.60, 0.48), SEAM: (0.03, 0.03, 0.03),
}  # fmt: skip
GLOSS = {PAINTED: 0.045, GLASS: 0.08, HEADLAMP: 0.10, TAILLAMP: 0.06}  # mirrored share at right angles
ARCH, WHEEL, AXLE = 0.375, 0.325, 1.34  # metres: radius of wheel arch and wheel, axle from the middle
TURN = np.linspace(0, 2 * np.pi, 21)[:-1]


@dataclass(frozen=True)
class Car:
    """Where a car stands, which way it points (0: away from the camera, radians), and what is warm."""

    x: float
    z: float
    heading: float
    kind: str  # a key of SHAPES
    engine: float  # 0 cold .. 1 just driven
    lit: bool  # head and tail lamps on


class _Faces:
    """Numbered faces rasterised on a grid finer than the picture; later ones lie on top."""

    def __init__(self, canvas: Canvas, car: Car) -> None:
        camera = canvas.camera
        self.canvas, self.car = canvas, car
        self.frame = Frame(car.x, car.z, car.heading)
        self.eye = self.frame.axes @ (-car.x, camera.height, -car.z)  # the camera, seen from the car
        self.detailed = camera.focal / canvas.unit / max(car.z, 1.0) > 22  # else too far for seams and spokes
        self.body = body = loft(car.kind, 30 if self.detailed else 8)
        self.pixels, self.depth = camera.project(self.frame.world(body.corners))
        low, high = np.floor(self.pixels.min((0, 1)) - 3), np.ceil(self.pixels.max((0, 1)) + 3)
        high[1] += 0.35 * camera.focal / self.depth.min()  # the wheels reach below the body
        low, high = np.maximum(low, -4), np.minimum(high, np.array(camera.size[::-1]) + 4)
        self.corner = (int(low[0]), int(low[1]))
        width, height = (max(int(v), 0) for v in high - low)
        self.fine = 2 if width * height > 5000 else 3
        self.numbers = np.zeros((height * self.fine, width * self.fine), np.int32)
        self.normals: list[Array] = [np.zeros((1, 3)), body.normals]
        self.material: list[int] = [0, *body.material.tolist()]
        self.warmth: list[float] = [0.0, *_body_warmth(body, car).tolist()]
        self.waiting: list[tuple[int, Array, bool]] = []

    def grid(self, pixels: Array) -> Array:
        """Pixel positions as fixed-point positions on the fine grid."""
        fixed = ((pixels - self.corner) * self.fine - 0.5) * 16
        return np.clip(np.round(fixed), -(2**18), 2**18).astype(np.int32)

    def draw_body(self) -> None:
        """Draw the faces of the body that look at the camera, far to near."""
        facing = (self.body.normals * (self.eye - self.body.corners.mean(1))).sum(1) > 0
        order = np.flatnonzero(facing)
        order = order[np.argsort(-self.depth[order].mean(1), kind="stable")]
        for number, polygon in zip((order + 1).tolist(), self.grid(self.pixels[order])):
            cv2.fillConvexPoly(self.numbers, polygon, number, cv2.LINE_8, 4)

    def add(
        self, local: ArrayLike, material: int, normal: ArrayLike, warmth: float, hull: bool = False
    ) -> None:
        """List a flat piece in the car's own coordinates, or the hull of its points, to be drawn."""
        self.waiting.append((len(self.material), np.asarray(local, np.float64), hull))
        self.normals.append(np.asarray(normal, np.float64)[None])
        self.material.append(material)
        self.warmth.append(warmth)

    def draw_waiting(self) -> None:
        """Draw the listed pieces on top, the first one first."""
        if not self.waiting:
            return
        points = np.concatenate([points for _, points, _ in self.waiting])
        grid = self.grid(self.canvas.camera.project(self.frame.world(points))[0])
        ends = np.cumsum([len(points) for _, points, _ in self.waiting])[:-1]
        for (number, _, hull), polygon in zip(self.waiting, np.split(grid, ends)):
            cv2.fillPoly(self.numbers, [cv2.convexHull(polygon) if hull else polygon], number, cv2.LINE_8, 4)
        self.waiting.clear()


def paint_car(canvas: Canvas, seed: int, car: Car) -> None:
    """A car whose bonnet, wheels and grille are as warm as it has been driven; its glass is cold."""
    rng, faces = np.random.default_rng(seed), _Faces(canvas, car)
    if 0 in faces.numbers.shape:
        return
    outline = np.array(SHAPES[car.kind].outline)
    back, front = float(outline[0, 0]), float(outline[-1, 0])
    _draw_wheels(faces, back, front)
    faces.draw_waiting()
    faces.draw_body()
    _draw_end(faces, back, front)
    _draw_side(faces, rng)
    faces.draw_waiting()
    _shade(faces, rng)
    if car.lit and canvas.setting.lamps:
        _light_lamps(faces, back, front)


def _body_warmth(body: Loft, car: Car) -> Array:
    """Warmth of the faces, in units of 10 degrees above the air."""
    warmth = 0.12 + 0.28 * car.engine + 1.15 * car.engine * body.bonnet
    warmth = np.where(body.material == GLASS, -0.35 + 0.25 * car.engine, warmth)
    return np.where(body.material == HEADLAMP, 0.1 + 0.9 * car.engine, warmth)


def _disc(s: float, side: float, radius: float) -> Array:
    return np.column_stack(
        [s + radius * np.cos(TURN), WHEEL + radius * np.sin(TURN), np.full(len(TURN), side)]
    )


def _draw_wheels(faces: _Faces, back: float, front: float) -> None:
    """Draw the treads of the wheels and the dark underside, both of which the body hides from above."""
    track = SHAPES[faces.car.kind].half_width - 0.03
    engine = faces.car.engine
    for s in (-AXLE, AXLE):
        for side in (-track, track):
            tread = np.concatenate([_disc(s, side, WHEEL), _disc(s, side - np.sign(side) * 0.22, WHEEL)])
            faces.add(tread, TYRE, (np.sign(faces.eye[0] - s), 0.2, 0), 0.1 + 0.6 * engine, hull=True)
    under = [
        (s, 0.30, side)
        for s, side in (
            (back + 0.35, -track),
            (front - 0.35, -track),
            (front - 0.35, track),
            (back + 0.35, track),
        )
    ]
    faces.add(under, PLASTIC, (0, -1, 0), 0.45 * engine)


def _draw_end(faces: _Faces, back: float, front: float) -> None:
    """Draw lamps, grille, bumper and number plate on the end that is seen."""
    if back <= faces.eye[0] <= front:
        return
    shape, engine = SHAPES[faces.car.kind], faces.car.engine
    sign = 1.0 if faces.eye[0] > front else -1.0
    tip = front if sign > 0 else back
    width = shape.half_width
    normal = (sign, 0.0, 0.0)

    def strip(low: float, high: float, reach: float, material: int, warmth: float) -> None:
        """A band across the end that bends back at its outer quarters, as the body does."""
        bend = [(0.99, 0.27), (0.86, 0.10), (0.64, -0.006)]
        across = [(-r * reach * width, d) for r, d in bend] + [
            (r * reach * width, d) for r, d in reversed(bend)
        ]
        edge = [(tip - sign * d, side) for side, d in across]
        faces.add(
            [(s, low, side) for s, side in edge] + [(s, high, side) for s, side in reversed(edge)],
            material,
            normal,
            warmth,
        )

    for side in (-1, 1):
        if (faces.eye[2] - side * width) * side < -2.5 * abs(faces.eye[0] - tip):
            continue  # the far lamp has turned away
        low, high = (0.60, 0.74) if sign > 0 else (shape.belt - 0.20, shape.belt - 0.03)
        lamp = [
            (0.005, low + 0.03, 0.46),
            (0.03, low, 0.72),
            (0.27, low + 0.05, 0.985),
            (0.33, high, 0.975),
            (0.06, high, 0.76),
            (0.02, high - 0.03, 0.48),
        ]
        corners = [(tip - sign * d, y, side * r * width) for d, y, r in lamp]
        warmth = 0.1 + 0.7 * engine * (sign > 0)
        faces.add(corners, HEADLAMP if sign > 0 else TAILLAMP, (sign * 0.9, 0.1, side * 0.43), warmth)
    if sign > 0:
        strip(0.54, 0.66, 0.52, GRILLE, 0.4 + 0.9 * engine)
        strip(0.24, 0.36, 0.80, GRILLE, 0.3 + 0.9 * engine)
    low = 0.395 if sign > 0 else 0.60
    s = tip + sign * 0.012
    faces.add(
        [(s, low, -0.26), (s, low, 0.26), (s, low + 0.11, 0.26), (s, low + 0.11, -0.26)], PLATE, normal, 0.15
    )


def _draw_side(faces: _Faces, rng: np.random.Generator) -> None:
    """Draw doors, handles, mirrors, and the wheels of the side that is seen."""
    shape, engine = SHAPES[faces.car.kind], faces.car.engine
    track = shape.half_width - 0.03
    mirror = 0.62 * shape.screen[1]
    for side in (-1, 1) if faces.detailed else ():
        root, outer = side * (track + 0.02), side * (track + 0.20)
        corners = [
            (mirror, shape.belt, root),
            (mirror, shape.belt + 0.15, root),
            (mirror, shape.belt + 0.15, outer),
            (mirror, shape.belt + 0.02, outer),
        ]
        faces.add(corners, PAINTED, (np.sign(faces.eye[0] - mirror), 0.1, 0), 0.1)
    if abs(faces.eye[2]) <= track:
        return
    near = float(np.sign(faces.eye[2]))
    out, x = (0.0, 0.0, near), near * (track + 0.035)

    def plate(s0: float, s1: float, y0: float, y1: float, material: int, warmth: float) -> None:
        faces.add([(s0, y0, x), (s1, y0, x), (s1, y1, x), (s0, y1, x)], material, out, warmth)

    for start, stop in shape.sides if faces.detailed else ():
        for seam in (start - 0.05, stop + 0.05):
            if abs(abs(seam) - AXLE) > 0.42:
                plate(seam - 0.009, seam + 0.009, 0.30, 0.90, SEAM, 0.1 + 0.2 * engine)
        plate(start + 0.08, start + 0.26, 0.86, 0.895, PLASTIC, 0.1)
    for s in (-AXLE, AXLE):
        arch = _disc(s, x - near * 0.005, ARCH)
        faces.add(arch[arch[:, 1] >= 0.19], PLASTIC, out, 0.5 * engine)
        faces.add(_disc(s, x, WHEEL), TYRE, out, 0.1 + 0.5 * engine)
        faces.add(_disc(s, x, 0.67 * WHEEL), RIM, out, 0.65 * engine)
        start = rng.uniform(0, 1)
        for angle in start + np.arange(5 if faces.detailed else 0) * 2 * np.pi / 5:
            gap = [(0.22, -0.35), (0.58, -0.4), (0.58, 0.4), (0.22, 0.35)]
            spoke = [
                (s + r * WHEEL * np.cos(angle + d), WHEEL + r * WHEEL * np.sin(angle + d), x) for r, d in gap
            ]
            faces.add(spoke, TYRE, out, 0.75 * engine)


def _shade(faces: _Faces, rng: np.random.Generator) -> None:
    """Turn face numbers into surfaces, average the fine pixels, and paint the car."""
    canvas, car = faces.canvas, faces.car
    setting, camera = canvas.setting, canvas.camera
    material = np.array(faces.material)
    palette = np.array([COLOURS.get(m, (0.0, 0.0, 0.0)) for m in range(10)])
    palette[PAINTED] = np.array(PAINTS[rng.integers(len(PAINTS))]) * rng.uniform(0.85, 1.15)
    gloss = np.array([GLOSS.get(m, 0.0) for m in range(10)])
    size = (faces.numbers.shape[1] // faces.fine, faces.numbers.shape[0] // faces.fine)

    def average(*columns: ArrayLike) -> Array:
        """Maps (3, h, w) of three columns of face values, averaged over the fine pixels."""
        table = np.column_stack(columns).astype(np.float32)
        table[0] = 0
        fine = np.take(table, faces.numbers, axis=0)
        return cv2.resize(fine, size, interpolation=cv2.INTER_AREA).transpose(2, 0, 1)

    normal = average(np.concatenate(faces.normals) @ faces.frame.axes)
    albedo = average(palette[material])
    shine, warmth, glass = average(gloss[material], faces.warmth, material == GLASS)
    alpha = cv2.resize((faces.numbers > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    inverse = 1 / np.maximum(alpha, 1e-3)
    albedo, shine, warmth, glass = albedo * inverse, shine * inverse, warmth * inverse, glass * inverse
    # The normals are blurred a little, so that the facets of the loft do not show.
    blur = max(0.02 * camera.focal / max(car.z, 2.0), 0.4)
    normal = np.stack([cv2.GaussianBlur(plane, (0, 0), blur) for plane in normal])
    normal /= np.maximum(np.sqrt((normal * normal).sum(0)), 1e-3)

    view = canvas.view(faces.corner, alpha.shape)
    cosine = np.clip(-(normal * view).sum(0), 0, 1)
    fresnel = shine + 0.45 * np.square(np.square(1 - cosine)) * (shine > 0.01)
    sun = canvas.sun_at(car.x, car.z)
    glow = setting.mirrored(normal, view) * fresnel
    if setting.time_of_day == "day":
        half = setting.to_sun[:, None, None] - view
        half /= np.sqrt((half * half).sum(0))
        spark = np.maximum((normal * half).sum(0), 0)
        for _ in range(8):  # to the power of 256
            spark *= spark
        spark *= (5.0 * sun) * (shine > 0.02)
        glow += setting.sun[:, None, None] * spark

    (_, foot), depth = camera.project((car.x, 0.0, car.z))
    scale = camera.focal / float(depth)
    rows = (np.arange(size[1], dtype=np.float32) + faces.corner[1])[:, None]
    lift = np.clip((float(foot) + 0.1 * size[1] - rows) / (0.55 * scale), 0, 1)
    dirt = noise_patch(rng, 1.2, alpha.shape, max(0.03 * scale, 0.8))
    sunned = 0.4 * setting.warming * sun * np.clip(normal[1], 0, 1)
    canvas.paint(
        faces.corner, alpha, albedo=albedo * np.clip(1 + 0.03 * dirt, 0.7, 1.2), normal=normal,
        heat=setting.air + 10 * warmth + (1 - glass) * (0.25 * dirt + sunned), depth=depth, glow=glow,
        sun=sun, occlusion=0.45 + 0.55 * lift, label=CAR, instance=canvas.new_object("car"),
    )  # fmt: skip


def _light_lamps(faces: _Faces, back: float, front: float) -> None:
    """Switch on head and tail lamps: bright spots where they are seen, and a cone of light on the road."""
    canvas, camera, power = faces.canvas, faces.canvas.camera, faces.canvas.setting.lamps
    ahead = faces.frame.axes[0]

    def spot(
        s: float, height: float, side: float, colour: tuple[float, float, float], strength: float
    ) -> None:
        (u, v), depth = camera.project(faces.frame.world((s, height, side)))
        rx, ry = (max(r * camera.focal / float(depth), 0.7) for r in (0.13, 0.07))
        cover = canvas.polygon(np.column_stack([u + rx * np.cos(TURN), v + ry * np.sin(TURN)]))
        if cover is not None:
            canvas.paint(
                *cover, albedo=0.3, normal=(0, 0, -1), heat=canvas.setting.air + 16,
                depth=float(depth) - 0.1, glow=np.array(colour) * (strength * power),
                label=CAR, instance=len(canvas.categories),
            )  # fmt: skip

    white, red = (1.0, 0.93, 0.78), (1.0, 0.05, 0.03)
    for side in (-0.64, 0.64):
        if faces.eye[0] > front:
            spot(front - 0.05, 0.66, side, white, 26.0)
        elif faces.eye[0] < back:
            spot(back + 0.04, 0.82, side, red, 3.2)
    beam = faces.frame.world((front, 0.66, 0.0))
    canvas.lights.append(
        Light(beam, np.array(white) * (34.0 * power), np.array([ahead[0], -0.05, ahead[2]]), 0.86, 0.1)
    )
    if faces.eye[0] < back and faces.car.z < 25:
        canvas.lights.append(
            Light(faces.frame.world((back, 0.82, 0.0)), np.array(red) * power, -ahead, 0.0, 0.1)
        )
