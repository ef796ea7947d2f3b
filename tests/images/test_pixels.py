import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fsidfusion.errors import FusionError
from fsidfusion.images.pixels import check_pixels, is_gray, luma, quantise, recolour, resize, strips, unit

WEIGHTS = np.array([0.299, 0.587, 0.114])
units = st.floats(0, 1, width=32)
sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(
    sizes.flatmap(
        lambda size: st.tuples(hnp.arrays(np.float32, size, elements=units), hnp.arrays(np.uint8, (*size, 3)))
    )
)
def test_recolouring_keeps_the_luma_the_hue_and_the_range(case):
    level, rgb = case
    result = recolour(level, rgb).astype(np.float64)
    assert result.min() >= -1e-6
    assert result.max() <= 1 + 1e-6
    np.testing.assert_allclose(result @ WEIGHTS, level, atol=2e-6)
    chroma = rgb / 255 - (rgb / 255 @ WEIGHTS)[..., None]
    carried = result - level[..., None]
    scale = (carried * chroma).sum(-1) / np.maximum((chroma**2).sum(-1), 1e-12)
    np.testing.assert_allclose(
        carried, scale[..., None] * chroma, atol=2e-6
    )  # one factor for all three channels
    assert scale.max() <= 1 + 1e-4


def test_chroma_that_fits_is_carried_unchanged():
    rgb = np.array([[[120, 100, 90]]], np.uint8)
    np.testing.assert_allclose(recolour(luma(rgb), rgb), rgb / 255, atol=1e-6)
    lighter = recolour(luma(rgb) + np.float32(0.1), rgb)
    np.testing.assert_allclose(lighter, rgb / 255 + 0.1, atol=1e-6)


def test_gray_pixels_take_no_tint():
    rgb = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    level = np.linspace(0, 1, 256, dtype=np.float32)[None]
    result = quantise(recolour(level, rgb), np.dtype(np.uint8))
    assert is_gray(result)
    np.testing.assert_array_equal(result[..., 0], quantise(level, np.dtype(np.uint8)))


@pytest.mark.parametrize("dtype, largest", [(np.uint8, 255), (np.uint16, 65535)])
def test_luma_is_the_weighted_sum(dtype, largest):
    rgb = np.random.default_rng(0).integers(0, largest + 1, (9, 7, 3), dtype)
    np.testing.assert_allclose(luma(rgb), rgb / largest @ WEIGHTS, atol=1e-6)
    white = luma(np.full((1, 1, 3), largest, dtype))
    assert 1 - 1e-6 <= white[0, 0] <= 1
    np.testing.assert_array_equal(luma(rgb[..., 0]), (rgb[..., 0] / largest).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_quantising_rounds_to_nearest_and_undoes_unit(dtype):
    every = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    np.testing.assert_array_equal(quantise(unit(every), np.dtype(dtype)), every)
    step = 1 / np.iinfo(np.uint8).max
    nearby = np.array([-1, 0.49 * step, 0.51 * step, 1.49 * step, 1 - 0.51 * step, 2], np.float32)
    assert quantise(nearby, np.dtype(np.uint8)).tolist() == [0, 0, 1, 1, 254, 255]


@given(st.integers(1, 5000), st.integers(1, 5_000_000))
def test_strips_cover_every_row_once(height, width):
    rows = np.concatenate([np.arange(height)[strip] for strip in strips(height, width)])
    np.testing.assert_array_equal(rows, np.arange(height))


@given(sizes, sizes, st.sampled_from([np.uint8, np.uint16, np.float32]), st.booleans())
def test_resizing_keeps_kind_and_range(old, new, dtype, colour):
    pixels = np.zeros((*old, 3) if colour else old, dtype)
    pixels[::2] = 1 if dtype == np.float32 else np.iinfo(dtype).max
    result = resize(pixels, *new)
    assert result.shape == ((*new, 3) if colour else new)
    assert result.dtype == dtype
    check_pixels(result, "result")


@pytest.mark.parametrize(
    "pixels, words",
    [
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros(4, np.uint8), r"\(H, W\)"),
        (np.zeros((0, 4), np.uint8), "no pixel"),
        (np.zeros((4, 4), np.int32), "int32"),
        (np.zeros((4, 4), bool), "bool"),
        (np.full((4, 4), np.nan, np.float32), "NaN"),
        (np.full((4, 4), 200.0), "0..1"),
        (np.full((4, 4), np.inf), "0..1"),
    ],
)
def test_what_cannot_be_fused_is_named(pixels, words):
    with pytest.raises(FusionError, match=words) as error:
        check_pixels(pixels, "the infrared image")
    assert "the infrared image" in str(error.value)
