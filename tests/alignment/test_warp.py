import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsidfusion import Fuser
from fsidfusion.alignment.features import picture_mask
from fsidfusion.alignment.transform import Alignment
from fsidfusion.alignment.warp import InfraredWarp, align_pair, largest_rectangle
from fsidfusion.errors import FusionError
from fsidfusion.images.pixels import luma

SIZE = (60, 80)


def shifted(x, y, visible=SIZE, infrared=SIZE):
    return Alignment(
        np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]]), visible, infrared, "translation", "points"
    )


def picture(*shape, dtype=np.uint8, seed=0):
    values = np.random.default_rng(seed).integers(1, 200, shape)
    return (values / 255).astype(dtype) if np.dtype(dtype).kind == "f" else values.astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_what_needs_no_move_is_kept(dtype, channels):
    infrared = picture(*SIZE, *channels, dtype=dtype)
    aligned = InfraredWarp(shifted(0, 0), SIZE, SIZE)(infrared, picture(*SIZE, 3))
    assert aligned.infrared.dtype == dtype
    assert np.abs(aligned.infrared.astype(float) - infrared).max() <= (1e-3 if dtype == np.float16 else 1e-6)
    assert (aligned.weight == 1).all()


def test_whole_shifts_are_exact_and_fade_to_the_visible_picture():
    infrared, visible = picture(*SIZE), picture(*SIZE, seed=1)
    aligned = InfraredWarp(shifted(20, -10), SIZE, SIZE)(infrared, visible)
    inner = aligned.weight == 1
    assert np.array_equal(aligned.infrared[10:, :60][inner[10:, :60]], infrared[:50, 20:][inner[10:, :60]])
    assert np.array_equal(aligned.weight > 0, np.pad(np.ones((50, 60), bool), ((10, 0), (0, 20))))
    assert np.array_equal(aligned.infrared[aligned.weight == 0], visible[aligned.weight == 0])
    assert (np.diff(aligned.weight[40, 40:60]) <= 0).all()  # to 0, step by step
    assert np.abs(np.diff(aligned.weight, axis=1)).max() < 0.5


def test_beside_a_thin_strip_the_picture_fades_over_little():
    size = (240, 320)
    thin, thick = (
        InfraredWarp(shifted(x, 0, size, size), size, size)(picture(*size), picture(*size)).weight[120]
        for x in (2, 30)
    )
    assert (thin[-2:] == 0).all() and (thin[:-10] == 1).all()
    assert thick[-31 - 8] < 0.6  # over 8 % of the shorter side


def test_hard_edges_where_nothing_is_to_fade():
    aligned = InfraredWarp(shifted(20, -10), SIZE, SIZE, feather=0)(picture(*SIZE), picture(*SIZE))
    assert set(np.unique(aligned.weight)) == {0, 1}
    assert aligned.common_part() == (slice(10, 60), slice(0, 60))


@given(st.integers(-15, 15), st.integers(-15, 15))
def test_no_black_border_comes_with_any_shift(x, y):
    """Bright on bright stays bright, whatever is missing."""
    visible = np.full((*SIZE, 3), 200, np.uint8)
    infrared = np.full(SIZE, 180, np.uint8)
    fuser = Fuser(lambda ours, theirs: (ours + theirs) / 2, range="none")
    fused = fuser.fuse(infrared, visible, align=shifted(x, y))
    assert fused.shape == visible.shape
    assert fused.min() >= 189


def test_black_padding_of_an_earlier_warp_is_no_picture():
    infrared = picture(*SIZE) + np.uint8(20)
    infrared[:, :12] = 0
    infrared[30, 40] = 0  # a dark spot inside
    mask = picture_mask(infrared)
    assert not mask[:, :15].any()
    assert mask[:, 15:].all()
    visible = np.full(SIZE, 100, np.uint8)
    aligned = InfraredWarp(shifted(0, 0), SIZE, SIZE)(infrared, visible)
    assert (aligned.infrared[:, :12] == 100).all()
    plain = InfraredWarp(shifted(0, 0), SIZE, SIZE, padding=False)(infrared, visible)
    assert np.array_equal(plain.infrared, infrared)


