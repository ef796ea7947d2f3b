import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fsidfusion import Fuser
from fsidfusion.cli import main
from fsidfusion.evaluation.evaluate import evaluate_methods
from fsidfusion.evaluation.methods import Model
from fsidfusion.evaluation.published import COLUMNS
from fsidfusion.fusion.rules import RULES, mean
from fsidfusion.images.files import Picture, read_picture, write_picture
from fsidfusion.images.pixels import quantise
from fsidfusion.images.sets import open_set

UINT8 = np.dtype(np.uint8)


def luma(shape, seed):
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.mark.parametrize("name", RULES)
@given(shape=st.tuples(st.integers(1, 70), st.integers(1, 70)), seed=st.integers(0, 99))
def test_any_size_stays_what_it_is(name, shape, seed):
    infrared, visible = luma(shape, seed), luma(shape, seed + 100)
    before = infrared.copy(), visible.copy()
    fused = RULES[name](infrared, visible)
    assert (fused.shape, fused.dtype) == (shape, np.float32)
    assert np.isfinite(fused).all()
    np.testing.assert_array_equal(before, (infrared, visible))


@pytest.mark.parametrize("name", RULES)
@given(shape=st.tuples(st.integers(1, 70), st.integers(1, 70)), seed=st.integers(0, 99))
def test_an_image_with_itself_is_itself(name, shape, seed):
    image = luma(shape, seed)
    np.testing.assert_allclose(RULES[name](image, image), image, atol=1e-5)


@pytest.mark.parametrize("name", RULES)
def test_the_order_of_the_sources_does_not_matter(name):
    infrared, visible = luma((61, 83), 1), luma((61, 83), 2)
    np.testing.assert_allclose(RULES[name](infrared, visible), RULES[name](visible, infrared), atol=1e-5)


@pytest.mark.parametrize("name", ["laplacian", "guided", "wavelet"])
def test_detail_of_either_source_survives(name):
    """A fine pattern in the left half of one source and in the right half of the other: both are kept."""
    pattern = np.where(np.indices((128, 128)).sum(0) % 4 < 2, 0.3, 0.7).astype(np.float32)
    left, right = np.full_like(pattern, 0.5), np.full_like(pattern, 0.5)
    left[:, :64], right[:, 64:] = pattern[:, :64], pattern[:, 64:]
    fused = RULES[name](left, right)
    for half in (slice(16, 48), slice(80, 112)):
        kept = np.corrcoef(fused[:, half].ravel(), pattern[:, half].ravel())[0, 1]
        assert kept > 0.98
        assert fused[:, half].std() > 0.9 * pattern[:, half].std()


@given(arrays(np.uint8, (2, 9, 7)))
def test_the_mean_of_8_bits_rounds_halves_to_even(pair):
    first, second = (image / np.float32(255) for image in pair)
    expected = np.rint(pair.mean(0)).astype(np.uint8)
    np.testing.assert_array_equal(quantise(mean(first, second), UINT8), expected)


def test_baselines_are_models(tmp_path):
    rng = np.random.default_rng(0)
    infrared, visible = rng.integers(0, 256, (2, 33, 47), np.uint8)
    fused = Fuser("maximum", range="none").fuse(infrared, visible)
    np.testing.assert_array_equal(fused, np.maximum(infrared, visible))
    for name, image in (("ir", infrared), ("vis", visible)):
        write_picture(tmp_path / f"{name}.png", Picture(image))
    call = ["fuse", "--ir", tmp_path / "ir.png", "--vis", tmp_path / "vis.png", "-o", tmp_path / "f.png"]
    assert main([*map(str, call), "--model", "maximum", "--range", "none"]) == 0
    np.testing.assert_array_equal(read_picture(tmp_path / "f.png").pixels, fused)


# Means over all pairs, unstretched, in the order of the published columns.
TNO = {
    "maximum": (6.81, 10.06, 3.77, 4.71, 40.01, 0.924, 0.599),
    "mean": (6.23, 6.95, 2.67, 1.60, 26.11, 0.573, 0.356),
}
ROAD_SCENE = {"maximum": (7.03, 11.63, 4.09, 5.11, 44.01, 0.853, 0.604)}


@pytest.mark.parametrize("name, expected", [("TNO", TNO), ("RoadScene", ROAD_SCENE)])
def test_known_scores_of_the_test_sets(data_root, golden_root, name, expected):
    pairs = open_set(data_root / "test" / name).pairs
    number = json.loads((golden_root / "published.json").read_text())["pairs"][name]
    assert len(pairs) == number
    evaluations = evaluate_methods(pairs, [Model(model, ["none"]) for model in expected], COLUMNS)
    for evaluation in evaluations:
        decimals = [2, 2, 2, 2, 2, 3, 3]
        means = [round(value, d) for value, d in zip(evaluation.mean.values(), decimals)]
        assert means == list(expected[evaluation.name])
