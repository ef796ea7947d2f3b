"""The ground: road, pavement and verge, the marks painted on them, and shadows."""

from dataclasses import dataclass
import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from fsidfusion.data.scenes.canvas import ALBEDO, GLOW, HEAT, NORMAL, OCCLUSION, SUN, Canvas
from fsidfusion.data.scenes.texture import Array, band, noise_tile, sample_noise, smoothstep

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


def paint_ground(canvas: Canvas, road: Road, rng: np.random.Generator) -> None:
    """Road, pavement and verge with their textures and marks, per pixel from its world position."""
    camera, setting = canvas.camera, canvas.setting
    first = max(int(np.floor(camera.horizon + 0.5)), 0)
    depth = camera.height / np.maximum(-camera.rows[first:], 1e-4)  # (h, 1)
    z, x = depth * camera.rows_z[first:], depth * camera.columns  # (h, 1), (h, w)
    wide = depth / camera.focal  # metres of X per pixel
    deep = np.abs(np.gradient(z, axis=0)) if len(z) > 1 else np.ones_like(z)  # metres of Z per pixel
    across = x - road.centre(z)

    shift = rng.uniform(0, 512, 2).astype(np.float32)

    def noise(roughness: float, per_metre: float) -> Array:
        """Texture noise, faded where a pixel spans more than a grain of it."""
        fade = np.minimum(1, 1.5 / (per_metre * np.sqrt(deep * wide)))
        return (
            sample_noise(noise_tile(roughness, 7), x * per_metre + shift[0], z * per_metre + shift[1]) * fade
        )

    fine, patchy, broad = noise(0.25, 45), noise(1.0, 9), noise(1.5, 2.2)
    half, edge = road.half_width, road.half_width + 0.22
    paved = edge + road.pavement
    on_road = band(across, -half, half, wide)
    kerb = np.maximum(band(across, -edge, -half, wide), band(across, half, edge, wide))
    on_pavement = np.maximum(band(across, -paved, -edge, wide), band(across, edge, paved, wide))

    grass_tone = np.clip(1 + 0.30 * fine + 0.22 * patchy + 0.15 * broad, 0.2, None)
    albedo = np.array([0.10, 0.13, 0.05], np.float32)[:, None, None] * grass_tone
    heat = setting.air - 1.5 + 0.35 * setting.warming + 0.45 * patchy + 0.25 * broad
    occlusion = np.clip(0.9 + 0.08 * fine, 0.4, 1)

    def cover(mask: Array, colour: ArrayLike, temperature: ArrayLike) -> None:
        nonlocal albedo, heat
        colour = np.asarray(colour, np.float32)
        albedo = albedo + mask * (colour.reshape(colour.shape + (1,) * (3 - colour.ndim)) - albedo)
        heat = heat + mask * (temperature - heat)

    slab = 0.6 if rng.random() < 0.6 else 0.4
    joint = np.maximum(
        band(np.mod(across, slab), 0, 0.035, wide) + band(np.mod(across, slab), slab - 0.035, slab, wide),
        band(np.mod(z, slab), 0, 0.05, deep),
    ) * np.minimum(1, 0.2 / deep)
    stone = np.array([0.25, 0.235, 0.215], np.float32) * rng.uniform(0.85, 1.15)
    tone = np.clip((1 + 0.10 * fine + 0.10 * patchy + 0.08 * broad) * (1 - 0.42 * joint), 0.2, None)
    warm = setting.air + 0.6 * setting.warming
    cover(on_pavement, stone[:, None, None] * tone, warm + 1.0 + 0.25 * patchy + 0.2 * broad - 0.8 * joint)
    cover(
        kerb, np.array([0.33, 0.325, 0.31])[:, None, None] * np.clip(1 + 0.12 * patchy, 0.3, None), warm + 1.6
    )

    if road.surface == "gravel":
        base, grain = np.array([0.25, 0.215, 0.165], np.float32), 0.16
        wear: ArrayLike = 0.0
    else:
        base, grain = np.array([0.115, 0.116, 0.120], np.float32) * rng.uniform(0.75, 1.3), 0.17
        lane = 2 * half / road.lanes
        within = np.mod(across + half, lane) - lane / 2
        wear = (
            np.exp(-(((np.abs(within) - 0.75) / 0.3) ** 2)) * (0.0 if road.surface == "parking" else 1.0)
        ).astype(np.float32)
    crack = np.exp(-((broad / 0.035) ** 2)) * np.minimum(1, 0.06 / wide) * (0.35 + 0.2 * patchy)
    tone = np.clip(1 + grain * fine + 0.12 * patchy + 0.13 * broad - 0.14 * wear, 0.2, None) * (
        1 - np.clip(crack, 0, 0.6)
    )
    road_heat = (
        warm
        + 2.4
        + 0.25 * setting.warming
        + 0.30 * patchy
        + 0.45 * broad
        + 0.9 * wear
        - 0.8 * np.clip(crack, 0, 1)
    )
    cover(on_road, base[:, None, None] * tone, road_heat)

    marks, bump = _marks(road, across, z, wide, deep)
    worn = np.clip(0.93 + 0.10 * patchy + 0.09 * fine + 0.12 * broad, 0, 1)
    lines = marks * worn
    cover(
        lines, PAINT * np.clip(1 + 0.05 * fine, 0.5, None) * np.ones((3, 1, 1), np.float32), road_heat - 0.7
    )
    if road.bump is not None:
        stripe = band(np.mod(across, 1.0), 0, 0.5, wide)
        yellow, black = (
            np.array([0.55, 0.38, 0.03])[:, None, None],
            np.array([0.03, 0.03, 0.03])[:, None, None],
        )
        cover(
            bump,
            (yellow * stripe + black * (1 - stripe)) * np.clip(1 + 0.15 * patchy, 0.3, None),
            warm + 1.2 + 1.0 * stripe,
        )
    for _ in range(rng.integers(0, 4)):
        zc, xc = rng.uniform(6, 26), rng.uniform(-0.8, 0.8) * half
        r = np.sqrt((across - xc) ** 2 + (z - zc) ** 2)
        lid = np.clip((0.36 - r) / np.maximum(wide, 0.3 * deep) + 0.5, 0, 1) * on_road
        ring = np.clip(1 - np.abs(r - 0.33) / 0.05, 0, 1) * lid
        cover(
            lid, 0.085 + 0.05 * ring[None] + 0.012 * fine[None] * np.ones((3, 1, 1)), warm + 4.5 + 1.5 * ring
        )

    area = canvas.planes[:, first:]
    normal_up = np.ones_like(across)
    puddle = smoothstep((broad + 0.3 * patchy - 1.5 + 1.1 * setting.wet) * 1.3) * on_road * (setting.wet > 0)
    damp = np.clip(0.55 * setting.wet + 0.3 * puddle, 0, 0.8)
    area[ALBEDO] = albedo * (1 - damp * on_road)
    area[NORMAL] = 0
    area[NORMAL][1] = normal_up
    area[GLOW] = 0
    if setting.wet:
        view = canvas.view((0, first), across.shape)
        fresnel = 0.02 + 0.6 * np.clip(1 + view[1], 0, 1) ** 5
        shine = fresnel * on_road * (0.25 * setting.wet + 0.75 * puddle)
        area[GLOW] = setting.mirrored(area[NORMAL], view) * shine
    area[HEAT] = heat - 1.5 * damp * on_road
    area[SUN] = 1
    step = np.exp(-np.abs(np.abs(across) - half) / 0.12) * (1 - on_pavement) * np.minimum(1, 0.05 / wide)
    area[OCCLUSION] = occlusion * (1 - 0.35 * step)
    canvas.depth[first:] = depth
    canvas.label[first:] = np.where(bump > 0.5, SPEED_BUMP, np.where(marks * on_road > 0.5, LANE_LINE, 0))


