"""House walls with windows and shops, drawn flat as a texture and warped into the view."""

import cv2
import numpy as np
from numpy.typing import ArrayLike
from fsidfusion.data.scenes.canvas import Canvas
from fsidfusion.data.scenes.texture import Array, band, noise_patch, smoothstep

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
    "U": "000516364540", "X": "0046 4006", "Z": "00400646", "0": "100105163645413010", "2": "011030414206 0646", "3": "01103041423313 334445361605", "4": "3036 300444",
}  # fmt: skip


GLASS = 0.055  # albedo of a window pane from outside


def draw_text(mask: Array, text: str, corner: tuple[float, float], height: float) -> None:
    """Write capitals `height` pixels high into a mask (h, w), from the upper left corner x, y; ink is 1."""
    unit = height / 6
    x, y = corner
    for character in text:
        for stroke in GLYPHS.get(character, "").split():
            points = np.array([(int(a), int(b)) for a, b in zip(stroke[::2], stroke[1::2])], np.float64)
            fixed = np.round((points * (unit * 0.85, unit) + (x, y)) * 16).astype(np.int32)
            cv2.polylines(mask, [fixed], False, 1.0, max(1, round(unit)), cv2.LINE_8, 4)
        x += unit * (2.2 if character in "I " else 5.0)


