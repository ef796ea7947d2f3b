import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fsidfusion.errors import FusionError
from fsidfusion.images.output_range import MAX_GAIN, apply_range, find_range

images = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    elements=st.floats(-0.25, 1.25, width=32),
)


@given(images)
def test_the_percentile_stretch_is_bounded_and_loses_next_to_nothing(fused):
    found = find_range(fused)
    assert found.high - found.low >= 1 / MAX_GAIN - 1e-6
    assert found.low >= -1e-6
    assert found.high <= 1 + 1e-6
    inside = np.clip(fused, 0, 1)
    low, high = np.quantile(inside, [0.01, 0.99], method="nearest")
    assert found.low <= low + 1e-4
    assert found.high >= high - 1e-4


def test_one_hot_pixel_does_not_decide():
    fused = np.tile(np.linspace(0.2, 0.8, 256, dtype=np.float32), (256, 1))
    quiet = find_range(fused)
    fused[100, 100], fused[3, 4] = 1.0, 0.0
    hot = find_range(fused)
    assert abs(hot.low - quiet.low) < 0.01
    assert abs(hot.high - quiet.high) < 0.01
    assert (find_range(fused, "minmax").low, find_range(fused, "minmax").high) == (0.0, 1.0)


def test_a_flat_image_keeps_its_gray():
    for value in (0.0, 0.3, 1.0):
        flat = np.full((5, 7), value, np.float32)
        np.testing.assert_allclose(apply_range(flat, find_range(flat)), value, atol=1e-4)


@given(images)
def test_minmax_fills_the_range_as_published(fused):
    mapped = apply_range(fused, find_range(fused, "minmax"))
    if fused.max() - fused.min() > 1e-3:
        expected = (fused - fused.min()) / (fused.max() - fused.min())
        np.testing.assert_allclose(mapped, expected, atol=1e-3)


@given(images)
def test_none_only_clips(fused):
    np.testing.assert_allclose(apply_range(fused, find_range(fused, "none")), np.clip(fused, 0, 1), atol=1e-6)


def test_unknown_mappings_are_named():
    with pytest.raises(FusionError, match="best"):
        find_range(np.zeros((2, 2), np.float32), "best")
