"""Geometry: what lies where, and what it becomes on another grid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsidfusion.errors import FusionError
from fsidfusion.fusion.volumes.grid import (
    Volume,
    check_affine,
    describe_grid,
    display_affine,
    from_display,
    overlap,
    plane,
    resample,
    to_display,
)
from volume_files import head, oblique


def turned(volume, order, flips):
    """The same volume with its voxel axes swapped and reversed, in the same place."""
    voxels, affine = volume.voxels, volume.affine
    swap = np.eye(4)[:, [*order, 3]]
    voxels, affine = voxels.transpose(order), affine @ swap
    for axis, flip in enumerate(flips):
        if flip:
            reverse = np.eye(4)
            reverse[axis, axis], reverse[axis, 3] = -1, voxels.shape[axis] - 1
            voxels, affine = np.flip(voxels, axis), affine @ reverse
    return Volume("turned", np.ascontiguousarray(voxels), affine)


turns = st.tuples(st.permutations([0, 1, 2]), st.tuples(st.booleans(), st.booleans(), st.booleans()))


def test_the_same_grid_is_left_alone():
    volume = head(affine=oblique())
    assert resample(volume, head(affine=oblique())) is volume.voxels


@given(turns)
def test_flips_and_swaps_are_exact(turn):
    volume = head(affine=oblique())
    assert np.array_equal(resample(turned(volume, *turn), volume), volume.voxels)


@given(turns)
def test_a_volume_is_turned_for_display_and_back(turn):
    volume = turned(head(affine=np.diag([2.0, 3.0, 4.0, 1.0])), *turn)
    shown = to_display(volume.voxels, volume.affine)
    affine = display_affine(volume)
    assert np.array_equal(from_display(shown, volume.affine), volume.voxels)
    assert np.allclose(np.sign(np.diag(affine)[:3]), [-1, -1, 1])  # left, back, head
    place = np.array([5, 6, 7, 1])
    before = np.linalg.solve(volume.affine, affine @ place)[:3]
    assert shown[5, 6, 7] == volume.voxels[tuple(np.rint(before).astype(int))]


def ramp(affine, shape, gradient):
    """A volume that is linear in millimetres."""
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) @ affine[:3, :3].T
    return Volume("ramp", ((places + affine[:3, 3]) @ gradient).astype(np.float32), affine)


@settings(max_examples=25)
@given(
    st.tuples(*[st.floats(-40, 40)] * 3),
    st.tuples(*[st.floats(0.8, 2.5)] * 3),
    st.tuples(*[st.floats(-3, 3)] * 3),
)
def test_a_linear_field_is_the_same_on_every_grid(angles, steps, origin):
    """Trilinear resampling, smoothed or not, keeps what is linear in millimetres, away from the edges."""
    gradient = np.array([1.0, -2.0, 0.5])
    source = ramp(oblique((0, 0, 0), (1.2, 1.4, 1.6), (-30.0, -35.0, -40.0)), (50, 50, 50), gradient)
    middle = oblique(angles, steps, origin)
    grid = ramp(middle, (6, 5, 4), gradient)
    assert overlap(grid, source) == 1
    assert np.allclose(resample(source, grid), grid.voxels, atol=2e-3)


def test_a_coarse_grid_shows_means_and_no_aliases():
    stripes = np.zeros((64, 8, 8), np.float32)
    stripes[::2] = 100
    fine = Volume("fine", stripes, np.diag([0.5, 2, 2, 1.0]))
    coarse = Volume("coarse", np.zeros((15, 8, 8), np.float32), np.diag([2.0, 2, 2, 1]))
    inner = resample(fine, coarse)[2:-2]
    assert np.allclose(inner, 50, atol=1)


def test_what_lies_outside_takes_the_least_value():
    small = head((10, 10, 10), low=-1000)
    grid = Volume("grid", np.zeros((30, 10, 10), np.float32), np.eye(4))
    result = resample(small, grid)
    assert overlap(grid, small) == pytest.approx(1 / 3, abs=0.02)
    assert (result[11:] == -1000).all()
    assert np.array_equal(result[:9], small.voxels[:9])


def test_colours_are_resampled_too():
    volume = head()
    rgb = np.stack([volume.voxels / 4, volume.voxels / 8, 0 * volume.voxels], -1).astype(np.uint8)
    colours = Volume("rgb", rgb, np.eye(4))
    shifted = np.eye(4)
    shifted[0, 3] = 1
    result = resample(colours, Volume("grid", volume.voxels, shifted))
    assert result.dtype == np.uint8
    assert np.array_equal(result[:-1], rgb[1:])


def test_volumes_apart_are_refused_with_both_grids():
    away = np.eye(4)
    away[:3, 3] = 500
    with pytest.raises(FusionError, match=r"do not overlap.*24x28x20 voxels of 1x1x1 mm, RAS.*x 500\.\.524"):
        resample(head(affine=away), head())


def test_a_grid_is_described_in_patient_terms():
    assert describe_grid(head(affine=np.diag([-2.0, -2, 4, 1]))) == (
        "head (24x28x20 voxels of 2x2x4 mm, LPS) covers x -47..1, y -55..1, z -2..78 mm"
    )


def test_planes_are_seen_as_radiologists_do():
    """A voxel at the patient's left, front and top: right, top and top in the pictures."""
    voxels = np.zeros((4, 5, 6))
    voxels[3, 0, 5] = 1  # LPS axes
    assert plane(voxels, "axial", 5)[0, 3] == 1
    assert plane(voxels, "coronal", 0)[0, 3] == 1
    assert plane(voxels, "sagittal", 3)[0, 0] == 1


@pytest.mark.parametrize("broken", [np.diag([1.0, 1, 0, 1]), np.full((4, 4), np.nan), np.ones((4, 4))])
def test_a_grid_that_is_none(broken):
    with pytest.raises(FusionError, match="broken geometry"):
        check_affine(broken, "x.nii")
