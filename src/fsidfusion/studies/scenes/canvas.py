"""What every part of a rendered scene shares: the camera, the lamps, and the surfaces painted so far.

World axes in metres: X to the right, Y up, Z forward; the ground is Y = 0, the camera stands above X = Z = 0.
Light is linear, RGB; temperature is in degrees Celsius. Objects do not write colours that are final: they
write what they are made of (albedo, normal, own light, temperature), and the cameras look at that.
"""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fsidfusion.studies.scenes.texture import Array
from fsidfusion.studies.scenes.weather import Setting

# The planes of `Canvas.planes`, first axis.
ALBEDO, NORMAL, GLOW, HEAT, SUN, OCCLUSION = slice(0, 3), slice(3, 6), slice(6, 9), 9, 10, 11


PLANES = 12


@dataclass(frozen=True)
class Camera:
    """A pinhole camera looking along +Z, tilted down by `pitch` radians; focal length in pixels."""

    size: tuple[int, int]  # height, width
    height: float
    pitch: float
    focal: float
    rows: Array = field(init=False, repr=False)  # (H, 1) Y of the ray at depth 1
    rows_z: Array = field(init=False, repr=False)  # (H, 1) Z of the ray at depth 1
    columns: Array = field(init=False, repr=False)  # (1, W) X of the ray at depth 1

    def __post_init__(self) -> None:
        h, w = self.size
        down = ((np.arange(h) + 0.5 - h / 2) / self.focal)[:, None]
        across = ((np.arange(w) + 0.5 - w / 2) / self.focal)[None]
        cos, sin = math.cos(self.pitch), math.sin(self.pitch)
        object.__setattr__(self, "rows", (-cos * down - sin).astype(np.float32))
        object.__setattr__(self, "rows_z", (cos - sin * down).astype(np.float32))
        object.__setattr__(self, "columns", across.astype(np.float32))

    @property
    def horizon(self) -> float:
        """The row (may lie outside the frame) at which the ground ends."""
        return self.size[0] / 2 - self.focal * math.tan(self.pitch)

    def project(self, points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """World points (..., 3) to pixel positions (..., 2) as x, y and to depth (...) in metres."""
        p = np.asarray(points, np.float64)
        cos, sin = math.cos(self.pitch), math.sin(self.pitch)
        up, ahead = p[..., 1] - self.height, p[..., 2]
        depth = np.maximum(cos * ahead - sin * up, 0.3)
        pixels = np.empty((*p.shape[:-1], 2))
        pixels[..., 0] = self.size[1] / 2 + self.focal * p[..., 0] / depth
        pixels[..., 1] = self.size[0] / 2 - self.focal * (cos * up + sin * ahead) / depth
        return pixels, depth

    def to_world(self, right: Array, down: Array, near: Array) -> Array:
        """Directions in the image (right, down, towards the camera) as world vectors (3, ...)."""
        cos, sin = math.cos(self.pitch), math.sin(self.pitch)
        return np.stack([right, -cos * down + sin * near, -sin * down - cos * near])


@dataclass(frozen=True)
class Frame:
    """The coordinates of a thing on the ground: forward, height and side, `scale` metres each.

    `heading` 0 points away from the camera, in radians, clockwise seen from above.
    """

    x: float
    z: float
    heading: float
    scale: float = 1.0
    axes: Array = field(init=False, repr=False)  # (3, 3) rows: forward, up, right as world vectors

    def __post_init__(self) -> None:
        sin, cos = math.sin(self.heading), math.cos(self.heading)
        object.__setattr__(self, "axes", np.array([[sin, 0.0, cos], [0.0, 1.0, 0.0], [cos, 0.0, -sin]]))

    def world(self, local: ArrayLike) -> Array:
        """Points (..., 3) of this frame as world points."""
        return np.asarray(local, np.float64) @ (self.scale * self.axes) + (self.x, 0.0, self.z)


@dataclass(frozen=True)
class Light:
    """A lamp: where, which colour and power, and the cone it shines into."""

    position: Array  # (3,) metres
    colour: Array  # (3,)
    towards: Array  # (3,) unit vector of the cone's axis
    cone: float  # cosine at which the cone ends
    size: float  # radius of the lamp, metres, for its mirror image in a wet road


class Canvas:
    """The surfaces seen from the camera, painted from far to near.

    `planes` (12, H, W) are the material planes above, `depth` (H, W) metres, `label` (H, W) the MSRS class
    and `instance` (H, W) the number of the object, 0 for none. `claimed` counts the pixels each object had
    when it was painted.
    """

    def __init__(self, camera: Camera, setting: Setting) -> None:
        self.camera, self.setting = camera, setting
        self.planes = np.zeros((PLANES, *camera.size), np.float32)
        self.depth = np.full(camera.size, 1e4, np.float32)
        self.label = np.zeros(camera.size, np.uint8)
        self.instance = np.zeros(camera.size, np.uint8)
        self.categories: list[str] = []
        self.claimed: list[int] = []
        self.lights: list[Light] = []
        self.unit = math.sqrt(
            camera.size[0] * camera.size[1] / (480 * 640)
        )  # pixels per pixel of a 480x640 frame

    def new_object(self, category: str) -> int:
        """Register an object of a class ("person", "bicycle", "car"); return its instance number."""
        self.categories.append(category)
        self.claimed.append(0)
        return len(self.categories)

    def paint(
        self,
        corner: tuple[int, int],
        alpha: Array,
        *,
        albedo: ArrayLike,
        normal: ArrayLike,
        heat: ArrayLike,
        depth: ArrayLike,
        glow: ArrayLike = 0.0,
        sun: ArrayLike = 1.0,
        occlusion: ArrayLike = 1.0,
        label: int = 0,
        instance: int = 0,
        claim: NDArray[np.bool_] | None = None,
    ) -> None:
        """Lay a patch over the canvas.

        `corner` (x, y) may lie outside; `alpha` (h, w) is the cover 0..1. Every other value is a number, a
        colour (3,) or a map (h, w) or (3, h, w). The patch owns the pixels of `claim`, by default those that
        it covers by half.
        """
        (x, y), (h, w), (height, width) = corner, alpha.shape, self.camera.size
        x0, x1, y0, y1 = max(x, 0), min(x + w, width), max(y, 0), min(y + h, height)
        if x0 >= x1 or y0 >= y1:
            return
        inside, here = (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)), (slice(y0, y1), slice(x0, x1))

        def cut(value: ArrayLike) -> Array:
            v = np.asarray(value, np.float32)
            if v.ndim < 2:
                return v.reshape(v.shape + (1,) * (2 * v.ndim))
            ys, xs = (part if n > 1 else slice(None) for part, n in zip(inside, v.shape[-2:]))
            return v[..., ys, xs]

        a = alpha[inside]
        target = self.planes[:, *here]
        for plane, value in (
            (ALBEDO, albedo),
            (NORMAL, normal),
            (GLOW, glow),
            (HEAT, heat),
            (SUN, sun),
            (OCCLUSION, occlusion),
        ):
            target[plane] += a * (cut(value) - target[plane])
        owned = (a > 0.5) if claim is None else claim[inside]
        np.copyto(self.depth[here], cut(depth), where=owned)
        self.label[here][owned] = label
        if instance:
            self.claimed[instance - 1] += int((owned & (self.instance[here] != instance)).sum())
        self.instance[here][owned] = instance

    def polygon(self, points: ArrayLike) -> tuple[tuple[int, int], Array] | None:
        """Corner and anti-aliased cover of a polygon of pixel positions (n, 2), or None when out of frame.

        OpenCV draws its edges up to half a pixel outwards.
        """
        p = np.asarray(points, np.float64)
        low, high = np.floor(p.min(0)).astype(int) - 1, np.ceil(p.max(0)).astype(int) + 2
        low, high = np.maximum(low, -2), np.minimum(high, np.array(self.camera.size[::-1]) + 2)
        if (low >= high).any():
            return None
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        fixed = np.clip(np.round((p - low - 0.5) * 16), -(2**20), 2**20).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, 4)
        return (int(low[0]), int(low[1])), mask.astype(np.float32) / 255

    def view(self, corner: tuple[int, int], shape: tuple[int, int]) -> Array:
        """Unit vectors (3, h, w) from the camera through the pixels of a patch."""
        c = self.camera
        down = ((np.arange(shape[0]) + corner[1] + 0.5 - c.size[0] / 2) / c.focal)[:, None].astype(np.float32)
        across = ((np.arange(shape[1]) + corner[0] + 0.5 - c.size[1] / 2) / c.focal)[None].astype(np.float32)
        across, down = np.broadcast_arrays(across, down)
        ray = c.to_world(across, down, -np.ones_like(across))
        return ray / np.sqrt((ray * ray).sum(0))

    def sun_at(self, x: float, z: float) -> float:
        """Share of sunlight (0..1) that reaches the ground at X, Z, so far as the frame shows that spot."""
        (px, py), _ = self.camera.project((x, 0.0, z))
        column, row = int(px), int(py)
        if not (0 <= column < self.camera.size[1] and 0 <= row < self.camera.size[0]):
            return 1.0
        return float(self.planes[SUN, row, column])
