"""Where fused files go, checked before anything is read or written."""

import os
from collections.abc import Sequence
from pathlib import Path

from fsidfusion.errors import InputError
from fsidfusion.images.files import FORMATS, Bits, output_format
from fsidfusion.images.pairs import Pair


def output_paths(pairs: Sequence[Pair], output: str, many: bool, extension: str = ".png") -> list[Path]:
    """Where the result of each pair goes: below a folder under the pair's name, or the one file named.

    Args:
        pairs: pairs with different names.
        output: a file with a picture's extension, or a folder (made if need be).
        many: the call names groups of files, so that ``output`` must be a folder.
        extension: of the files in a folder.

    Raises:
        InputError: a file where a folder is needed, or the other way round, or an unknown extension.
    """
    path = Path(output)
    if many and (path.is_file() or path.suffix.lower() in FORMATS):
        raise InputError(f"output {output} is a file, but groups of pairs are given; give a folder")
    if not many and path.suffix and not path.is_dir() and not output.endswith(("/", "\\")):
        output_format(path)
        return [path]
    if path.exists() and not path.is_dir():
        raise InputError(
            f"output {output} is a file of no known kind; give a folder, or a name such as fused.png"
        )
    return [path / f"{pair.name}{extension}" for pair in pairs]


def check_outputs(
    pairs: Sequence[Pair], outputs: Sequence[Path], temperatures: Sequence[Path] = (), bits: Bits = "auto"
) -> None:
    """Check the paths of one call as a whole.

    Args:
        pairs: the inputs.
        outputs: of the fused pictures.
        temperatures: of the maps of temperatures, if any.
        bits: asked for.

    Raises:
        InputError: an output that is an input, is named twice or lies where nothing can be written, or a
            format that is unknown or cannot hold the depth asked for.
    """
    for path in temperatures:
        if path.suffix.lower() not in (".tif", ".tiff"):
            raise InputError(f"temperatures {path}: only TIFF holds them; give a .tif name, or a folder")
    inputs = {_identity(path) for pair in pairs for path in (pair.infrared, pair.visible)}
    taken: set[Path] = set()
    for output in (*outputs, *temperatures):
        output_format(output, bits=16 if bits == "16" else 8)
        place = output.resolve()
        if _identity(output) in inputs:
            raise InputError(
                f"output {output} is also an input, and inputs are never replaced; choose another"
            )
        if place in taken:
            raise InputError(
                f"output {output} is named by two pairs or for two uses; rename one of the files"
            )
        taken.add(place)
    for folder in {output.parent for output in (*outputs, *temperatures)}:
        present = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not present.is_dir() or not os.access(present, os.W_OK):
            raise InputError(
                f"output folder {folder} cannot be written: {present} is no folder of yours; choose another"
            )


def _identity(path: Path) -> object:
    """The same for two names of one file."""
    return (stat.st_dev, stat.st_ino) if path.exists() and (stat := path.stat()) else path.resolve()
