"""The two cameras: surfaces become a visible picture by their light, an infrared one by their warmth."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.studies.scenes.canvas import GLOW, HEAT, NORMAL, OCCLUSION, SUN, Canvas
from fsidfusion.studies.scenes.smoke import Plume, add_smoke
from fsidfusion.studies.scenes.texture import Array, noise_patch, smoothstep

SKY = 5e3  # metres: what is farther is sky


def take_pictures(
    canvas: Canvas, rng: np.random.Generator, plumes: list[Plume]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the infrared (H, W) and the visible (H, W, 3) picture of the painted scene."""
    light, heat = visible_light(canvas), canvas.planes[HEAT].copy()
    for plume in sorted(plumes, key=lambda p: -p.z):
        add_smoke(canvas, rng, plume, light, heat)
    return infrared_picture(canvas, rng, heat), visible_picture(canvas, rng, light)


def visible_light(canvas: Canvas) -> Array:
    """Linear light (3, H, W) that reaches the visible camera through the fog; smoke and glare come later."""
    planes, setting = canvas.planes, canvas.setting
    normal = planes[NORMAL]
    sky = planes[OCCLUSION] * (0.62 + 0.38 * normal[1])
    toward = setting.to_sun.tolist()
    sunlit = planes[SUN] * np.maximum(
        toward[0] * normal[0] + toward[1] * normal[1] + toward[2] * normal[2], 0
    )
    lamps = (
        _lamp_light(canvas) * (0.4 + 0.6 * planes[OCCLUSION])
        if canvas.lights
        else np.zeros((3, 1, 1), np.float32)
    )
    is_sky = canvas.depth > SKY
    veil = 1 - np.exp(np.minimum(canvas.depth, 500) * -setting.haze)
    veil[is_sky] = 0
    fog = 0.5 * setting.horizon + 0.3 * setting.ambient
    light = np.empty((3, *canvas.camera.size), np.float32)
    for k in range(3):
        light[k] = (
            planes[k] * (setting.ambient[k] * sky + setting.sun[k] * sunlit + lamps[k])
            + planes[GLOW.start + k]
        )
    if setting.wet and canvas.lights:
        _add_streaks(canvas, light, (canvas.instance == 0) & (normal[1] > 0.95) & ~is_sky)
    for k in range(3):
        light[k] += veil * (fog[k] - light[k])
    return light


def _lamp_light(canvas: Canvas) -> Array:
    """Light (3, H, W) that the lamps throw on every surface, worked out at half size."""
    camera = canvas.camera
    depth = canvas.depth[::2, ::2].copy()
    x, y, z = (
        depth * camera.columns[:, ::2],
        depth * camera.rows[::2] + camera.height,
        depth * camera.rows_z[::2],
    )
    normal = canvas.planes[NORMAL, ::2, ::2].copy()
    total = np.zeros((3, *depth.shape), np.float32)
    for light in canvas.lights:
        dx, dy, dz = (p - q for p, q in zip(light.position.tolist(), (x, y, z)))
        squared = dx * dx + dy * dy + dz * dz + 0.6
        inverse = 1 / np.sqrt(squared)
        ax, ay, az = light.towards.tolist()
        amount = smoothstep(
            ((dx * ax + dy * ay + dz * az) * inverse + light.cone) * (-1.2 / (1 - light.cone))
        )
        amount *= np.maximum((normal[0] * dx + normal[1] * dy + normal[2] * dz) * (inverse * 0.85) + 0.15, 0)
        amount /= squared
        for k, colour in enumerate(light.colour.tolist()):
            total[k] += colour * amount
    height, width = camera.size
    return np.stack([cv2.resize(t, (width, height), interpolation=cv2.INTER_LINEAR) for t in total])


def _add_streaks(canvas: Canvas, light: Array, ground: NDArray[np.bool_]) -> None:
    """Mirror images of the lamps in a wet road: an upright streak under each, on ground pixels only."""
    camera = canvas.camera
    for number, lamp in enumerate(canvas.lights):
        x, y, z = lamp.position.tolist()
        if z < 2 or (lamp.cone > 0.5 and lamp.towards[2] > 0):  # behind the camera, or shining away from it
            continue
        (u, v), depth = (a.tolist() for a in camera.project((x, -y, z)))
        foot = float(camera.project((x, 0.0, z))[0][1])
        wide = max(2.2 * lamp.size * camera.focal / depth, 1.0)
        tall = max(0.55 * (v - foot), 3 * wide)
        y0, y1 = int(max(foot, 0)), int(min(v + 2.5 * tall, camera.size[0]))
        x0, x1 = int(max(u - 4 * wide, 0)), int(min(u + 4 * wide + 1, camera.size[1]))
        if y0 >= y1 or x0 >= x1:
            continue
        rows, columns = (
            np.arange(y0, y1, dtype=np.float32)[:, None],
            np.arange(x0, x1, dtype=np.float32)[None],
        )
        ripple = noise_patch(np.random.default_rng(number), 0.8, (y1 - y0, x1 - x0), 1.5 * canvas.unit)
        shape = np.exp(-(((columns - u) / wide) ** 2) - ((rows - v) / tall) ** 2) * np.clip(
            0.8 + 0.5 * ripple, 0, 2
        )
        power = 0.055 * canvas.setting.wet / max(depth, 4.0) ** 0.5
        light[:, y0:y1, x0:x1] += (power * lamp.colour)[:, None, None] * (shape * ground[y0:y1, x0:x1])


