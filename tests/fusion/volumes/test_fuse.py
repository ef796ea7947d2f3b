"""Volumes through a model: one output mapping for all slices, on the grid of the MRI."""

import numpy as np
import pytest
from pydicom import Dataset

from fsidfusion import Fuser
from fsidfusion.errors import FusionError
from fsidfusion.fusion.color import render
from fsidfusion.fusion.volumes.fuse import Options, ct_window, fuse_volumes
from fsidfusion.fusion.volumes.grid import AXES, Volume, plane, to_display
from fsidfusion.images.output_range import find_range
from fsidfusion.studies.scenes.phantom import render_phantom
from volume_files import head, oblique


@pytest.fixture(scope="module")
def network():
    """The shipped network, which sees only one slice at a time."""
    return Fuser(precision="fp32", runtime="torch", threads=1)


def shifted(millimetres):
    affine = np.eye(4)
    affine[0, 3] = millimetres
    return affine


def fuser(**options):
    return Fuser(model=np.maximum, **options)


@pytest.mark.parametrize("axis", AXES)
def test_slices_are_those_of_the_model_and_share_one_range(network, axis):
    mri, ct = head(affine=oblique()), head((26, 26, 24), oblique(), name="ct")
    ct.voxels[:] = ct.voxels[::-1] * 2 - 1000
    seen = []
    result = fuse_volumes(
        network, mri, ct, "ct", Options(axis), lambda done, total: seen.append((done, total))
    )
    ours, theirs, fused = (
        to_display(voxels, mri.affine) for voxels in (result.mri, result.other, result.voxels)
    )
    total = ours.shape[AXES[axis]]
    pairs = [[np.ascontiguousarray(plane(v, axis, k)) for v in (theirs, ours)] for k in range(total)]
    lumas = [network.fuse_luma([a], [b])[0] for a, b in pairs]
    assert seen[-1] == (total, total)
    shared = find_range(np.concatenate(lumas))
    assert abs(shared.low - result.mapping.low) + abs(shared.high - result.mapping.high) < 1e-3
    for k, luma in enumerate(lumas):
        expected = render(luma, result.mapping, None, np.dtype(np.uint8))
        assert np.abs(plane(fused, axis, k).astype(int) - expected).max() <= 1  # batches round otherwise


def test_equal_fused_values_are_equal_voxels_in_every_slice():
    """A dim slice stays dim: stretched by itself it would be as bright as the others."""
    mri, ct = head(), head()
    for volume in (mri, ct):
        volume.voxels[:, :, 9] *= 0.1
    result = fuse_volumes(fuser(), mri, ct, "ct")
    values = np.maximum(result.mri, result.other)
    expected = render(values.reshape(-1, 1), result.mapping, None, np.dtype(np.uint8)).reshape(values.shape)
    assert np.array_equal(result.voxels, expected)
    assert result.voxels[:, :, 9].max() < 40 < 140 < result.voxels[:, :, 8].max()


def test_sixteen_bits():
    result = fuse_volumes(fuser(), head(), head(), "ct", Options(bits=16))
    assert result.voxels.dtype == np.uint16
    assert len(np.unique(result.voxels)) > 256


def test_uptake_is_coloured_and_the_mri_is_not():
    mri, pet = head(), head(name="pet")
    pet.voxels[:12] = 0
    result = fuse_volumes(fuser(), mri, pet, "pet")
    assert result.voxels.shape == (*mri.shape, 3)
    spread = result.voxels.max(-1).astype(int) - result.voxels.min(-1)
    assert spread[:12].max() == 0 < 200 < spread[12:].max()
    gray = fuse_volumes(fuser(), mri, pet, "spect", Options(colormap="gray"))
    assert gray.voxels.shape == mri.shape
    assert fuse_volumes(fuser(), mri, pet, "spect", Options(gray=True)).voxels.shape == mri.shape


