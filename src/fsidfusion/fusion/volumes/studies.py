"""A folder of patients: the pairs of each by modality, fused one after the other, with one page of all.

Each folder below is a patient; DICOM series in one folder are told apart by Patient ID, and volume files say
in their name what they are (``t1.nii.gz``, ``sub-01_pet.nii``).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fsidfusion import __version__
from fsidfusion.errors import FusionError, InputError
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.volumes.dicom_find import ROLES, Series, list_series
from fsidfusion.fusion.volumes.files import Request, Source, fuse_volume_files
from fsidfusion.fusion.volumes.fuse import Options
from fsidfusion.fusion.volumes.itk_files import is_itk
from fsidfusion.fusion.volumes.nifti import is_readable
from fsidfusion.fusion.volumes.windows import Modality
from fsidfusion.images.atomic import is_written, whole_file
from fsidfusion.images.files import read_picture
from fsidfusion.images.text import reason
from fsidfusion.report.page import (
    Section,
    Swatch,
    body,
    fill_page,
    heading,
    legend,
    picture,
    plots,
    table,
    tile,
    webp,
)

_WORDS: dict[str, Modality] = {
    **dict.fromkeys(("mri", "mr", "t1", "t1w", "t2", "t2w", "flair"), "mri"),
    **{name: name for name in get_args(Modality)},
    **dict.fromkeys(("pt", "fdg"), "pet"),
    **dict.fromkeys(("nm", "tc"), "spect"),
    "rtdose": "dose",
}
_BASES: tuple[Modality, ...] = ("mri", "ct")  # the first that a patient has is the base
THUMBNAIL = 560  # pixels of the longest side of a picture on the page


@dataclass(frozen=True)
class Pair:
    """Two volumes of a patient."""

    patient: str  # the name of his folder, or a number
    base: Source
    other: Source
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Such as mri_pet."""
        return f"{self.base.modality}_{self.other.modality}"


@dataclass(frozen=True)
class Outcome:
    """What became of a pair, or of a patient of whom there is none."""

    patient: str
    name: str
    status: Literal["fused", "skipped", "failed"]
    output: Path | None = None
    notes: tuple[str, ...] = ()  # of a failure: its message


def find_pairs(root: Path) -> tuple[list[Pair], list[Outcome]]:
    """The pairs of all patients below a folder, and the patients that have none or cannot be read.

    The base is the MRI of a patient, else the CT; each other modality makes a pair with it. Of several series
    of one modality the one of most images is taken, and a note says so.

    Raises:
        InputError: no folder, or nothing in it.
    """
    if not root.is_dir():
        raise InputError(f"`studies` {root} is no folder; give one that holds a folder for each patient")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    loose = any(path.is_file() and not path.name.startswith(".") for path in root.iterdir())
    pairs: list[Pair] = []
    failed: list[Outcome] = []
    for folder in [*folders, *([root] if loose and not folders else [])]:
        try:
            found = _patients(folder)
        except FusionError as error:
            failed.append(Outcome(folder.name, "", "failed", None, (str(error),)))
            continue
        except Exception as error:  # whatever it is, it is this patient's
            failed.append(Outcome(folder.name, "", "failed", None, (_unexpected(error),)))
            continue
        for patient, sources in found.items():
            made = _pairs(patient, sources)
            pairs += made
            if not made:
                have = ", ".join(sorted({source.modality for source, _ in sources})) or "nothing"
                message = f"no pair: found {have}, expected MRI or CT and another modality"
                failed.append(Outcome(patient, "", "failed", None, (message,)))
    if not pairs and not failed:
        raise InputError(f"`studies` {root} holds no volumes; give a folder that holds one for each patient")
    return pairs, failed


def fuse_studies(
    load: Callable[[], Fuser],
    root: Path,
    output: Path,
    options: Options = Options(),
    register: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Outcome]:
    """Fuse all pairs of all patients to OUT/PATIENT/mri_pet.nii.gz, with a report each, and OUT/index.html.

    What exists is skipped, so that the same call resumes a stopped one. Options for another modality are left
    out of a pair: a colour map of that with a CT, a unit of that without a PET.

    Args:
        load: gives the model, once.
        root: see :func:`find_pairs`.
        output: a folder.
        options: how pairs are fused.
        register: ``rigid``, or None to leave volumes where they lie.
        overwrite: replace what exists.
        progress: called with pairs done and in all.

    Raises:
        InputError: all of :func:`find_pairs`, or an output that is a file. What a single pair cannot do is an
            outcome.
    """
    if output.is_file():
        raise InputError(f"output {output} is a file; give a folder for the studies")
    pairs, outcomes = find_pairs(root)
    kept: list[Fuser] = []

    def loaded() -> Fuser:
        if not kept:
            kept.append(load())
        return kept[0]

    for done, pair in enumerate(pairs):
        outcomes.append(_fuse(loaded, pair, output, options, register, overwrite))
        progress(done + 1, len(pairs))
    output.mkdir(parents=True, exist_ok=True)
    with whole_file(output / "index.html") as stream:
        stream.write(_page(outcomes).encode())
    return outcomes


