"""Volumes through a model: one output mapping for all slices, on the grid of the MRI."""

from dataclasses import replace

import numpy as np
import pytest

from fsidfusion import Fuser
from fsidfusion.errors import FusionError
from fsidfusion.fusion.color import render
from fsidfusion.fusion.fine import fuse_fine
from fsidfusion.fusion.volumes.fuse import Options, fuse_volumes
from fsidfusion.fusion.volumes.grid import AXES, Volume, display_spacing, plane, to_display
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
        to_display(voxels, mri.affine) for voxels in (result.base, result.other, result.voxels)
    )
    total = ours.shape[AXES[axis]]
    assert result.axis == axis
    x, y, z = display_spacing(mri.affine)
    spacing = {"axial": (y, x), "coronal": (z, x), "sagittal": (z, y)}[axis]
    pairs = [[np.ascontiguousarray(plane(v, axis, k)) for v in (theirs, ours)] for k in range(total)]
    lumas = [fuse_fine(network, [a], [b], spacing)[0] for a, b in pairs]
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
    values = np.maximum(result.base, result.other)
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
    assert (result.colormap, result.level.low) == ("hot", 0)
    spread = result.voxels.max(-1).astype(int) - result.voxels.min(-1)
    assert spread[:12].max() == 0 < 100 < spread[12:].max()
    gray = fuse_volumes(fuser(), mri, pet, "spect", Options(colormap="gray"))
    assert gray.voxels.shape == mri.shape
    assert fuse_volumes(fuser(), mri, pet, "spect", Options(gray=True)).voxels.shape == mri.shape


@pytest.mark.parametrize("style", ["fused", "overlay"])
@pytest.mark.parametrize("colormap", ["hot", "rainbow", "viridis", "inferno"])
def test_equal_uptake_looks_alike_whatever_the_mri_shows(style, colormap):
    """An enhancing lesion with uptake, one without, and uptake where the MRI shows nothing."""
    mri = head(low=300, high=600)
    pet = Volume("pet", np.ones(mri.shape, np.float32), mri.affine)
    recurrence, necrosis, hidden = (slice(a, a + 4) for a in (2, 10, 18))
    for part, level, uptake in ((recurrence, 900, 4), (necrosis, 900, 0.3), (hidden, None, 4)):
        pet.voxels[part, 8:16, 6:14] = uptake
        if level:
            mri.voxels[part, 8:16, 6:14] = level
    model = None if style == "overlay" else fuser()
    options = Options(style=style, colormap=colormap, base_window="0..1000")
    result = fuse_volumes(model, mri, pet, "pet", options)
    first, second, third = (
        np.median(result.voxels[part, 9:15, 7:13].reshape(-1, 3), axis=0)
        for part in (recurrence, necrosis, hidden)
    )
    alike, unlike = (np.linalg.norm(first - one) for one in (third, second))
    assert unlike > 2 * alike and unlike > 60


def test_an_overlay_needs_no_model_and_keeps_both():
    mri, pet = head(), head(name="pet")
    pet.voxels[:12] = 0
    result = fuse_volumes(None, mri, pet, "pet", Options(style="overlay"))
    bare = result.voxels[:12].astype(int)
    assert np.array_equal(bare[..., 0], bare[..., 2])
    assert np.abs(bare[..., 0] - 127.5 * result.base[:12]).max() <= 1
    both = fuse_volumes(None, mri, pet, "mri", Options(style="overlay"))
    assert both.voxels.shape == mri.shape and both.colormap is None


