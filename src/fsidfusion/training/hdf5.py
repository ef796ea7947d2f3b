"""The published patch file: one HDF5 file with the groups ``ir_patchs`` and ``vis_patchs``.

Each holds the data sets ``0`` .. ``N-1``, float32 (1, side, side) in 0..1; equal names make a pair.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError, MissingDependency, install
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.budget import MAX_PIXELS, check_filled, regular_file
from fsidfusion.images.child import Child
from fsidfusion.images.text import reason
from fsidfusion.training.patches import PatchCache, SourcePair, split_of

GROUPS = ("ir_patchs", "vis_patchs")


def write_published(cache: PatchCache, path: Path) -> int:
    """Write all items of a cache in the published layout, whole or not at all; return their number.

    Raises:
        InputError: when h5py is not installed, the file exists, or it cannot be written.
    """
    h5py = _h5py()
    if path.exists():
        raise InputError(f"{path} exists already; remove it or choose another name")
    try:
        with whole_file(path) as stream, h5py.File(stream, "w") as file:
            for group, place in zip(GROUPS, (0, 1), strict=True):
                made = file.create_group(group)
                for i in range(len(cache)):
                    patch = cache[i][place].astype(np.float32) / np.float32(255)
                    made.create_dataset(str(i), data=patch[None])
    except OSError as error:
        raise InputError(f"cannot write {path} ({error}); choose another place") from error
    return len(cache)


def probe(path: str) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Go through all that a file says of its patches; its library takes gigabytes for a few damaged bytes."""
    with _h5py().File(path, "r") as file:
        numbers = [sum(patch.size >= 0 for patch in file[group].values()) for group in GROUPS]
    return np.array(min(numbers)), {}


_probe = Child("fsidfusion.training.hdf5:probe")  # whose memory is bound


def published_pairs(path: Path, validation: bool = True) -> list[SourcePair]:
    """The pairs of a published file, to be prepared into a cache; luma is rounded to 8 bits, as it once was.

    Raises:
        InputError: when h5py is not installed or the file is not in the published layout.
    """
    h5py = _h5py()
    seconds = 60.0 + regular_file(path, "published patch file") / 1e6
    try:
        _probe.call(str(path), size=8, seconds=seconds)
        with h5py.File(path, "r") as file:
            names = [set(file[group]) for group in GROUPS]
    except Exception as error:  # an untrusted file: whatever its library raises, the file is what is wrong
        raise InputError(
            f"{path} is not a published patch file ({reason(error)}); expected groups {' and '.join(GROUPS)}"
        ) from error
    lone = names[0] ^ names[1]
    if lone or not names[0]:
        raise InputError(
            f"{path}: {len(lone) or 'no'} patches have no partner in the other group; make it again"
        )
    stems = sorted(names[0], key=lambda name: (len(name), name))
    splits = split_of(f"{stem:>09}" for stem in stems) if validation else {}

    def source(stem: str) -> SourcePair:
        split = splits.get(f"{stem:>09}", "train")
        return SourcePair(path.stem, stem, split, lambda: _read(h5py, path, stem))

    return [source(stem) for stem in stems]


def _read(h5py: Any, path: Path, stem: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        with h5py.File(path, "r") as file:
            stored = [file[group][stem] for group in GROUPS]
            if any(patch.size > MAX_PIXELS for patch in stored):
                raise ValueError("it claims more pixels than any picture")
            for patch in stored:  # chunks that are not there would be made up
                check_filled(patch.nbytes, patch.id.get_storage_size())
            patches = [np.asarray(patch, np.float32).squeeze() for patch in stored]
    except Exception as error:  # likewise
        raise InputError(f"{path}: patch {stem} cannot be read ({reason(error)}); make it again") from error
    for patch in patches:
        if (
            patch.ndim != 2
            or not patch.size
            or not np.isfinite(patch).all()
            or patch.min() < 0
            or patch.max() > 1
        ):
            raise InputError(f"{path}: patch {stem} is not a (1, side, side) array in 0..1")
    infrared, visible = (np.rint(patch * 255).astype(np.uint8) for patch in patches)
    return infrared, visible


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise MissingDependency(f"HDF5 files need h5py; install it with: {install('hdf5')}") from None
    return h5py