def _fuse(
    load: Callable[[], Fuser],
    pair: Pair,
    output: Path,
    options: Options,
    register: str | None,
    overwrite: bool,
) -> Outcome:
    folder = output / pair.patient
    path = folder / f"{pair.name}.nii.gz"
    if is_written(path) and is_written(path.with_name(f"{pair.name}.png")) and not overwrite:
        return Outcome(pair.patient, pair.name, "skipped", path)
    request = Request(
        pair.base,
        pair.other,
        path,
        folder / f"{pair.name}.png",
        folder / f"{pair.name}.html",
        register=register,
        overwrite=True,
    )
    try:
        written = fuse_volume_files(load, request, _suited(options, pair.other.modality))
    except FusionError as error:
        return Outcome(pair.patient, pair.name, "failed", None, (str(error),))
    except Exception as error:  # whatever it is, it is this pair's
        return Outcome(pair.patient, pair.name, "failed", None, (_unexpected(error),))
    return Outcome(pair.patient, pair.name, "fused", path, (*pair.notes, *written.notes))


def _unexpected(error: Exception) -> str:
    return f"{type(error).__name__}: {reason(error)}"


def _suited(options: Options, modality: Modality) -> Options:
    """The options that are for a modality."""
    uptake = modality in ("pet", "spect", "dose")
    return Options(
        options.axis,
        options.window,
        options.base_window,
        options.unit if modality == "pet" else None,
        options.colormap if uptake else None,
        options.gray,
        options.bits,
        options.style,
    )


def _patients(folder: Path) -> dict[str, list[tuple[Source, str]]]:
    """Sources, and what tells them, of the patients in a folder, by name."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    volumes = [path for path in files if (is_readable(path) or is_itk(path)) and path.suffix != ".img"]
    if volumes:
        found = [(path, _modality(path, folder)) for path in volumes]
        return {folder.name: [(Source(path, kind), path.name) for path, kind in found if kind is not None]}
    patients: dict[str, list[Series]] = {}
    for series in list_series(folder):
        first = series.images[0][1]
        patients.setdefault(str(first.get("PatientID") or ""), []).append(series)
    result = {}
    for number, (_, found_series) in enumerate(sorted(patients.items()), start=1):
        name = folder.name if len(patients) == 1 else f"{folder.name}-{number}"  # not the Patient ID
        result[name] = _largest(folder, found_series)
    return result


def _largest(folder: Path, found: Sequence[Series]) -> list[tuple[Source, str]]:
    """The series of most images of each modality."""
    kept: dict[Modality, Series] = {}
    counts: dict[Modality, int] = {}
    for series in found:
        role = ROLES.get(series.modality)
        if role is None:
            continue
        counts[role] = counts.get(role, 0) + 1
        if role not in kept or _frames(series) > _frames(kept[role]):
            kept[role] = series
    result = []
    for kind, series in kept.items():
        note = f"of {counts[kind]} {kind.upper()} series the one of most images is taken"
        result.append((Source(folder, kind, series.uid), note if counts[kind] > 1 else ""))
    return result


def _frames(series: Series) -> int:
    return sum(int(header.get("NumberOfFrames") or 1) for _, header in series.images)


def _modality(path: Path, folder: Path) -> Modality | None:
    """What a volume file is, by the last word of its name or of its folders that says so."""
    words = re.split(r"[^a-z0-9]+", str(path.relative_to(folder)).lower())
    return next((_WORDS[word] for word in reversed(words) if word in _WORDS), None)


def _pairs(patient: str, sources: Sequence[tuple[Source, str]]) -> list[Pair]:
    by_kind: dict[Modality, tuple[Source, str]] = {}
    for source, note in sources:
        by_kind.setdefault(source.modality, (source, note))
    base = next((kind for kind in _BASES if kind in by_kind), None)
    if base is None:
        return []
    said = by_kind[base]
    return [
        Pair(patient, said[0], source, tuple(n for n in (said[1], note) if n.startswith("of ")))
        for kind, (source, note) in by_kind.items()
        if kind != base
    ]


def _page(outcomes: Sequence[Outcome]) -> str:
    """Thumbnails of what was fused, now or before, and a table of what failed."""
    good = [one for one in outcomes if one.status != "failed"]
    failed = [one for one in outcomes if one.status == "failed"]
    shown = []
    for one in good:
        assert one.output is not None
        title = f"{one.patient}: {one.name.replace('_', ' and ').upper()}"
        remarks = legend(*(Swatch(note) for note in one.notes))
        try:
            planes: NDArray[np.uint8] = read_picture(one.output.with_name(f"{one.name}.png")).pixels
        except FusionError as error:  # of an earlier run, or taken away meanwhile
            shown.append(body(heading(title), legend(Swatch(str(error))), remarks))
        else:
            shown.append(body(heading(title), picture(webp(planes, THUMBNAIL), title), remarks))
    sections = []
    if shown:
        remark = "PATIENT/PAIR.html beside each file scrolls through its slices"
        sections.append(Section("fused", "Fused", remark, plots(shown, wide=False)))
    if failed:
        rows = [[one.patient, one.name.replace("_", " and "), one.notes[0]] for one in failed]
        part = body(table(["patient", "pair", "why"], rows))
        sections.append(Section("failed", "Failed", "nothing was written of these", part))
    tiles = [tile(str(len(good)), "pairs fused"), tile(str(len(failed)), "failed", "theirs")]
    return fill_page(
        "Studies, fused",
        f"fsidfusion {__version__}; not a medical device: for research and illustration, not for diagnosis",
        tiles,
        sections,
        [],
    )
