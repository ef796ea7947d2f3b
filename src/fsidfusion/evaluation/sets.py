"""The test sets of the published tables, found by the names of their folders."""

from collections.abc import Sequence
from pathlib import Path

from fsidfusion.errors import InputError
from fsidfusion.evaluation.evaluate import whole_pairs
from fsidfusion.evaluation.published import canonical_name, published_sets
from fsidfusion.images.pairs import match_pairs
from fsidfusion.images.sets import PairSet, find_sets, open_set

MEDICAL_NOTE = (
    "MRI_CT, MRI_PET and MRI_SPECT: neighbouring slices of one patient may stand in train and test."
)


def named_set(root: str | Path, name: str) -> PairSet:
    """Open one set of the published tables below a folder.

    It is a folder of that name in any case, at most two levels down, that holds the two modality folders or a
    ``test`` folder with them; folders named ``train`` are passed over.

    Raises:
        InputError: a name without published tables, no or several such folders, or sources without a partner.
    """
    known = canonical_name(name)
    if known is None:
        raise InputError(f"set {name!r} is unknown; choose one of {', '.join(published_sets())}")
    folders = [folder for folder in _folders(Path(root)) if folder.name.lower() == known.lower()]
    if len(folders) != 1:
        found = f"{len(folders)} folders" if folders else "no folder"
        raise InputError(
            f"{root} holds {found} named {known}; expected one with ir and vi, or MRI and CT/PET/SPECT"
        )
    return _open(folders[0], known)


def published_layout(roots: Sequence[str | Path], only: Sequence[str] = ()) -> list[PairSet]:
    """The sets of the published tables below some folders, in the tables' order; where there is none, all.

    Args:
        roots: folders; see :func:`named_set`.
        only: names of the sets to give, in any case; all by default.

    Raises:
        InputError: no folder, no set, one set twice, a name that is not there, or sources without a partner.
    """
    found: dict[str, PairSet] = {}
    others: dict[str, PairSet] = {}
    for root in map(Path, roots):
        if not root.is_dir():
            raise InputError(f"{root} is not a folder; expected one with sets such as TNO")
        for folder in _folders(root):
            known = canonical_name(folder.name)
            if known in found:
                raise InputError(f"set {known} is there twice, also as {folder}; give one of them")
            if known and find_sets(folder):
                found[known] = _open(folder, known)
        others |= {pairs.name: pairs for pairs in find_sets(root)}
    if not found and not others:
        raise InputError(
            f"{', '.join(map(str, roots))} holds no set; expected folders such as TNO/ir and TNO/vi"
        )
    sets = [found[name] for name in published_sets() if name in found] or list(others.values())
    names = {pairs.name.lower(): pairs for pairs in sets}
    absent = [name for name in only if name.lower() not in names]
    if absent:
        here = ", ".join(pairs.name for pairs in sets)
        raise InputError(f"there is no set {', '.join(absent)} here; the sets are {here}")
    return [pairs for pairs in sets if not only or pairs.name.lower() in {name.lower() for name in only}]


def _folders(root: Path) -> list[Path]:
    below = [p for depth in ("*", "*/*") for p in sorted(root.glob(depth)) if p.is_dir()]
    return [
        root,
        *(folder for folder in below if "train" not in (p.lower() for p in folder.relative_to(root).parts)),
    ]


def _open(folder: Path, name: str) -> PairSet:
    found = open_set(folder, "test")
    places = found.pairs[0].infrared.parent, found.pairs[0].visible.parent
    return PairSet(name, whole_pairs(match_pairs([places[0]], [places[1]])), found.task)
