"""Fuse two volume files or folders to a third, with a picture and a report of it: whole files or none."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from fsidfusion.errors import InputError, MissingDependency
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.volumes.fuse import (
    DESCRIPTION,
    Fused,
    Modality,
    Options,
    check_options,
    ct_window,
    fuse_volumes,
)
from fsidfusion.fusion.volumes.grid import Volume, describe_grid
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.files import FORMATS


@dataclass(frozen=True)
class Request:
    """Which volumes are fused, and what is written."""

    mri: Path  # .nii, .nii.gz, or a folder of one DICOM series
    other: Path
    modality: Modality
    output: Path  # .nii, .nii.gz, or a folder for DICOM
    views: Path | None = None  # a picture (PNG) of three planes
    report: Path | None = None  # a slice scroller (HTML)
    series: tuple[
        str, ...
    ] = ()  # to take from folders with several: one for both, or the MRI's and the other's
    keep_patient: bool = False  # in a DICOM output
    overwrite: bool = False


@dataclass(frozen=True)
class Written:
    """What was written."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]  # mm
    overlap: float  # share 0..1 of the MRI's voxels that the other volume covers
    seconds: float  # reading, computing and writing
    notes: tuple[str, ...]


def is_volume(path: Path) -> bool:
    """Whether a path is a volume rather than a picture: .nii, .nii.gz, .dcm, or a folder with DICOM files."""
    from fsidfusion.fusion.volumes.dicom import holds_dicom
    from fsidfusion.fusion.volumes.nifti import is_nifti

    if is_nifti(path) or path.suffix.lower() == ".dcm":
        return True
    try:
        return path.is_dir() and holds_dicom(path)
    except OSError:  # whatever it is, it cannot be looked into
        return False


def read_volume(path: Path, series: str | None = None) -> Volume:
    """Read a NIfTI file or the DICOM series of a folder.

    Raises:
        InputError: all of :func:`fsidfusion.fusion.volumes.nifti.read_nifti` and
            :func:`fsidfusion.fusion.volumes.dicom.read_series`; a path that is neither, or packages missing.
    """
    if not find_spec("nibabel") or not find_spec("pydicom"):
        raise MissingDependency("volumes need nibabel and pydicom: pip install 'fsidfusion[medical]'")
    from fsidfusion.fusion.volumes.dicom import read_series
    from fsidfusion.fusion.volumes.nifti import is_nifti, read_nifti

    if path.is_dir():
        return read_series(path, series)
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    if not is_nifti(path):
        raise InputError(f"{path} is no volume; expected .nii, .nii.gz, or the folder of a DICOM series")
    return read_nifti(path)


