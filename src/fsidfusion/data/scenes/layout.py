"""A composed scene: what stands where, and the shadows that it throws."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from fsidfusion.data.scenes.bicycles import paint_bicycle
from fsidfusion.data.scenes.canvas import Camera, Canvas
from fsidfusion.data.scenes.carbody import SHAPES
from fsidfusion.data.scenes.cars import Car, paint_car
from fsidfusion.data.scenes.ground import Road, paint_ground, shade_ground
from fsidfusion.data.scenes.houses import paint_wall
from fsidfusion.data.scenes.people import Pose, paint_person, person_parts
from fsidfusion.data.scenes.plants import paint_crown, paint_tree
from fsidfusion.data.scenes.sky import paint_horizon, paint_sky
from fsidfusion.data.scenes.smoke import Plume
from fsidfusion.data.scenes.street import paint_cone, paint_guardrail, paint_lamp, paint_sign
from fsidfusion.data.scenes.texture import Array
from fsidfusion.data.scenes.weather import Setting

Generator = np.random.Generator


@dataclass
class Layout:
    """A composed scene: things sorted by distance when painted, and the smoke that only the cameras see."""

    place: str
    seed: int
    camera: Camera
    setting: Setting
    road: Road
    town: bool
    plumes: list[Plume] = field(default_factory=list)
    things: list[tuple[float, Callable[[Canvas], None]]] = field(default_factory=list)
    shadows: list[Callable[[Canvas], None]] = field(default_factory=list)
    taken: list[tuple[float, float, float]] = field(
        default_factory=list
    )  # x, z, radius of what stands on the ground

    def paint(self) -> Canvas:
        """Paint everything, far to near."""
        canvas = Canvas(self.camera, self.setting)
        rng = np.random.default_rng((self.seed, 1))
        paint_sky(canvas, rng)
        paint_ground(canvas, self.road, rng)
        paint_horizon(canvas, rng, self.town)
        for shade in self.shadows:
            shade(canvas)
        for _, paint in sorted(self.things, key=lambda thing: -thing[0]):
            paint(canvas)
        return canvas

    def depth(self, x: float, z: float, y: float = 0.0) -> float:
        """Distance of a point along the camera's axis."""
        return float(self.camera.project((x, y, z))[1])

    def in_view(self, x: float, z: float, margin: float = 0.0) -> bool:
        """Whether a person standing there would be seen, `margin` in frame widths."""
        (u, v), depth = self.camera.project((x, 0.9, z))
        h, w = self.camera.size
        return bool(
            depth > 2.5 and -margin * w < u < (1 + margin) * w and -margin * h < v < (1.15 + margin) * h
        )

    def free(self, x: float, z: float, radius: float) -> bool:
        """Whether nothing stands there yet."""
        return all((x - a) ** 2 + (z - b) ** 2 > (radius + r) ** 2 for a, b, r in self.taken)

    def add(self, depth: float, paint: Callable[[Canvas], None]) -> None:
        """Put a thing into the scene."""
        self.things.append((depth, paint))

    def shade(self, outline: ArrayLike, x: float, z: float, sun: float, sky: float, soft: float) -> None:
        """Darken the ground under an outline of X, Z."""
        self.shade_all([np.asarray(outline, np.float32)], x, z, sun, sky, soft)

    def shade_all(
        self, outlines: list[Array], x: float, z: float, sun: float, sky: float, soft: float
    ) -> None:
        """Darken the ground under several outlines at once; where they overlap it is not darker."""
        depth = self.depth(x, z)
        self.shadows.append(lambda canvas: shade_ground(canvas, outlines, depth, sun, sky, soft))

    def cast(self, points: ArrayLike) -> Array:
        """Where the shadows of world points (n, 3) fall: (n, 2) of X, Z."""
        p = np.asarray(points, np.float64)
        sun = self.setting.to_sun.astype(np.float64)
        return np.column_stack([p[:, 0] - sun[0] / sun[1] * p[:, 1], p[:, 2] - sun[2] / sun[1] * p[:, 1]])

    @property
    def sunny(self) -> float:
        """Strength of cast shadows, 0..1."""
        return float(min(self.setting.sun.max() / 2.0, 0.95)) if self.setting.time_of_day == "day" else 0.0

    def add_person(self, seed: int, pose: Pose) -> None:
        """Add a person with their shadow."""
        self.taken.append((pose.x, pose.z, 0.35))
        around = np.linspace(0, 2 * np.pi, 13)[:-1]
        foot = np.column_stack([pose.x + 0.30 * np.cos(around), pose.z + 0.22 * np.sin(around)])
        self.shade(foot, pose.x, pose.z, 0.0, 0.5, 0.12)
        if self.sunny:
            ring = np.column_stack([np.cos(around), np.sin(around)])[::2]
            segments = [s for part in person_parts(np.random.default_rng(seed), pose) for s in part.segments]
            ends = self.cast(pose.frame.world([end for segment in segments for end in segment[:2]]))
            limbs = [
                np.concatenate(
                    [ends[2 * k] + pose.stature * s[2] * ring, ends[2 * k + 1] + pose.stature * s[3] * ring]
                ).astype(np.float32)
                for k, s in enumerate(segments)
            ]
            self.shade_all(limbs, pose.x, pose.z, self.sunny, 0.0, 0.02)
        self.add(
            self.depth(pose.x, pose.z), lambda canvas: paint_person(canvas, np.random.default_rng(seed), pose)
        )

    def add_bicycle(self, seed: int, pose: Pose) -> None:
        """Add a bicycle, with its rider when the pose says so."""
        ahead = np.array([np.sin(pose.heading), np.cos(pose.heading)])
        side = np.array([ahead[1], -ahead[0]]) * 0.12
        ends = np.array([pose.x, pose.z]) + np.array([-0.85, 0.9])[:, None] * ahead
        self.shade(np.concatenate([ends - side, ends + side]), pose.x, pose.z, 0.0, 0.4, 0.10)
        if pose.action == "ride":
            self.add_person(seed + 1, pose)
        self.taken.append((pose.x, pose.z, 0.9))
        self.add(
            self.depth(pose.x, pose.z) + 0.05,
            lambda canvas: paint_bicycle(canvas, np.random.default_rng(seed), pose),
        )

    def add_car(self, seed: int, car: Car) -> None:
        """Add a car with the dark under it and its shadow."""
        self.taken.append((car.x, car.z, 1.7))
        top = np.array(SHAPES[car.kind].outline)
        ahead = np.array([np.sin(car.heading), np.cos(car.heading)])
        right = np.array([ahead[1], -ahead[0]])
        half = SHAPES[car.kind].half_width

        def footprint(s: ArrayLike, width: float) -> Array:
            line = np.array([car.x, car.z]) + np.asarray(s)[:, None] * ahead
            return np.concatenate([line - width * right, line + width * right])

        self.shade(footprint([top[0, 0] + 0.1, top[-1, 0] - 0.1], half - 0.05), car.x, car.z, 0.9, 0.86, 0.10)
        self.shade(footprint([top[0, 0] - 0.2, top[-1, 0] + 0.2], half + 0.15), car.x, car.z, 0.0, 0.35, 0.25)
        if self.sunny:
            heights = np.concatenate([top[:, 1], top[:, 1]])
            plan = footprint(top[:, 0], 0.8 * half)
            roof = self.cast(np.column_stack([plan[:, 0], heights, plan[:, 1]]))
            self.shade(
                np.concatenate([roof, footprint(top[[0, -1], 0], half)]), car.x, car.z, self.sunny, 0.1, 0.04
            )
        self.add(
            self.depth(car.x, car.z, 0.5), lambda canvas: paint_car(canvas, np.random.default_rng(seed), car)
        )

    def add_tree(self, rng: Generator, x: float, z: float, height: float) -> None:
        """Add a tree and the dappled shade under it."""
        seed = int(rng.integers(2**31))
        self.taken.append((x, z, 0.5))
        self.shade(
            [(x - 0.4, z - 0.3), (x + 0.4, z - 0.3), (x + 0.4, z + 0.3), (x - 0.4, z + 0.3)],
            x,
            z,
            0.2,
            0.4,
            0.2,
        )
        if self.sunny:
            blobs = []
            for _ in range(9):
                away = rng.uniform(-0.3, 0.3, 2) * height
                spot = self.cast([(x + away[0], height * rng.uniform(0.45, 0.95), z + away[1])])[0]
                angles = np.linspace(0, 2 * np.pi, 14)[:-1]
                radii = height * rng.uniform(0.08, 0.2) * rng.uniform(0.65, 1.2, 13)
                blobs.append(
                    (spot + np.column_stack([radii * np.cos(angles), radii * np.sin(angles)])).astype(
                        np.float32
                    )
                )
            self.shade_all(blobs[:5], x, z, 0.62 * self.sunny, 0.06, 0.12)
            self.shade_all(blobs[5:], x, z, 0.62 * self.sunny, 0.06, 0.12)
            trunk = self.cast([(x, 0, z), (x, 0.5 * height, z)])
            self.shade(np.concatenate([trunk - 0.15, trunk + 0.15]), x, z, 0.8 * self.sunny, 0, 0.04)
        self.add(
            self.depth(x, z), lambda canvas: paint_tree(canvas, np.random.default_rng(seed), x, z, height)
        )

    def add_house(
        self, rng: Generator, corners: ArrayLike, height: float, shop: bool, hidden: bool = False
    ) -> None:
        """Add a house on a footprint (4, 2) of X, Z: first the side along the road, last the one to the camera.

        The wall to the camera is left out when it is `hidden` by the next house.
        """
        c = np.asarray(corners, np.float64)
        seeds = rng.integers(2**31, size=2)
        middle = c.mean(0).tolist()
        self.shade(c, middle[0], max(middle[1], 6), 0.0, 0.5, 0.35)
        if self.sunny:
            roof = self.cast(np.column_stack([c[:, 0], np.full(4, height), c[:, 1]]))
            self.shade(np.concatenate([c, roof]), middle[0], max(middle[1], 6), self.sunny, 0.12, 0.06)
        near = float(c[:, 1].min())

        def paint(canvas: Canvas) -> None:
            if not hidden:
                paint_wall(canvas, np.random.default_rng(seeds[0]), c[3], c[0] - c[3], height, shop)
            paint_wall(canvas, np.random.default_rng(seeds[1]), c[0], c[1] - c[0], height, shop)

        self.add(near + 6.0 if near > 8 else max(near + 3.0, 9.0), paint)

    def add_lamp(self, x: float, z: float, reach: float, colour: tuple[float, float, float]) -> None:
        self.taken.append((x, z, 0.3))
        self.add(self.depth(x, z), lambda canvas: paint_lamp(canvas, x, z, reach, colour))
        if self.sunny:
            line = self.cast([(x, 0, z), (x, 6.4, z)])
            self.shade(np.concatenate([line - 0.06, line + 0.06]), x, z, self.sunny, 0, 0.02)

    def add_sign(self, rng: Generator, x: float, z: float) -> None:
        seed = int(rng.integers(2**31))
        if self.free(x, z, 0.6):
            self.taken.append((x, z, 0.3))
            self.add(self.depth(x, z), lambda canvas: paint_sign(canvas, np.random.default_rng(seed), x, z))

    def add_hedge(self, rng: Generator, side: int, distance: float) -> None:
        colour = np.array([rng.uniform(0.04, 0.08), rng.uniform(0.09, 0.13), 0.035])
        tall = rng.uniform(0.8, 1.6)
        for z in np.arange(rng.uniform(4, 9), 55, 1.9):
            seed = int(rng.integers(2**31))
            centre = (float(self.road.centre(z)) + side * (distance + 0.6), 0.45 * tall, float(z))
            self.add(
                self.depth(centre[0], z),
                lambda canvas, seed=seed, centre=centre: paint_crown(
                    canvas,
                    np.random.default_rng(seed),
                    centre,
                    (2.9, tall * 1.15),
                    colour,
                    canvas.sun_at(centre[0], centre[2]),
                ),
            )

    def add_guardrail(self, rng: Generator, side: int) -> None:
        distance = self.road.half_width + 0.35
        start = rng.uniform(3, 15)
        for z in np.arange(start, start + 4 * rng.integers(3, 12), 4.0):
            a, b = ((float(self.road.centre(q)) + side * distance, float(q)) for q in (z, z + 4.0))
            self.taken.append((a[0], z + 2.0, 0.4))
            self.add(self.depth(a[0], z + 1.0), lambda canvas, a=a, b=b: paint_guardrail(canvas, a, b))

    def add_cone(self, x: float, z: float) -> None:
        self.taken.append((x, z, 0.3))
        self.add(self.depth(x, z), lambda canvas: paint_cone(canvas, x, z))
        self.shade(
            [(x - 0.2, z - 0.2), (x + 0.2, z - 0.2), (x + 0.2, z + 0.2), (x - 0.2, z + 0.2)],
            x,
            z,
            0.0,
            0.5,
            0.08,
        )