def visible_picture(canvas: Canvas, rng: np.random.Generator, light: Array) -> NDArray[np.uint8]:
    """Glare, exposure, tone curve, blur and noise of the visible camera; (H, W, 3) in RGB."""
    setting, (height, width), unit = canvas.setting, canvas.camera.size, canvas.unit
    small = (max(width // 4, 1), max(height // 4, 1))
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None]
    exposure = setting.exposure * (1 - 0.13 * (rows * rows + columns * columns))  # darker in the corners
    haze = 2 * int(16 * unit) + 1
    grain = rng.standard_normal((height, width), np.float32)
    picture = np.empty((height, width, 3), np.uint8)
    for k in range(3):
        exposed = light[k] * exposure
        bright = cv2.resize(np.clip(exposed - 0.9, 0, 12), small, interpolation=cv2.INTER_AREA)
        near = cv2.GaussianBlur(bright, (0, 0), max(1.1 * unit, 0.3))
        far = cv2.GaussianBlur(bright, (0, 0), max(7 * unit, 0.5))
        veil = cv2.blur(cv2.blur(far, (haze, haze)), (haze, haze))
        glare = 0.20 * near + 0.16 * far + 0.14 * veil
        exposed += cv2.resize(glare, (width, height), interpolation=cv2.INTER_LINEAR)
        level = np.sqrt(np.maximum(1 - np.exp(-exposed), 0))  # a square root is close to the sRGB curve
        level = cv2.GaussianBlur(level, (0, 0), max(0.55 * unit, 0.3))
        level -= 0.045 * np.sin(level * (2 * np.pi))  # a little more contrast
        level = 255 * level + grain * (setting.noise * (1 - 0.45 * level))
        picture[..., k] = np.clip(np.rint(level), 0, 255)
    return picture


def infrared_picture(canvas: Canvas, rng: np.random.Generator, heat: Array) -> NDArray[np.uint8]:
    """Gain, blur, column pattern and noise of an uncooled microbolometer camera; (H, W), hot is white."""
    setting, (height, width), unit = canvas.setting, canvas.camera.size, canvas.unit
    veil = 1 - np.exp(np.minimum(canvas.depth, 500) * -(0.15 * setting.haze + 0.0008))
    veil[canvas.depth > SKY] = 0
    seen = cv2.GaussianBlur(heat + veil * (setting.air - heat), (0, 0), max(0.85 * unit, 0.35))
    low = setting.air - 9 + 0.25 * setting.warming
    high = max(setting.air + 21, 34.5) + 0.2 * setting.warming
    curve = _infrared_curve()
    step = np.clip((seen - low) * (1000 / (high - low)) + 2000, 0, len(curve) - 1)
    level = curve[step.astype(np.int32)]
    small = (max(width // 8, 1), max(height // 8, 1))
    local = cv2.GaussianBlur(
        cv2.resize(level, small, interpolation=cv2.INTER_AREA), (0, 0), max(4 * unit, 0.5)
    )
    level += 0.22 * (
        level - cv2.resize(local, (width, height), interpolation=cv2.INTER_LINEAR)
    )  # its faint halo
    noise = rng.standard_normal((height, width), np.float32)
    noise *= 1.1
    noise += 0.7 * rng.standard_normal((1, width), np.float32)
    return np.clip(np.rint(232 * level + 6 + noise), 0, 255).astype(np.uint8)


@cache
def _infrared_curve() -> Array:
    """Gain curve at -2, -1.999 .. 4: straight in the middle, bent at both ends so that nothing is clipped."""
    x = np.linspace(-2, 4, 6001)
    upper = 0.8 + 0.2 * np.tanh((x - 0.8) / 0.35)
    lower = 0.12 * np.exp((np.minimum(x, 0.12) - 0.12) / 0.12)
    return np.where(x > 0.8, upper, np.where(x < 0.12, lower, x)).astype(np.float32)
