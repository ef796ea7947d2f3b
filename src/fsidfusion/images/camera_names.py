"""Which thermal and visible files of a camera are of one moment, by the names that makers give them.

- DJI: ``DJI_20250530123037_0001_T`` with ``..._0001_W`` (wide), ``_V`` (visible) or ``_Z`` (zoom); the stamps
  may differ by a second or two. ``DJI_0001_R`` with ``DJI_0001``.
- FLIR hand-held: ``IR_0326`` with ``DC_0327``: the visible picture is stored next, under the next number.
- Autel: ``IRX_0001`` with ``MAX_0001``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

TOLERANCE = 2.0  # seconds between the stamps of two files of one moment
_DJI = re.compile(r"DJI_(?:(\d{14})_)?(\d{3,6})(?:_([A-Z]))?(?:_.*)?", re.IGNORECASE)
_FLIR = re.compile(r"(IR|DC)_(\d{3,6})", re.IGNORECASE)
_AUTEL = re.compile(r"(IRX|MAX)_(\d{3,6})", re.IGNORECASE)
_THERMAL = ("T", "R")  # sides of DJI
_VISIBLE = ("W", "V", "", "D", "Z")  # likewise, from the most to the least like the thermal view
_STAMP = "%Y%m%d%H%M%S"


@dataclass(frozen=True)
class Shot:
    """What a name says."""

    maker: Literal["DJI", "FLIR", "Autel"]
    side: Literal["thermal", "visible"]
    number: int
    rank: int = 0  # among the visible pictures of one moment: the lowest is taken
    seconds: float | None = None  # since 1970, by the camera's clock


def shot_of(stem: str) -> Shot | None:
    """Read a name without its extension; None where it is of none of these cameras."""
    if match := _DJI.fullmatch(stem):
        side = (match[3] or "").upper()
        if side not in _THERMAL + _VISIBLE:
            return None
        seconds = None
        if match[1]:
            try:
                seconds = datetime.strptime(match[1], _STAMP).timestamp()
            except ValueError:
                return None
        if side in _THERMAL:
            return Shot("DJI", "thermal", int(match[2]), 0, seconds)
        return Shot("DJI", "visible", int(match[2]), _VISIBLE.index(side), seconds)
    if match := _FLIR.fullmatch(stem):
        is_thermal = match[1].upper() == "IR"
        return Shot("FLIR", "thermal" if is_thermal else "visible", int(match[2]) - (not is_thermal))
    if match := _AUTEL.fullmatch(stem):
        return Shot("Autel", "thermal" if match[1].upper() == "IRX" else "visible", int(match[2]))
    return None


def pair_shots(infrared: Sequence[Path], visible: Sequence[Path]) -> list[tuple[Path, Path]] | None:
    """The pairs of files of one moment; None where not all names are of one of these cameras.

    Files of the other side in a group, and further visible files of a moment, are passed over.

    Args:
        infrared: files of a thermal camera; the same files as ``visible`` where one folder holds both.
        visible: files of the visible one.
    """
    shots = {path: shot_of(path.stem) for path in (*infrared, *visible)}
    known = [shot for shot in shots.values() if shot is not None]
    if len(known) < len(shots) or len({shot.maker for shot in known}) != 1:
        return None
    partners: dict[int, list[Path]] = {}
    for path in visible:
        shot = shots[path]
        if shot is not None and shot.side == "visible":
            partners.setdefault(shot.number, []).append(path)
    pairs = []
    for path in infrared:
        shot = shots[path]
        if shot is None or shot.side != "thermal":
            continue
        near = []
        for other in partners.get(shot.number, []):
            theirs = shots[other]
            assert theirs is not None
            apart = 0.0
            if shot.seconds is not None and theirs.seconds is not None:
                apart = abs(shot.seconds - theirs.seconds)
            if apart <= TOLERANCE:
                near.append((theirs.rank, apart, other))
        if near:
            pairs.append((path, min(near)[2]))
    return pairs


def of_side(paths: Sequence[Path], side: Literal["thermal", "visible"]) -> list[Path]:
    """The files whose names say that they are of a side."""
    return [path for path in paths if (shot := shot_of(path.stem)) is not None and shot.side == side]


def nearest(path: Path, others: Sequence[Path]) -> Path | None:
    """The file whose name is most like that of a file without partner; None where none is like it."""
    by_name = {other.stem: other for other in others}
    found = get_close_matches(path.stem, by_name, 1, 0.6)
    return by_name[found[0]] if found else None
