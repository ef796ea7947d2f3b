"""The command line on volumes: files and folders, in real processes and in this one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fsidfusion.cli import main
from fsidfusion.fusion.volumes.dicom import read_series
from fsidfusion.images.files import Picture, read_picture, write_picture
from volume_files import head, item, oblique, write_dicom_series, write_dose, write_nifti_file

SOURCE = Path(__file__).resolve().parents[2] / "src"
MAXIMUM = ("--model", "maximum")


@pytest.fixture
def pair(tmp_path):
    """A T1 and a CT of one head on different grids, as NIfTI files and as DICOM series."""
    mri, ct = head(affine=oblique()), head((30, 30, 30), oblique((0, 0, 0)), -1000, 1500)
    write_nifti_file(tmp_path / "t1.nii.gz", mri.voxels, mri.affine)
    write_nifti_file(tmp_path / "ct.nii", ct.voxels, ct.affine)
    write_dicom_series(tmp_path / "mr", mri)
    write_dicom_series(tmp_path / "ct", ct, Modality="CT", SeriesDescription="head", series="1.2.3.77")
    return tmp_path


def fuse(pair, *arguments, mri="t1.nii.gz", ct="ct.nii", output="fused.nii.gz"):
    paths = ("--mri", pair / mri, "--ct", pair / ct, "-o", pair / output)
    return main(["fuse", *map(str, (*paths, *MAXIMUM, *arguments))])


def leftovers(folder):
    return sorted(
        path.name for path in folder.rglob("*") if "fsidfusion" in path.name or "fused" in path.name
    )


def test_a_process_writes_a_volume_views_and_a_report(pair):
    command = [sys.executable, "-m", "fsidfusion", "fuse", "--mri", "t1.nii.gz", "--ct", "ct.nii"]
    command += [
        "-o",
        "new/fused.nii.gz",
        "--views",
        "views.png",
        "--report",
        "report.html",
        "--window",
        "bone",
    ]
    result = subprocess.run(
        [*command, *MAXIMUM],
        cwd=pair,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith("note: the CT covers 78% of the grid")
    assert result.stdout.startswith("new/fused.nii.gz  24x28x20 voxels, axial slices  ")
    image, source = nibabel.load(pair / "new" / "fused.nii.gz"), nibabel.load(pair / "t1.nii.gz")
    assert np.array_equal(image.affine, source.affine)
    assert b"not a medical device" in bytes(image.header["descrip"])
    assert read_picture(pair / "views.png").pixels.shape[2] == 3
    assert "not a medical device" in (pair / "report.html").read_text()


def test_files_and_series_give_the_same(pair):
    assert fuse(pair) == 0
    assert fuse(pair, mri="mr", ct="ct", output="fused_a.nii") == 0
    assert fuse(pair, mri="mr", ct="ct.nii", output="fused") == 0
    first = np.asarray(nibabel.load(pair / "fused.nii.gz").dataobj).astype(int)
    second = np.asarray(nibabel.load(pair / "fused_a.nii").dataobj).astype(int)
    third = read_series(pair / "fused")
    assert np.abs(first - second).max() <= 1  # the DICOM files hold whole numbers
    assert np.abs(first - third.voxels).max() <= 1
    assert np.allclose(third.affine, oblique(), atol=1e-6)


def test_uptake_becomes_colour(pair):
    line = ["fuse", "--mri", f"{pair}/mr", "--pet", f"{pair}/ct.nii", *MAXIMUM, "--axis", "sagittal"]
    assert main([*line, "-o", f"{pair}/fused", "--colormap", "rainbow"]) == 0
    assert read_series(pair / "fused").voxels.shape == (24, 28, 20, 3)
    assert main([*line, "-o", f"{pair}/fused.nii"]) == 0
    assert nibabel.load(pair / "fused.nii").get_data_dtype().names == ("R", "G", "B")


def test_one_of_mixed_series(pair, capsys):
    for path in (pair / "ct").iterdir():
        path.rename(pair / "mr" / path.name)
    assert fuse(pair, mri="mr", ct="mr") == 0  # the roles tell which is which
    assert "of the 2 series in" in capsys.readouterr().err
    line = ["fuse", "--mri", f"{pair}/mr", "--pet", f"{pair}/mr", *MAXIMUM, "-o", f"{pair}/b.nii"]
    assert main(line) == 2
    assert "holds 2 series" in capsys.readouterr().err
    (pair / "fused.nii.gz").unlink()
    assert fuse(pair, "--series", "3", "1.2.3.77", mri="mr", ct="mr") == 2  # both are number 3
    assert "names 2 of the 2 series" in capsys.readouterr().err
    uid = str(next(iter({p.name[:6] for p in (pair / "mr").iterdir()} - {".2.3.7"})))
    assert fuse(pair, "--series", uid, "1.2.3.77", mri="mr", ct="mr") == 0


def test_a_window_in_the_unit_and_slices_as_acquired(pair, capsys):
    assert fuse(pair, "--window=-100..300", "--base-window", "0..900") == 0
    said = capsys.readouterr().out
    assert "24x28x20 voxels, axial slices" in said
    assert "MRI 0..900 (as asked)  CT -100..300 HU (as asked)" in said


def test_sides_are_those_of_the_patient_in_every_output(pair):
    """A marker at one place in millimetres, read back by ITK and not by this package."""
    sitk = pytest.importorskip("SimpleITK")
    lps = np.array([6.0, -9.0, 21.0])  # left of the middle, in front, high
    for number, angles in enumerate([(0, 0, 0), (0, 90, 0), (90, 0, 0), (20, -15, 10), (0, 0, 180)]):
        affine = oblique(angles, (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
        affine[:3, 3] = lps * (-1, -1, 1) - affine[:3, :3] @ (17, 8, 13)  # the marker is at this voxel
        volume = head(affine=affine)
        volume.voxels[:] = np.where(volume.voxels > 300, 300, volume.voxels)
        volume.voxels[16:19, 7:10, 12:15] = 3000
        write_dicom_series(pair / f"m{number}", volume)
        for output in (f"fused{number}.nii.gz", f"fused{number}"):
            assert (
                fuse(pair, "--base-window", "0..3000", mri=f"m{number}", ct=f"m{number}", output=output) == 0
            )
            reader = sitk.ImageSeriesReader()
            path = str(pair / output)
            if (pair / output).is_dir():
                reader.SetFileNames(reader.GetGDCMSeriesFileNames(path))
                image = reader.Execute()
            else:
                image = sitk.ReadImage(path)
            place = [round(v) for v in image.TransformPhysicalPointToContinuousIndex(lps.tolist())]
            assert image.GetPixel(place) > 200
            values = sitk.GetArrayFromImage(image)
            assert (values > 200).sum() == 27


def test_a_window_in_suv(pair, capsys):
    agent = item(
        RadionuclideTotalDose=350e6, RadionuclideHalfLife=6586.2, RadiopharmaceuticalStartTime="090000"
    )
    tags = {"Modality": "PT", "Units": "BQML", "PatientWeight": 70, "DecayCorrection": "ADMIN"}
    tags["RadiopharmaceuticalInformationSequence"] = [agent]
    write_dicom_series(pair / "pet", head(affine=oblique(), high=20000), **tags)
    line = ["fuse", "--mri", f"{pair}/mr", "--pet", f"{pair}/pet", "-o", f"{pair}/fused.nii", *MAXIMUM]
    assert main([*line, "--window", "0..8", "--unit", "SUV"]) == 0
    assert "PET 0..8 SUVbw (as asked)" in capsys.readouterr().out
    assert b"PET 0..8 SUVbw" in bytes(nibabel.load(pair / "fused.nii").header["descrip"])


def test_what_may_show_a_name_is_said(pair, capsys):
    write_dicom_series(pair / "shot", head(affine=oblique()), Modality="CT", BurnedInAnnotation="YES")
    assert fuse(pair, mri="mr", ct="shot", output="fused") == 0
    assert "note: the pixels of shot may show a name, which the output says" in capsys.readouterr().err


def test_a_folder_of_one_study_a_dose_and_outlines(pair, capsys):
    """Roles by modality, an RTDOSE on a CT, a label map drawn into it."""
    write_dose(pair / "mr" / "dose.dcm", head((16, 16, 30), oblique((0, 0, 0), (2.0, 2.4, 2.5)), high=60))
    for path in (pair / "ct").iterdir():
        path.rename(pair / "mr" / path.name)
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[4:12, 4:12, 4:12] = 1
    write_nifti_file(pair / "organs.nii.gz", labels, oblique((0, 0, 0)))
    line = [
        "fuse",
        "--ct",
        f"{pair}/mr",
        "--dose",
        f"{pair}/mr",
        "--label",
        f"{pair}/organs.nii.gz",
        *MAXIMUM,
    ]
    assert main([*line, "-o", f"{pair}/fused.nii.gz", "--frame", "1"]) == 0
    said = capsys.readouterr().out
    assert " Gy (from 0 to the peak)" in said and "CT -500..1500 HU (bone window)" in said
    image = nibabel.load(pair / "fused.nii.gz")
    assert b" Gy" in bytes(image.header["descrip"])
    stored = np.asarray(image.dataobj)
    values = np.stack([stored[channel] for channel in "RGB"], axis=-1)
    assert (values == (0, 255, 255)).all(-1).sum() > 50


def test_a_moved_volume_is_registered(pair, capsys):
    """The transform is written, said, and used again."""
    pytest.importorskip("SimpleITK")
    line = ["fuse", "--mri", f"{pair}/t1.nii.gz", f"{pair}/moved.nii", *MAXIMUM, "-o", f"{pair}/fused.nii"]
    away = np.eye(4)
    away[:3, 3] = 4, -3, 2
    write_nifti_file(pair / "moved.nii", head(affine=oblique()).voxels, away @ oblique())
    extra = ["--transform", f"{pair}/t.tfm", "--report", f"{pair}/r.html"]
    assert main([*line, "--register", "rigid", *extra]) == 0
    error = capsys.readouterr().err
    assert "registered (rigid): moved by" in error and "normalised mutual information" in error
    page = (pair / "r.html").read_text()
    assert "MRI 1 and MRI 2 by turns" in page and "edges of the MRI 2 on the MRI 1" in page
    assert main([*line, "--register", f"{pair}/t.tfm", "--overwrite"]) == 0
    assert "registered (transform t.tfm): moved by" in capsys.readouterr().err


def test_two_patients(pair, capsys):
    write_dicom_series(pair / "other", head(affine=oblique()), Modality="CT", PatientID="MR-1")
    assert fuse(pair, mri="mr", ct="other", output="fused_a") == 0
    assert (
        "note: mr and other are of two patients by their headers (number differ)" in capsys.readouterr().err
    )
    assert fuse(pair, "--keep-patient", mri="mr", ct="other", output="fused_b") == 2
    assert "--keep-patient is refused" in capsys.readouterr().err
    assert not (pair / "fused_b").exists()


def test_json(pair, capsys):
    assert fuse(pair, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["axis"] == "axial"
    assert summary["shown"]["CT"] == "-500..1500 HU (bone window)"
    assert (summary["status"], summary["shape"]) == (0, [24, 28, 20])
    assert 0.2 < summary["overlap"] <= 1
    assert fuse(pair, "--json") == 2
    assert "exists" in json.loads(capsys.readouterr().out)["error"]


def test_what_exists_is_kept_unless_told(pair, capsys):
    assert fuse(pair) == 0
    before = (pair / "fused.nii.gz").read_bytes()
    assert fuse(pair, "--axis", "coronal") == 2
    assert "exists; give another name, or --overwrite" in capsys.readouterr().err
    assert (pair / "fused.nii.gz").read_bytes() == before
    assert fuse(pair, "--axis", "coronal", "--overwrite", "--bits", "16") == 0
    assert (pair / "fused.nii.gz").read_bytes() != before


BAD = {
    "a picture as output": ({"output": "fused.png"}, "is no volume; give .nii"),
    "a file of DICOM as output": ({"output": "fused.dcm"}, "is no volume"),
    "an input as output": ({"output": "t1.nii.gz"}, "is an input"),
    "no input": ({"ct": "absent.nii"}, "absent.nii does not exist"),
    "an input that is a picture": ({"ct": "picture.png"}, "picture.png is no volume; expected NIfTI"),
    "a file that is none": ({"ct": "text.dcm"}, "is no volume; expected NIfTI"),
    "a folder without DICOM": ({"ct": "pictures"}, "holds no DICOM images"),
}


@pytest.mark.parametrize(("paths", "message"), BAD.values(), ids=BAD)
def test_bad_paths(pair, capsys, paths, message):
    write_picture(pair / "picture.png", Picture(np.zeros((4, 4), np.uint8)))
    write_picture(pair / "pictures" / "1.png", Picture(np.zeros((4, 4), np.uint8)))
    (pair / "text.dcm").write_text("no DICOM")
    assert fuse(pair, **paths) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("fsidfusion fuse: ") and error.count("\n") == 1
    assert leftovers(pair) == []


WRONG = {
    "a CT window for PET": (["--pet", "ct.nii", "--window", "brain"], "the window brain is for CT"),
    "a colour map for CT": (
        ["--ct", "ct.nii", "--colormap", "hot"],
        "a colour map is for PET, SPECT and dose",
    ),
    "three modalities": (["--ct", "ct.nii", "--pet", "ct.nii"], "expected two volumes: --mri or --ct"),
    "three volumes": (["--ct", "ct.nii", "t1.nii.gz"], "given --mri, --ct, --ct; expected two volumes"),
    "a unit without a dose": (["--pet", "ct.nii", "--unit", "SUV"], "is no DICOM series, so its header"),
    "a transform without a search": (["--ct", "ct.nii", "--transform", "t.tfm"], "is written by --register"),
    "a frame of one volume": (["--ct", "ct.nii", "--frame", "2"], "--frame 2 is none of the 1 volumes"),
    "three series": (["--ct", "ct.nii", "--series", "1", "2", "3"], "--series has 3 values"),
    "a patient in NIfTI": (["--ct", "ct.nii", "--keep-patient"], "is NIfTI, which holds no patient"),
    "alignment": (["--ct", "ct.nii", "--align", "auto", "--crop"], "given --align, --crop, for pictures"),
    "a report as text": (["--ct", "ct.nii", "--report", "fused.txt"], "must end in .html"),
    "views over a folder": (["--ct", "ct.nii", "--views", "folder.png"], "is a folder; give a file"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_wrong_options(pair, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(pair)
    (pair / "folder.png").mkdir()
    assert main(["fuse", "--mri", "t1.nii.gz", *arguments, "-o", "fused.nii", *MAXIMUM]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert leftovers(pair) == []


def test_volumes_for_cameras_and_options_without_volumes(pair, capsys, monkeypatch):
    monkeypatch.chdir(pair)
    assert main(["fuse", "--ir", "t1.nii.gz", "--vis", "ct.nii", "-o", "fused.nii"]) == 2
    assert "given --ir, --vis; expected two volumes: --mri" in capsys.readouterr().err
    assert main(["fuse", "--ir", "a.png", "--vis", "b.png", "-o", "fused.png", "--axis", "coronal"]) == 2
    assert "options for volumes are given, but no volume" in capsys.readouterr().err
    assert fuse(pair, "--keep-patient", output="fused") == 2
    assert "is no DICOM series and holds no patient data" in capsys.readouterr().err


def test_missing_packages_are_named(pair, capsys, monkeypatch):
    import fsidfusion.fusion.volumes.files as files

    monkeypatch.setattr(files, "find_spec", lambda name: None)
    assert fuse(pair) == 2
    assert "pip install '.[medical]'" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("stop", [KeyboardInterrupt, signal.SIGTERM])
def test_a_stopped_run_leaves_nothing(pair, monkeypatch, stop):
    from fsidfusion.fusion.fuser import Fuser

    def interrupted(self, infrared, visible):
        if stop is KeyboardInterrupt:
            raise KeyboardInterrupt
        os.kill(os.getpid(), stop)
        return list(visible)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Fuser, "fuse_luma", interrupted)
    try:
        assert fuse(pair, "--report", pair / "fused.html") == (130 if stop is KeyboardInterrupt else 143)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert leftovers(pair) == []


def test_the_real_pair(data_root, tmp_path, capsys):
    folder = data_root / "formats" / "volumes"
    line = ["fuse", "--mri", f"{folder}/t1.nii.gz", "--ct", f"{folder}/ct.nii.gz", *MAXIMUM]
    assert main([*line, "-o", f"{tmp_path}/fused.nii.gz", "--report", f"{tmp_path}/fused.html"]) == 0
    assert capsys.readouterr().err == ""
    image, source = (nibabel.load(path) for path in (tmp_path / "fused.nii.gz", folder / "t1.nii.gz"))
    assert image.shape == source.shape
    assert np.array_equal(image.affine, source.affine)
    assert image.header["sform_code"] == source.header["sform_code"]
    voxels = np.asarray(image.dataobj)
    assert voxels.dtype == np.uint8
    assert voxels.max() == 255
    assert voxels[45, 54, 45] > 100 > 40 > voxels[1, 1, 89]  # brain and air
    assert main([*line, "-o", f"{tmp_path}/b.nii", "--window", "brain"]) == 0
    assert "does not look like Hounsfield units" in capsys.readouterr().err
