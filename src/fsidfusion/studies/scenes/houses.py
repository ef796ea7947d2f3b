"""House walls with windows and shops, drawn flat as a texture and warped into the view."""

import cv2
import numpy as np
from numpy.typing import ArrayLike

from fsidfusion.studies.scenes.canvas import Canvas
from fsidfusion.studies.scenes.texture import Array, band, noise_patch, smoothstep, wrap

WORDS = (
    "CAFE",
    "HOTEL",
    "BAR",
    "BOOKS",
    "PIZZA",
    "BANK",
    "FOTO",
    "OPTIK",
    "SALON",
    "RADIO",
    "LAB 24",
    "MARKT",
)


# Capitals as strokes on a grid 4 wide and 6 high, y down: pairs "xy", strokes parted by blanks.
GLYPHS = {
    "A": "062046 1434", "B": "00063645443303 0030414233", "C": "4130100105163645", "D": "00063645413000",
    "E": "40000646 0333", "F": "400006 0333", "G": "41301001051636454323", "H": "0006 4046 0343", "I": "2026",
    "K": "0006 4003 0346", "L": "000646", "M": "0600234046", "N": "06004640", "O": "100105163645413010",
    "P": "06003041423303", "R": "06003041423303 2346", "S": "413010010213334445361605", "T": "0040 2026",
    "U": "000516364540", "X": "0046 4006", "Z": "00400646", "0": "100105163645413010",
    "2": "011030414206 0646", "3": "01103041423313 334445361605", "4": "3036 300444",
}  # fmt: skip


GLASS = 0.055  # albedo of a window pane from outside
WALLS = {  # albedo by style
    "brick": ((0.30, 0.13, 0.09), (0.36, 0.21, 0.13), (0.24, 0.12, 0.10)),
    "plaster": ((0.52, 0.46, 0.34), (0.50, 0.48, 0.44), (0.46, 0.36, 0.26), (0.36, 0.42, 0.44)),
    "concrete": ((0.32, 0.31, 0.30), (0.40, 0.38, 0.35)),
    "ribbon": ((0.30, 0.31, 0.33), (0.22, 0.20, 0.19)),
}


def text_width(text: str) -> float:
    """Width of a line of text in heights of its letters."""
    return sum(2.2 if character in "I " else 5.0 for character in text) / 6


def draw_text(
    mask: Array, text: str, corner: tuple[float, float], height: float, stretch: float = 1.0
) -> None:
    """Write capitals `height` pixels high into a mask (h, w), from the upper left corner x, y; ink is 1.

    Letters are `stretch` times as wide as usual.
    """
    unit = height / 6
    x, y = corner
    for character in text:
        for stroke in GLYPHS.get(character, "").split():
            points = np.array([(int(a), int(b)) for a, b in zip(stroke[::2], stroke[1::2])], np.float64)
            fixed = np.round((points * (0.85 * stretch * unit, unit) + (x, y)) * 16).astype(np.int32)
            cv2.polylines(mask, [fixed], False, 1.0, max(1, round(unit * min(stretch, 1))), cv2.LINE_8, 4)
        x += stretch * height * text_width(character)


class Wall:
    """A wall as a flat texture: `planes` (8, h, w) are albedo 3, cover of glass, own light 3, temperature."""

    def __init__(self, u: Array, v: Array, wide: float, tall: float, planes: Array) -> None:
        self.u, self.v = u, v  # (1, w), (h, 1) metres from the left and above the ground
        self.wide, self.tall = wide, tall  # metres that a pixel spans
        self.planes = planes
        self.albedo, self.glass, self.glow, self.heat = planes[:3], planes[3], planes[4:7], planes[7]

    def part(self, left: float, right: float, top: float) -> "Wall":
        """The piece between two u and below v = `top`, a view of the same planes."""
        a, b = np.searchsorted(self.u[0], [left, right])
        row = int(np.searchsorted(-self.v[:, 0], -top))
        return Wall(self.u[:, a:b], self.v[row:], self.wide, self.tall, self.planes[:, row:, a:b])

    def across(self, low: float, high: float) -> Array:
        """Cover (1, w) of low <= u <= high."""
        return band(self.u, low, high, self.wide)

    def up(self, low: float, high: float) -> Array:
        """Cover (h, 1) of low <= v <= high."""
        return band(self.v, low, high, self.tall)

    def lay(self, mask: Array, colour: ArrayLike, warmer: float = 0.0) -> None:
        """Cover what `mask` (h, w) marks with an opaque material that is `warmer` than the wall."""
        colour = np.asarray(colour, np.float32)
        self.albedo += mask * (colour.reshape(colour.shape + (1,) * (3 - colour.ndim)) - self.albedo)
        self.glow *= 1 - mask
        self.glass *= 1 - mask
        self.heat += warmer * mask


