"""Bodies built of rounded segments in space and drawn by the distance of each pixel to them."""

from dataclasses import dataclass
import numpy as np
from numpy.typing import ArrayLike, NDArray
from fsidfusion.data.scenes.canvas import Canvas
from fsidfusion.data.scenes.texture import Array, noise_patch

Point = NDArray[np.float64]


SKIN_HEAT = 33.5


@dataclass(frozen=True)
class Pose:
    """Where a person stands and what the body does; angles in radians."""

    x: float
    z: float
    heading: float  # 0 walks away from the camera, pi towards it
    stature: float  # metres
    action: str  # "walk", "stand", "crouch" or "ride"
    phase: float = 0.0


@dataclass(frozen=True)
class Part:
    """Rounded segments that share a colour: pairs of joints with a radius in metres at either end."""

    segments: list[tuple[Point, Point, float, float]]
    colour: ArrayLike
    heat: float  # 0 as cold as the air .. 1 skin
    soft: float = 0.03  # how far the segments melt together, metres
    puff: float = 0.06  # radius of the rounding towards the edge, metres
    folds: float = 0.0
    nearer: float = 0.0  # metres by which it is drawn before its place


def two_bones(start: Point, end: Point, first: float, second: float, bend: Point) -> Point:
    """The joint between two bones that run from `start` to `end`, on the side of `bend`."""
    line = end - start
    distance = min(float(np.linalg.norm(line)), 0.999 * (first + second))
    unit = line / max(float(np.linalg.norm(line)), 1e-6)
    along = (first**2 - second**2 + distance**2) / (2 * distance)
    side = bend - unit * (bend @ unit)
    side /= max(float(np.linalg.norm(side)), 1e-6)
    return start + unit * along + side * np.sqrt(max(first**2 - along**2, 0.0))


class Figure:
    """A patch in which the parts of a body are laid over each other, to be painted as one object."""

    def __init__(self, canvas: Canvas, parts: list[Part]) -> None:
        self.camera = canvas.camera
        joints = np.array([p for part in parts for s in part.segments for p in s[:2]])
        radius = max(max(s[2], s[3]) for part in parts for s in part.segments)
        pixels, depth = canvas.camera.project(joints)
        self.scale = canvas.camera.focal / float(np.median(depth))
        margin = radius * canvas.camera.focal / depth.min() + 2
        low, high = np.floor(pixels.min(0) - margin), np.ceil(pixels.max(0) + margin)
        low, high = np.maximum(low, -2), np.minimum(high, np.array(canvas.camera.size[::-1]) + 2)
        self.corner = (int(low[0]), int(low[1]))
        self.shape = (max(int(high[1] - low[1]), 0), max(int(high[0] - low[0]), 0))
        self.planes = np.zeros((7, *self.shape), np.float32)  # albedo, normal in the image, warmth
        self.alpha = np.zeros(self.shape, np.float32)

    def add(self, part: Part, rng: np.random.Generator) -> None:
        """Lay a part over those before it."""
        f = self.camera.focal
        ends = np.array([p for s in part.segments for p in s[:2]])
        pixels, depth = self.camera.project(ends)
        radii = np.array([r for s in part.segments for r in s[2:]]) * f / depth
        local = pixels - self.corner
        shadow = 0.02 * self.scale + 1
        reach = radii.max() + shadow + 2
        x0, y0 = np.maximum(np.floor(local.min(0) - reach).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(local.max(0) + reach).astype(int), np.array(self.shape[::-1]))
        if x0 >= x1 or y0 >= y1:
            return
        xs = (np.arange(x0, x1, dtype=np.float32) + np.float32(0.5))[None]
        ys = (np.arange(y0, y1, dtype=np.float32) + np.float32(0.5))[:, None]
        distance, gx, gy = _segment_distance(xs, ys, local[0], local[1], radii[0], radii[1])
        for k in range(2, len(local), 2):
            d, dx, dy = _segment_distance(xs, ys, local[k], local[k + 1], radii[k], radii[k + 1])
            nearest = d < distance
            np.copyto(gx, dx, where=nearest)
            np.copyto(gy, dy, where=nearest)
            distance = _smooth_minimum(distance, d, part.soft * self.scale)
        a = np.clip(0.5 - distance, 0, 1)
        a *= min(1.0, float(radii.max()) / 0.45)
        rim = 1 - np.clip(distance * (-1 / max(part.puff * self.scale, 0.7)), 0, 1)
        gx *= rim
        gy *= rim
        tone: Array | float = 1.0
        if part.folds and self.scale > 25:
            fold = noise_patch(rng, 1.2, distance.shape, 0.014 * self.scale)
            gx += (part.folds * 0.25) * fold
            gy -= (part.folds * 0.20) * fold
            tone = np.clip(1 + (0.12 * part.folds) * fold, 0.4, 1.5)
        value = np.empty((7, *distance.shape), np.float32)
        value[:3] = np.asarray(part.colour, np.float32)[:, None, None] * tone
        value[3], value[4] = gx, gy
        value[5] = np.sqrt(np.maximum(1 - gx * gx - gy * gy, 0.04))
        value[6] = part.heat * (1 - 0.16 * rim) * (0.5 + 0.5 * tone)
        target, cover = self.planes[:, y0:y1, x0:x1], self.alpha[y0:y1, x0:x1]
        target[:3] *= 1 - 0.38 * np.exp(np.maximum(distance, 0) * (-1 / shadow))
        out = a + cover * (1 - a)
        value -= target
        value *= a / np.maximum(out, 1e-6)
        target += value
        cover[:] = out


def _segment_distance(
    x: Array, y: Array, a: Point, b: Point, ra: float, rb: float
) -> tuple[Array, Array, Array]:
    """Signed distance in pixels to a segment of radius ra to rb, negative inside, and the way outwards."""
    dx, dy = float(b[0] - a[0]), float(b[1] - a[1])
    px, py = x - float(a[0]), y - float(a[1])
    scale = 1 / max(dx * dx + dy * dy, 1e-4)
    t = np.clip(px * (dx * scale) + py * (dy * scale), 0, 1)
    ox, oy = px - t * dx, py - t * dy
    length = np.sqrt(ox * ox + oy * oy + 1e-6)
    return length - float(ra) - t * float(rb - ra), ox / length, oy / length


def _smooth_minimum(a: Array, b: Array, k: float) -> Array:
    h = np.maximum(1 - np.abs(a - b) * (1 / max(k, 1e-3)), 0)
    return np.asarray(np.minimum(a, b) - h * h * (k / 4), np.float32)
