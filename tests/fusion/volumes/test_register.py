"""Registration finds a motion that is known, and says no where there is none to find."""

from dataclasses import replace

import numpy as np
import pytest

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.grid import Volume, resample
from fsidfusion.fusion.volumes.register import motion, place, score
from volume_files import oblique

pytest.importorskip("SimpleITK")

SHAPE = (44, 52, 40)
BLOBS = [  # centre and size in mm, level: lopsided as a head is
    ((-12, 5, 8), 9, -1.0), ((12, 5, 8), 9, -1.0), ((-30, -40, -20), 16, 0.8), ((28, 45, 5), 12, 0.7),
    ((35, -20, 25), 10, -0.8), ((-25, 40, -25), 11, 0.9), ((0, 20, 38), 14, 0.6), ((-40, 0, 20), 8, 1.0),
]  # fmt: skip


def pair():
    """An MRI, and a CT of the same head on another grid, whose values are another function of the tissues."""
    volumes = []
    for name, step, shape in (("mri", 4.0, SHAPE), ("ct", 4.6, (40, 46, 36))):
        affine = np.diag([step, step, step, 1])
        affine[:3, 3] = -step * (np.array(shape) - 1) / 2
        places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")) * step
        places = places + affine[:3, 3].reshape(3, 1, 1, 1)
        radius = np.sqrt(((places / np.array([70, 85, 65])[:, None, None, None]) ** 2).sum(0))
        tissue = np.zeros(shape)
        for centre, size, level in BLOBS:
            away = (places - np.reshape(centre, (3, 1, 1, 1))) / size
            tissue += level * np.exp(-0.5 * (away**2).sum(0))
        if name == "mri":
            values = np.where(radius < 0.9, 500 + 400 * tissue, 0)
        else:
            values = np.where(radius < 0.9, 600 - 900 * tissue**2, np.where(radius < 1, 1000, -1000))
        noise = np.random.default_rng(1).normal(0, 3, shape)
        volumes.append(Volume(name, (values + noise).astype(np.float32), affine))
    return volumes


def moved(volume, transform):
    return replace(volume, affine=transform @ volume.affine)


@pytest.mark.slow
def test_a_known_motion_is_found():
    mri, ct = pair()
    known = oblique((3, -2, 4), (1, 1, 1), (7.0, -5.0, 4.0))
    found = place(mri, moved(ct, known), "rigid")
    shift, turn = motion(found.transform @ known)
    assert shift < 2 and turn < motion(known)[1]  # of voxels of 4 and 4.6 mm, and a nearly round head
    assert found.after > found.before
    assert np.allclose(found.volume.affine, found.transform @ known @ ct.affine)
    assert "registered (rigid): moved by " in found.describe() and "mutual information" in found.describe()


@pytest.fixture(scope="module")
def found_in_place():
    return place(*pair(), "rigid")


def test_what_lies_well_stays(found_in_place):
    shift, turn = motion(found_in_place.transform)
    assert shift < 2 and turn < 1


def test_a_transform_is_saved_and_used_again(tmp_path, found_in_place):
    import SimpleITK

    mri, ct = pair()
    known = oblique((3, 0, 5), (1, 1, 1), (2.0, -3.0, 1.0))
    away = moved(ct, known)
    path = tmp_path / "t.tfm"
    found = replace(found_in_place, transform=np.linalg.inv(known))
    path.write_bytes(found.to_bytes())
    again = place(mri, away, str(path))
    assert np.allclose(again.volume.affine, ct.affine, atol=1e-6)
    assert again.describe().startswith("registered (transform t.tfm): moved by")
    # its points go from the base to the other, in LPS, as ITK resamples
    read = SimpleITK.ReadTransform(str(path))
    point = np.array([10.0, -20, 30])
    flip = np.array([-1, -1, 1])
    assert np.allclose(
        np.array(read.TransformPoint((point * flip).tolist())) * flip, known[:3, :3] @ point + known[:3, 3]
    )


def test_unrelated_volumes_are_refused_with_their_score():
    mri, _ = pair()
    noise = Volume("noise", np.random.default_rng(3).normal(size=SHAPE).astype(np.float32), mri.affine)
    with pytest.raises(
        InputError, match=r"noise cannot be registered to mri: normalised mutual information 0\.\d+"
    ):
        place(mri, noise, "rigid")


def test_what_is_no_transform(tmp_path):
    mri, ct = pair()
    with pytest.raises(InputError, match=r"`register` .*t.tfm does not exist; give rigid"):
        place(mri, ct, str(tmp_path / "t.tfm"))
    (tmp_path / "t.tfm").write_text("hello")
    with pytest.raises(InputError, match="is no transform of ITK"):
        place(mri, ct, str(tmp_path / "t.tfm"))
    rgb = Volume("rgb", np.zeros((*SHAPE, 3), np.uint8), mri.affine)
    with pytest.raises(InputError, match="rgb holds RGB colours, which cannot be registered"):
        place(mri, rgb, "rigid")


def test_the_score_knows_relation_and_place():
    mri, ct = pair()
    assert score(mri, mri) > 0.9
    aside = np.eye(4)
    aside[0, 3] = 12
    assert score(mri, ct) > 1.3 * score(mri, moved(ct, aside))
    aside[0, 3] = 1000
    assert score(mri, moved(ct, aside)) == 0


@pytest.mark.slow
def test_the_real_pair_after_a_known_motion(data_root):
    from fsidfusion.fusion.volumes.nifti import read_nifti

    folder = data_root / "formats" / "volumes"
    t1, ct = (read_nifti(folder / f"{name}.nii.gz") for name in ("t1", "ct"))
    known = oblique((5, -7, 4), (1, 1, 1), (9.0, 6.0, -8.0))
    found = place(t1, moved(ct, known), "rigid")
    left = found.transform @ known
    shift, turn = motion(left)
    assert turn < 1
    centre = np.append(t1.affine[:3, :3] @ (np.array(t1.shape) / 2) + t1.affine[:3, 3], 1)
    assert np.linalg.norm((left @ centre - centre)[:3]) < 1
    assert resample(found.volume, t1).shape == t1.shape and shift < 2
