"""Where fused files go, checked before anything is read or written."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from unicodedata import normalize

from fsidfusion.errors import InputError
from fsidfusion.images.encode import FORMATS, Bits, output_format
from fsidfusion.images.pairs import Pair
from fsidfusion.images.storage import as_place, check_writable, is_address


def output_paths(pairs: Sequence[Pair], output: str, many: bool, extension: str = ".png") -> list[Path]:
    """Where the result of each pair goes: below a folder under the pair's name, or the one file named.

    Args:
        pairs: pairs with different names.
        output: a file with a picture's extension, or a folder (made if need be), also in a store.
        many: the call names groups of files, so that ``output`` must be a folder.
        extension: of the files in a folder.

    Raises:
        InputError: a file where a folder is needed, or the other way round, or an unknown extension.
    """
    path = as_place(output)
    if is_address(path):
        check_writable(path)
        is_file, is_folder = False, output.endswith("/")
    else:
        is_file, is_folder = path.is_file(), path.is_dir() or output.endswith(("/", "\\"))
    if many and (is_file or path.suffix.lower() in FORMATS):
        raise InputError(f"output {output} is a file, but groups of pairs are given; give a folder")
    if not many and path.suffix and not is_folder:
        output_format(path)
        return [path]
    if is_file or (not is_address(path) and path.exists() and not path.is_dir()):
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
    taken: dict[Path, None] = {}  # in their order, so that messages are the same in every run
    for output in (*outputs, *temperatures):
        output_format(output, bits=16 if bits == "16" else 8)
        place = _resolved(output)
        if is_address(output):
            check_writable(output)
        if os.path.isdir(output):  # noqa: PTH112 (raises for no name)
            raise InputError(f"output {output} is a folder; remove it, or give another name")
        if _identity(output) in inputs:
            raise InputError(
                f"output {output} is also an input, and inputs are never replaced; choose another"
            )
        if place in taken:
            raise InputError(
                f"output {output} is named by two pairs or for two uses; rename one of the files"
            )
        taken[place] = None
    _check_cases(taken)
    _check_apart(pairs, {output.parent for output in (*outputs, *temperatures)})
    for folder in {output.parent for output in (*outputs, *temperatures) if not is_address(output)}:
        present = next(path for path in (folder, *folder.absolute().parents) if _exists(path))
        if not present.is_dir() or not os.access(present, os.W_OK):
            raise InputError(
                f"output folder {folder} cannot be written: {present} is no folder of yours; choose another"
            )


def _check_cases(places: Iterable[Path]) -> None:
    """Refuse names that differ by the case of letters alone, where the disk makes one file of them."""
    seen: dict[str, Path] = {}
    one: dict[Path, bool] = {}  # the folders that are there, and whether they make one of both
    for place in places:
        other = seen.setdefault(normalize("NFC", str(place)).casefold(), place)
        if other == place or is_address(place):
            continue
        folder = next(path for path in place.parents if _exists(path))
        if folder not in one:
            one[folder] = _ignores_case(folder)
        if one[folder]:
            raise InputError(
                f"outputs {other} and {place} are one file on this disk, which tells no case of letters;"
                " rename one of the files"
            )


def _ignores_case(folder: Path) -> bool:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".fsid-Case-") as file:
            return Path(file.name.replace("-Case-", "-cASE-")).exists()
    except OSError:  # it cannot be written: that is told later
        return False


def _check_apart(pairs: Sequence[Pair], folders: Iterable[Path]) -> None:
    """Refuse to write many results into a folder that they come from: the next run would take them."""
    if len(pairs) < 2:
        return
    roots: dict[Path, bool] = {}  # the folders that were looked into, and whether also below them
    for pair in pairs:
        depth = len(Path(pair.name).parts)
        for source in (pair.infrared, pair.visible):
            root = source.parents[min(depth, len(source.parents)) - 1]
            roots[root] = roots.get(root, False) or depth > 1
    places = {_resolved(folder): folder for folder in folders}
    for root, below in roots.items():
        whole = _resolved(root)
        for place, folder in places.items():
            if place == whole or (below and whole in place.parents):
                raise InputError(
                    f"output folder {folder} holds inputs, and would give its files to the next run;"
                    " choose another"
                )


def _resolved(path: Path) -> Path:
    if is_address(path):
        return path
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name too long, a zero byte
        raise InputError(
            f"{str(path)[:200]} cannot be a place of a file ({error}); choose another"
        ) from error


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _identity(path: Path) -> object:
    """The same for two names of one file."""
    if is_address(path):
        return path
    try:
        status = path.stat()
        return status.st_dev, status.st_ino
    except (OSError, ValueError):  # no file: what is wrong with it is said when it is read or written
        return path.absolute()
