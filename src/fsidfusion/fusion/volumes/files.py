"""Fuse two volume files or folders to a third, with a picture and a report of it: whole files or none."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fsidfusion.errors import InputError, MissingDependency, NotEnoughMemory, install
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.volumes.fuse import DESCRIPTION, Fused, Options, check_options, fuse_volumes
from fsidfusion.fusion.volumes.grid import Axis, Volume, describe_grid
from fsidfusion.fusion.volumes.identity import check_one_patient
from fsidfusion.fusion.volumes.windows import Modality, number
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.encode import FORMATS

if TYPE_CHECKING:
    from fsidfusion.fusion.volumes.register import Registered


@dataclass(frozen=True)
class Source:
    """A volume in a file or a folder."""

    path: Path  # NIfTI, NRRD, MetaImage, FreeSurfer; a DICOM file, DICOMDIR, or folder
    modality: Modality
    series: str | None = None  # to take from a folder with several
    frame: str | None = None  # to take from a 4-D one: a number from 1, or mean


@dataclass(frozen=True)
class Request:
    """Which volumes are fused, and what is written."""

    base: Source  # whose grid the result has: MRI or CT
    other: Source
    output: Path  # .nii, .nii.gz, or a folder for DICOM
    views: Path | None = None  # a picture (PNG) of three planes
    report: Path | None = None  # a slice scroller (HTML)
    labels: Path | None = None  # a label map or RTSTRUCT, whose outlines are drawn
    register: str | None = None  # rigid, or the file of a transform that is taken
    transform: Path | None = None  # where the transform is written
    keep_patient: bool = False  # in a DICOM output
    overwrite: bool = False


@dataclass(frozen=True)
class Written:
    """What was written."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]  # mm
    axis: Axis  # of the slices
    overlap: float  # share 0..1 of the base's voxels that the other volume covers
    levels: dict[str, str]  # the values that are shown, of each volume
    seconds: float  # reading, computing and writing
    notes: tuple[str, ...]


def is_volume(path: Path) -> bool:
    """Whether a path is a volume rather than a picture: by its name, or by DICOM files in a folder."""
    from fsidfusion.fusion.volumes.dicom_find import holds_dicom, is_dicom
    from fsidfusion.fusion.volumes.itk_files import is_itk
    from fsidfusion.fusion.volumes.nifti import is_readable

    name = path.name.lower()
    if is_readable(path) or is_itk(path) or path.suffix.lower() in (".dcm", ".ima") or name == "dicomdir":
        return True
    try:
        if path.is_file() and not path.suffix:  # as scanners and archives name them
            return is_dicom(path)
        return path.is_dir() and holds_dicom(path)
    except OSError:  # whatever it is, it cannot be looked into
        return False


def read_volume(
    path: Path, series: str | None = None, frame: str | None = None, role: str | None = None
) -> Volume:
    """Read a volume file or the DICOM series of a folder.

    Args:
        path: see :class:`Source`.
        series: of a DICOM folder with several.
        frame: of a 4-D volume: a number from 1, or ``mean``.
        role: the modality that is asked for, which chooses among the series of a folder.

    Raises:
        InputError: all of :func:`~fsidfusion.fusion.volumes.nifti.read_nifti`,
            :func:`~fsidfusion.fusion.volumes.itk_files.read_itk` and
            :func:`~fsidfusion.fusion.volumes.dicom.read_series`; a path that is none of these.
        MissingDependency: a package that is not installed.
    """
    if not find_spec("nibabel") or not find_spec("pydicom"):
        raise MissingDependency(f"volumes need nibabel and pydicom: {install('medical')}")
    from fsidfusion.fusion.volumes.dicom import read_series
    from fsidfusion.fusion.volumes.dicom_find import is_dicom
    from fsidfusion.fusion.volumes.itk_files import is_itk, read_itk
    from fsidfusion.fusion.volumes.nifti import is_readable, read_nifti

    if path.is_dir():
        return read_series(path, series, frame, role)
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    if is_readable(path):
        return read_nifti(path, frame)
    if is_itk(path):
        return read_itk(path, frame)
    if is_dicom(path):
        return read_series(path, series, frame, role)
    raise InputError(
        f"{path} is no volume; expected NIfTI, NRRD, MetaImage or MGZ, a DICOM file, or the folder of a"
        " series"
    )


