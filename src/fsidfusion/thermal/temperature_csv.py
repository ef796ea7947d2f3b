"""Temperatures as the software of cameras exports them: a table of numbers in text."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fsidfusion.errors import InputError
from fsidfusion.images.budget import regular_file
from fsidfusion.thermal.temperature import Celsius

_LEAST, _MOST = 16, 1 << 15  # rows and columns of a picture
_LINES = 1 << 17  # of a file, with what stands around its table; more would only take time
_HEADING = 1000  # characters of a line that may name a unit
_LARGEST = 128 << 20  # bytes; nothing but the numbers is held of them
_LINE = re.compile(r"[^\r\n]+")
_FAHRENHEIT = re.compile(r"°F|\bdeg(?:rees?)?\s*F\b|fahrenheit", re.IGNORECASE)


def is_csv(path: Path) -> bool:
    """Whether a file is named as a table of text."""
    return path.suffix.lower() == ".csv"


def read_csv(path: Path) -> Celsius:
    """Read the largest table of numbers in a file.

    Cells are parted by tabs, semicolons or commas; with the first two a comma may be the decimal mark. Lines
    around the table, and a first row or column that counts the others, are left out.

    Returns:
        (H, W) float32, degrees as they stand there; NaN for empty cells.

    Raises:
        InputError: no table of at least 16x16 numbers, degrees Fahrenheit, or a file that cannot be read.
    """
    if regular_file(path, "table of temperatures") > _LARGEST:
        raise InputError(f"{path} is larger than {_LARGEST >> 20} MiB of text; save it as float TIFF")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the file") from error
    text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
    del content
    if max(text.count("\n"), text.count("\r")) > _LINES:
        raise InputError(
            f"{path} holds no table of temperatures: it has more than {_LINES} lines; give one picture"
        )
    full = dict.fromkeys("\t;,", 0)
    for line in _lines(text):
        for mark in full:
            full[mark] += line.count(mark) >= _LEAST - 1
    mark = max(full, key=lambda each: full[each])
    rows: list[Celsius] = []
    best: list[Celsius] = []
    fahrenheit = False
    for line in _lines(text):
        row = _numbers(line, mark)
        if row is None:
            fahrenheit |= bool(_FAHRENHEIT.search(line[:_HEADING]))
        if row is None or (rows and len(row) != len(rows[0])):
            best, rows = max(best, rows, key=len), []
        if row is not None:
            rows.append(np.array(row, np.float32))
    grid = np.array(max(best, rows, key=len), np.float32)
    if grid.ndim == 2:
        grid = grid[:, ~np.isnan(grid).all(0)]  # a mark at the end of each line
        grid = grid[1:] if _counts(grid[0]) else grid
        grid = grid[:, 1:] if _counts(grid[:, 0]) else grid
    if grid.ndim != 2 or min(grid.shape) < _LEAST:
        raise InputError(
            f"{path} holds no table of temperatures; expected at least {_LEAST}x{_LEAST} numbers"
        )
    if fahrenheit:
        raise InputError(f"{path} holds degrees Fahrenheit; save it in degrees Celsius")
    return np.ascontiguousarray(grid)


def _lines(text: str) -> Iterator[str]:
    """The lines that hold something, one after the other: a list of all would take many times the text."""
    return (found[0] for found in _LINE.finditer(text))


def _numbers(line: str, mark: str) -> list[float] | None:
    """The cells of a line; None where one of them is no number. A name before the first one is left out."""
    if not _LEAST - 1 <= line.count(mark) <= _MOST:
        return None
    cells = [cell.strip().strip('"') for cell in line.split(mark)]
    if mark != ",":
        cells = [cell.replace(",", ".") for cell in cells]
    try:
        return [float(cell) if cell else np.nan for cell in cells]
    except ValueError:
        try:  # a heading of the row, or an empty corner
            return [float(cell) if cell else np.nan for cell in cells[1:]]
        except ValueError:
            return None


def _counts(line: Celsius) -> bool:
    """Whether numbers, but for the corner, count 0, 1, 2 or 1, 2, 3."""
    return len(line) > 1 and bool(
        np.array_equal(line[1:], np.arange(len(line) - 1) + line[1]) and line[1] in (0, 1)
    )