def _marks(road: Road, across: Array, z: Array, wide: Array, deep: Array) -> tuple[Array, Array]:
    """Cover (h, w) of the painted lines and of the speed bump."""
    half = road.half_width
    marks = np.zeros_like(across)
    bump = np.zeros_like(across)
    if road.surface == "parking":
        length = BAY_START + BAY_COUNT * BAY_WIDTH
        phase = np.mod(z - BAY_START, BAY_WIDTH)
        line = np.minimum(1, band(phase, 0, 0.07, deep) + band(phase, BAY_WIDTH - 0.07, BAY_WIDTH, deep))
        line = line * band(z, BAY_START - 0.1, length + 0.1, deep)
        for start in road.bays:
            low, high = sorted((start, start + np.sign(start) * BAY_DEPTH))
            marks = np.maximum(marks, line * band(across, low, high, wide))
    elif road.surface == "asphalt":
        for side in (-1, 1):
            position = side * (half - 0.35)
            marks = np.maximum(marks, band(across, position - 0.07, position + 0.07, wide))
        dash = band(np.mod(z, 6.0), 0, 3.0, deep)
        for lane in range(1, road.lanes):
            position = -half + lane * 2 * half / road.lanes
            marks = np.maximum(marks, band(across, position - 0.07, position + 0.07, wide) * dash)
    if road.crossing is not None:
        low, high = road.crossing
        beside = 1 - band(z, low - 1.8, high + 1.8, deep)
        zebra = band(np.mod(across + half, 1.0), 0.2, 0.7, wide) * band(z, low, high, deep)
        stop = np.maximum(band(z, low - 1.5, low - 1.1, deep), band(z, high + 1.1, high + 1.5, deep))
        inner = band(across, -half + 0.3, half - 0.3, wide)
        stop = stop * np.where(
            z < (low + high) / 2, band(across, 0, half - 0.3, wide), band(across, -half + 0.3, 0, wide)
        )
        marks = np.maximum(marks * beside, np.maximum(zebra * inner, stop))
    if road.bump is not None:
        bump = band(z, road.bump - 0.35, road.bump + 0.35, deep) * band(across, -half + 0.2, half - 0.2, wide)
        marks = marks * (1 - bump)
    return marks, bump


def shade_ground(
    canvas: Canvas, outlines: list[Array], depth: float, sun: float, sky: float, soft: float
) -> None:
    """Darken the ground under convex outlines (n, 2) of X, Z: by `sun` and `sky` (0..1), blurred by `soft` metres."""
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
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for polygon in pixels:
        fixed = np.clip(np.round((polygon - (x0 + 0.5, y0 + 0.5)) * 16), -(2**20), 2**20).astype(np.int32)
        cv2.fillConvexPoly(mask, fixed, 255, cv2.LINE_AA, 4)
    if blur > 0.4:
        mask = cv2.GaussianBlur(mask, (0, 0), blur, sigmaY=max(blur * 0.45, 0.4))
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
