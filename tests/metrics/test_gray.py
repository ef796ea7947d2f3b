"""The gray conversion and what it refuses."""

from itertools import chain

import numpy as np
import pytest

from fsidfusion.errors import FusionError
from fsidfusion.metrics import gray as gray_module
from fsidfusion.metrics import score, to_gray8
from fsidfusion.metrics.gray import GrayImage, as_gray, strips

RNG = np.random.default_rng(3)


def test_luma_is_the_exact_one_rounded_half_to_even():
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert to_gray8(colours).tolist() == [[0, 255, 76, 150, 29]]
    halves = [
        (r, g, b)
        for r in range(40)
        for g in range(12)
        for b in range(40)
        if (299 * r + 587 * g + 114 * b) % 1000 == 500
    ]
    assert halves
    found = to_gray8(np.array([halves], np.uint8))[0]
    exact = [(299 * r + 587 * g + 114 * b) / 1000 for r, g, b in halves]
    assert found.tolist() == [round(y) for y in exact]
    assert all(y % 2 == 0 for y in found)


def test_gray_input_stays_as_it_is():
    image = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
    for same in (image, image[:, :, None], image.astype(float), image.astype(np.int64), image.T.copy().T):
        assert np.array_equal(to_gray8(same), image)
    assert np.array_equal(to_gray8(np.repeat(image[:, :, None], 3, axis=2)), image)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((4, 4, 4), np.uint8), "shape (4, 4, 4)"),
        (np.zeros(4, np.uint8), "shape (4,)"),
        (np.zeros((0, 4), np.uint8), "shape (0, 4)"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.full((4, 4), 0.5), "fractions over 0.5..0.5"),
        (np.full((4, 4), np.inf), "inf"),
        (np.full((4, 4), -1), "-1..-1"),
        (np.full((4, 4), 256, np.uint16), "256..256"),
        (np.zeros((4, 4), bool), "dtype bool"),
        (np.zeros((4, 4), complex), "dtype complex128"),
    ],
)
def test_wrong_images_are_refused_by_name(image, told):
    good = np.zeros((4, 4), np.uint8)
    with pytest.raises(FusionError) as error:
        score(good, good, image)
    assert told in str(error.value)
    assert str(error.value).startswith("second ")
    assert "\n" not in str(error.value)


def test_sizes_that_differ_are_told():
    with pytest.raises(FusionError, match=r"fused 4x5, first 4x5, second 5x4"):
        score(np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.uint8))


def test_joint_histogram_counts_every_pixel(monkeypatch):
    one, other = (RNG.integers(0, 256, (31, 17), dtype=np.uint8) for _ in range(2))
    expected = np.zeros((256, 256), int)
    np.add.at(expected, (one, other), 1)
    assert np.array_equal(as_gray(one).joint_histogram(as_gray(other)), expected)
    monkeypatch.setattr(gray_module, "EXACT_COUNT", 100)  # counted in several parts
    first, second = GrayImage(one), GrayImage(other)
    assert np.array_equal(first.joint_histogram(second), expected)
    assert first.dot(second) == int((one.astype(int) * other).sum())
    assert first.dot(first) == int((one.astype(int) ** 2).sum())
    assert first.sum == int(one.sum())


@pytest.mark.parametrize("overlap", [0, 2, 6, 16])
@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (17, 40_000), (300, 1000), (16, 16), (1000, 3)])
def test_strips_give_every_row_once(shape, overlap):
    rows = [list(range(*cut.indices(shape[0])))[: -overlap or None] for cut in strips(shape, overlap)]
    assert list(chain.from_iterable(rows)) == list(range(max(shape[0] - overlap, 0)))
    assert all(len(some) % 2 == 0 for some in rows[:-1])
