import numpy as np
import pytest

from fsidfusion import Fuser
from fsidfusion.errors import FusionError
from fsidfusion.images.files import Picture, read_picture, write_picture
from fsidfusion.images.sets import open_set
from fsidfusion.studies.downstream.inputs import open_inputs, pairs_hash, prepare_frames


@pytest.fixture
def pairs(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        write_picture(tmp_path / "ir" / f"{name}.png", Picture(rng.integers(0, 256, (12, 16), np.uint8)))
        write_picture(tmp_path / "vi" / f"{name}.png", Picture(rng.integers(0, 256, (12, 16, 3), np.uint8)))
    return open_set(tmp_path).pairs


def test_the_cameras_and_both_stacked(pairs, tmp_path):
    infrared, visible, early = (
        prepare_frames(given, pairs, tmp_path / "cache")
        for given in open_inputs(["infrared", "visible", "early"])
    )
    assert len(early) == 2 and early[1].shape == (12, 16, 4)
    np.testing.assert_array_equal(early[1][..., :3], visible[1])
    np.testing.assert_array_equal(early[1][..., 3], infrared[1][..., 0])
    np.testing.assert_array_equal(infrared[1][..., 0], infrared[1][..., 2])
    np.testing.assert_array_equal(visible[0], read_picture(pairs[0].visible).pixels)
    assert [frame.shape for frame in infrared[:2]] == [(12, 16, 3)] * 2
    np.testing.assert_array_equal(early.part(1, 2)[0], early[1])


def test_fused_frames_are_those_of_the_fuser_and_made_once(pairs, tmp_path):
    (given,) = open_inputs(["maximum"])
    made = []
    frames = prepare_frames(given, pairs, tmp_path / "cache", progress=made.append)
    source = [read_picture(path).pixels for path in (pairs[0].infrared, pairs[0].visible)]
    np.testing.assert_array_equal(frames[0], Fuser("maximum").fuse(*source))
    assert len(made) == 2
    prepare_frames(given, pairs, tmp_path / "cache", progress=made.append)
    assert len(made) == 2
    frames.files[0].unlink()  # as a stopped call leaves it
    again = prepare_frames(given, pairs, tmp_path / "cache")
    np.testing.assert_array_equal(again[0], Fuser("maximum").fuse(*source))


def test_another_picture_under_the_same_name_is_fused_anew(pairs, tmp_path):
    (given,) = open_inputs(["mean"])
    before, identity = prepare_frames(given, pairs, tmp_path / "cache")[0], pairs_hash(pairs)
    write_picture(pairs[0].infrared, Picture(np.full((12, 16), 255, np.uint8)))
    assert (prepare_frames(given, pairs, tmp_path / "cache")[0] != before).any()
    assert pairs_hash(pairs) != identity


def test_inputs_are_known_by_name_or_file():
    default = open_inputs()
    assert [given.name for given in default[:4]] == ["infrared", "visible", "early", "fsidfusion-light"]
    assert [given.channels for given in default[:4]] == [3, 3, 4, 3]
    assert [given.kind for given in default[:4]] == ["published", "published", "reference", "ours"]
    assert {given.kind for given in default[4:-4]} <= {"ours"}  # further networks that are shipped
    assert [given.name for given in default[-4:]] == ["maximum", "mean", "laplacian", "maximum+heat"]
    assert {given.kind for given in default[-4:]} == {"baseline"}
    assert len(default[3].weights) == 64
    with pytest.raises(FusionError, match="other inputs: infrared, visible, early, maximum"):
        open_inputs(["visibel"])


def test_any_model_may_wear_heat_colours(pairs, tmp_path):
    network, plain, heat = open_inputs(["fsidfusion-light+heat", "maximum", "maximum+heat"])
    assert (network.name, network.kind, network.color) == ("fsidfusion-light+heat", "ours", "heat")
    assert network.weights == open_inputs(["fsidfusion-light"])[0].weights
    assert heat.identity != plain.identity
    source = [read_picture(path).pixels for path in (pairs[0].infrared, pairs[0].visible)]
    frames = prepare_frames(heat, pairs, tmp_path / "cache")
    np.testing.assert_array_equal(frames[0], Fuser("maximum").fuse(*source, color="heat"))
    with pytest.raises(FusionError, match="a camera alone has no heat colours"):
        open_inputs(["visible+heat"])
    with pytest.raises(FusionError, match="any model\\+heat"):
        open_inputs(["visibel+heat"])


def test_two_files_of_one_name_are_refused(tmp_path):
    from shutil import copy

    from fsidfusion.network.names import WEIGHTS

    for folder in "xy":
        (tmp_path / folder).mkdir()
        copy(WEIGHTS / "fsidfusion-light.safetensors", tmp_path / folder / "mine.safetensors")
    files = [str(tmp_path / folder / "mine.safetensors") for folder in "xy"]
    with pytest.raises(FusionError, match="two inputs are called mine"):
        open_inputs(files)
    shipped = open_inputs(["fsidfusion-light"])[0]
    assert open_inputs(files[:1])[0].weights == shipped.weights


def test_pairs_of_two_sizes_are_refused(pairs, tmp_path):
    write_picture(pairs[1].infrared, Picture(np.zeros((10, 16), np.uint8)))
    early, fused = open_inputs(["early", "maximum"])
    with pytest.raises(FusionError, match="sizes differ"):
        prepare_frames(early, pairs, tmp_path / "cache")[1]
    with pytest.raises(FusionError, match="1 of 2 pairs could not be fused"):
        prepare_frames(fused, pairs, tmp_path / "cache")
