"""Bodies built of rounded segments in space and drawn by the distance of each pixel to them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fsidfusion.studies.scenes.canvas import Canvas, Frame
from fsidfusion.studies.scenes.texture import Array, noise_patch

Point = tuple[float, float, float] | NDArray[np.float64]  # forward, height, side in the frame of the body
Segment = tuple[Point, Point, float, float]  # two ends, and the radius at either

SKIN_HEAT = 33.5  # degrees Celsius


@dataclass(frozen=True)
class Part:
    """Rounded segments that share a colour; lengths in units of the frame."""

    segments: list[Segment]
    colour: ArrayLike
    warmth: float  # 0 as cold as the air .. 1 skin
    soft: float = 0.03  # how far the segments melt together
    puff: float = 0.06  # radius of the rounding towards the edge
    folds: float = 0.0  # strength of the creases of cloth
    nearer: float = 0.0  # drawn as if it were so much nearer to the camera
    detail: bool = False  # left out where the figure is small


def two_bones(start: Point, end: Point, first: float, second: float, bend: Point) -> NDArray[np.float64]:
    """The joint between two bones that run from `start` to `end`, on the side of `bend`."""
    a, line = np.asarray(start, np.float64), np.subtract(end, start)
    length = float(np.sqrt(line @ line))
    unit = line / max(length, 1e-6)
    distance = min(length, 0.999 * (first + second))
    along = (first**2 - second**2 + distance**2) / (2 * distance)
    side = bend - unit * (np.asarray(bend) @ unit)
    side /= max(float(np.sqrt(side @ side)), 1e-6)
    return a + unit * along + side * np.sqrt(max(first**2 - along**2, 0.0))


class Figure:
    """A patch in which the parts of a body are laid over each other, to be painted as one object.

    `planes` (7, h, w) hold albedo, normal (right, down, towards the camera) and warmth; `alpha` (h, w) is
    the cover.
    """

    def __init__(self, canvas: Canvas, frame: Frame, parts: list[Part], rng: np.random.Generator) -> None:
        camera = canvas.camera
        self.detailed = frame.scale * camera.focal / max(frame.z, 1.0) > 48 * canvas.unit
        parts = [part for part in parts if self.detailed or not part.detail]
        joints = frame.world(
            [np.asarray(end) for part in parts for segment in part.segments for end in segment[:2]]
        )
        pixels, depth = camera.project(joints)
        radii = np.array([r for part in parts for segment in part.segments for r in segment[2:]])
        radii *= frame.scale * camera.focal / depth
        self.scale = frame.scale * camera.focal / float(np.median(depth))  # pixels per unit of the frame
        margin = radii.max() + 2
        low, high = np.floor(pixels.min(0) - margin), np.ceil(pixels.max(0) + margin)
        low, high = np.maximum(low, -2), np.minimum(high, np.array(camera.size[::-1]) + 2)
        self.corner = (int(low[0]), int(low[1]))
        self.shape = (max(int(high[1] - low[1]), 0), max(int(high[0] - low[0]), 0))
        self.planes = np.zeros((7, *self.shape), np.float32)
        self.alpha = np.zeros(self.shape, np.float32)
        if 0 in self.shape:
            return
        ends = np.cumsum([2 * len(part.segments) for part in parts]).tolist()
        pieces = [(slice(end - 2 * len(part.segments), end), part) for end, part in zip(ends, parts)]
        distance = frame.scale * np.array([part.nearer for part in parts])
        order = np.argsort(
            [distance[k] - depth[piece].mean() for k, (piece, _) in enumerate(pieces)], kind="stable"
        )
        for k in order.tolist():
            piece, part = pieces[k]
            self._add(part, pixels[piece] - self.corner, radii[piece], rng)

    def _add(self, part: Part, ends: Array, radii: Array, rng: np.random.Generator) -> None:
        """Lay a part over those before it; `ends` (2n, 2) and `radii` (2n,) in pixels of the patch."""
        shadow = 0.012 * self.scale + 1
        reach = radii.max() + shadow + 2
        x0, y0 = np.maximum(np.floor(ends.min(0) - reach).astype(int), 0).tolist()
        x1, y1 = np.minimum(np.ceil(ends.max(0) + reach).astype(int), self.shape[::-1]).tolist()
        if x0 >= x1 or y0 >= y1:
            return
        xs = np.arange(x0 + 0.5, x1, dtype=np.float32)[None]
        ys = np.arange(y0 + 0.5, y1, dtype=np.float32)[:, None]
        segments = np.column_stack([ends, radii]).reshape(-1, 6).tolist()
        distance, gx, gy = _distance(xs, ys, segments[0])
        for segment in segments[1:]:
            d, dx, dy = _distance(xs, ys, segment)
            nearest = d < distance
            np.copyto(gx, dx, where=nearest)
            np.copyto(gy, dy, where=nearest)
            distance = _smooth_minimum(distance, d, part.soft * self.scale)
        a = np.minimum(np.maximum(0.5 - distance, 0), 1)
        a *= min(1.0, float(radii.max()) / 0.45)
        rim = np.minimum(np.maximum(1 + distance * (1 / max(part.puff * self.scale, 0.7)), 0), 1)
        gx *= rim
        gy *= rim
        tone: Array | float = 1.0
        if part.folds and self.detailed:
            fold = noise_patch(rng, 1.2, distance.shape, max(0.016 * self.scale, 1.0))
            gx += (part.folds * 0.20) * fold
            gy -= (part.folds * 0.16) * fold
            tone = np.clip(1 + (0.08 * part.folds) * fold, 0.4, 1.5)
        value = np.empty((7, *distance.shape), np.float32)
        value[:3] = np.asarray(part.colour, np.float32)[:, None, None] * tone
        value[3], value[4] = gx, gy
        value[5] = np.sqrt(np.maximum(1 - gx * gx - gy * gy, 0.04))
        value[6] = part.warmth * (1 - 0.16 * rim) * (0.5 + 0.5 * tone)
        target, cover = self.planes[:, y0:y1, x0:x1], self.alpha[y0:y1, x0:x1]
        target[:3] *= 1 - 0.38 * np.exp(np.maximum(distance, 0) * (-1 / shadow))  # the dark beside an arm
        out = a + cover * (1 - a)
        value -= target
        value *= a / np.maximum(out, 1e-6)
        target += value
        cover[:] = out


def _distance(x: Array, y: Array, segment: list[float]) -> tuple[Array, Array, Array]:
    """Signed distance in pixels to a rounded segment, negative inside, and the way outwards; each (h, w)."""
    ax, ay, ra, bx, by, rb = segment
    dx, dy = bx - ax, by - ay
    px, py = x - ax, y - ay
    scale = 1 / max(dx * dx + dy * dy, 1e-4)
    t = np.minimum(np.maximum(px * (dx * scale) + py * (dy * scale), 0), 1)
    ox, oy = px - t * dx, py - t * dy
    length = np.sqrt(ox * ox + oy * oy + 1e-6)
    return length - ra - t * (rb - ra), ox / length, oy / length


def _smooth_minimum(a: Array, b: Array, k: float) -> Array:
    h = np.maximum(1 - np.abs(a - b) * (1 / max(k, 1e-3)), 0)
    return np.minimum(a, b) - h * h * (k / 4)