def _build_wall(
    canvas: Canvas,
    rng: np.random.Generator,
    size: tuple[float, float],
    top: float,
    shape: tuple[int, int],
    shop: bool,
) -> Wall:
    """A wall of `size` (width, height) metres up to the height `top` that is seen, as `shape` (h, w)."""
    setting, (width, height), (h, w) = canvas.setting, size, shape
    wide, tall = width / w, top / h
    u = ((np.arange(w, dtype=np.float32) + 0.5) * wide)[None]
    v = (top - (np.arange(h, dtype=np.float32) + 0.5) * tall)[:, None]
    ground_floor = 4.0 if shop else 0.6
    storey, pitch = rng.uniform(2.9, 3.4), rng.uniform(1.9, 3.6)
    pitch = width / max(round(width / pitch), 1)
    style = str(rng.choice(list(WALLS)))
    colour = np.array(WALLS[style][rng.integers(len(WALLS[style]))]) * rng.uniform(0.8, 1.15)
    rough, fine = noise_patch(rng, 1.3, (h, w), 2.5), noise_patch(rng, 0.3, (h, w), 1.0)
    tone = 1 + 0.06 * rough + (0.09 if style == "brick" else 0.05) * fine
    if style == "brick":
        tone *= 1 - 0.25 * min(1.0, 0.12 / tall) * band(wrap(v, 0.16), 0, 0.025, tall)
    elif style == "concrete":
        tone *= 1 - 0.3 * np.maximum(
            band(wrap(u, pitch), 0, 0.05, wide), band(wrap(v, storey), 0, 0.05, tall)
        )
    tone *= (1 - 0.28 * np.exp(v * (-1 / 0.7))) * (1 - 0.22 * band(v, height - 0.5, height - 0.35, tall))
    wall = Wall(u, v, wide, tall, np.zeros((8, h, w), np.float32))
    for plane, value in zip(wall.albedo, colour.tolist()):
        np.multiply(tone, value, out=plane)
    base = setting.air + rng.uniform(0.0, 4.5) + 0.3 * setting.warming
    wall.heat += base + 0.55 * rough + 0.2 * fine + 0.7 * np.exp(v * (-1 / 1.5))
    _add_windows(wall, rng, (pitch, storey, ground_floor), height, style == "ribbon", setting.lamps)
    if shop:
        count = max(int(width / rng.uniform(5, 8)), 1)
        span = width / count
        for k in range(count):
            _add_shop(wall.part(k * span, (k + 1) * span, 3.8), rng, k * span, span, setting.lamps)
    return wall


