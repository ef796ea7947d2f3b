"""What the values of a mask mean: names, colours, and the values that do not count."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.text import read_yaml

Mask = NDArray[np.uint8]  # (H, W)
Colour = tuple[int, int, int]  # RGB, 0..255

IGNORED = 255  # the index of pixels that are neither learnt nor scored
UNKNOWN = 254  # of values that are no class
MOST = 200  # classes


@dataclass(frozen=True)
class Classes:
    """The classes of a set, in the order of the rows of every table.

    A mask file holds `values`; all arithmetic is on indices, the place of a class in that order.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    values: tuple[int, ...]  # in mask files, 0..255
    ignore: tuple[int, ...] = ()  # values that are neither learnt nor scored

    def __len__(self) -> int:
        return len(self.names)

    def indices(self, values: Mask) -> Mask:
        """Values of a file (H, W) to indices: 0 .. len - 1, IGNORED or UNKNOWN."""
        table = np.full(256, UNKNOWN, np.uint8)
        table[list(self.ignore)] = IGNORED
        table[list(self.values)] = np.arange(len(self))
        return table[values]

    def file_values(self, indices: Mask) -> Mask:
        """Indices (H, W), without IGNORED, to the values that a mask file holds."""
        return np.array(self.values, np.uint8)[indices]

    def paint(self, indices: Mask) -> NDArray[np.uint8]:
        """The colours (H, W, 3) of indices (H, W); IGNORED is white."""
        table = np.full((256, 3), 255, np.uint8)
        table[: len(self)] = self.colours
        return table[indices]

    def record(self) -> dict[str, Any]:
        """As a class file holds them; the other way round: :func:`parse_classes`."""
        rows = zip(self.values, self.names, self.colours)
        classes = {str(value): {"name": name, "colour": list(colour)} for value, name, colour in rows}
        return {"ignore": list(self.ignore), "classes": classes}


MSRS = Classes(
    # values and names as the set's authors give them; colours of the palette usual in the field
    ("unlabelled", "car", "person", "bike", "curve", "car stop", "guardrail", "colour cone", "bump"),
    (
        (0, 0, 0),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
        (0, 0, 192),
        (128, 128, 0),
        (64, 64, 128),
        (192, 128, 128),
        (192, 64, 0),
    ),
    tuple(range(9)),
    (255,),
)


def load_classes(file: Path | None = None) -> Classes:
    """The classes of a YAML file, those of MSRS without one.

        ignore: [0, 255]                    # values that are neither learnt nor scored; may be left out
        classes:
          1: {name: road, colour: [179, 228, 228]}
          2: {name: sidewalk, colour: [181, 57, 133]}

    Raises:
        InputError: an unreadable file, or classes that :func:`parse_classes` refuses.
    """
    if file is None:
        return MSRS
    return parse_classes(read_yaml(file, "class file"), str(file))


def parse_classes(content: Any, source: str) -> Classes:
    """Classes from what a class file holds.

    Args:
        content: a mapping with ``classes`` (value to name and colour) and perhaps ``ignore``.
        source: named in errors.

    Raises:
        InputError: another structure, a value outside 0..255 or given twice, a wrong colour, fewer than two
            classes or more than MOST.
    """
    entries = content.get("classes") if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        raise InputError(f"{source} has no mapping 'classes' of mask values; see the docs for an example")
    values = [_byte(value, f"{source}: mask value") for value in entries]
    ignore = content.get("ignore", [])
    ignored = [
        _byte(value, f"{source}: ignored value")
        for value in (ignore if isinstance(ignore, list) else [ignore])
    ]
    names, colours = [], []
    for value, entry in entries.items():
        colour = entry.get("colour") if isinstance(entry, dict) else None
        if not isinstance(colour, list) or len(colour) != 3 or not str(entry.get("name") or ""):
            raise InputError(
                f"{source}: class {str(value)[:60]} is {str(entry)[:80]},"
                " expected {name: road, colour: [0, 128, 255]}"
            )
        names.append(str(entry["name"]))
        colours.append(
            tuple(_byte(part, f"{source}: colour of {str(entry['name'])[:60]}") for part in colour)
        )
    if not 2 <= len(values) <= MOST:
        raise InputError(f"{source} has {len(values)} classes, expected 2 to {MOST}")
    for what, given in (("value", [*values, *ignored]), ("name", names)):
        twice = _repeated(given)
        if twice:
            raise InputError(f"{source} gives the {what} {str(twice[0])[:60]} twice; each has one meaning")
    return Classes(tuple(names), tuple(colours), tuple(values), tuple(ignored))  # type: ignore[arg-type]


def _byte(given: Any, what: str) -> int:
    try:
        number = int(given)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number <= 255:
        raise InputError(f"{what} {str(given)[:60]} is not a number of 0..255")
    return number


def _repeated(given: Iterable[Any]) -> list[Any]:
    seen: set[Any] = set()
    return [one for one in given if one in seen or seen.add(one)]  # type: ignore[func-returns-value]
