import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsidfusion.errors import FusionError
from fsidfusion.runtime.tiles import Frame, reflected, sample_places, smallest_tile, spans


@st.composite
def cuts(draw):
    multiple = draw(st.sampled_from([1, 2, 4, 8]))
    overlap = draw(st.integers(0, 40))
    size = draw(st.integers(1, 100)) * multiple
    side = draw(st.integers(smallest_tile(overlap, multiple), smallest_tile(overlap, multiple) + 200))
    return size, side, overlap, multiple


@given(cuts())
def test_weights_sum_to_one_and_keep_off_the_context(case):
    size, side, overlap, multiple = case
    total = np.zeros(size)
    tiles = spans(size, side, overlap, multiple)
    for span in tiles:
        assert 0 <= span.start < span.stop <= size
        assert span.start % multiple == span.stop % multiple == 0
        assert span.stop - span.start == tiles[0].stop <= max(side, size)
        assert span.weights.min() >= 0
        if span.start > 0:
            assert not span.weights[:overlap].any()
        if span.stop < size:
            assert not span.weights[len(span.weights) - overlap :].any()
        total[span.start : span.stop] += span.weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


@given(cuts())
def test_tiles_are_no_longer_than_their_number_asks(case):
    size, side, overlap, multiple = case
    tiles = spans(size, side, overlap, multiple)
    length, shared = tiles[0].stop, 2 * overlap + 16
    if len(tiles) > 1 and length > smallest_tile(overlap, multiple):
        assert len(tiles) * (length - multiple) < size + (len(tiles) - 1) * (shared + multiple)


@given(cuts())
def test_neighbours_fade_without_a_step(case):
    for span in spans(*case):
        assert np.abs(np.diff(span.weights)).max(initial=0) < 0.1


def test_a_tile_without_an_inside_is_refused():
    least = smallest_tile(33)
    assert len(spans(1000, least, 33)) > 1
    with pytest.raises(FusionError, match=f"needs {least} pixels or more.*sees 33"):
        spans(1000, least - 1, 33)


@given(st.integers(1, 30), st.integers(0, 20), st.integers(1, 80))
def test_reflection_is_that_of_numpy(size, start, length):
    line = np.arange(size)
    mode = "reflect" if size > 1 else "edge"
    padded = np.pad(line, (0, start + length), mode=mode)
    np.testing.assert_array_equal(
        line[reflected(start, start + length, size)], padded[start : start + length]
    )


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 4, 8]), st.integers(1, 40))
def test_a_frame_is_the_least_that_fits(height, width, multiple, minimum):
    frame = Frame.around(height, width, multiple, minimum)
    for side, framed in ((height, frame.framed_height), (width, frame.framed_width)):
        assert framed % multiple == 0
        assert framed >= max(side, minimum)
        assert framed - multiple < max(side, minimum)
    pixels = np.random.default_rng(0).random((height, width, 3)).astype(np.float32)
    patch = frame.cut(pixels, 0, 0, frame.framed_height, frame.framed_width)
    assert patch.shape == (frame.framed_height, frame.framed_width)
    np.testing.assert_allclose(patch[:height, :width], pixels @ [0.299, 0.587, 0.114], atol=1e-6)


@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from([1, 4]), st.integers(1, 10**6))
def test_samples_keep_the_budget_and_spread(height, width, multiple, pixels):
    frame = Frame.around(height, width, multiple, 8)
    crop_height, crop_width, places = sample_places(frame, 64, pixels)
    assert len(places) == 1 or len(places) * crop_height * crop_width <= pixels
    seen = np.zeros((frame.framed_height, frame.framed_width), bool)
    for top, left in places:
        assert top % multiple == left % multiple == 0
        crop = seen[top : top + crop_height, left : left + crop_width]
        assert crop.shape == (crop_height, crop_width)
        crop[:] = True
    down, across = -(-frame.framed_height // crop_height), -(-frame.framed_width // crop_width)
    if down * across * crop_height * crop_width <= pixels:
        assert seen.all()


def test_many_samples_reach_every_part_of_the_image():
    frame = Frame.around(3000, 4000)
    height, width, places = sample_places(frame, 256, 20 * 256**2)
    assert 12 <= len(places) <= 20
    tops, lefts = zip(*places)
    for starts, length, size in ((tops, height, 3000), (lefts, width, 4000)):
        middles = np.unique(starts) + length / 2
        np.testing.assert_allclose(middles, (np.arange(len(middles)) + 0.5) * size / len(middles), atol=1)
