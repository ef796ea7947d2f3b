"""Form fields with the names of the command line's options, parsed once into a plan."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from fsidfusion.alignment.transform import read_align
from fsidfusion.errors import InputError
from fsidfusion.fusion.arguments import Emphasis
from fsidfusion.fusion.plan import Plan, Task
from fsidfusion.images.encode import JPEG_QUALITY, Bits
from fsidfusion.images.output_range import RangeMode
from fsidfusion.thermal.geometry import Flip
from fsidfusion.thermal.measure import Measuring
from fsidfusion.thermal.scene import Thermal
from fsidfusion.thermal.temperature import Unit

Format = Literal["png", "jpg", "bmp", "tif", "webp"]

MEDIA_TYPES: dict[str, Format] = {  # in the order in which */* takes them
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/tiff": "tif",
    "image/bmp": "bmp",
}


@dataclass(frozen=True)
class Option:
    """A form field; ``kind`` turns its text into a value."""

    about: str
    default: Any
    kind: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()


def _switch(text: str) -> bool:
    known = {"true": True, "on": True, "1": True, "": True, "false": False, "off": False, "0": False}
    if text.lower() not in known:
        raise ValueError
    return known[text.lower()]


OPTIONS: dict[str, Option] = {
    "model": Option("which of the models that GET /v1/models lists", ""),
    "color": Option("auto, visible, infrared, gray, heat, or thermal:PALETTE", "auto"),
    "range": Option("output range", "percentile", choices=get_args(RangeMode)),
    "emphasis": Option(
        "targets sets off what only infrared shows; natural leaves it", "targets", choices=get_args(Emphasis)
    ),
    "align": Option("none, or auto; a file of 'fsidfusion align' is sent as a file", "none"),
    "crop": Option("cut the aligned picture to what both sources fill", False, _switch),
    "resize": Option("resample the infrared (CT, PET, SPECT) picture where its size differs", False, _switch),
    "bits": Option("of a sample; auto keeps 16 where a source has them", "auto", choices=get_args(Bits)),
    "format": Option("of the picture; by default as Accept says", "", choices=get_args(Format)),
    "quality": Option("of JPEG, 1 to 100", JPEG_QUALITY, int),
    "agc": Option("gain control of infrared: auto, off, linear, plateau, clahe, window:20..40C", "auto"),
    "agc-vis": Option(
        "gain control of visible pictures: off, linear, plateau, clahe, window:LOW..HIGH", "off"
    ),
    "unit": Option("what the numbers of infrared are", "auto", choices=get_args(Unit)),
    "palette": Option("false colours of infrared: auto, auto-reversed, none, ironbow, ...", "auto"),
    "highlight": Option("colour what is hot: from 35C, 80% or 9000 on", None),
    "range-celsius": Option("one fixed range in degrees Celsius from black to white", None),
    "ir-crop": Option("the part of infrared pictures that counts: WIDTHxHEIGHT+LEFT+TOP", None),
    "ir-rotate": Option("turn infrared pictures clockwise", 0, int, ("0", "90", "180", "270")),
    "ir-flip": Option("mirror infrared pictures", "none", choices=get_args(Flip)),
    "bar": Option("a colour bar in degrees; with color thermal:PALETTE", False, _switch),
    "marks": Option("mark with temperatures: max,min,spot", ""),
}


@dataclass(frozen=True)
class Choice:
    """What a client wants."""

    plan: Plan
    model: str = ""  # "": the first one served
    range: RangeMode = "percentile"
    emphasis: Emphasis = "targets"
    format: Format | None = None  # None: as Accept says
    given: Mapping[str, Any] = field(default_factory=dict)  # what differs from the defaults


def choose(fields: Mapping[str, str], task: Task, max_pixels: int, alignment: Path | None = None) -> Choice:
    """Parse the fields of one request.

    Args:
        fields: names (with ``-`` or ``_``) and texts.
        task: decided by the pictures.
        max_pixels: of a source.
        alignment: the file that was sent as ``align``, if one was.

    Raises:
        InputError: a field that is unknown, or a value that cannot be used.
    """
    values = {name: option.default for name, option in OPTIONS.items()}
    for name, text in fields.items():
        name = name.replace("_", "-")
        if name not in OPTIONS:
            raise InputError(f"field {name[:60]!r} is unknown; the options are {', '.join(OPTIONS)}")
        option = OPTIONS[name]
        text = text.strip()
        if not text and option.kind is not _switch:
            continue  # an empty field of a form
        if option.choices and text not in option.choices:
            raise InputError(f"{name} {text[:60]!r} is unknown; choose one of {', '.join(option.choices)}")
        try:
            values[name] = option.kind(text)
        except ValueError:
            expected = "a number" if option.kind is int else "true or false"
            raise InputError(f"{name} {text[:60]!r}: expected {expected}") from None
    return Choice(
        _plan(values, task, max_pixels, alignment),
        values["model"],
        values["range"],
        values["emphasis"],
        values["format"] or None,
        {name: value for name, value in values.items() if value != OPTIONS[name].default},
    )


def _plan(values: Mapping[str, Any], task: Task, max_pixels: int, alignment: Path | None) -> Plan:
    if alignment is None and values["align"] not in ("none", "auto"):  # never a path of this machine
        raise InputError(
            f"align {values['align'][:60]!r}: expected none or auto, or an alignment, sent as a file"
        )
    thermal = Thermal(
        agc=values["agc"],
        unit=values["unit"],
        palette=values["palette"],
        highlight=values["highlight"],
        range_celsius=values["range-celsius"],
        ir_crop=values["ir-crop"],
        ir_rotate=values["ir-rotate"],
        ir_flip=values["ir-flip"],
    )
    return Plan(
        task=task,
        color=values["color"],
        thermal=thermal,
        agc_visible=values["agc-vis"],
        align=read_align(str(alignment) if alignment else values["align"], values["crop"]),
        crop=values["crop"],
        resize=values["resize"],
        bits=values["bits"],
        quality=values["quality"],
        measuring=Measuring(bar=values["bar"], marks=values["marks"]),
        max_pixels=max_pixels,
    )


def accepted(header: str, wanted: Format | None) -> tuple[Format, str] | None:
    """The format that a client accepts and its media type; None where there is none.

    Args:
        header: ``Accept``.
        wanted: by a form field, which counts more.
    """
    if wanted:
        return wanted, next(name for name, known in MEDIA_TYPES.items() if known == wanted)
    weights: dict[str, float] = {}
    for part in header.split(",") if header.strip() else ["*/*"]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            weights[name] = float(weight)
        except ValueError:
            weights[name] = 0.0
    best = max(MEDIA_TYPES, key=lambda name: _weight(name, weights))
    if _weight(best, weights) <= 0:
        return None
    return MEDIA_TYPES[best], best


def _weight(name: str, weights: Mapping[str, float]) -> float:
    return weights.get(name, weights.get("image/*", weights.get("*/*", 0.0)))