def fuse_volume_files(
    load: Callable[[], Fuser],
    request: Request,
    options: Options = Options(),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Written:
    """Fuse the volumes of two files or folders, and write the result, its views and its report.

    Args:
        load: gives the model; called when both volumes have been read and are sound.
        request: what is read and written.
        options: how it is fused.
        report: called with slices done and in all.

    Raises:
        InputError: before anything is computed, what is wrong with the request, its paths or the volumes
            (:func:`read_volume`, :func:`fsidfusion.fusion.volumes.fuse.fuse_volumes`); afterwards, a file
            that cannot be written.
    """
    start = time.perf_counter()
    check_options(request.modality, options)
    _check_paths(request)
    mri_series, other_series = _series_of_each(request.series)
    mri = read_volume(request.mri, mri_series)
    other = read_volume(request.other, other_series)
    if request.keep_patient and not hasattr(mri.header, "SeriesInstanceUID"):
        raise InputError(
            f"{request.mri} is no DICOM series and holds no patient data; leave out --keep-patient"
        )
    fuser = load()
    fused = fuse_volumes(fuser, mri, other, request.modality, options, report)
    _write(request, options, mri, other, fused)
    seconds = time.perf_counter() - start
    return Written(mri.shape, mri.spacing, fused.overlap, seconds, fused.notes)


def _check_paths(request: Request) -> None:
    from fsidfusion.fusion.volumes.nifti import is_nifti
    from fsidfusion.fusion.volumes.secondary_capture import check_replaceable

    output = request.output
    nifti = is_nifti(output)
    if not nifti and (output.suffix.lower() in (*FORMATS, ".dcm", ".gz", ".hdr", ".img", ".nrrd", ".mha")):
        raise InputError(f"output {output} is no volume; give .nii, .nii.gz, or a folder for a DICOM series")
    if request.keep_patient and nifti:
        raise InputError(
            f"output {output} is NIfTI, which holds no patient; give a folder, or leave out --keep-patient"
        )
    for path, suffix in ((request.views, ".png"), (request.report, ".html")):
        if path is not None and path.suffix.lower() != suffix:
            raise InputError(f"{path} must end in {suffix}")
    outputs = [path for path in (output, request.views, request.report) if path is not None]
    for path in outputs:
        if any(path.resolve() == source.resolve() for source in (request.mri, request.other)):
            raise InputError(f"output {path} is an input; give another name")
        if path.is_dir() and (path is not output or nifti):
            raise InputError(f"output {path} is a folder; give a file")
        if path.is_file() and path is output and not nifti:
            raise InputError(f"output {path} is a file; give a folder for a DICOM series, or .nii or .nii.gz")
        if path.exists() and not request.overwrite and not (path.is_dir() and not any(path.iterdir())):
            raise InputError(f"{path} exists; give another name, or --overwrite")
    if output.is_dir():
        check_replaceable(output)


def _series_of_each(series: tuple[str, ...]) -> tuple[str | None, str | None]:
    if len(series) > 2:
        raise InputError(
            f"--series has {len(series)} values; give one, or that of the MRI and that of the other"
        )
    return (series[0], series[-1]) if series else (None, None)


def _write(request: Request, options: Options, mri: Volume, other: Volume, fused: Fused) -> None:
    from fsidfusion.fusion.volumes.nifti import is_nifti, write_nifti
    from fsidfusion.fusion.volumes.secondary_capture import write_series

    extra = _extra_files(request, options, mri, other, fused)  # all are made before any is written
    if is_nifti(request.output):
        write_nifti(request.output, fused.voxels, mri, DESCRIPTION)
    else:
        derivation = f"MRI and {request.modality.upper()} on the grid of the MRI, {options.axis} slices"
        write_series(request.output, fused.voxels, mri, DESCRIPTION, derivation, request.keep_patient)
    for path, content in extra.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as stream:
                stream.write(content)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); choose another output") from error


def _extra_files(
    request: Request, options: Options, mri: Volume, other: Volume, fused: Fused
) -> dict[Path, bytes]:
    if request.views is None and request.report is None:
        return {}
    from fsidfusion.fusion.volumes.report import build_report
    from fsidfusion.fusion.volumes.views import orthogonal_views

    name = request.modality.upper()
    volumes = {"MRI": fused.mri, name: fused.other, "fused": fused.voxels}
    stream = io.BytesIO()
    Image.fromarray(orthogonal_views(volumes, mri.affine, DESCRIPTION)).save(stream, "PNG", optimize=True)
    result = {request.views: stream.getvalue()} if request.views else {}
    if request.report:
        facts = {
            "MRI": describe_grid(mri),
            name: describe_grid(other),
            "overlap": f"{fused.overlap:.0%} of the MRI grid",
            "slices": options.axis,
            "window": (ct_window(other, options) if request.modality == "ct" else None) or "by percentiles",
            "colours": "none"
            if fused.voxels.ndim == 3
            else "its own"
            if other.is_rgb
            else options.colormap or "hot",
            "output": f"{fused.mapping.low:.4f}..{fused.mapping.high:.4f} of the fused values in every slice",
        }
        page = build_report(volumes, mri.affine, facts, fused.notes, stream.getvalue(), options.axis)
        result[request.report] = page.encode()
    return result
