"""``fsidfusion series``: what a folder of DICOM files holds."""

from pathlib import Path
from typing import Annotated

import tyro

from fsidfusion.cli.messages import print_json, say
from fsidfusion.cli.options import Json


def series(path: Annotated[Path, tyro.conf.Positional], json: Json = False) -> None:
    """List the DICOM series of a folder and those below it, or of a DICOMDIR, for fuse --series.

    Each with the ending of its UID, which --series takes, its number, modality, slices, plane, spacing,
    description and folder; no name or number of a patient.

    Args:
        path: a folder, a DICOMDIR, or a file.
    """
    from fsidfusion.fusion.volumes.listing import HEADS, describe_series, to_rows

    found = describe_series(path)
    if json:
        print_json([one.record() for one in found])
        return
    rows = [HEADS, *to_rows(found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