def test_colours_of_an_rgb_volume_are_kept():
    mri = head()
    mri.voxels[0, 0, 0] = 500
    rgb = np.zeros((*mri.shape, 3), np.uint8)
    rgb[..., 2] = 255 * (mri.voxels > 300)
    result = fuse_volumes(fuser(range="none"), mri, Volume("pet", rgb, mri.affine), "pet")
    assert np.array_equal(result.other, rgb)
    blue = result.voxels[rgb[..., 2] > 0].astype(int)
    assert (blue[:, 2] >= blue[:, 0]).all() and (blue[:, 2] > blue[:, 0]).any()


def test_a_phantom_of_phantoms(network):
    """Bone comes from the CT and the cortex from the MRI, through slices that are heads."""
    slices = [render_phantom(seed, 64) for seed in range(3)]
    affine = np.diag([-3.0, -3, 4, 1])
    mri = Volume("mri", np.stack([s.mri.T for s in slices], -1).astype(np.float32), affine)
    ct = Volume("ct", np.stack([s.ct.T for s in slices], -1).astype(np.float32) * 10 - 1000, affine)
    result = fuse_volumes(network, mri, ct, "ct")
    bone = (result.other > 0.9) & (result.mri < 0.2)
    fat = (result.mri > 0.8) & (result.other < 0.3)
    assert result.voxels[bone].mean() > 150
    assert result.voxels[fat].mean() > 150
    air = (result.mri == 0) & (result.other == 0)
    assert np.median(result.voxels[air]) < 12


def test_what_the_user_should_know_is_said():
    mri, ct = head(), head()
    assert fuse_volumes(fuser(), mri, ct, "ct").notes == ()
    (note,) = fuse_volumes(fuser(), mri, ct, "ct", Options(window="bone")).notes
    assert "does not look like Hounsfield units" in note
    (note,) = fuse_volumes(fuser(), mri, head(affine=shifted(12)), "ct").notes
    assert note.startswith("the CT covers 50% of the MRI grid: head (24x28x20 voxels")
    headers = []
    for uid in ("1.2", "1.3"):
        headers.append(Dataset())
        headers[-1].FrameOfReferenceUID = uid
    first, second = (Volume("a", mri.voxels, mri.affine, header) for header in headers)
    assert "different frames of reference" in fuse_volumes(fuser(), first, second, "ct").notes[0]
    assert fuse_volumes(fuser(), first, first, "ct").notes == ()


def test_a_ct_in_hounsfield_units_is_shown_in_a_bone_window():
    assert ct_window(head(low=-1000, high=1500), Options()) == "bone"
    assert ct_window(head(low=0, high=1500), Options()) is None
    assert ct_window(head(low=-1000, high=1500), Options(window="80,40")) == "80,40"


RGB = Volume("rgb", np.ones((24, 28, 20, 3), np.uint8), np.eye(4))
FLAT = Volume("flat", np.ones((24, 28, 20), np.float32), np.eye(4))


@pytest.mark.parametrize(
    ("mri", "other", "modality", "options", "message"),
    [
        (head(), head(), "pet", Options(window="brain"), "a window is for CT, given PET"),
        (head(), head(), "ct", Options(colormap="hot"), "a colour map is for PET and SPECT, given CT"),
        (head(), head(), "spect", Options(bits=16), "a volume in colour has 8 bits"),
        (head(), head(), "ct", Options(window="x"), "window 'x' is unknown"),
        (head(), head(), "ct", Options(window="10,9000"), r"the window 10,9000 shows 8995\.\.9005"),
        (RGB, head(), "ct", Options(), "rgb holds RGB colours, expected the values of the MRI"),
        (head(), RGB, "ct", Options(), "expected the values of the CT"),
        (head(), RGB, "pet", Options(colormap="hot"), "holds RGB colours already"),
        (FLAT, head(), "ct", Options(), "flat is flat"),
        (head(), FLAT, "pet", Options(), "flat is flat"),
        (head(), head(affine=shifted(23)), "ct", Options(), "head, on the grid of the MRI, is flat"),
        (head(), head(affine=shifted(-90)), "pet", Options(), "do not overlap: head .* head "),
    ],
)
def test_what_cannot_be_fused(mri, other, modality, options, message):
    with pytest.raises(FusionError, match=message) as caught:
        fuse_volumes(fuser(), mri, other, modality, options)
    assert "\n" not in str(caught.value)
