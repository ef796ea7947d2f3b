"""Temperatures as the software of cameras exports them: a table of numbers in text."""

import re
from pathlib import Path

import numpy as np

from fsidfusion.errors import InputError
from fsidfusion.thermal.temperature import Celsius

_LEAST = 16  # rows and columns of a picture
_LARGEST = 256 << 20  # bytes
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
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path} is larger than {_LARGEST >> 20} MiB of text; save it as float TIFF")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the file") from error
    text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
    lines = text.splitlines()
    mark = max("\t;,", key=lambda each: sum(line.count(each) >= _LEAST - 1 for line in lines))
    rows: list[list[float]] = []
    best: list[list[float]] = []
    words: list[str] = []
    for line in lines:
        row = _numbers(line, mark)
        if row is None:
            words.append(line)
        if row is None or (rows and len(row) != len(rows[0])):
            best, rows = max(best, rows, key=len), []
        if row is not None:
            rows.append(row)
    grid = np.array(max(best, rows, key=len), np.float32)
    if grid.ndim == 2:
        grid = grid[:, ~np.isnan(grid).all(0)]  # a mark at the end of each line
        grid = grid[1:] if _counts(grid[0]) else grid
        grid = grid[:, 1:] if _counts(grid[:, 0]) else grid
    if grid.ndim != 2 or min(grid.shape) < _LEAST:
        raise InputError(
            f"{path} holds no table of temperatures; expected at least {_LEAST}x{_LEAST} numbers"
        )
    if any(_FAHRENHEIT.search(line) for line in words):
        raise InputError(f"{path} holds degrees Fahrenheit; save it in degrees Celsius")
    return np.ascontiguousarray(grid)


def _numbers(line: str, mark: str) -> list[float] | None:
    """The cells of a line; None where one of them is no number. A name before the first one is left out."""
    cells = [cell.strip().strip('"') for cell in line.split(mark)]
    if len(cells) < _LEAST:
        return None
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
    return bool(np.array_equal(line[1:], np.arange(len(line) - 1) + line[1]) and line[1] in (0, 1))
