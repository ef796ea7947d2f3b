"""Thermal cameras: what their files hold, raw counts and temperatures, false colours, and what is hot.

:func:`read_thermal` makes a picture to fuse of whatever a file holds, by the wishes of a :class:`Thermal`;
``gain`` maps counts to levels, ``heat`` warms what stands out, ``measure`` tells temperatures.
"""

from typing import TYPE_CHECKING

from fsidfusion._lazy import lazily

if TYPE_CHECKING:
    from fsidfusion.thermal.gain import Gain, Levels, SteadyGain, apply_gain, parse_gain
    from fsidfusion.thermal.heat import glow, heat_contrast, heat_range
    from fsidfusion.thermal.highlight import Threshold, parse_threshold
    from fsidfusion.thermal.measure import Measures, Measuring
    from fsidfusion.thermal.reading import Reading, read_scene, read_thermal
    from fsidfusion.thermal.scene import Scene, Thermal
    from fsidfusion.thermal.stream import ThermalStream
    from fsidfusion.thermal.temperature import Celsius, write_temperature

__all__ = [
    "Celsius",
    "Gain",
    "Levels",
    "Measures",
    "Measuring",
    "Reading",
    "Scene",
    "SteadyGain",
    "Thermal",
    "ThermalStream",
    "Threshold",
    "apply_gain",
    "glow",
    "heat_contrast",
    "heat_range",
    "parse_gain",
    "parse_threshold",
    "read_scene",
    "read_thermal",
    "write_temperature",
]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "gain": ("Gain", "Levels", "SteadyGain", "apply_gain", "parse_gain"),
        "heat": ("glow", "heat_contrast", "heat_range"),
        "highlight": ("Threshold", "parse_threshold"),
        "measure": ("Measures", "Measuring"),
        "reading": ("Reading", "read_scene", "read_thermal"),
        "scene": ("Scene", "Thermal"),
        "stream": ("ThermalStream",),
        "temperature": ("Celsius", "write_temperature"),
    },
)
