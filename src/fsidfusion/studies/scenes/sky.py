"""The sky and the land that closes the view."""

import numpy as np

from fsidfusion.studies.scenes.canvas import GLOW, HEAT, OCCLUSION, SUN, Canvas
from fsidfusion.studies.scenes.texture import band, noise_tile, sample_noise, smoothstep, wrap

HORIZON = 260.0  # distance of the land that closes the view, metres


def paint_sky(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fill the whole frame with sky: gradient, clouds, the sun if it stands in view; cold in the infrared."""
    camera, setting = canvas.camera, canvas.setting
    offset = rng.uniform(0, 512, 2).astype(np.float32)
    threshold = 1.2 - 2.2 * setting.cloud
    scale = np.float32(rng.uniform(14, 26))
    last = min(int(np.ceil(camera.horizon)) + 2, camera.size[0])
    if last <= 0:
        return
    ray_y, ray_z = camera.rows[:last], camera.rows_z[:last]
    length = np.sqrt(camera.columns**2 + ray_y**2 + ray_z**2)
    up = ray_y / length
    height = np.maximum(ray_y, 0.02) + 0.08
    noise = sample_noise(
        noise_tile(1.75, 3), camera.columns / height * scale + offset[0], 1 / height * scale + offset[1]
    )
    cover = smoothstep((noise - threshold) * 0.6) * smoothstep(up * 9)
    colour = setting.sky(up)
    lit = setting.ambient * 0.75 + setting.sun * 0.22
    dark = setting.ambient * 0.45 + setting.horizon * 0.12
    body = smoothstep((noise - threshold) * 0.35)
    cloud = lit[:, None, None] * (1 - body) + dark[:, None, None] * body
    colour += cover * (cloud - colour)
    facing = (
        camera.columns * setting.to_sun[0] + ray_y * setting.to_sun[1] + ray_z * setting.to_sun[2]
    ) / length
    glare = (
        np.exp((facing - 1) * 5000) * 6 + np.exp((facing - 1) * 90) * 0.25 + np.exp((facing - 1) * 12) * 0.10
    )
    colour += setting.sun[:, None, None] * glare * (1 - 0.8 * cover)
    if setting.time_of_day == "night":
        stars = rng.random((last, camera.size[1]), np.float32) > 0.9996
        colour += (stars * (1 - cover) * 0.05).astype(np.float32)
    canvas.planes[GLOW, :last] = colour
    canvas.planes[HEAT, :last] = (
        setting.air - 26 + 20 * (1 - np.clip(up, 0, 1)) ** 6 + 9 * cover * (0.6 + 0.4 * body)
    )
    canvas.planes[SUN, :last] = canvas.planes[OCCLUSION, :last] = 1


def paint_horizon(canvas: Canvas, rng: np.random.Generator, town: bool) -> None:
    """Hills or tree tops, and in a town a skyline with lit windows, far behind everything."""
    camera, setting = canvas.camera, canvas.setting
    width, horizon = camera.size[1], camera.horizon
    if horizon < 2:
        return
    metre = camera.focal / HORIZON
    columns = np.arange(width, dtype=np.float32)[None]
    if town:
        for _ in range(rng.integers(5, 11)):
            w, h, x = rng.uniform(9, 26) * metre, rng.uniform(14, 48) * metre, rng.uniform(-0.1, 1.0) * width
            _paint_far_block(canvas, rng, (x, horizon - h, w, h + 1))
    top = rng.uniform(5, 12) * metre
    shape = sample_noise(
        noise_tile(1.5, 4),
        columns / metre * 0.35 + np.float32(rng.uniform(0, 512)),
        np.zeros((1, 1), np.float32),
    )
    ragged = sample_noise(noise_tile(0.8, 5), columns / metre * 2.5, np.zeros((1, 1), np.float32))
    edge = horizon - top * np.clip(1 + 0.35 * shape + 0.10 * ragged, 0.25, None)  # (1, W)
    y0 = max(int(edge.min()) - 2, 0)
    foot = horizon + camera.focal * camera.height / HORIZON
    rows = np.arange(y0, min(int(foot) + 2, camera.size[0]), dtype=np.float32)[:, None]
    alpha = np.clip(rows - edge + 0.5, 0, 1) * np.clip(np.float32(foot) - rows, 0, 1)
    leaves = sample_noise(noise_tile(0.8, 5), columns / metre * 1.6, rows / metre * 1.6)
    green = np.array([0.07, 0.10, 0.045], np.float32)[:, None, None] * np.clip(1 + 0.35 * leaves, 0.3, None)
    canvas.paint(
        (0, y0), alpha, albedo=green, normal=(0.1, 0.75, -0.65), depth=HORIZON,
        heat=setting.air + 0.8 * leaves + 0.15 * setting.warming,
        occlusion=np.clip(0.75 + 0.2 * leaves, 0.3, 1),
    )  # fmt: skip


def _paint_far_block(
    canvas: Canvas, rng: np.random.Generator, box: tuple[float, float, float, float]
) -> None:
    x, y, w, h = box
    cover = canvas.polygon([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
    if cover is None:
        return
    corner, alpha = cover
    metre = canvas.camera.focal / HORIZON
    wide, tall = rng.uniform(1.8, 4.5), rng.uniform(2.9, 3.8)  # metres between windows
    left, low = (rng.uniform(0.04, 0.3), rng.uniform(0.25, 0.45)) if rng.random() < 0.8 else (0.0, 0.4)
    v = (np.arange(alpha.shape[0], dtype=np.float32)[:, None] + (corner[1] - y)) * (1 / (tall * metre))
    u = (np.arange(alpha.shape[1], dtype=np.float32)[None] + (corner[0] - x)) * (1 / (wide * metre))
    window = band(wrap(u, 1), left, 1 - left, 1 / (wide * metre)) * band(
        wrap(v, 1), low, 0.8, 1 / (tall * metre)
    )
    row, column = np.abs(v[:, 0]).astype(int), np.abs(u[0]).astype(int)
    lit = (rng.random((row.max() + 1, column.max() + 1)) < rng.uniform(0.1, 0.5) * canvas.setting.lamps) * 0.6
    lamp = (lit + lit * rng.random(lit.shape))[row[:, None], column] * window
    grey = rng.uniform(0.14, 0.40) * np.array([1.0, rng.uniform(0.88, 1.0), rng.uniform(0.76, 1.0)])
    canvas.paint(
        corner, alpha, albedo=grey[:, None, None] * (1 - 0.55 * window), normal=(0, 0.2, -0.98), depth=300.0,
        heat=canvas.setting.air + 1 - 3 * window + rng.uniform(-1, 2) + 2.5 * lamp,
        glow=np.array([0.30, 0.24, 0.15])[:, None, None] * lamp,
    )  # fmt: skip