def _add_windows(
    wall: Wall,
    rng: np.random.Generator,
    grid: tuple[float, float, float],
    height: float,
    ribbon: bool,
    lamps: float,
) -> None:
    """Put rows of windows above the ground floor; `grid` is their pitch, the storey and where they begin."""
    # Everything about a window is the product of something along u and something along v.
    pitch, storey, ground_floor = grid
    left, low = (0.06, 0.34) if ribbon else (rng.uniform(0.2, 0.3), rng.uniform(0.26, 0.34))
    high = rng.uniform(0.78, 0.9)
    storeys = int((height - 1.0 - ground_floor) / storey)
    fu, fv = wrap(wall.u, pitch) * (1 / pitch), wrap(wall.v - ground_floor, storey) * (1 / storey)
    upstairs = (wall.v > ground_floor) & (wall.v < ground_floor + storeys * storey)
    fpu, fpv, frame = wall.wide / pitch, wall.tall / storey, 0.055 / pitch
    inner = band(fu, left + frame, 1 - left - frame, fpu) - band(fu, 0.5 - frame / 2, 0.5 + frame / 2, fpu)
    opening = band(fu, left, 1 - left, fpu) * (band(fv, low, high, fpv) * upstairs)
    glass = np.maximum(inner, 0) * (band(fv, low + 0.02, high - 0.02, fpv) * upstairs)
    sill = band(fu, left - 0.03, 1 - left + 0.03, fpu) * (band(fv, low - 0.045, low, fpv) * upstairs)
    shadow = band(fu, left, 1 - left, fpu) * (band(fv, high - 0.07, high, fpv) * upstairs)

    column = (wall.u[0] / pitch).astype(int)
    row = np.maximum((wall.v[:, 0] - ground_floor) / storey, 0).astype(int)
    shape = (row.max() + 1, column.max() + 1)

    def per_window(table: Array) -> Array:
        return table.astype(np.float32)[row[:, None], column]

    lit = per_window(rng.random(shape) < 0.42 * lamps)
    warm, curtain = per_window(rng.uniform(0, 1, shape)), per_window(rng.uniform(0.0, 0.75, shape))
    drawn = band(np.abs(fu - 0.5) * 2, 1 - 2 * left - 0.5 * curtain, 1.0, 2 * fpu)
    pane = GLASS + 0.20 * drawn * (1 - lit)
    frames = rng.uniform(0.1, 0.6)
    for plane in wall.albedo:
        plane += opening * (frames - plane)
        plane += glass * (pane - plane)
        plane += sill * (0.42 - plane)
        plane *= 1 - 0.45 * shadow
    inside = smoothstep((fv - low) * (1.4 / (high - low))) * 0.65 + 0.35
    shine = glass * lit * inside * (1 - 0.45 * drawn) * (0.22 + 0.5 * warm)
    for plane, cold, change in zip(wall.glow, (0.75, 0.62, 0.52), (0.25, 0.05, -0.30)):
        plane += shine * (cold + change * warm)
    wall.glass += glass
    wall.heat += 1.2 * opening + 0.8 * sill - glass * (3.2 - 2.8 * lit * warm)


def _add_shop(wall: Wall, rng: np.random.Generator, start: float, span: float, lamps: float) -> None:
    """Put shop window, door, lettered sign and sometimes an awning on a piece of the ground floor."""
    if min(wall.planes.shape[1:]) < 2:
        return
    stop = start + span
    wall.lay(wall.across(start + 0.15, stop - 0.15) * wall.up(0.0, 3.7), rng.uniform(0.03, 0.25, 3), 0.8)
    door = start + rng.uniform(0.3, max(span - 1.6, 0.4))
    panes = 1 - band(wrap(wall.u - start, 1.7), 0, 0.07, wall.wide)
    window = panes * wall.across(start + 0.35, stop - 0.35) * wall.up(0.55, 2.75)
    window = np.maximum(window, wall.across(door + 0.08, door + 1.02) * wall.up(0.1, 2.5))
    posts = np.maximum(wall.across(door, door + 0.08), wall.across(door + 1.02, door + 1.1))
    window *= 1 - posts * wall.up(0, 2.75)
    is_open = lamps * float(rng.random() < 0.7)
    goods = noise_patch(rng, 1.0, window.shape, 3.0)
    wall.lay(window, GLASS + 0.03 * np.clip(goods, -1, 2)[None], 1.3 * is_open - 2.2)
    if is_open:
        grain = 2.0 + 0.12 / wall.tall
        stock = np.stack([noise_patch(rng, 0.9, window.shape, grain) for _ in range(3)])
        light = np.array([1.0, rng.uniform(0.78, 0.95), rng.uniform(0.45, 0.85)], np.float32)
        stock = np.clip(0.36 + 0.03 * stock + 0.18 * goods, 0.04, 1.0) * (0.35 + 0.3 * np.clip(wall.v, 0, 3))
        stock *= 1 - 0.5 * band(wrap(wall.v, 0.55), 0.0, 0.09, wall.tall)  # shelves
        wall.glow += (rng.uniform(0.4, 0.8) * is_open * light)[:, None, None] * (stock * window)
    wall.glass += window

    board = wall.across(start + 0.3, stop - 0.3) * wall.up(2.85, 3.6)
    wall.lay(board, rng.uniform(0.03, 0.25, 3), 0.4)
    word, letter, stretch = str(rng.choice(WORDS)), 0.46 / wall.tall, wall.tall / wall.wide
    text = np.zeros(window.shape, np.float32)
    left = 0.5 * span / wall.wide - 0.5 * stretch * letter * text_width(word)
    draw_text(text, word, (left, text.shape[0] - 3.46 / wall.tall), letter, stretch)
    text *= board
    ink = (rng.uniform(0.5, 0.8, 3) * (1.0, 0.95, 0.8)).astype(np.float32)[:, None, None]
    wall.lay(text, ink)
    wall.glow += text * ink * (0.7 * lamps * float(rng.random() < 0.75))
    if rng.random() < 0.4:
        stripe = band(wrap(wall.u, 0.5), 0, 0.25, wall.wide)
        cloth = rng.uniform(0.05, 0.45, 3).astype(np.float32)[:, None, None] * (1 - stripe) + 0.6 * stripe
        wall.lay(wall.across(start + 0.25, stop - 0.25) * wall.up(2.45, 2.85), cloth, 0.5)