def test_thin_bone_is_as_bright_on_coarse_pixels(network):
    """A shell that the CT alone shows; on 2.5 mm it is two to three pixels wide."""
    for step in (2.5, 1.5):
        n = round(160 / step)
        x = (np.arange(n) - (n - 1) / 2) * step
        parts = np.linspace(-step / 3, step / 3, 3)
        mri, ct = np.zeros((2, n, n))
        for a in parts:
            for b in parts:
                r = np.hypot(x[:, None] + a, x + b)
                mri += np.where(r < 60, 600, np.where(r > 66, np.where(r < 72, 850, 0), 0)) / 9
                ct += np.where((r >= 60) & (r <= 66), 1000, np.where(r < 72, 35, -1000)) / 9
        noise = np.random.default_rng(0).normal(0, 10, (2, n, n))
        affine = np.diag([-step, -step, 4, 1])
        volumes = [
            Volume(name, np.repeat((v + e)[..., None], 2, axis=2).astype(np.float32), affine)
            for name, v, e in (("mri", np.abs(mri), noise[0]), ("ct", ct, noise[1]))
        ]
        result = fuse_volumes(network, *volumes, "ct")
        assert np.median(result.voxels[ct > 850]) >= 190


def test_slices_are_those_that_were_acquired():
    sagittal = np.array([[0, 0, 5.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    mri, ct = head((20, 22, 8), sagittal), head((20, 22, 8), sagittal)
    assert fuse_volumes(fuser(), mri, ct, "ct").axis == "sagittal"
    assert fuse_volumes(fuser(), mri, ct, "ct", Options(axis="coronal")).axis == "coronal"
    assert fuse_volumes(fuser(), head(), head(), "ct").axis == "axial"


def test_any_base_and_pair():
    ct = head(low=-1000, high=1500, name="ct")
    result = fuse_volumes(fuser(), ct, head(name="pet"), "pet", base_modality="ct")
    assert str(result.base_level) == "-500..1500 HU (bone window)"
    assert result.voxels.shape == (*ct.shape, 3)
    dose = fuse_volumes(
        fuser(), ct, replace(head(high=60, name="dose"), unit="Gy"), "dose", Options(base_window="brain"),
        base_modality="ct",
    )  # fmt: skip
    assert str(dose.base_level) == "0..80 HU (window brain)" and dose.level.unit == "Gy"
    two = fuse_volumes(fuser(), head(), head(low=5, high=20), "mri", Options(window="10..15"))
    assert (two.level.low, two.level.high, two.voxels.ndim) == (10, 15, 3)


def test_outlines_of_labels_are_drawn():
    mri, pet = head(), head(name="pet")
    labels = np.zeros(mri.shape, np.float32)
    labels[5:15, 6:16, 8:12] = 2
    plain = fuse_volumes(fuser(), mri, pet, "pet").voxels
    drawn = fuse_volumes(fuser(), mri, pet, "pet", labels=Volume("l", labels, mri.affine)).voxels
    changed = (drawn != plain).any(-1)
    edge = np.zeros(mri.shape, bool)
    edge[5:15, 6:16, 8:12] = True
    edge[6:14, 7:15, 8:12] = False
    assert np.array_equal(changed, edge)
    assert np.unique(drawn[edge], axis=0).tolist() == [[255, 0, 255]]
    gray = fuse_volumes(fuser(), mri, head(), "ct", labels=Volume("l", labels, mri.affine)).voxels
    assert gray.shape == (*mri.shape, 3)
    with pytest.raises(FusionError, match=r"l is no label map; expected whole numbers from 0 to 255"):
        fuse_volumes(fuser(), mri, pet, "pet", labels=Volume("l", labels + 0.5, mri.affine))


def test_colours_of_an_rgb_volume_are_laid_over():
    mri = head()
    rgb = np.zeros((*mri.shape, 3), np.uint8)
    rgb[..., 2] = 255 * (mri.voxels > 300)
    result = fuse_volumes(fuser(range="none"), mri, Volume("pet", rgb, mri.affine), "pet")
    assert np.array_equal(result.other, rgb) and result.level is None
    blue = result.voxels[rgb[..., 2] > 0].astype(int)
    assert (blue[:, 2] > blue[:, 0] + 50).all()
    bare = result.voxels[rgb[..., 2] == 0]
    assert np.array_equal(bare[:, 0], bare[:, 2])


def test_a_phantom_of_phantoms(network):
    """Bone comes from the CT and the cortex from the MRI, through slices that are heads."""
    slices = [render_phantom(seed, 64) for seed in range(3)]
    affine = np.diag([-3.0, -3, 4, 1])
    mri = Volume("mri", np.stack([s.mri.T for s in slices], -1).astype(np.float32), affine)
    ct = Volume("ct", np.stack([s.ct.T for s in slices], -1).astype(np.float32) * 10 - 1000, affine)
    result = fuse_volumes(network, mri, ct, "ct")
    bone = (result.other > 0.9) & (result.base < 0.2)
    fat = (result.base > 0.8) & (result.other < 0.3)
    assert result.voxels[bone].mean() > 150
    assert result.voxels[fat].mean() > 150
    air = (result.base == 0) & (result.other == 0)
    assert np.median(result.voxels[air]) < 12


def test_what_the_user_should_know_is_said():
    mri, ct = head(), head()
    assert fuse_volumes(fuser(), mri, ct, "ct").notes == ()
    (note,) = fuse_volumes(fuser(), mri, ct, "ct", Options(window="bone")).notes
    assert "does not look like Hounsfield units" in note
    (note,) = fuse_volumes(fuser(), mri, head(affine=shifted(12)), "ct").notes
    assert note.startswith("the CT covers 50% of the grid: head (24x28x20 voxels")
    noted = replace(mri, notes=("sheared back",)), replace(ct, notes=("mean of 3",))
    assert fuse_volumes(fuser(), *noted, "ct").notes == ("sheared back", "mean of 3")


RGB = Volume("rgb", np.ones((24, 28, 20, 3), np.uint8), np.eye(4))
FLAT = Volume("flat", np.ones((24, 28, 20), np.float32), np.eye(4))
EMPTY = Volume("empty", np.zeros((24, 28, 20), np.float32), np.eye(4))


@pytest.mark.parametrize(
    ("mri", "other", "modality", "options", "message"),
    [
        (head(), head(), "pet", Options(window="brain"), "the window brain is for CT, given PET"),
        (head(), head(), "ct", Options(colormap="hot"), "a colour map is for PET, SPECT and dose, given CT"),
        (
            head(),
            head(),
            "ct",
            Options(unit="SUV"),
            "the unit SUV is not known for CT",
        ),
        (head(), head(), "pet", Options(unit="SUV"), "head is no DICOM series, so its header holds no dose"),
        (
            head(),
            head(),
            "pet",
            Options(style="mixed"),
            "style 'mixed' is unknown",
        ),
        (head(), RGB, "dose", Options(), "expected the values of the DOSE"),
        (head(), head(), "spect", Options(bits=16), "a volume in colour has 8 bits"),
        (head(), head(), "ct", Options(window="x"), "window 'x' is unknown"),
        (head(), head(), "ct", Options(window="10,9000"), r"the window 10,9000 shows 8995\.\.9005"),
        (RGB, head(), "ct", Options(), "rgb holds RGB colours, expected the values of the MRI"),
        (head(), RGB, "ct", Options(), "expected the values of the CT"),
        (head(), RGB, "pet", Options(colormap="hot"), "holds RGB colours already"),
        (FLAT, head(), "ct", Options(), "flat is flat"),
        (head(), EMPTY, "pet", Options(), "empty is flat"),
        (
            head(),
            head(affine=shifted(23)),
            "pet",
            Options(),
            "head shows nothing on the grid of head",
        ),
        (head(), head(affine=shifted(-90)), "pet", Options(), "do not overlap: head .* head "),
    ],
)
def test_what_cannot_be_fused(mri, other, modality, options, message):
    with pytest.raises(FusionError, match=message) as caught:
        fuse_volumes(fuser(), mri, other, modality, options)
    assert "\n" not in str(caught.value)
