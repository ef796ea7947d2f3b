"""A composed scene: what stands where, and the shadows that it throws."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fsidfusion.studies.scenes.bicycles import paint_bicycle
from fsidfusion.studies.scenes.canvas import Camera, Canvas, Frame
from fsidfusion.studies.scenes.carbody import SHAPES
from fsidfusion.studies.scenes.cars import Car, paint_car
from fsidfusion.studies.scenes.ground import Road, paint_ground, shade_ground
from fsidfusion.studies.scenes.houses import paint_wall
from fsidfusion.studies.scenes.people import Pose, paint_person, person_parts
from fsidfusion.studies.scenes.plants import paint_bush, paint_tree
from fsidfusion.studies.scenes.sky import paint_horizon, paint_sky
from fsidfusion.studies.scenes.smoke import Plume
from fsidfusion.studies.scenes.street import (
    paint_car_stop,
    paint_cone,
    paint_guardrail,
    paint_lamp,
    paint_sign,
)
from fsidfusion.studies.scenes.texture import Array
from fsidfusion.studies.scenes.weather import Setting

RING = np.column_stack([np.cos(np.arange(12) * np.pi / 6), np.sin(np.arange(12) * np.pi / 6)])


@dataclass
class Layout:
    """A composed scene: things, painted from far to near, and the smoke that only the cameras see.

    `rng` draws the composition, and a seed of its own for each thing that is drawn by lot.
    """

    rng: np.random.Generator
    place: str
    camera: Camera
    setting: Setting
    road: Road
    town: bool  # whether a skyline closes the view
    plumes: list[Plume] = field(default_factory=list)
    things: list[tuple[float, Callable[[Canvas], None]]] = field(default_factory=list)
    shadows: list[Callable[[Canvas], None]] = field(default_factory=list)
    taken: list[tuple[float, float, float]] = field(default_factory=list)  # X, Z, radius of what stands there

    def paint(self) -> Canvas:
        """Paint everything, far to near."""
        canvas = Canvas(self.camera, self.setting)
        seed = self.seed()
        paint_sky(canvas, np.random.default_rng((seed, 0)))
        paint_ground(canvas, self.road, np.random.default_rng((seed, 1)))
        paint_horizon(canvas, np.random.default_rng((seed, 2)), self.town)
        for shade in self.shadows:
            shade(canvas)
        for _, paint in sorted(self.things, key=lambda thing: -thing[0]):
            paint(canvas)
        return canvas

    def seed(self) -> int:
        """A new seed for a thing."""
        return int(self.rng.integers(2**31))

    def along(self, z: float, across: float) -> float:
        """X at Z, `across` metres to the right of the road's centre line."""
        return float(self.road.centre(z)) + across

    def in_view(self, x: float, z: float, margin: float = 0.0) -> bool:
        """Whether a person standing there would be seen, `margin` in frame widths."""
        (u, v), depth = self.camera.project((x, 0.9, z))
        h, w = self.camera.size
        inside = -margin * w < u < (1 + margin) * w and -margin * h < v < (1.15 + margin) * h
        return bool(depth > 2.5 and inside)

    def free(self, x: float, z: float, radius: float) -> bool:
        """Whether nothing stands there yet."""
        return all((x - a) ** 2 + (z - b) ** 2 > (radius + r) ** 2 for a, b, r in self.taken)

    def add(
        self, x: float, z: float, paint: Callable[..., None], *arguments: Any, nearer: float = 0.0
    ) -> None:
        """Put a thing at X, Z that `paint(canvas, *arguments)` draws; `nearer` moves it in the order."""
        depth = float(self.camera.project((x, 0.3, z))[1]) - nearer
        self.things.append((depth, lambda canvas: paint(canvas, *arguments)))

    def shade(self, outlines: list[Array], sun: float, sky: float, soft: float) -> None:
        """Darken the ground under outlines (n, 2) of X, Z; where they overlap it is not darker."""
        x, z = np.mean(outlines[0], axis=0).tolist()
        depth = max(float(self.camera.project((x, 0.0, z))[1]), 3.0)
        self.shadows.append(
            partial(shade_ground, outlines=outlines, depth=depth, sun=sun, sky=sky, soft=soft)
        )

    def cast(self, points: ArrayLike) -> Array:
        """Where the shadows of world points (n, 3) fall: (n, 2) of X, Z."""
        p, (sx, sy, sz) = np.asarray(points, np.float64), self.setting.to_sun.tolist()
        return np.column_stack([p[:, 0] - sx / sy * p[:, 1], p[:, 2] - sz / sy * p[:, 1]])

    @property
    def sunny(self) -> float:
        """Strength of cast shadows, 0..1."""
        return min(float(self.setting.sun.max()) / 2, 0.95) if self.setting.time_of_day == "day" else 0.0

    def add_person(self, pose: Pose) -> None:
        """Add a person with their shadow."""
        seed = self.seed()
        self.taken.append((pose.x, pose.z, 0.35))
        self.shade([RING * (0.30, 0.22) + (pose.x, pose.z)], 0.0, 0.5, 0.12)
        if self.sunny:
            parts = person_parts(np.random.default_rng(seed), pose)
            segments = [s for part in parts if not part.detail for s in part.segments]
            ends = self.cast(pose.frame.world([np.asarray(end) for s in segments for end in s[:2]]))
            radii = pose.stature * np.array([r for s in segments for r in s[2:]])
            rings = ends[:, None] + radii[:, None, None] * RING[::2]  # (2n, 6, 2)
            self.shade(list(rings.reshape(len(segments), -1, 2)), self.sunny, 0.0, 0.02)
        self.add(pose.x, pose.z, paint_person, seed, pose)

    def add_bicycle(self, pose: Pose) -> None:
        """Add a bicycle, with its rider when the pose says so."""
        strip = Frame(pose.x, pose.z, pose.heading).world(
            [(s, 0, k) for s in (-0.85, 0.9) for k in (-0.12, 0.12)]
        )
        self.shade([strip[:, [0, 2]]], 0.0, 0.4, 0.10)
        if pose.action == "ride":
            self.add_person(pose)
        self.taken.append((pose.x, pose.z, 0.9))
        self.add(pose.x, pose.z, paint_bicycle, self.seed(), pose, nearer=-0.05)

    def add_car(self, car: Car) -> None:
        """Add a car with the dark under it and its shadow."""
        self.taken.append((car.x, car.z, 1.7))
        shape, frame = SHAPES[car.kind], Frame(car.x, car.z, car.heading)
        s, top = np.array(shape.outline).T

        def plan(stations: ArrayLike, heights: ArrayLike, width: float) -> Array:
            sides = [np.column_stack(np.broadcast_arrays(stations, heights, k * width)) for k in (-1, 1)]
            return frame.world(np.concatenate(sides))

        under, around = (
            plan(s[[0, -1]] * 0.95, 0.0, shape.half_width - 0.05),
            plan(s[[0, -1]] * 1.08, 0.0, 1.05),
        )
        self.shade([under[:, [0, 2]]], 0.9, 0.86, 0.10)
        self.shade([around[:, [0, 2]]], 0.0, 0.35, 0.25)
        if self.sunny:
            roof = self.cast(plan(s, top, 0.8 * shape.half_width))
            self.shade([np.concatenate([roof, under[:, [0, 2]]])], self.sunny, 0.1, 0.04)
        self.add(car.x, car.z, paint_car, self.seed(), car)

    def add_tree(self, x: float, z: float, height: float) -> None:
        """Add a tree and the dappled shade under it."""
        self.taken.append((x, z, 0.5))
        self.shade([0.5 * RING + (x, z)], 0.2, 0.4, 0.2)
        if self.sunny:
            angles = np.arange(13) * (2 * np.pi / 13)
            blobs = []
            for _ in range(9):
                dx, dz = self.rng.uniform(-0.3, 0.3, 2) * height
                spot = self.cast([(x + dx, height * self.rng.uniform(0.45, 0.95), z + dz)])
                radii = height * self.rng.uniform(0.08, 0.2) * self.rng.uniform(0.65, 1.2, 13)
                blobs.append(spot + np.column_stack([radii * np.cos(angles), radii * np.sin(angles)]))
            self.shade(blobs[:5], 0.62 * self.sunny, 0.06, 0.12)
            self.shade(blobs[5:], 0.62 * self.sunny, 0.06, 0.12)
            trunk = self.cast([(x, 0, z), (x, 0.5 * height, z)])
            self.shade([np.concatenate([trunk - 0.15, trunk + 0.15])], 0.8 * self.sunny, 0, 0.04)
        self.add(x, z, paint_tree, self.seed(), x, z, height)

    def add_house(self, corners: ArrayLike, height: float, shop: bool, hidden: bool = False) -> None:
        """Add a house on a footprint (4, 2) of X, Z: first the side along the road, last that to the camera.

        The wall to the camera is left out when it is `hidden` by the next house.
        """
        c = np.asarray(corners, np.float64)
        self.shade([c], 0.0, 0.5, 0.35)
        if self.sunny:
            roof = self.cast(np.column_stack([c[:, 0], np.full(4, height), c[:, 1]]))
            self.shade([np.concatenate([c, roof])], self.sunny, 0.12, 0.06)
        x, z = float(c[:, 0].mean()), float(c[:, 1].min())
        for a, b, seen in ((c[3], c[0], not hidden), (c[0], c[1], True)):
            if seen:
                self.add(
                    x,
                    z + 6.0 if z > 8 else max(z + 3.0, 9.0),
                    paint_wall,
                    self.seed(),
                    a,
                    b - a,
                    height,
                    shop,
                )

    def add_lamp(self, x: float, z: float, reach: float, colour: Array) -> None:
        """Add a street lamp whose arm reaches `reach` metres to the right."""
        self.taken.append((x, z, 0.3))
        if self.sunny:
            line = self.cast([(x, 0, z), (x, 6.4, z)])
            self.shade([np.concatenate([line - 0.06, line + 0.06])], self.sunny, 0, 0.02)
        self.add(x, z, paint_lamp, x, z, reach, colour)

    def add_sign(self, x: float, z: float) -> None:
        """Add a traffic sign."""
        self.taken.append((x, z, 0.3))
        self.add(x, z, paint_sign, self.seed(), x, z)

    def add_hedge(self, distance: float) -> None:
        """Add a hedge beside the road, `distance` metres right of the centre line."""
        colour = np.array([self.rng.uniform(0.04, 0.08), self.rng.uniform(0.09, 0.13), 0.035])
        tall = self.rng.uniform(0.9, 1.8)
        for z in np.arange(self.rng.uniform(4, 9), 55, 1.9).tolist():
            x = self.along(z, distance)
            self.add(x, z, paint_bush, self.seed(), x, z, (2.9, tall), colour)

    def add_guardrail(self, distance: float) -> None:
        """Add some lengths of guardrail, `distance` metres right of the centre line."""
        start = self.rng.uniform(3, 15)
        for k in range(self.rng.integers(3, 12)):
            z = start + 4.0 * k
            ends = [(self.along(q, distance), q) for q in (z, z + 4.0)]
            self.taken.append((ends[0][0], z + 2.0, 0.4))
            self.add(ends[0][0], z + 1.0, paint_guardrail, *ends)

    def add_cone(self, x: float, z: float) -> None:
        """Add a road cone."""
        self.taken.append((x, z, 0.3))
        self.shade([0.25 * RING + (x, z)], 0.0, 0.5, 0.08)
        self.add(x, z, paint_cone, x, z)

    def add_car_stop(self, x: float, z: float) -> None:
        """Add a wheel stop of a parking bay."""
        self.add(x, z, paint_car_stop, x, z, nearer=-0.4)
