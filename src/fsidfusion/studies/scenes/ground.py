"""The ground: road, pavement and verge, the marks painted on them, and shadows."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fsidfusion.studies.scenes.canvas import ALBEDO, GLOW, HEAT, NORMAL, OCCLUSION, SUN, Canvas
from fsidfusion.studies.scenes.texture import Array, band, noise_tile, sample_noise, smoothstep, wrap

LANE_LINE, SPEED_BUMP = 4, 8  # MSRS classes painted on the ground


PAINT = 0.62  # albedo of road paint


@dataclass(frozen=True)
class Road:
    """A road along Z, or a car park; metres. Its centre line is X = offset + bend * Z**2."""

    offset: float
    half_width: float
    bend: float
    pavement: float  # width of the paved strip at either side
    surface: str  # "asphalt", "parking" or "gravel"
    lanes: int = 2
    crossing: tuple[float, float] | None = None  # Z range of a zebra crossing
    bump: float | None = None  # Z of a speed bump
    bays: tuple[float, ...] = ()  # X at which rows of parking bays begin, each 5 m deep

    def centre(self, z: ArrayLike) -> Array:
        """X of the centre line at Z."""
        z = np.asarray(z, np.float32)
        return np.asarray(self.offset + self.bend * z * z, np.float32)


BAY_WIDTH, BAY_DEPTH, BAY_START, BAY_COUNT = 2.7, 5.0, 7.0, 14


class _Grid:
    """World positions, noise and the surface so far of every pixel (h, w) below the horizon."""

    def __init__(self, canvas: Canvas, road: Road, rng: np.random.Generator) -> None:
        camera = canvas.camera
        self.first = max(
            int(np.floor(camera.horizon + 0.5)), 0
        )  # row of the frame at which the ground begins
        self.depth = camera.height / np.maximum(-camera.rows[self.first :], 1e-4)  # (h, 1) metres
        self.z = self.depth * camera.rows_z[self.first :]
        self.across = self.depth * camera.columns - road.centre(self.z)  # metres from the centre line
        self.wide = self.depth / camera.focal  # metres of X and
        self.deep = np.abs(np.gradient(self.z, axis=0))  # of Z that a pixel spans, (h, 1)
        shift = rng.uniform(0, 512, 2).tolist()

        def noise(roughness: float, per_metre: float) -> Array:
            """Texture noise, faded where a pixel spans more than a grain of it."""
            fade = np.minimum(1, 1.5 / (per_metre * np.sqrt(self.deep * self.wide)))
            x, z = self.across * per_metre + shift[0], self.z * per_metre + shift[1]
            return sample_noise(noise_tile(roughness, 7), x, z) * fade

        self.fine, self.patchy, self.broad = noise(0.25, 45), noise(1.0, 9), noise(1.5, 2.2)
        self.albedo = np.zeros((3, *self.across.shape), np.float32)
        self.heat = np.zeros(self.across.shape, np.float32)

    def stripe(self, low: float, high: float) -> Array:
        """Cover (h, w) of the strip between two distances from the centre line."""
        return band(self.across, low, high, self.wide)

    def bar(self, low: float, high: float) -> Array:
        """Cover (h, 1) of the strip between two Z."""
        return band(self.z, low, high, self.deep)

    def tone(self, fine: float, patchy: float, broad: float) -> Array:
        """Brightness (h, w) around 1 from the three noises."""
        return np.maximum(1 + fine * self.fine + patchy * self.patchy + broad * self.broad, 0.2)

    def cover(self, mask: Array, colour: ArrayLike, tone: Array, temperature: Array | float) -> None:
        """Lay a material over the ground where `mask` (h, w) is 1."""
        for plane, value in zip(self.albedo, np.asarray(colour, np.float32).tolist()):
            layer = tone * value
            layer -= plane
            layer *= mask
            plane += layer
        self.heat += mask * (temperature - self.heat)


def paint_ground(canvas: Canvas, road: Road, rng: np.random.Generator) -> None:
    """Road, pavement and verge with their textures and marks, per pixel from its world position."""
    setting = canvas.setting
    grid = _Grid(canvas, road, rng)
    warm = setting.air + 0.6 * setting.warming
    verge = setting.air - 2.2 + 0.35 * setting.warming + 0.6 * grid.patchy + 0.4 * grid.broad
    grid.cover(np.ones_like(grid.across), (0.10, 0.13, 0.05), grid.tone(0.30, 0.22, 0.15), verge)
    pavement = _pave(grid, road, rng, warm)
    on_road, surface = _surface(grid, road, rng, warm + 3.2 + 0.25 * setting.warming)
    marks, bump = _marks(grid, road)
    worn = np.clip(grid.tone(0.09, 0.10, 0.12) - 0.07, 0, 1)
    grid.cover(marks * worn, (PAINT, PAINT, PAINT), grid.tone(0.05, 0, 0), surface - 0.7)
    if road.bump is not None:
        stripe = band(wrap(grid.across, 1.0), 0, 0.5, grid.wide)
        grid.cover(bump, (0.03, 0.03, 0.03), grid.tone(0, 0.15, 0), warm + 1.2)
        grid.cover(bump * stripe, (0.55, 0.38, 0.03), grid.tone(0, 0.15, 0), warm + 2.2)
    _add_lids(grid, road, rng, warm + 5.5)

    area = canvas.planes[:, grid.first :]
    area[NORMAL.start + 1] = 1
    if setting.wet:
        puddle = smoothstep((grid.broad + 0.3 * grid.patchy - 1.5 + 1.1 * setting.wet) * 1.3) * on_road
        damp = np.minimum(0.55 * setting.wet + 0.3 * puddle, 0.8) * on_road
        grid.albedo *= 1 - damp
        grid.heat -= 1.5 * damp
        view = canvas.view((0, grid.first), grid.across.shape)
        fresnel = 0.02 + 0.6 * np.square(np.square(np.clip(1 + view[1], 0, 1)))
        area[GLOW] = setting.mirrored(area[NORMAL], view) * (
            fresnel * on_road * (0.25 * setting.wet + 0.75 * puddle)
        )
    area[ALBEDO], area[HEAT], area[SUN] = grid.albedo, grid.heat, 1
    step = np.exp(np.abs(np.abs(grid.across) - road.half_width) * (-1 / 0.12)) * (1 - pavement)
    area[OCCLUSION] = np.maximum(0.9 + 0.08 * grid.fine, 0.4) * (
        1 - 0.35 * step * np.minimum(1, 0.05 / grid.wide)
    )
    canvas.depth[grid.first :] = grid.depth
    label = np.where(marks * on_road > 0.5, LANE_LINE, 0)
    canvas.label[grid.first :] = np.where(bump > 0.5, SPEED_BUMP, label)


def _pave(grid: _Grid, road: Road, rng: np.random.Generator, warm: float) -> Array:
    """Lay slabs and kerb stones beside the road; return the cover of the slabs."""
    half, edge = road.half_width, road.half_width + 0.22
    paved = edge + road.pavement
    slab = 0.6 if rng.random() < 0.6 else 0.4
    within = wrap(grid.across, slab)
    joint = band(within, 0, 0.035, grid.wide) + band(within, slab - 0.035, slab, grid.wide)
    joint = np.maximum(joint, band(wrap(grid.z, slab), 0, 0.05, grid.deep)) * np.minimum(1, 0.2 / grid.deep)
    stone = np.array([0.25, 0.235, 0.215]) * rng.uniform(0.85, 1.15)
    kerb = np.maximum(grid.stripe(-edge, -half), grid.stripe(half, edge))
    pavement = np.maximum(grid.stripe(-paved, -edge), grid.stripe(edge, paved)) if road.pavement else 0 * kerb
    heat = warm + 1.6 + 0.35 * grid.patchy + 0.3 * grid.broad - 0.9 * joint
    grid.cover(pavement, stone, grid.tone(0.10, 0.10, 0.08) * (1 - 0.42 * joint), heat)
    grid.cover(kerb, (0.33, 0.325, 0.31), grid.tone(0, 0.12, 0), warm + 1.6)
    return pavement


def _surface(grid: _Grid, road: Road, rng: np.random.Generator, warm: float) -> tuple[Array, Array]:
    """Lay the road itself; return its cover and its temperature."""
    colour = np.array([0.115, 0.116, 0.120]) * rng.uniform(0.75, 1.3)
    wear = np.zeros((1, 1), np.float32)
    if road.surface == "gravel":
        colour = np.array([0.25, 0.215, 0.165])
    elif road.surface == "asphalt":  # wheels polish two tracks in each lane
        lane = 2 * road.half_width / road.lanes
        within = np.abs(wrap(grid.across + road.half_width, lane) - lane / 2)
        wear = np.exp(-(((within - 0.75) * (1 / 0.3)) ** 2))
    crack = np.exp(-((grid.broad * (1 / 0.035)) ** 2)) * np.minimum(1, 0.06 / grid.wide)
    crack = np.clip(crack * (0.35 + 0.2 * grid.patchy), 0, 0.6)
    on_road = grid.stripe(-road.half_width, road.half_width)
    heat = warm + 0.40 * grid.patchy + 0.6 * grid.broad + 1.0 * wear - 0.8 * crack
    grid.cover(on_road, colour, (grid.tone(0.165, 0.12, 0.13) - 0.14 * wear) * (1 - crack), heat)
    return on_road, heat


def _add_lids(grid: _Grid, road: Road, rng: np.random.Generator, warm: float) -> None:
    """Put warm manhole covers into the road."""
    for _ in range(rng.integers(0, 4)):
        z, x = rng.uniform(6, 26), rng.uniform(-0.8, 0.8) * road.half_width
        rows = np.flatnonzero(np.abs(grid.z[:, 0] - z) < 0.6)
        if not rows.size:
            continue
        part = slice(rows[0], rows[-1] + 1)
        r = np.hypot(grid.across[part] - x, grid.z[part] - z)
        lid = np.clip((0.36 - r) / np.maximum(grid.wide[part], 0.3 * grid.deep[part]) + 0.5, 0, 1)
        rim = np.clip(1 - np.abs(r - 0.33) / 0.05, 0, 1)
        grid.albedo[:, part] += lid * (0.085 + 0.05 * rim + 0.012 * grid.fine[part] - grid.albedo[:, part])
        grid.heat[part] += lid * (warm + 1.5 * rim - grid.heat[part])


def _marks(grid: _Grid, road: Road) -> tuple[Array, Array]:
    """Cover (h, w) of the painted lines and of the speed bump."""
    half = road.half_width
    marks, bump = np.zeros((2, *grid.across.shape), np.float32)
    if road.surface == "parking":
        phase = wrap(grid.z - BAY_START, BAY_WIDTH)
        line = band(phase, 0, 0.07, grid.deep) + band(phase, BAY_WIDTH - 0.07, BAY_WIDTH, grid.deep)
        line = np.minimum(line, grid.bar(BAY_START - 0.1, BAY_START + BAY_COUNT * BAY_WIDTH + 0.1))
        for start in road.bays:
            low, high = sorted((start, start + np.sign(start) * BAY_DEPTH))
            marks = np.maximum(marks, line * grid.stripe(low, high))
    elif road.surface == "asphalt":
        dash = band(wrap(grid.z, 6.0), 0, 3.0, grid.deep)
        for lane in range(road.lanes + 1):
            x = -half + lane * 2 * half / road.lanes
            if lane in (0, road.lanes):
                marks = np.maximum(
                    marks, grid.stripe(x * (1 - 0.35 / half) - 0.07, x * (1 - 0.35 / half) + 0.07)
                )
            else:
                marks = np.maximum(marks, grid.stripe(x - 0.07, x + 0.07) * dash)
    if road.crossing is not None:
        low, high = road.crossing
        marks *= 1 - grid.bar(low - 1.8, high + 1.8)
        zebra = band(wrap(grid.across + half, 1.0), 0.2, 0.7, grid.wide) * grid.bar(low, high)
        marks = np.maximum(marks, zebra * grid.stripe(-half + 0.3, half - 0.3))
        marks = np.maximum(marks, grid.bar(low - 1.5, low - 1.1) * grid.stripe(0, half - 0.3))
        marks = np.maximum(marks, grid.bar(high + 1.1, high + 1.5) * grid.stripe(-half + 0.3, 0))
    if road.bump is not None:
        bump = grid.bar(road.bump - 0.35, road.bump + 0.35) * grid.stripe(-half + 0.2, half - 0.2)
        marks *= 1 - bump
    return marks, bump


def shade_ground(
    canvas: Canvas, outlines: list[Array], depth: float, sun: float, sky: float, soft: float
) -> None:
    """Darken the ground under convex outlines (n, 2) of X, Z.

    Takes `sun` and `sky` (0..1) of those lights away, with an edge `soft` metres wide at `depth` metres.
    """
    camera = canvas.camera
    pixels = []
    for outline in outlines:
        seen = _ahead(cv2.convexHull(np.asarray(outline, np.float32))[:, 0].astype(np.float64))
        if len(seen) > 2:
            pixels.append(camera.project(np.column_stack([seen[:, 0], np.zeros(len(seen)), seen[:, 1]]))[0])
    if not pixels:
        return
    blur = soft * camera.focal / depth
    margin = int(3 * blur) + 1
    h, w = camera.size
    corners = np.concatenate(pixels)
    (x0, y0), (x1, y1) = np.floor(corners.min(0)) - margin, np.ceil(corners.max(0)) + margin
    top = max(int(camera.horizon) + 1, 0)
    x0, x1, y0, y1 = (
        max(int(x0), -margin),
        min(int(x1), w + margin),
        max(int(y0), top - margin),
        min(int(y1), h + margin),
    )
    if x0 >= x1 or y0 >= y1:
        return
    mask: Array = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for polygon in pixels:
        fixed = np.clip(np.round((polygon - (x0 + 0.5, y0 + 0.5)) * 16), -(2**20), 2**20).astype(np.int32)
        cv2.fillConvexPoly(mask, fixed, 255, cv2.LINE_AA, 4)
    if blur > 0.4:
        across, down = (int(np.sqrt(6 * b * b + 1)) | 1 for b in (blur, max(0.45 * blur, 0.4)))
        mask = cv2.blur(cv2.blur(mask, (across, down)), (across, down))  # twice is nearly a Gaussian
    rows, columns = slice(max(y0, top), min(y1, h)), slice(max(x0, 0), min(x1, w))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    shade = mask[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0].astype(np.float32)
    canvas.planes[SUN, rows, columns] *= 1 - shade * (sun / 255)
    canvas.planes[OCCLUSION, rows, columns] *= 1 - shade * (sky / 255)


def _ahead(polygon: NDArray[np.float64], nearest: float = 0.8) -> NDArray[np.float64]:
    """The part of a convex polygon of X, Z that lies farther than `nearest`."""
    kept = []
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0)):
        if a[1] >= nearest:
            kept.append(a)
        if (a[1] - nearest) * (b[1] - nearest) < 0:
            kept.append(a + (b - a) * (nearest - a[1]) / (b[1] - a[1]))
    return np.array(kept)
