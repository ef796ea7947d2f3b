"""The frames of an infrared video: the first one settles how all are taken, and the gain is steady."""

from pathlib import Path

import numpy as np

from fsidfusion.errors import FusionError, InputError
from fsidfusion.images.files import decode_picture, read_picture
from fsidfusion.images.pixels import Pixels, quantise
from fsidfusion.thermal.gain import Gain, Levels, SteadyGain
from fsidfusion.thermal.highlight import Threshold
from fsidfusion.thermal.radiometric import find_kind
from fsidfusion.thermal.reading import Scene, Thermal, gray_levels, interpret, read_scene, settle, settle_gain


class ThermalStream:
    """Frames of one infrared source to what is fused; see :func:`fsidfusion.thermal.reading.read_thermal`."""

    def __init__(self, thermal: Thermal, name: str) -> None:
        """``name`` is that of the source, for messages."""
        self._thermal, self._name = thermal, name
        self._gain: Gain | None = None
        self._steady: SteadyGain | None = None
        self._range = SteadyGain(Gain("linear"))  # for a threshold in percent
        self.threshold: Threshold | None = thermal.threshold()
        self.note = ""

    def __call__(self, pixels: Pixels, seconds: float) -> tuple[Pixels, Levels | None]:
        """The frame shown from ``seconds`` on: what is fused, and what the threshold is compared with.

        Args:
            pixels: (H, W) or (H, W, 3) as decoded; floats are degrees Celsius.
            seconds: since the first frame.

        Raises:
            InputError: degrees asked of frames without temperatures, or a window outside the first frame.
        """
        floating = pixels.dtype.kind == "f"
        if self._gain is None:
            self._thermal = settle(pixels, self._thermal)
        scene = Scene(pixels, pixels) if floating else interpret(pixels, self._thermal, self._name)
        if self._gain is None:
            self._begin(scene)
        assert self._gain is not None
        shown = scene.levels
        if self._steady is not None:
            celsius = scene.celsius if self._gain.celsius else None
            try:
                shown = self._steady(gray_levels(scene.levels) if celsius is None else celsius, seconds)
            except FusionError as error:
                raise InputError(f"{self._name}: {error}") from error
        return shown, self._hot(scene, seconds)

    def _begin(self, scene: Scene) -> None:
        self._gain, note = settle_gain(scene, self._thermal.gain())
        wanted = self.threshold
        for option, celsius in (
            (f"--agc {self._thermal.agc}", self._gain.celsius),
            (f"--highlight {self._thermal.highlight}", wanted is not None and wanted.unit == "C"),
        ):
            if celsius and scene.celsius is None:
                raise InputError(
                    f"{self._name} holds no temperatures, but {option} asks for them;"
                    " leave it out, or say by --unit what the numbers are"
                )
        if wanted is not None and wanted.unit == "%":
            self.threshold = Threshold(wanted.value / 100, "")  # of the steady range
        self._steady = None if self._gain.mode == "off" else SteadyGain(self._gain)
        self.note = "; ".join(filter(None, (scene.note, note)))

    def _hot(self, scene: Scene, seconds: float) -> Levels | None:
        wanted = self._thermal.threshold()
        if wanted is None:
            return None
        if wanted.unit == "%":
            return self._range(gray_levels(scene.levels), seconds)
        return scene.celsius if wanted.unit == "C" else gray_levels(scene.levels)


def read_frame(path: Path, thermal: Thermal) -> Pixels:
    """One picture of an infrared sequence, as :class:`ThermalStream` takes it.

    Raises:
        InputError: as :func:`fsidfusion.thermal.reading.read_scene`.
    """
    if find_kind(path):
        return read_scene(path, thermal)[0].levels
    if thermal.unit not in ("celsius", "kelvin"):
        pixels = read_picture(path).pixels
        return quantise(pixels, np.dtype(np.uint16)) if pixels.dtype.kind == "f" else pixels
    scene = interpret(decode_picture(path).pixels, thermal, str(path))
    return scene.levels if scene.celsius is None else scene.celsius
