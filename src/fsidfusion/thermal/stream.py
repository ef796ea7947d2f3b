"""The frames of an infrared video: how they are taken is settled by those that show something.

A shutter that is closed, a camera that warms up and an encoder's black lead-in say nothing: their visible
frames stand alone. When later frames no longer fit what was settled, because the user of the camera chose
another palette, or the first frames were odd, it is settled anew.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from fsidfusion.errors import InputError
from fsidfusion.images.files import decode_picture
from fsidfusion.images.pixels import Luma, Pixels, quantise
from fsidfusion.thermal import palettes
from fsidfusion.thermal.fixed_marks import FixedMarks
from fsidfusion.thermal.gain import Gain, Levels, SteadyGain
from fsidfusion.thermal.highlight import Threshold
from fsidfusion.thermal.overlay import GrayBar, find_gray_bar
from fsidfusion.thermal.palettes import Match
from fsidfusion.thermal.polarity import Doubt, find_doubt
from fsidfusion.thermal.radiometric import find_kind
from fsidfusion.thermal.reading import read_scene
from fsidfusion.thermal.scene import (
    DOUBTS,
    REVERSED,
    Scene,
    Thermal,
    find_match,
    gray_levels,
    hot_levels,
    interpret,
    settle_gain,
    without_match,
)
from fsidfusion.thermal.strokes import find_strokes
from fsidfusion.thermal.temperature import Celsius, guess_unit
from fsidfusion.thermal.validity import Mask, Validity, find_valid

PATIENCE = 5  # frames in a row that do not fit before their unit or gain is settled anew
_LEAST_SPREAD = {"u1": 3.0, "u2": 8.0, "f4": 0.1, "f8": 0.1}  # of a frame that shows something: 1 to 99 %
_LEAST_KNOWN = 0.3  # of its pixels
_FITS = 0.6  # share of the pixels that are of the palette's colours, below which it is looked for again
_FITS_GRAY = 0.98  # that share, where nothing is in colour
_OVERLAY_SECONDS = 2.0  # after which what is drawn over the frames is looked for again
_TURNED = -0.8  # correlation with the frame before of one whose black and white were exchanged
_SAME = 16.0  # mean difference in levels of a frame that was turned back from the one before
_CONTRAST = 8.0  # standard deviation of levels from which that is looked for
_SMALL = (64, 48)


@dataclass
class _Palette:
    """What the colours of the frames stand for."""

    match: Match | None  # None: not known
    coloured: bool
    overlay: Mask | None = None
    looked: float = -1e9  # seconds


class ThermalStream:
    """Frames of one infrared source to what is fused; see :func:`fsidfusion.thermal.reading.read_thermal`."""

    def __init__(self, thermal: Thermal, name: str) -> None:
        """``name`` is that of the source, for messages."""
        self._asked, self._thermal, self._name = thermal, thermal, name
        self._gain: Gain | None = None  # None: not settled
        self._steady: SteadyGain | None = None
        self._range = SteadyGain(Gain("linear"))  # for a threshold in percent
        self._palette: _Palette | None = None
        self._before: Luma | None = None  # a small picture of the gray frame before
        self._is_turned = False  # black is hot
        self._bar: GrayBar | None = None  # drawn over gray frames
        self._strokes: Mask | None = None  # text and cross-hairs drawn over gray frames without a bar
        self._marks = FixedMarks()
        self._looked = -1e9  # seconds at which it was looked for
        self._doubts: list[Doubt] = []  # of gray frames without a bar, at each look
        self._unlike = 0  # frames in a row that do not fit
        self._empty = 0
        self._notes: dict[str, None] = {}
        self.threshold: Threshold | None = thermal.threshold()
        if self.threshold is not None and self.threshold.unit == "%":
            self.threshold = Threshold(self.threshold.value / 100, "")  # of the steady range
        self.known: Mask | None = None  # where the last frame shows something (h, w); None: everywhere
        self.celsius: Celsius | None = None  # the temperatures of the last frame (h, w)

    @property
    def is_settled(self) -> bool:
        """Whether a frame that shows something has come."""
        return self._gain is not None

    @property
    def note(self) -> str:
        """What was done so far, as one line."""
        empty = f"{self._empty} frames show nothing: the visible ones stand alone" if self._empty else ""
        return "; ".join(filter(None, (*self._notes, DOUBTS[self._doubt()], empty)))

    def __call__(self, pixels: Pixels, seconds: float) -> tuple[Pixels, Levels | None]:
        """The frame shown from ``seconds`` on: what is fused, and what the threshold is compared with.

        Args:
            pixels: (H, W) or (H, W, 3) as decoded; floats are degrees Celsius, NaN where none were measured.
            seconds: since the first frame.

        Raises:
            InputError: degrees asked of frames without temperatures, or a window outside the first frame.
        """
        validity = Validity() if pixels.ndim == 3 else find_valid(pixels)
        if not _shows_something(pixels, validity):
            self._empty += 1
            self.celsius = None
            self.known = np.zeros(pixels.shape[:2], bool)
            shown = np.zeros(pixels.shape[:2], np.uint8 if pixels.dtype == np.uint8 else np.float32)
            return shown, self._nothing_hot(pixels)
        scene = self._without_marks(self._scene(pixels, seconds, validity), seconds)
        if self._gain is None or not self._fits(scene):
            self._settle(scene, seconds)
        assert self._gain is not None
        self.known, self.celsius = scene.known, scene.temperatures
        shown = scene.levels
        if self._steady is not None:
            levels = gray_levels(scene.levels)
            if self._gain.celsius and scene.celsius is not None:
                levels = scene.celsius
            try:
                shown = self._steady(levels, seconds, scene.validity.valid)
            except InputError as error:
                raise InputError(f"{self._name}: {error}") from error
        return shown, self._hot(scene, seconds)

    def _scene(self, pixels: Pixels, seconds: float, validity: Validity) -> Scene:
        if pixels.dtype.kind == "f":
            scene = interpret(pixels, replace(self._thermal, unit="celsius"), self._name, validity)
            return replace(scene, note="")
        if pixels.ndim == 3 and pixels.dtype == np.uint8 and self._asked.palette != "none":
            return self._without_colours(pixels, seconds)
        thermal = self._thermal
        if pixels.dtype == np.uint8 and self._asked.finds_palette and pixels.ndim == 2:
            gray = self._gray(pixels, seconds)
            scene = interpret(gray.levels, replace(thermal, palette="none"), self._name)
            return replace(scene, validity=gray.validity)
        if pixels.dtype == np.uint16 and thermal.unit == "auto":
            thermal = replace(thermal, unit=guess_unit(pixels, validity))  # kept once it is settled
        scene = interpret(pixels, thermal, self._name, validity)
        if pixels.dtype == np.uint16 and self._thermal.unit == "auto" and self._gain is None:
            self._thermal = thermal
        return scene

    def _without_marks(self, scene: Scene, seconds: float) -> Scene:
        """Levels of 8 bits without what stays in place while the scene moves."""
        if scene.levels.dtype != np.uint8 or scene.levels.ndim == 3 or not self._asked.finds_palette:
            return scene
        marks = self._marks(scene.levels, seconds)
        if marks is None:
            return scene
        self._say("what stays in place while the scene moves was not taken for heat (`palette` none: kept)")
        unknown = scene.validity.unknown
        return replace(
            scene, validity=replace(scene.validity, unknown=marks if unknown is None else marks | unknown)
        )

    def _without_colours(self, pixels: Pixels, seconds: float) -> Scene:
        """Levels of a frame that may be in false colours."""
        coloured = palettes.is_coloured(pixels)
        if not coloured and (self._palette is None or not self._palette.coloured):
            self._palette = self._palette or _Palette(None, False)
            levels = palettes.luma_levels(pixels)
            if self._asked.finds_palette:
                return self._gray(levels, seconds)
            return Scene(~levels if self._asked.palette == "black-hot" else levels)
        if self._asked.unit not in ("auto", "counts"):
            raise InputError(f"{self._name} is in colour, and holds no {self._asked.unit}; leave `unit` out")
        if not self._asked.finds_palette:
            self._palette = self._palette or _Palette(Match(self._asked.palette, 1.0), True)
        elif self._palette is None or not self._same_palette(pixels, coloured):
            match = find_match(pixels, self._asked.palette) if coloured else None
            known = self._palette
            if known is None:
                self._palette = _Palette(match, coloured)
            elif (match and match.name) != (known.match and known.match.name) or coloured != known.coloured:
                self._palette = _Palette(match, coloured)
                name = match.name if match else "unknown colours" if coloured else "gray"
                self._say(f"from {seconds:.1f} s on the palette is another one: {name}")
            elif match is not None:  # an estimated one, of more colours than before
                self._palette = _Palette(match, coloured)
        assert self._palette is not None
        palette = self._palette
        if palette.match is None and not palette.coloured:
            return self._gray(palettes.luma_levels(pixels), seconds)
        if palette.match is None:
            scene = without_match(pixels, None)
        elif seconds - palette.looked >= _OVERLAY_SECONDS:
            scene = without_match(pixels, palette.match, self._asked.palette)
            palette.overlay, palette.looked = scene.validity.unknown, seconds
        else:
            levels = palettes.levels_of(pixels, palette.match)[0]
            scene = Scene(levels, validity=Validity(palette.overlay))
        if scene.note and not any("false colours" in note for note in self._notes):
            self._say(scene.note)
        self._before = None
        return replace(scene, note="")

    def _same_palette(self, pixels: Pixels, coloured: bool) -> bool:
        """Whether a frame still fits what was settled."""
        assert self._palette is not None
        if not coloured:  # gray now, or dark, where gray is like the cold end of the palette
            return not self._palette.coloured or _fit(pixels, self._palette.match) >= _FITS_GRAY
        return self._palette.coloured and _fit(pixels, self._palette.match) >= _FITS

    def _gray(self, levels: Pixels, seconds: float) -> Scene:
        """Gray 8-bit levels (H, W) with white for hot, as far as a colour bar and the frame before tell."""
        if seconds - self._looked >= _OVERLAY_SECONDS:
            bar, self._looked = find_gray_bar(levels), seconds
            self._bar = bar
            self._strokes = find_strokes(levels) if bar is None else None
            if self._strokes is not None:
                self._say(
                    "text or a cross-hair drawn over the frames was not taken for heat (`palette` none: kept)"
                )
            if bar is None and not self._is_turned and self._asked.palette == "auto":
                self._doubts.append(find_doubt(levels))
            if bar is not None:
                if bar.black_is_hot != self._is_turned:
                    self._is_turned, self._before = bar.black_is_hot, None
                hot = "black is hot by it, and was turned; " if bar.black_is_hot else ""
                self._say(f"a colour bar was drawn over the frames: {hot}it was not taken for heat")
        levels = self._of_one_polarity(levels, seconds)
        levels = ~levels if self._asked.palette == REVERSED else levels
        return Scene(levels, validity=Validity(self._strokes if self._bar is None else self._bar.mask))

    def _doubt(self) -> Doubt:
        """What most looks at the frames say against white-hot; a colour bar ends all doubt."""
        if self._bar is not None or not self._doubts:
            return ""
        return max(set(self._doubts), key=lambda doubt: (self._doubts.count(doubt), doubt == ""))

    def _of_one_polarity(self, levels: Pixels, seconds: float) -> Pixels:
        """Gray 8-bit levels, turned back where the camera's user exchanged black and white."""
        small = cv2.resize(levels, _SMALL, interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._before = self._before, small
        if (
            before is not None
            and min(float(small.std()), float(before.std())) > _CONTRAST
            and _correlation(small, before) < _TURNED
            and float(np.abs(255 - small - before).mean()) < _SAME  # a cut is no exchange
        ):
            self._is_turned = not self._is_turned
            self._say(f"from {seconds:.1f} s on black and white are exchanged, and were turned back")
        return ~levels if self._is_turned else levels

    def _fits(self, scene: Scene) -> bool:
        """Whether what was settled still suits; a few frames that do not are let pass."""
        assert self._gain is not None
        if self._asked.agc != "auto" or scene.levels.dtype != np.uint16:
            return True
        few = np.s_[:: max(1, scene.levels.shape[0] // 100), :: max(1, scene.levels.shape[1] // 100)]
        valid = scene.validity.valid
        small = Scene(scene.levels[few], validity=Validity(None if valid is None else ~valid[few]))
        wanted = settle_gain(small, self._asked.gain())[0]
        unit = self._asked.unit == "auto" and guess_unit(small.levels, small.validity) != self._thermal.unit
        fits = wanted == self._gain and not (unit and self._thermal.unit == "counts")
        self._unlike = 0 if fits else self._unlike + 1
        return self._unlike < PATIENCE

    def _settle(self, scene: Scene, seconds: float) -> None:
        again = self._gain is not None
        if again:
            self._unlike = 0
            self._thermal = self._asked
            if self._asked.unit == "auto":
                self._thermal = replace(self._asked, unit=guess_unit(scene.levels, scene.validity))
        self._gain, note = settle_gain(scene, self._asked.gain())
        wanted = self._asked.threshold()
        for option, celsius in (
            (self._asked.gain_option, self._gain.celsius),
            (f"`highlight` {self._asked.highlight}", wanted is not None and wanted.unit == "C"),
        ):
            if celsius and scene.celsius is None:
                raise InputError(
                    f"{self._name} holds no temperatures, but {option} asks for them;"
                    " leave it out, or say by `unit` what the numbers are"
                )
        self._steady = None if self._gain.mode == "off" else SteadyGain(self._gain)
        for each in (scene.note, note):
            if each:
                self._say(f"from {seconds:.1f} s on: {each}" if again else each)

    def _say(self, note: str) -> None:
        self._notes[note] = None

    def _hot(self, scene: Scene, seconds: float) -> Levels | None:
        wanted = self._asked.threshold()
        if wanted is None:
            return None
        if wanted.unit == "%":
            return self._range(gray_levels(scene.levels), seconds, scene.validity.valid)
        return hot_levels(scene, wanted)

    def _nothing_hot(self, pixels: Pixels) -> Levels | None:
        return None if self.threshold is None else np.full(pixels.shape[:2], np.nan, np.float32)


def read_frame(path: Path, thermal: Thermal) -> Pixels:
    """One picture of an infrared sequence, as :class:`ThermalStream` takes it.

    Raises:
        InputError: as :func:`fsidfusion.thermal.reading.read_scene`, or numbers of no known unit.
    """
    if path.is_file() and find_kind(path):
        scene = read_scene(path, thermal)[0]
        return scene.levels if scene.temperatures is None or not scene.degrees else scene.temperatures
    pixels = decode_picture(path).pixels
    if pixels.dtype in (np.uint8, np.uint16) and thermal.unit not in ("celsius", "kelvin"):
        return pixels
    scene = interpret(pixels, thermal, str(path))
    if scene.temperatures is not None:
        return scene.temperatures
    if scene.numbers:
        raise InputError(f"{path} holds numbers of no known unit; say by `unit` what they are")
    return quantise(scene.levels, np.dtype(np.uint16)) if scene.levels.dtype.kind == "f" else scene.levels


def _shows_something(pixels: Pixels, validity: Validity) -> bool:
    """Whether a frame differs from an even field."""
    step = max(1, min(pixels.shape[:2]) // 128)
    small = pixels[::step, ::step]
    if small.ndim == 3:
        return bool(np.ptp(np.percentile(small, (1, 99), axis=(0, 1)), axis=0).max() >= _LEAST_SPREAD["u1"])
    valid = validity.valid
    if valid is not None:
        known = valid[::step, ::step]
        if known.mean() < _LEAST_KNOWN:
            return False
        small = small[known]
    low, high = np.percentile(small, (1, 99))
    return bool(high - low >= _LEAST_SPREAD.get(pixels.dtype.str[1:], 0.0))


def _correlation(first: Luma, second: Luma) -> float:
    first, second = first - first.mean(), second - second.mean()
    return float((first * second).mean()) / max(1e-6, float(first.std()) * float(second.std()))


def _fit(pixels: Pixels, match: Match | None) -> float:
    """The share of a frame's pixels that are of a palette's colours."""
    if match is None:
        return 0.0
    step = max(1, min(pixels.shape[:2]) // 64)
    return palettes.levels_of(np.ascontiguousarray(pixels[::step, ::step]), match)[1]