def read_labels(path: Path, grid: Volume) -> Volume:
    """Labels of a file: of a label map, of a DICOM SEG, or of the structures of an RTSTRUCT on a grid.

    Raises:
        InputError: all of :func:`read_volume`, of
            :func:`fsidfusion.fusion.volumes.structures.read_structures` and of
            :func:`fsidfusion.fusion.volumes.segmentation.read_segmentation`; values that are no labels.
    """
    from fsidfusion.fusion.volumes.outline import check_labels
    from fsidfusion.fusion.volumes.segmentation import is_segmentation, read_segmentation
    from fsidfusion.fusion.volumes.structures import is_structures, read_structures

    if path.is_file() and is_segmentation(path):
        return read_segmentation(path)
    if path.is_file() and is_structures(path):
        return read_structures(path, grid)
    labels = read_volume(path)
    check_labels(labels)
    return labels


def fuse_volume_files(
    load: Callable[[], Fuser],
    request: Request,
    options: Options = Options(),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Written:
    """Fuse the volumes of two files or folders, and write the result, its views and its report.

    Args:
        load: gives the model; called when both volumes have been read and are sound, and a network is needed.
        request: what is read and written.
        options: how it is fused.
        progress: called with slices done and in all.

    Raises:
        InputError: before anything is computed, what is wrong with the request, its paths or the volumes
            (:func:`read_volume`, :func:`fsidfusion.fusion.volumes.fuse.fuse_volumes`); afterwards, a file
            that cannot be written.
    """
    from fsidfusion.fusion.volumes.register import place

    start = time.perf_counter()
    check_options(request.base.modality, request.other.modality, options)
    _check_paths(request)
    base, other = (
        read_volume(source.path, source.series, source.frame, source.modality)
        for source in (request.base, request.other)
    )
    if request.keep_patient:
        if not hasattr(base.header, "SeriesInstanceUID"):
            raise InputError(
                f"{request.base.path} is no DICOM series and holds no patient data; leave out `keep_patient`"
            )
        check_one_patient(base, other)
    labels = None if request.labels is None else read_labels(request.labels, base)
    registered: Registered | None = None
    if request.register is not None:
        registered = place(base, other, request.register)
        other = replace(registered.volume, notes=(*other.notes, *registered.notes()))
    fuser = None if options.style == "overlay" else load()
    try:
        fused = fuse_volumes(
            fuser, base, other, request.other.modality, options, progress, request.base.modality, labels
        )
    except MemoryError as error:
        size = "x".join(map(str, base.shape))
        raise NotEnoughMemory(
            f"{request.base.path} ({size} voxels) and {request.other.path} do not fit into memory together:"
            " crop or resample the first, whose grid the result has, or take a larger machine"
        ) from error
    fused = replace(fused, notes=(*fused.notes, *_may_show_names(request, base, other)))
    _write(request, base, other, fused, registered)
    names = _names(request)
    levels = {names[0]: str(fused.base_level), names[1]: str(fused.level or "its own colours")}
    seconds = time.perf_counter() - start
    return Written(base.shape, base.spacing, fused.axis, fused.overlap, levels, seconds, fused.notes)


def _may_show_names(request: Request, base: Volume, other: Volume) -> list[str]:
    """A note where the pixels of a source may name the patient, for results that claim nothing of it else."""
    from fsidfusion.fusion.volumes.nifti import is_nifti
    from fsidfusion.fusion.volumes.secondary_capture import may_show_a_name

    shown = [volume.name for volume in (base, other) if may_show_a_name(volume)]
    if not shown:
        return []
    said = "" if is_nifti(request.output) else ", which the output says (Burned In Annotation YES)"
    return [f"the pixels of {' and '.join(shown)} may show a name{said}: look before you pass the result on"]


def _names(request: Request) -> tuple[str, str]:
    """Labels of the two volumes, for people."""
    first, second = (source.modality.upper() for source in (request.base, request.other))
    return (first, second) if first != second else (f"{first} 1", f"{second} 2")


def _check_paths(request: Request) -> None:
    from fsidfusion.fusion.volumes.itk_files import is_itk
    from fsidfusion.fusion.volumes.nifti import is_nifti, is_readable
    from fsidfusion.fusion.volumes.secondary_capture import check_replaceable

    output = request.output
    nifti = is_nifti(output)
    other_kind = is_readable(output) or is_itk(output) or output.suffix.lower() in (*FORMATS, ".dcm", ".gz")
    if not nifti and other_kind:
        raise InputError(f"output {output} is no volume; give .nii, .nii.gz, or a folder for a DICOM series")
    if request.keep_patient and nifti:
        raise InputError(
            f"output {output} is NIfTI, which holds no patient; give a folder, or leave out `keep_patient`"
        )
    extra = ((request.views, ".png"), (request.report, ".html"), (request.transform, ".tfm"))
    for path, suffix in extra:
        if path is not None and path.suffix.lower() != suffix:
            raise InputError(f"{path} must end in {suffix}")
    if request.transform is not None and request.register is None:
        raise InputError(f"`transform` {request.transform} is written by `register`; give that too")
    sources = [request.base.path, request.other.path, *([request.labels] if request.labels else [])]
    if request.register not in (None, "rigid"):
        sources.append(Path(request.register))
    outputs = [path for path in (output, *(path for path, _ in extra)) if path is not None]
    for path in outputs:
        if any(path.resolve() == source.resolve() for source in sources):
            raise InputError(f"output {path} is an input; give another name")
        if path.is_dir() and (path is not output or nifti):
            raise InputError(f"output {path} is a folder; give a file")
        if path.is_file() and path is output and not nifti:
            raise InputError(f"output {path} is a file; give a folder for a DICOM series, or .nii or .nii.gz")
        if path.exists() and not request.overwrite and not (path.is_dir() and not any(path.iterdir())):
            raise InputError(f"{path} exists; give another name, or `overwrite`")
    if output.is_dir():
        check_replaceable(output)


def _write(
    request: Request, base: Volume, other: Volume, fused: Fused, registered: "Registered | None"
) -> None:
    from fsidfusion.fusion.volumes.nifti import is_nifti, write_nifti
    from fsidfusion.fusion.volumes.secondary_capture import write_series

    extra = _extra_files(request, base, other, fused, registered)  # all are made before any is written
    if is_nifti(request.output):
        write_nifti(request.output, fused.voxels, base, _description(request, fused))
    else:
        names = _names(request)
        derivation = (
            f"{names[0]} {fused.base_level} and {names[1]} {fused.level or 'in its colours'} on the grid of"
            f" the {names[0]}, {fused.axis} slices"
        )
        write_series(request.output, fused.voxels, base, other, DESCRIPTION, derivation, request.keep_patient)
    for path, content in extra.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as stream:
                stream.write(content)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); choose another output") from error