def facade(
    rng: np.random.Generator, canvas: Canvas, size: tuple[float, float], per_metre: float, shop: bool
) -> Array:
    """A wall of a house as a texture (8, h, w): albedo 3, glass cover, glow 3, temperature; `size` in metres."""
    setting = canvas.setting
    width, height = size
    h, w = max(int(height * per_metre), 8), max(int(width * per_metre), 8)
    fp = np.float32(width / w)
    u = ((np.arange(w, dtype=np.float32) + 0.5) * fp)[None]
    v = (height - (np.arange(h, dtype=np.float32) + 0.5) * (height / h))[:, None]  # metres above the ground
    ground_floor = 4.0 if shop else 0.6
    storey, pitch = rng.uniform(2.9, 3.4), rng.uniform(1.9, 3.6)
    pitch = width / max(round(width / pitch), 1)
    style = rng.choice(["brick", "plaster", "concrete", "ribbon"])
    tones = {
        "brick": ([0.30, 0.13, 0.09], [0.36, 0.21, 0.13], [0.24, 0.12, 0.10]),
        "plaster": ([0.52, 0.46, 0.34], [0.50, 0.48, 0.44], [0.46, 0.36, 0.26], [0.36, 0.42, 0.44]),
        "concrete": ([0.32, 0.31, 0.30], [0.40, 0.38, 0.35]),
        "ribbon": ([0.30, 0.31, 0.33], [0.22, 0.20, 0.19]),
    }[style]
    wall = np.array(tones[rng.integers(len(tones))], np.float32) * rng.uniform(0.8, 1.15)
    rough = noise_patch(rng, 1.3, (h, w), 2.5)
    fine = noise_patch(rng, 0.3, (h, w), 1.0)
    tone = 1 + 0.06 * rough + 0.05 * fine
    if style == "brick":
        course = band(np.mod(v, 0.16), 0, 0.025, fp) * min(1.0, 0.12 / fp)
        tone = tone * (1 - 0.25 * course) + 0.04 * fine
    elif style == "concrete":
        tone = tone * (
            1 - 0.3 * np.maximum(band(np.mod(u, pitch), 0, 0.05, fp), band(np.mod(v, storey), 0, 0.05, fp))
        )
    tone = tone * (1 - 0.28 * np.exp(-v / 0.7)) * (1 - 0.22 * band(v, height - 0.5, height - 0.35, fp))

    # Everything about a window is the product of something along u and something along v.
    left, low = (0.06, 0.34) if style == "ribbon" else (rng.uniform(0.2, 0.3), rng.uniform(0.26, 0.34))
    high = rng.uniform(0.78, 0.9)
    fu, fv = np.mod(u, pitch) / pitch, np.mod(v - ground_floor, storey) / storey
    upstairs = (
        (v > ground_floor)
        * (v < height - 1.0)
        * (np.floor((v - ground_floor) / storey + 1) * storey < height - ground_floor)
    )
    fpu, fpv = fp / pitch, fp / storey
    opening = band(fu, left, 1 - left, fpu) * (band(fv, low, high, fpv) * upstairs)
    frame = 0.055 / pitch
    panes = band(fu, left + frame, 1 - left - frame, fpu) - band(fu, 0.5 - frame / 2, 0.5 + frame / 2, fpu)
    glass = np.clip(panes, 0, 1) * (band(fv, low + 0.02, high - 0.02, fpv) * upstairs)
    sill = band(fu, left - 0.03, 1 - left + 0.03, fpu) * (band(fv, low - 0.045, low, fpv) * upstairs)
    lintel = band(fu, left, 1 - left, fpu) * (
        band(fv, high - 0.07, high, fpv) * upstairs
    )  # shadow under the lintel

    cu, cv = (u // pitch).astype(int)[0], np.clip(((v - ground_floor) // storey).astype(int)[:, 0], 0, None)
    shape = (cv.max() + 1, cu.max() + 1)

    def per_window(table: Array) -> Array:
        return np.asarray(table[..., cv[:, None], cu[None]], np.float32)

    lit = per_window((rng.random(shape) < 0.42 * setting.lamps).astype(np.float32))
    warmth = per_window(rng.uniform(0, 1, shape).astype(np.float32))
    curtain = per_window(rng.uniform(0.0, 0.75, shape).astype(np.float32))
    lamp = np.stack([0.75 + 0.25 * warmth, 0.62 + 0.05 * warmth, 0.52 - 0.30 * warmth])
    inside = smoothstep((fv - low) / (high - low) * 1.4) * 0.65 + 0.35
    drawn = band(np.abs(fu - 0.5) * 2, 1 - 2 * left - curtain * 0.5, 1.0, 2 * fpu)

    albedo = wall[:, None, None] * tone
    frame_tone = rng.uniform(0.1, 0.6)
    albedo = albedo + opening * (frame_tone - albedo)
    albedo = albedo + glass * (GLASS + 0.20 * drawn * (1 - lit) - albedo)
    albedo = albedo + sill * (0.42 - albedo)
    albedo *= 1 - 0.45 * lintel
    glow = lamp * (glass * lit * inside * (1 - 0.45 * drawn) * (0.25 + 0.55 * warmth) * 0.9)
    heat = setting.air + rng.uniform(1.0, 3.0) + 0.3 * setting.warming + 0.35 * rough + 0.15 * fine
    heat = heat + opening * 1.2 + sill * 0.8 - glass * (3.2 - 2.8 * lit * warmth) + 0.7 * np.exp(-v / 1.5)
    if shop:
        albedo, glass, glow, heat = _shops(rng, canvas, (u, v, fp), width, (albedo, glass, glow, heat))
    return np.concatenate([albedo, glass[None], glow, heat[None]]).astype(np.float32)


def _shops(
    rng: np.random.Generator,
    canvas: Canvas,
    grid: tuple[Array, Array, np.float32],
    width: float,
    layers: tuple[Array, Array, Array, Array],
) -> tuple[Array, Array, Array, Array]:
    """Put shop windows, doors, awnings and lettered signs on the lowest 3.8 m of a wall."""
    (u, v, fp), (albedo, glass, glow, heat) = grid, layers
    setting = canvas.setting
    count = max(int(width / rng.uniform(5, 8)), 1)
    span = width / count
    for shop in range(count):
        start = shop * span
        body = band(u, start + 0.15, start + span - 0.15, fp) * band(v, 0.0, 3.7, fp)
        colour = np.array(rng.uniform(0.05, 0.5, 3), np.float32)
        albedo = albedo + body * (colour[:, None, None] * 0.5 - albedo)
        door = start + rng.uniform(0.3, max(span - 1.6, 0.4))
        panes = 1 - band(np.mod(u - start, 1.7), 0, 0.07, fp)
        window = panes * band(u, start + 0.35, start + span - 0.35, fp) * band(v, 0.55, 2.75, fp)
        window = np.maximum(window, band(u, door + 0.08, door + 1.02, fp) * band(v, 0.1, 2.5, fp))
        post = np.maximum(band(u, door, door + 0.08, fp), band(u, door + 1.02, door + 1.1, fp)) * band(
            v, 0, 2.75, fp
        )
        window = window * (1 - post)
        is_open = float(rng.random() < 0.7 and setting.lamps > 0)
        goods = noise_patch(rng, 1.0, window.shape, 3.0)
        shelves = band(np.mod(v, 0.6), 0.0, 0.09, fp)
        albedo = albedo + window * (GLASS + 0.03 * np.clip(goods, -1, 2) - albedo)
        light = np.array([1.0, rng.uniform(0.78, 0.95), rng.uniform(0.5, 0.9)], np.float32)[:, None, None]
        interior = (
            np.clip(0.55 + 0.30 * goods, 0.12, 1.2) * (1 - 0.5 * shelves) * (0.5 + 0.22 * np.clip(v, 0, 3))
        )
        glow = glow * (1 - body) + light * (
            window * interior * is_open * rng.uniform(0.45, 0.9) * setting.lamps
        )
        glass = glass * (1 - body) + window
        heat = heat + body * 0.8 + window * (1.3 * is_open - 2.2)
        board = band(u, start + 0.3, start + span - 0.3, fp) * band(v, 2.85, 3.6, fp)
        paper, ink = rng.uniform(0.03, 0.25, 3), rng.uniform(0.5, 0.8, 3) * np.array([1.0, 0.95, 0.8])
        text = np.zeros(albedo.shape[1:], np.float32)
        word = str(rng.choice(WORDS))
        letter = 0.46 / fp
        length = sum(2.2 if c in "I " else 5.0 for c in word) * letter / 6
        draw_text(text, word, ((start + span / 2) / fp - length / 2, text.shape[0] - 3.46 / fp), letter)
        text = text * board
        albedo = albedo + board * (paper[:, None, None] - albedo)
        albedo = albedo + text * (ink[:, None, None] - albedo)
        glow = glow + text * (ink[:, None, None] * (0.9 * setting.lamps * float(rng.random() < 0.75)))
        heat = heat + board * (0.4 - 0.0 * text)
        if rng.random() < 0.4:
            awning = band(u, start + 0.25, start + span - 0.25, fp) * band(v, 2.45, 2.85, fp)
            stripe = band(np.mod(u, 0.5), 0, 0.25, fp)
            cloth = np.array(rng.uniform(0.05, 0.45, 3))[:, None, None] * (1 - stripe) + 0.6 * stripe
            albedo, glow = albedo + awning * (cloth - albedo), glow * (1 - awning)
            glass, heat = glass * (1 - awning), heat + awning * 0.5
    return albedo, glass, glow, heat


def paint_wall(
    canvas: Canvas, rng: np.random.Generator, low: ArrayLike, along: ArrayLike, height: float, shop: bool
) -> None:
    """Paint a house wall standing on the ground from point `low` along vector `along` (both X, Z), as seen."""
    low, along = np.asarray(low, np.float64), np.asarray(along, np.float64)
    near, far = sorted((low, low + along), key=lambda end: float(end[1]))
    if far[1] < 2.0:
        return
    if near[1] < 1.5:  # a wall that passes the camera is cut where it leaves the view
        near = near + (far - near) * (1.5 - near[1]) / (far[1] - near[1])
        low, along = near, far - near
    width = float(np.hypot(*along))
    high = low + along
    corners = np.array([(*p, y) for p, y in ((low, height), (high, height), (high, 0.0), (low, 0.0))])
    pixels, depths = canvas.camera.project(corners[:, [0, 2, 1]])
    cover = canvas.polygon(pixels)
    if cover is None or width < 0.5:
        return
    corner, alpha = cover
    if alpha.max() == 0:
        return
    shown = np.clip(pixels, 0, canvas.camera.size[::-1])
    per_metre = float(np.clip(canvas.camera.focal / np.median(depths), 2.0, 22.0))
    texture = facade(rng, canvas, (width, height), per_metre, shop)
    h, w = texture.shape[1:]
    squeeze = max(np.ptp(shown[:, 0]), 4) / w
    if squeeze < 0.7:  # a wall seen at a slant: average across before warping, or windows flicker
        w = max(int(w * squeeze * 1.2), 4)
        texture = np.stack([cv2.resize(plane, (w, h), interpolation=cv2.INTER_AREA) for plane in texture])
    source = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float32) - 0.5
    warp = cv2.getPerspectiveTransform(source, (pixels - corner - 0.5).astype(np.float32))
    size = (alpha.shape[1], alpha.shape[0])
    parts = [
        cv2.warpPerspective(
            np.ascontiguousarray(texture[k : k + 4].transpose(1, 2, 0)),
            warp,
            size,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for k in (0, 4)
    ]
    front, back = (part.transpose(2, 0, 1) for part in parts)
    normal = np.array([-along[1], 0.0, along[0]]) / width
    towards = np.array([-(low + along / 2)[0], 0.0, -(low + along / 2)[1]])
    normal = (normal if normal @ towards > 0 else -normal).astype(np.float32)
    plane_distance = float(normal @ np.array([low[0], 0.0, low[1]]))
    view = canvas.view(corner, alpha.shape)
    reach = plane_distance / np.minimum((view * normal[:, None, None]).sum(0), -1e-3)  # along the ray
    forward = -np.sin(canvas.camera.pitch) * view[1] + np.cos(canvas.camera.pitch) * view[2]
    sheen = 0.2 * canvas.setting.mirrored(np.broadcast_to(normal[:, None, None], view.shape), view)
    sheen = np.maximum(sheen, 0.16 * canvas.setting.sky(np.float32(0.2))[:, None, None])
    canvas.paint(
        corner, alpha, albedo=front[:3], normal=normal, glow=back[:3] + sheen * front[3],
        heat=back[3] + 0.5 * canvas.setting.warming * max(float(normal @ canvas.setting.to_sun), 0.0) * (1 - front[3]),
        depth=np.clip(reach * forward, 1, 900), occlusion=0.92,
    )  # fmt: skip
