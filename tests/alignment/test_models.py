import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsidfusion.alignment.models import FEWEST_POINTS, fit_model, transform_points
from fsidfusion.errors import FusionError

MATRICES = {
    "translation": [[1, 0, 12.5], [0, 1, -7], [0, 0, 1]],
    "similarity": [[0.9, -0.2, 30], [0.2, 0.9, -4], [0, 0, 1]],
    "affine": [[1.1, 0.2, 5], [-0.1, 0.8, 60], [0, 0, 1]],
    "homography": [[1.1, 0.2, 5], [-0.1, 0.8, 60], [2e-4, -1e-4, 1]],
}


@pytest.mark.parametrize("model", MATRICES)
def test_points_of_a_family_give_its_matrix(model):
    points = np.random.default_rng(0).uniform(0, 500, (FEWEST_POINTS[model] + 2, 2))
    matrix = np.array(MATRICES[model], float)
    assert np.allclose(fit_model(points, transform_points(matrix, points), model), matrix, atol=1e-6)


@given(st.integers(0, 10_000), st.sampled_from(list(MATRICES)))
def test_a_wider_family_never_fits_worse(seed, model):
    generator = np.random.default_rng(seed)
    points = generator.uniform(0, 500, (12, 2))
    noisy = transform_points(np.array(MATRICES[model], float), points) + generator.normal(size=(12, 2))

    def error(family):
        return np.square(transform_points(fit_model(points, noisy, family), points) - noisy).sum()

    assert error("affine") <= error("similarity") * (1 + 1e-9) <= error("translation") * (1 + 1e-6)


def test_points_without_weight_count_for_nothing():
    points = np.random.default_rng(1).uniform(0, 100, (9, 2))
    moved = points + np.array((3.0, 4.0))
    moved[4] += 80
    weights = np.ones(9)
    weights[4] = 0
    for model in MATRICES:
        fitted = transform_points(fit_model(points, moved, model, weights), points)
        assert np.allclose(np.delete(fitted, 4, 0), np.delete(moved, 4, 0), atol=1e-6)


@pytest.mark.parametrize("model", ["similarity", "affine", "homography"])
def test_too_few_points_are_refused(model):
    points = np.random.default_rng(0).uniform(0, 100, (FEWEST_POINTS[model] - 1, 2))
    with pytest.raises(FusionError, match=f"{model} needs {FEWEST_POINTS[model]}"):
        fit_model(points, points, model)


@pytest.mark.parametrize("model", ["affine", "homography"])
def test_points_on_a_line_are_refused(model):
    points = np.stack((np.arange(6.0), 2 * np.arange(6.0)), 1)
    with pytest.raises(FusionError, match="one line"):
        fit_model(points, points + 1, model)
    assert np.allclose(fit_model(points, points + 1, "similarity"), [[1, 0, 1], [0, 1, 1], [0, 0, 1]])
    with pytest.raises(FusionError, match="one spot"):
        fit_model(np.ones((3, 2)), points[:3], "similarity")
