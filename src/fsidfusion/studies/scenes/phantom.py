"""A rendered slice through a head as MRI, PET and CT see it: an anatomical cousin of the Shepp-Logan phantom.

    phantom = render_phantom(3)
    phantom.mri, phantom.pet, phantom.ct

Every seed is another head. The background is exactly 0, as in the slices of the whole-brain atlas.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.studies.scenes.texture import Array, noise_tile, sample_noise, smoothstep

SMALLEST = 64
# Uptake 0..1 in equal steps to RGB: black, blue, light blue, yellow, orange, red, pink.
PET_COLOURS = (
    (0, 0, 0), (0, 6, 80), (4, 40, 190), (40, 110, 235), (150, 190, 190), (238, 226, 70),
    (254, 178, 14), (250, 92, 6), (240, 20, 16), (255, 70, 110),
)  # fmt: skip
Tissue = tuple[float, float, float]  # brightness in MRI (T1) and CT (brain window) 0..255, uptake in PET 0..1
SKIN, FAT, MUSCLE, BONE, MARROW = (
    (92, 46, 0.05),
    (232, 30, 0.0),
    (84, 56, 0.1),
    (12, 255, 0.0),
    (118, 238, 0.06),
)
FLUID, GREY, WHITE = (20, 52, 0.05), (92, 112, 0.86), (142, 98, 0.32)
LESION, RIM, OEDEMA = (58, 90, 1.2), (196, 108, 1.1), (100, 80, 0.25)


@dataclass(frozen=True)
class Phantom:
    """One slice, three times; all registered."""

    mri: NDArray[np.uint8]  # (H, W), T1-weighted: fluid is dark, fat is white
    pet: NDArray[np.uint8]  # (H, W, 3) RGB, uptake of glucose in false colours
    ct: NDArray[np.uint8]  # (H, W), in a brain window: bone is white
    lesion: NDArray[np.bool_]  # (H, W), what takes up most


class _Slice:
    """The slice as it grows; lengths are in half-widths of the frame, y points to the back of the head."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        self.pixel = 2 / size
        axis = ((np.arange(size) + 0.5) * self.pixel - 1).astype(np.float32)
        turn = rng.uniform(-0.05, 0.05)
        x, y = axis[None] - rng.uniform(-0.015, 0.015), axis[:, None] - rng.uniform(-0.02, 0.02)
        self.x, self.y = x + turn * y, y - turn * x
        bend_x, bend_y = self.noise(2.6, 12), self.noise(2.6, 12)
        self.x, self.y = self.x + 0.012 * bend_x, self.y + 0.012 * bend_y  # nobody is symmetric
        self.tissue = np.zeros((3, size, size), np.float32)  # MRI, CT, PET

    def noise(self, roughness: float, fineness: float) -> Array:
        """Noise (h, w), deviation 1, of `fineness` tile pixels per tenth of the half-width."""
        x0, y0 = self.rng.uniform(0, 512, 2).tolist()
        return sample_noise(
            noise_tile(roughness), self.x * (10 * fineness) + x0, self.y * (10 * fineness) + y0
        )

    def inside(self, distance: Array, soft: float = 0.0) -> Array:
        """Cover 0..1 of the region where `distance` is positive, with an edge one pixel or `soft` wide."""
        return np.clip(distance / max(soft, self.pixel) + 0.5, 0, 1)

    def lay(self, cover: Array, tissue: Tissue) -> None:
        """Fill a region with a tissue."""
        for plane, value in zip(self.tissue, tissue):
            plane += cover * (value - plane)

    def chain(self, *discs: Tissue) -> Array:
        """Distance inwards from a chain of discs (x, y, radius) joined by tapering strokes."""
        best = np.full(self.tissue.shape[1:], -9.0, np.float32)
        for (ax, ay, ra), (bx, by, rb) in pairwise(discs):
            dx, dy = bx - ax, by - ay
            t = np.clip(((self.x - ax) * dx + (self.y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
            distance = ra + t * (rb - ra) - np.hypot(self.x - ax - t * dx, self.y - ay - t * dy)
            best = np.maximum(best, distance)
        return best


def render_phantom(seed: int, size: int = 256) -> Phantom:
    """Render one head of `size` x `size` pixels."""
    if size < SMALLEST:
        raise InputError(f"a phantom of {size}x{size} is too small: give a size of at least {SMALLEST}")
    head = _Slice(np.random.default_rng((seed, 77)), size)
    depth, brain = _add_shell(head)
    _add_cortex(head, brain)
    _add_core(head)
    lesion = _add_lesion(head)
    outside = depth <= 0
    return Phantom(_mri(head, outside), _pet(head, outside), _ct(head, outside), lesion)


def _add_shell(head: _Slice) -> tuple[Array, Array]:
    """Lay skin, fat and skull; return the depth under the skin and the depth in the brain (h, w)."""
    rng, x, y = head.rng, head.x, head.y
    width, height = rng.uniform(0.60, 0.66), rng.uniform(0.77, 0.83)
    across = width * (1 + 0.09 * y - 0.04 * y * y)  # wider at the back
    radius = (np.abs(x / across) ** 2.2 + np.abs(y / height) ** 2.2) ** (1 / 2.2)
    depth = (1 - radius) * (0.5 * (width + height)) + 0.0035 * head.noise(2.2, 10)
    scalp = 0.045 + 0.004 * head.noise(2.2, 10) + 0.016 * np.exp(-(((y - 0.72) / 0.25) ** 2))
    skull = 0.056 + 0.004 * head.noise(2.2, 10) + 0.026 * np.exp(-((x / 0.14) ** 2)) * np.abs(y)
    head.lay(head.inside(depth), SKIN)
    head.lay(head.inside(depth - 0.012), FAT)
    temple = np.exp(-(((np.abs(x) - 0.56) / 0.07) ** 2) - ((y + 0.14) / 0.24) ** 2)
    head.lay(head.inside(depth - 0.016) * np.minimum(1.6 * temple, 1), MUSCLE)
    head.lay(head.inside(depth - scalp), BONE)
    marrow = head.inside(depth - scalp - 0.016) * head.inside(scalp + skull - 0.016 - depth)
    head.lay(marrow * np.clip(0.7 + 0.3 * head.noise(0.8, 14), 0, 1), MARROW)
    head.lay(head.inside(depth - scalp - skull), FLUID)
    return depth, depth - scalp - skull - 0.012 + 0.004 * head.noise(1.4, 14)


def _draw_furrows(head: _Slice) -> Array:
    """Distance (h, w) from the furrows of the cortex, forked cuts from the surface; negative in them."""
    rng, fine = head.rng, 3
    size = head.tissue.shape[1] * fine
    mask = np.zeros((size, size), np.uint8)
    open_ = rng.uniform(0.7, 1.25)  # wider in an old brain

    def cut(points: Array, width: float) -> None:
        """Draw a furrow through points (n, 2) of x, y that narrows towards its end."""
        pixels = np.round((points + 1) / head.pixel * fine * 16).astype(np.int32)
        for k, (start, stop) in enumerate(pairwise(pixels)):
            narrowing = width * open_ * (1 - 0.55 * k / len(pixels))
            cv2.line(
                mask,
                start.tolist(),
                stop.tolist(),
                1,
                max(round(narrowing / head.pixel * fine), 1),
                cv2.LINE_8,
                4,
            )

    steps = np.linspace(0, 1, 9)
    for angle in np.arange(34) * (2 * np.pi / 34) + rng.uniform(-0.05, 0.05, 34):
        if abs(np.cos(angle)) < 0.10:
            continue  # the cleft between the hemispheres
        length = rng.uniform(0.10, 0.20) if rng.random() < 0.6 else rng.uniform(0.20, 0.30)
        turns = np.cumsum(rng.normal(0, 0.026, len(steps))) + rng.normal(0, 0.10) * steps
        reach = 1.03 - 1.55 * length * steps
        middle = 0.535 * np.cos(angle + turns) * reach, 0.690 * np.sin(angle + turns) * reach
        path = np.column_stack(middle)
        cut(path, rng.uniform(0.014, 0.024))
        if rng.random() < 0.55:  # a fork
            at = int(rng.integers(4, 7))
            along = path[at] - path[at - 1]
            across = np.array([-along[1], along[0]]) * rng.choice([-1, 1])
            arm = path[at] + np.linspace(0, 1, 4)[:, None] * (2.2 * across + rng.uniform(0.3, 1.2) * along)
            cut(arm, 0.013)
    for sign in (-1, 1):
        for y in (*rng.uniform(-0.56, -0.36, 2), *rng.uniform(0.34, 0.58, 2)):  # on the inner faces
            cut(
                np.array([(0, y), (sign * 0.05, y + 0.01), (sign * rng.uniform(0.08, 0.13), y + 0.03)]), 0.012
            )
        shift = rng.uniform(-0.02, 0.02, 2)
        stem = [
            (0.57, -0.07),
            (0.49, -0.06),
            (0.41, -0.02),
        ]  # the lateral fissure, and the island it opens on
        for branch, width in (
            ([(0.37, -0.08), (0.37, -0.16)], 0.020),
            ([(0.38, 0.04), (0.39, 0.11), (0.42, 0.17)], 0.028),
        ):
            cut(np.array(stem + branch) * (sign, 1) + shift, width)
    outside, inside = (cv2.distanceTransform(m, cv2.DIST_L2, 5) for m in (1 - mask, mask))
    distance = cv2.resize(outside - inside, head.tissue.shape[1:], interpolation=cv2.INTER_AREA)
    return np.asarray(distance * (head.pixel / fine), np.float32)


def _add_cortex(head: _Slice, brain: Array) -> None:
    """Lay white matter, and grey matter along the surface and along the furrows that cut into it."""
    away = np.abs(head.y)
    cleft = (
        0.008 + 0.012 * smoothstep((away - 0.30) * 4) - np.abs(head.x) - 0.02 * smoothstep((0.30 - away) * 12)
    )
    solid = np.minimum(np.minimum(_draw_furrows(head), brain), -cleft)  # distance from the nearest fluid
    ribbon = 0.036 + 0.004 * head.noise(1.6, 12)
    head.lay(head.inside(solid, 0.012), WHITE)
    head.lay(head.inside(solid, 0.012) * head.inside(ribbon - solid, 0.018), GREY)


def _add_core(head: _Slice) -> None:
    """Lay the deep grey matter and the ventricles, left and right a little different."""
    rng = head.rng
    wide = rng.uniform(0.7, 1.35)  # of the ventricles
    for sign in (-1, 1):
        w, lift = wide * rng.uniform(0.85, 1.15), rng.uniform(-0.012, 0.012)

        def mirrored(*discs: Tissue, sign: int = sign, lift: float = lift) -> Array:
            return head.chain(*((sign * px, py + lift, r) for px, py, r in discs))

        head.lay(
            head.inside(mirrored((0.10, 0.06, 0.062), (0.13, 0.14, 0.060)), 0.03), (110, 110, 0.95)
        )  # thalamus
        head.lay(
            head.inside(mirrored((0.22, -0.08, 0.030), (0.24, 0.02, 0.045), (0.21, 0.11, 0.018)), 0.03),
            (104, 112, 1.0),
        )
        head.lay(head.inside(mirrored((0.315, -0.10, 0.010), (0.320, 0.08, 0.010)), 0.012), (100, 110, 0.8))
        head.lay(
            head.inside(mirrored((0.145, -0.20, 0.048), (0.150, -0.12, 0.032)), 0.025), (98, 112, 1.0)
        )  # caudate
        horn = mirrored((0.045, -0.10, 0.020 * w), (0.075, -0.20, 0.036 * w), (0.125, -0.285, 0.020 * w))
        back = mirrored((0.19, 0.21, 0.022 * w), (0.235, 0.29, 0.042 * w), (0.215, 0.40, 0.016 * w))
        head.lay(head.inside(np.maximum(horn, back), 0.014), FLUID)
        plexus = mirrored((0.205, 0.25, 0.012), (0.235, 0.31, 0.016))
        head.lay(head.inside(plexus, 0.012), (88, 128, 0.4))
        head.tissue[1] += 120 * head.inside(mirrored((0.228, 0.295, 0.008), (0.232, 0.305, 0.008)), 0.012)
    head.lay(head.inside(head.chain((0, -0.03, 0.007 * wide), (0, 0.12, 0.010 * wide)), 0.01), FLUID)  # third
    head.lay(
        head.inside(head.chain((0, 0.175, 0.016), (0, 0.185, 0.014)), 0.012), (96, 235, 0.5)
    )  # pineal, calcified
    head.tissue[1] += (
        26 * head.inside(0.006 - np.abs(head.x), 0.008) * (head.y < -0.34) * (head.tissue[1] < 120)
    )  # falx


def _add_lesion(head: _Slice) -> NDArray[np.bool_]:
    """Put a tumour with a bright rim and a swollen surround into one hemisphere; return its extent."""
    rng = head.rng
    sign, angle, reach = float(rng.choice([-1, 1])), rng.uniform(-0.9, 0.9), rng.uniform(0.30, 0.38)
    x, y = sign * reach * float(np.cos(angle)), 1.15 * reach * float(np.sin(angle))
    radius = rng.uniform(0.050, 0.085)
    lumps = 0.012 * head.noise(1.6, 12)
    distance = radius + lumps - np.hypot(head.x - x, head.y - y)
    head.lay(0.75 * head.inside(distance + 0.06 + 2 * lumps, 0.06) * (head.tissue[0] > 110), OEDEMA)
    head.lay(head.inside(distance, 0.012), RIM)
    head.lay(head.inside(distance - 0.016, 0.012), LESION)
    return distance > 0


def _finish(head: _Slice, picture: Array, outside: NDArray[np.bool_], noise: float) -> NDArray[np.uint8]:
    """Add noise, round, and clear what lies outside the head."""
    picture = picture + noise * head.rng.standard_normal(picture.shape, np.float32)
    picture[outside] = 0
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _mri(head: _Slice, outside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    blur = 0.0042 / head.pixel
    picture = cv2.GaussianBlur(head.tissue[0], (0, 0), max(blur, 0.3))
    picture *= 1 + 0.05 * head.noise(2.6, 8) + 0.012 * head.noise(1.2, 20)  # uneven coil, texture
    return _finish(head, picture, outside, 2.6)


def _ct(head: _Slice, outside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    picture = cv2.GaussianBlur(head.tissue[1], (0, 0), max(0.006 / head.pixel, 0.3))
    return _finish(head, picture, outside, 4.0)


def _pet(head: _Slice, outside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Blur the uptake as a PET scanner does, and colour it."""
    uptake = head.tissue[2] * (1 + 0.13 * head.noise(1.8, 10) + 0.06 * smoothstep((head.y - 0.2) * 3))
    uptake = cv2.GaussianBlur(np.maximum(uptake, 0), (0, 0), max(0.030 / head.pixel, 0.5))
    uptake = uptake + 0.015 * cv2.GaussianBlur(head.noise(0.3, 30), (0, 0), max(0.012 / head.pixel, 0.3))
    uptake[outside | (uptake < 0.035)] = 0
    steps = np.linspace(0, 1.02, len(PET_COLOURS))
    colours = [np.interp(uptake, steps, channel) for channel in np.array(PET_COLOURS).T]
    return np.rint(np.stack(colours, axis=-1)).astype(np.uint8)
