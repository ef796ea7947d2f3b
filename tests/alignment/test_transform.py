import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsidfusion.alignment.models import transform_points
from fsidfusion.alignment.transform import Alignment, read_align, read_alignment, write_alignment
from fsidfusion.errors import FusionError

FIELD = np.random.default_rng(0).normal(size=(4, 6, 2)).astype(np.float32).round(2)


@pytest.fixture
def alignment():
    matrix = np.array([[0.9, -0.1, 20], [0.1, 0.9, -5], [1e-5, 0, 1]])
    return Alignment(
        matrix,
        (240, 320),
        (200, 300),
        "homography",
        "edges",
        FIELD,
        score=0.41,
        score_without=0.1,
        date="2026-01-31",
    )


def points(height=240, width=320):
    return np.random.default_rng(1).uniform((0, 0), (width - 1, height - 1), (50, 2))


def test_a_file_keeps_an_alignment(alignment, tmp_path):
    saved = replace(alignment, shift=(1.5, -2.0), distance=4.0, residual=0.7, pairs=5)
    write_alignment(tmp_path / "new" / "a.json", saved)
    loaded = read_alignment(tmp_path / "new" / "a.json")
    assert np.allclose(loaded.place(points()), saved.place(points()), atol=1e-4)
    assert replace(loaded, matrix=None, field=None) == replace(saved, matrix=None, field=None)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]


def test_a_place_is_field_then_matrix_then_shift(alignment):
    plain = replace(alignment, field=np.full((2, 2, 2), (3, -1), np.float32), shift=(10.0, 20.0))
    expected = transform_points(plain.matrix, points() + np.array((3, -1))) + np.array((10, 20))
    assert np.allclose(plain.place(points()), expected, atol=1e-3)
    assert np.allclose(plain.place(points()[7]), expected[7], atol=1e-3)


@given(st.integers(1, 5), st.integers(1, 5))
def test_other_sizes_of_the_same_cameras_see_the_same(visible, infrared):
    matrix = np.array([[0.9, -0.1, 20], [0.1, 0.9, -5], [1e-5, 0, 1]])
    alignment = Alignment(matrix, (240, 320), (200, 300), "homography", "edges", FIELD, shift=(4.0, 1.0))
    large = alignment.fitted((240 * visible, 320 * visible), (200 * infrared, 300 * infrared))
    centres = (points() + 0.5) * visible - 0.5
    assert np.allclose((large.place(centres) + 0.5) / infrared - 0.5, alignment.place(points()), atol=1e-3)
    back = large.fitted((240, 320), (200, 300))
    assert np.allclose(back.place(points()), alignment.place(points()), atol=1e-3)


def test_other_shapes_are_other_cameras(alignment):
    with pytest.raises(FusionError, match="visible pictures of 320x240, this one is 320x200"):
        alignment.fitted((200, 320), (200, 300))
    with pytest.raises(FusionError, match="infrared pictures of 300x200, this one is 300x300"):
        alignment.fitted((240, 320), (300, 300))


def test_parallax_falls_off_with_distance(alignment):
    near = alignment.with_shift((8.0, -2.0), 5.0)
    assert near.at_distance(20.0).shift == (2.0, -0.5)
    assert "shift 8,-2 pixels at 5 m" in near.summary()
    with pytest.raises(FusionError, match="no parallax shift with a distance"):
        alignment.at_distance(3.0)
    with pytest.raises(FusionError, match="above 0"):
        near.at_distance(0.0)
    with pytest.raises(FusionError, match="above 0"):
        alignment.with_shift((1.0, 1.0), -1.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other"}, r"'other' - at .*format"),
        ({"matrix": [[1, 0], [0, 1]]}, r"matrix\[0\]"),
        ({"matrix": [[1, 0, 0], [0, 1, 0], [0, 0, float("nan")]]}, "malformed"),
        ({"matrix": [[1, 0, 0], [1, 0, 0], [0, 0, 1]]}, "inverted"),
        ({"field": [[1, 2], [3, 4]]}, "field"),
        ({"visible_size": [0, 3]}, "visible_size"),
        ({"shift": [float("inf"), 0]}, "malformed"),
        ({"shift": None}, "sound"),
    ],
)
def test_a_damaged_file_is_named(alignment, tmp_path, change, reason):
    path = tmp_path / "a.json"
    write_alignment(path, alignment)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FusionError, match=reason) as caught:
        read_alignment(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "fsidfusion alignment 1"}', "\x89PNG"])
def test_no_alignment_file_is_refused(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(FusionError, match=r"a\.json"):
        read_alignment(path)


def test_what_align_may_ask_for(alignment, tmp_path):
    write_alignment(tmp_path / "a.json", alignment)
    assert read_align("none") is None
    assert read_align("auto") == "auto"
    assert read_align(str(tmp_path / "a.json")).model == "homography"
    with pytest.raises(FusionError, match="does not exist"):
        read_align(str(tmp_path / "b.json"))
    with pytest.raises(FusionError, match="`crop` goes with `align`"):
        read_align("none", crop=True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"matrix": [[1e300, 0, 0], [0, 1, 0], [0, 0, 1]]}, "matrix"),
        ({"matrix": [[1, 0, 0], [0, 1, 0], [0.05, 0, -1]]}, "perspective"),
        ({"matrix": [[0, 0, 1], [0, 1, 0], [1, 0, 0]]}, "inverted"),
        ({"visible_size": [10**18, 10**18]}, "visible_size"),
        ({"visible_size": [48.5, 64]}, "visible_size"),
        ({"shift": [1e308, 0]}, "shift"),
        ({"field": []}, "table"),
        ({"field": [[[1, 2]], [[1, 2], [3, 4]]]}, "table"),
        ({"field": [[[1e38, 1e38]]]}, "field"),
        ({"distance": -1}, "distance"),
        ({"model": ["x"]}, "model"),
        ({"pairs": 0}, "pairs"),
    ],
)
def test_a_file_that_would_place_pictures_nowhere_is_refused(alignment, tmp_path, change, reason):
    path = tmp_path / "a.json"
    write_alignment(path, alignment)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FusionError, match=reason):
        read_alignment(path)