def paint_wall(
    canvas: Canvas, seed: int, low: ArrayLike, along: ArrayLike, height: float, shop: bool
) -> None:
    """Paint a house wall that stands on the ground from `low` along the vector `along`, both X, Z."""
    rng = np.random.default_rng(seed)
    camera, setting = canvas.camera, canvas.setting
    ends = np.array([low, np.add(low, along)], np.float64)
    ends = ends[np.argsort(ends[:, 1])]
    if ends[1, 1] < 2.0:
        return
    if ends[0, 1] < 1.5:  # a wall that passes the camera is cut where it leaves the view
        ends[0] += (ends[1] - ends[0]) * (1.5 - ends[0, 1]) / (ends[1, 1] - ends[0, 1])
    ends = ends[np.argsort(ends[:, 0] / ends[:, 1])]  # from left to right as seen, so that letters read
    width = float(np.hypot(*(ends[1] - ends[0])))
    highest = camera.height + max(camera.rows[0, 0], 0.0) * float(ends[:, 1].max()) * 1.1 + 1
    top = min(height, max(highest, 4.0))
    corners = [(x, y, z) for y in (top, 0.0) for x, z in ends]
    pixels, depths = camera.project(corners)
    cover = canvas.polygon(pixels[[0, 1, 3, 2]])
    if cover is None or width < 0.5 or cover[1].max() == 0:
        return
    corner, alpha = cover
    per_metre = float(np.clip(camera.focal / np.median(depths), 2.0, 18.0))
    seen = float(np.ptp(np.clip(pixels[:, 0], 0, camera.size[1])))  # fewer pixels across when seen at a slant
    h, w = max(int(top * per_metre), 8), max(int(min(1.2 * seen, width * per_metre)), 4)
    wall = _build_wall(canvas, rng, (width, height), top, (h, w), shop)
    parts = [np.ascontiguousarray(part.transpose(1, 2, 0)) for part in (wall.planes[:4], wall.planes[4:])]
    source = np.array([(0, 0), (w, 0), (0, h), (w, h)], np.float32) - 0.5
    warp = cv2.getPerspectiveTransform(source, (pixels - corner - 0.5).astype(np.float32))
    size = (alpha.shape[1], alpha.shape[0])
    parts = [cv2.warpPerspective(part, warp, size, borderMode=cv2.BORDER_REPLICATE) for part in parts]
    front, back = (part.transpose(2, 0, 1) for part in parts)
    normal = np.array([ends[0, 1] - ends[1, 1], 0.0, ends[1, 0] - ends[0, 0]]) / width
    normal = normal if normal @ (-ends[0, 0], 0.0, -ends[0, 1]) > 0 else -normal
    offset = float(normal @ (ends[0, 0], 0.0, ends[0, 1]))
    view = canvas.view(corner, alpha.shape)
    nx, _, nz = normal.tolist()
    reach = offset / np.minimum(nx * view[0] + nz * view[2], -1e-3)  # metres along the ray
    forward = view[2] * float(np.cos(camera.pitch)) - view[1] * float(np.sin(camera.pitch))
    sky = setting.mirrored(np.broadcast_to(normal.astype(np.float32)[:, None, None], view.shape), view)
    sheen = np.maximum(0.2 * sky, 0.16 * setting.sky(np.float32(0.2))[:, None, None])
    sunned = 0.5 * setting.warming * max(float(normal @ setting.to_sun), 0.0)
    canvas.paint(
        corner, alpha, albedo=front[:3], normal=normal, glow=back[:3] + sheen * front[3],
        heat=back[3] + sunned * (1 - front[3]), depth=np.clip(reach * forward, 1, 900), occlusion=0.92,
    )  # fmt: skip