def test_unequal_sizes_meet_in_the_visible_frame():
    """A smooth infrared picture of a third of the sides, and one of three times the sides."""
    y, x = np.mgrid[:60, :80]
    visible = np.zeros(SIZE, np.uint8)
    for factor in (3, 1 / 3):
        size = round(60 / factor), round(80 / factor)
        rows, columns = np.mgrid[: size[0], : size[1]]
        infrared = (((columns + 0.5) * factor - 0.5) * 2 + (rows + 0.5) * factor - 0.5 + 5).astype(
            np.float32
        ) / 255
        shift = (1 / factor - 1) / 2
        matrix = np.array([[1 / factor, 0, shift], [0, 1 / factor, shift], [0, 0, 1]])
        alignment = Alignment(matrix, SIZE, size, "similarity", "points")
        warp = InfraredWarp(alignment, size, SIZE)
        expected = (2 * x + y + 5) / 255
        aligned = warp(infrared, visible)
        assert (aligned.weight[1:-1, 1:-1] > 0).all()
        difference = np.abs(aligned.infrared - expected)[8:-8, 8:-8]
        assert difference.max() < 2 / 255
        levels = warp.levels(infrared * 1000)
        assert np.abs(levels / 1000 - expected)[4:-4, 4:-4].max() < 2 / 255


def test_levels_are_unknown_outside_the_field():
    levels = InfraredWarp(shifted(20, 0), SIZE, SIZE).levels(np.full(SIZE, 36.5))
    assert np.isnan(levels[:, 61:]).all()
    assert (levels[:, :59] == np.float32(36.5)).all()


def test_outside_the_field_the_visible_picture_stands_alone():
    infrared, visible = picture(*SIZE), picture(*SIZE, 3, seed=2)
    fuser = Fuser(lambda ours, theirs: np.zeros_like(ours), range="none")
    fused = fuser.fuse(infrared, visible, align=shifted(30, 0), color="gray")
    assert np.abs(fused[:, 51:] - luma(visible[:, 51:]) * 255).max() <= 1
    assert (fused[:, :40] == 0).all()
    cropped = fuser.fuse(infrared, visible, align=shifted(30, 0), crop=True)
    assert cropped.shape == (60, 50, 3)


def test_pairs_that_fit_already_are_fused_as_they_are(scene):
    aligned, note = align_pair(scene.infrared, scene.visible, "auto")
    assert np.array_equal(aligned.infrared, scene.infrared)
    assert (aligned.weight == 1).all()
    assert note.startswith("not aligned: the estimate is no better")
    assert aligned.common_part() == (slice(0, 240), slice(0, 320))


def test_what_cannot_be_applied_is_refused():
    with pytest.raises(FusionError, match="no pixel in common"):
        InfraredWarp(shifted(500, 0), SIZE, SIZE)(picture(*SIZE), picture(*SIZE))
    with pytest.raises(FusionError, match="another shape"):
        InfraredWarp(shifted(0, 0), (60, 60), SIZE)
    with pytest.raises(FusionError, match="limit is 32000"):
        InfraredWarp(shifted(0, 0), (30, 40_000), SIZE)
    with pytest.raises(FusionError, match="infrared has the shape"):
        Fuser("mean").fuse(np.zeros((4, 5, 2), np.uint8), picture(*SIZE), align=shifted(0, 0))


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 9))
def test_the_largest_rectangle_is_that_of_exhaustive_search(seed, height, width):
    mask = np.random.default_rng(seed).random((height, width)) < 0.75
    areas = [
        (bottom - top) * (right - left)
        for top in range(height)
        for bottom in range(top + 1, height + 1)
        for left in range(width)
        for right in range(left + 1, width + 1)
        if mask[top:bottom, left:right].all()
    ]
    if not areas:
        with pytest.raises(FusionError, match="no rectangle in common"):
            largest_rectangle(mask)
        return
    part = largest_rectangle(mask)
    assert mask[part].all()
    assert mask[part].size == max(areas)


def test_a_rectangle_of_a_large_mask_is_grown_to_the_pixel():
    mask = np.zeros((1000, 1203), bool)
    mask[101:902, 203:1101] = True
    assert largest_rectangle(mask) == (slice(101, 902), slice(203, 1101))
