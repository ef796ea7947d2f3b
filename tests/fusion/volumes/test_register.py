"""Registration finds a motion that is known, and says no where there is none to find."""

from dataclasses import replace

import numpy as np
import pytest

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.grid import Volume
from fsidfusion.fusion.volumes.nifti import read_nifti
from fsidfusion.fusion.volumes.register import motion, place, score
from fsidfusion.studies.registration import cases, measure, to_markdown
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


def left_of(found, known):
    """What is left of a known motion, of a pair that lies about the origin: millimetres there, degrees."""
    left = found.transform @ known
    return np.linalg.norm(left[:3, 3]), motion(left)[1]


def test_a_known_motion_is_found():
    """Of a nearly round head, with voxels of 4 and 4.6 mm."""
    mri, ct = pair()
    known = oblique((9, -6, 12), (1, 1, 1), (14.0, -9.0, 8.0))
    found = place(mri, moved(ct, known), "rigid")
    shift, turn = left_of(found, known)
    assert shift < 0.5 and turn < 1
    assert found.after > found.before and not found.untold
    assert np.allclose(found.volume.affine, found.transform @ known @ ct.affine)
    assert "registered (rigid): moved by " in found.describe() and "mutual information" in found.describe()
    assert found.notes() == [found.describe()]


@pytest.mark.slow
def test_a_part_of_the_head_on_other_voxels():
    mri, ct = pair()
    affine = ct.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ (6, 0, 5)
    part = Volume("part", ct.voxels[6:, :-7:, 5:-3].copy(), affine)
    known = oblique((-5, 4, -8), (1, 1, 1), (-8.0, 15.0, 6.0))
    shift, turn = left_of(place(mri, moved(part, known), "rigid"), known)
    assert shift < 1 and turn < 1


def revolved(axes):
    """An MRI and a CT of a skull and a brain that are solids of revolution."""
    volumes = []
    for name, step, count in (("mri", 3.5, 52), ("ct", 4.0, 46)):
        affine = np.diag([step, step, step, 1])
        affine[:3, 3] = -step * (count - 1) / 2
        places = np.stack(np.meshgrid(*[np.arange(count)] * 3, indexing="ij")) * step + affine[0, 3]
        radius = np.sqrt(((places / np.reshape(axes, (3, 1, 1, 1))) ** 2).sum(0))
        mri = np.select([radius < 0.9, radius < 0.96, radius < 1.03], [600, 20, 850], 0)
        ct = np.select([radius < 0.9, radius < 0.96, radius < 1.03], [35, 1000, 40], -1000)
        values = mri if name == "mri" else ct
        noise = np.random.default_rng(len(name)).normal(0, 5, values.shape)
        volumes.append(Volume(name, (values + noise).astype(np.float32), affine))
    return volumes


def test_a_turn_that_cannot_be_told_is_said():
    mri, ct = revolved((70, 70, 84))
    known = oblique((0, 0, 9), (1, 1, 1), (6.0, -7.0, 4.0))
    found = place(mri, moved(ct, known), "rigid")
    assert left_of(found, known)[0] < 0.5
    assert set(found.untold) == {"head-foot"} and found.untold["head-foot"] < 0.07
    told = found.notes()[1]
    assert "do not tell the turn about an axis" in told and "head-foot" in told


@pytest.fixture(scope="module")
def found_in_place():
    return place(*pair(), "rigid")


def test_what_lies_well_stays(found_in_place):
    shift, turn = motion(found_in_place.transform)
    assert shift < 0.5 and turn < 0.5


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
    assert score(mri, mri) > 0.5 > score(mri, ct)
    aside = np.eye(4)
    aside[0, 3] = 12
    assert score(mri, ct) > 1.3 * score(mri, moved(ct, aside))
    aside[0, 3] = 1000
    assert score(mri, moved(ct, aside)) == 0


@pytest.mark.slow
def test_the_real_pair_after_known_motions(data_root):
    """Averages of many heads each, which lie on each other to somewhat below a millimetre themselves."""
    folder = data_root / "formats" / "volumes"
    pair = [read_nifti(folder / f"{name}.nii.gz") for name in ("t1", "ct")]
    errors = measure(cases(*pair)[:1], count=1, seed=3)
    print(to_markdown(errors))
    assert len(errors) == 2 and not any(error.refused for error in errors)
    assert max(error.centre for error in errors) < 1
    assert max(error.turned for error in errors) < 1
