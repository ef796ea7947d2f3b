"""A folder of patients: pairs by modality, resumed, with one page."""

import nibabel
import numpy as np
import pytest

from fsidfusion import Fuser
from fsidfusion.cli import main
from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes import studies
from fsidfusion.fusion.volumes.studies import find_pairs, fuse_studies
from volume_files import head, write_dicom_series, write_nifti_file


@pytest.fixture
def patients(tmp_path):
    """Two with pairs, one with NIfTI files, one whose PET lies elsewhere, one with an MRI alone."""
    root = tmp_path / "in"
    for name in ("anna", "bert"):
        write_dicom_series(root / name / "se1", head(), PatientID=name)
        write_dicom_series(root / name / "se2", head((9, 9, 4)), PatientID=name, SeriesDescription="scout")
        write_dicom_series(root / name / "se3", head(low=-1000), Modality="CT", PatientID=name)
    write_dicom_series(root / "anna" / "se4", head(), Modality="PT", PatientID="anna", Units="BQML")
    (root / "carl").mkdir()
    for name in ("sub_t1.nii.gz", "sub_pet.nii"):
        write_nifti_file(root / "carl" / name, head().voxels, np.eye(4))
    (root / "dora").mkdir()
    far = np.eye(4)
    far[0, 3] = 500
    write_nifti_file(root / "dora" / "t1.nii", head().voxels, np.eye(4))
    write_nifti_file(root / "dora" / "spect.nii", head().voxels, far)
    write_dicom_series(root / "emil", head())
    return root


def named(pairs):
    return sorted((pair.patient, pair.name) for pair in pairs)


def test_pairs_are_found_by_patient_and_modality(patients):
    pairs, failed = find_pairs(patients)
    assert named(pairs) == [
        ("anna", "mri_ct"), ("anna", "mri_pet"), ("bert", "mri_ct"), ("carl", "mri_pet"),
        ("dora", "mri_spect"),
    ]  # fmt: skip
    (alone,) = failed
    assert alone.patient == "emil" and alone.notes == (
        "no pair: found mri, expected MRI or CT and another modality",
    )
    first = next(pair for pair in pairs if pair.patient == "bert")
    assert first.notes == ("of 2 MRI series the one of most images is taken",)


def test_patients_in_one_folder_are_told_apart_without_their_number(tmp_path):
    for name in ("anna", "bert"):
        write_dicom_series(tmp_path / "all" / name / "a", head(), PatientID=f"secret-{name}")
        write_dicom_series(tmp_path / "all" / name / "b", head(), Modality="PT", PatientID=f"secret-{name}")
    pairs, failed = find_pairs(tmp_path)
    assert named(pairs) == [("all-1", "mri_pet"), ("all-2", "mri_pet")] and not failed


def test_a_run_goes_on_where_it_stopped(patients, tmp_path):
    output = tmp_path / "out"
    loads = []

    def load():
        loads.append(1)
        return Fuser(np.maximum)

    first = fuse_studies(load, patients, output)
    assert sorted(one.status for one in first) == ["failed", "failed", *["fused"] * 4]
    assert len(loads) == 1
    assert nibabel.load(output / "anna" / "mri_pet.nii.gz").get_data_dtype().names == ("R", "G", "B")
    assert (output / "anna" / "mri_pet.html").exists()
    written = (output / "carl" / "mri_pet.nii.gz").stat().st_mtime_ns
    (output / "anna" / "mri_ct.nii.gz").unlink()
    again = fuse_studies(load, patients, output)
    assert sorted(one.status for one in again) == ["failed", "failed", "fused", *["skipped"] * 3]
    assert (output / "carl" / "mri_pet.nii.gz").stat().st_mtime_ns == written
    page = (output / "index.html").read_text()
    assert page.count("data:image/webp") == 4 and "do not overlap" in page and "not a medical device" in page
    assert "secret" not in page


def test_the_command(patients, tmp_path, capsys):
    line = ["fuse", "--studies", str(patients), "-o", str(tmp_path / "out"), "--model", "maximum"]
    assert main([*line, "--colormap", "viridis"]) == 1
    said = capsys.readouterr()
    assert "index.html  4 fused, 0 skipped, 2 failed" in said.out
    assert "failed: dora mri_spect: the volumes do not overlap" in said.err
    assert main([*line, "--report", "a.html"]) == 2
    assert "given --report with --studies" in capsys.readouterr().err


def test_what_goes_wrong_with_a_pair_is_its_own(patients, tmp_path, monkeypatch):
    whole = studies.fuse_volume_files

    def fuse(load, request, *rest):
        if "bert" in str(request.base.path):
            raise KeyError("odd\nlines")
        if "carl" in str(request.base.path):
            request.base.path.unlink()  # after it was found
        return whole(load, request, *rest)

    monkeypatch.setattr(studies, "fuse_volume_files", fuse)
    output = tmp_path / "out"
    found = {
        (one.patient, one.name): one for one in fuse_studies(lambda: Fuser(np.maximum), patients, output)
    }
    assert found["bert", "mri_ct"].notes == ("KeyError: 'odd\\nlines'",)
    assert "does not exist" in found["carl", "mri_pet"].notes[0]
    assert {one.status for key, one in found.items() if key[0] == "anna"} == {"fused"}
    page = (output / "index.html").read_text()
    assert "KeyError" in page
    (output / "anna" / "mri_ct.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (output / "anna" / "mri_pet.nii.gz").write_bytes(b"")
    again = {
        (one.patient, one.name): one for one in fuse_studies(lambda: Fuser(np.maximum), patients, output)
    }
    assert again["anna", "mri_ct"].status == "skipped"
    assert again["anna", "mri_pet"].status == "fused"
    assert "is damaged" in (output / "index.html").read_text()


def test_nothing_to_do(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        find_pairs(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no volumes"):
        find_pairs(tmp_path)
