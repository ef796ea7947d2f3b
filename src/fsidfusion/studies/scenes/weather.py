"""Light and weather: what the sun, the sky and the air are like at a time of day."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fsidfusion.studies.scenes.texture import Array, smoothstep

TIMES = ("day", "dusk", "night")


@dataclass(frozen=True)
class Setting:
    """Light and weather of a scene."""

    time_of_day: str  # "day", "dusk" or "night"
    air: float  # temperature of the air, degrees Celsius
    warming: float  # how far the sun has warmed the surfaces it falls on, degrees
    to_sun: Array  # (3,) unit vector
    sun: Array  # (3,) light of the sun
    ambient: Array  # (3,) light of the whole sky on a level surface
    zenith: Array  # (3,) sky colour above
    horizon: Array  # (3,) sky colour at the horizon
    cloud: float  # 0 clear .. 1 overcast
    lamps: float  # 0 off .. 1: street lamps, head lights and windows
    wet: float  # 0 dry .. 1: the road mirrors lights
    haze: float  # extinction by fog per metre
    exposure: float
    noise: float  # deviation of the visible camera's noise in the dark, 8-bit levels

    def sky(self, up: ArrayLike) -> Array:
        """Clear-sky colour (3, ...) in the direction whose Y is `up`; below the horizon the dim ground."""
        up = np.asarray(up, np.float32)
        t = np.sqrt(np.clip(up * 1.5, 0, 1))
        shape = (3,) + (1,) * up.ndim
        above = self.horizon.reshape(shape) * (1 - t) + self.zenith.reshape(shape) * t
        ground = (0.22 * self.ambient + 0.05 * self.sun).reshape(shape)
        k = smoothstep(up * 12 + 0.5)
        return above * k + ground * (1 - k)

    def mirrored(self, normal: Array, view: Array) -> Array:
        """Sky that mirrors with that normal show along the lines of sight `view`; each (3, h, w)."""
        return self.sky(view[1] - 2 * (normal * view).sum(0) * normal[1])


def choose_setting(rng: np.random.Generator, time_of_day: str) -> Setting:
    """Draw the light and weather of a time of day."""
    azimuth = rng.uniform(0, 2 * np.pi)
    elevation = {"day": rng.uniform(0.45, 1.05), "dusk": rng.uniform(0.04, 0.10), "night": -0.2}[time_of_day]
    if time_of_day == "dusk":
        azimuth = rng.uniform(-0.9, 0.9)  # the afterglow stands ahead
    to_sun = np.array(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)],
        np.float32,
    )
    cloud = float(rng.uniform(0.1, 0.9))
    tint = rng.uniform(-1, 1)
    if time_of_day == "day":
        clear = float(np.clip(1.25 - cloud, 0.12, 1.0)) if rng.random() < 0.8 else 0.05
        sun = np.array([1.0, 0.93, 0.80]) * 2.9 * clear
        blue, grey = np.array([0.58, 0.72, 0.96]) * 0.85, np.array([0.92, 0.96, 1.0]) * 1.55
        ambient = blue * clear + grey * (1 - clear)
        zenith, horizon = np.array([0.18, 0.37, 0.86]), np.array([0.92, 1.01, 1.15])
        zenith = zenith * clear + 0.75 * (1 - clear) * np.array([0.85, 0.9, 1.0])
        air, warming, lamps, exposure, noise = rng.uniform(8, 26), 9.0 * clear, 0.0, 1.1, 1.0
    elif time_of_day == "dusk":
        sun = np.array([1.0, 0.52, 0.25]) * 0.22
        ambient = np.array([0.27, 0.29, 0.45]) * rng.uniform(0.55, 0.9)
        zenith = np.array([0.05, 0.11, 0.36])
        horizon = np.array([0.95, 0.54 + 0.08 * tint, 0.34 + 0.12 * tint]) * 0.65
        air, warming, lamps, exposure, noise = rng.uniform(6, 20), 2.0, 0.75, 1.6, 1.3
    else:
        sun = np.zeros(3)
        ambient = np.array([0.020, 0.024, 0.038]) * rng.uniform(0.5, 1.5)
        zenith = np.array([0.004, 0.006, 0.014])
        horizon = np.array([0.040, 0.030, 0.026]) * rng.uniform(0.6, 1.6)
        air, warming, lamps, exposure, noise = rng.uniform(-2, 16), 0.0, 1.0, 2.4, 1.9
    wet = float(rng.uniform(0.4, 1.0)) if rng.random() < (0.4 if time_of_day != "day" else 0.15) else 0.0
    haze = float(rng.uniform(0.0008, 0.0022) if rng.random() < 0.9 else rng.uniform(0.006, 0.014))
    as32 = (np.asarray(v, np.float32) for v in (sun, ambient, zenith, horizon))
    sun32, ambient32, zenith32, horizon32 = as32
    return Setting(
        time_of_day,
        float(air),
        warming,
        to_sun,
        sun32,
        ambient32,
        zenith32,
        horizon32,
        cloud,
        lamps,
        wet,
        haze,
        exposure,
        noise,
    )