def _description(request: Request, fused: Fused) -> str:
    """For the field descrip of NIfTI, which holds 79 characters."""
    if fused.level is None:
        return DESCRIPTION
    unit = fused.level.unit and f" {fused.level.unit}"
    text = f"{DESCRIPTION}; {_names(request)[1]} {number(fused.level.low)}..{number(fused.level.high)}{unit}"
    return text.encode("ascii", "replace").decode()[:79]


def _extra_files(
    request: Request, base: Volume, other: Volume, fused: Fused, registered: "Registered | None"
) -> dict[Path, bytes]:
    from fsidfusion.fusion.volumes.register import check_pictures
    from fsidfusion.fusion.volumes.report import Live, Shown, build_report
    from fsidfusion.fusion.volumes.views import orthogonal_views

    result = {}
    if request.transform is not None and registered is not None:
        result[request.transform] = registered.to_bytes()
    if request.views is None and request.report is None:
        return result
    names = _names(request)
    shown = [
        Shown(names[0], fused.base, fused.base_level),
        Shown(names[1], fused.other, fused.level, fused.colormap),
        Shown("fused", fused.voxels),
    ]
    views = _png(orthogonal_views(shown, base.affine, DESCRIPTION))
    if request.views:
        result[request.views] = views
    if request.report:
        facts = {
            names[0]: describe_grid(base),
            names[1]: describe_grid(other),
            "overlap": f"{fused.overlap:.0%} of the grid of the {names[0]}",
            "slices": f"{fused.axis}",
            f"{names[0]} shown": str(fused.base_level),
            f"{names[1]} shown": str(fused.level or "its own colours"),
            "colours": fused.colormap or ("none" if fused.voxels.ndim == 3 else "its own"),
            "output": f"{fused.mapping.low:.4f}..{fused.mapping.high:.4f} of the fused values in every slice",
        }
        pictures = {}
        if registered is not None:
            facts["registration"] = registered.describe()
            pictures = {
                name: _png(picture) for name, picture in check_pictures(fused, base.affine, names).items()
            }
        live = Live(fused.level_below, fused.colored, fused.outlines)
        notes = [note.replace("`", "") for note in fused.notes]  # names of parameters
        page = build_report(shown, base.affine, facts, notes, views, fused.axis, pictures, live)
        result[request.report] = page.encode()
    return result


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()
