import cv2
import numpy as np
import pytest

from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies.scenes import render_scene
from fsidfusion.thermal.polarity import CLEAR, find_doubt, white_odds
from fsidfusion.thermal.reading import read_thermal
from fsidfusion.thermal.scene import Thermal
from fsidfusion.thermal.stream import ThermalStream


@pytest.fixture(scope="module", params=[2, 4, 7])
def street(request):
    """A rendered infrared picture (240, 320) of a street at night, white-hot."""
    return render_scene(request.param, (240, 320), time_of_day="night", smoke=False).infrared


@pytest.fixture(scope="module")
def blur():
    """A warm and a cold spot out of focus, (240, 320): nothing tells which is which."""
    y, x = np.mgrid[:240, :320]
    warm, cold = (np.exp(-((x - a) ** 2 + (y - b) ** 2) / 3000) for a, b in ((90, 150), (240, 60)))
    return np.rint(128 + 100 * (warm - cold)).clip(0, 255).astype(np.uint8)


def test_white_hot_pictures_of_scenes_are_not_doubted_and_their_negatives_are(street):
    assert find_doubt(street) == ""
    assert find_doubt(255 - street) == "black"


def test_the_odds_of_a_negative_are_opposite_and_clear_for_a_street(street):
    assert white_odds(street) > CLEAR
    assert white_odds(255 - street) == pytest.approx(-white_odds(street), abs=0.01)
    assert white_odds(np.full((240, 320), 90, np.uint8)) == 0


def test_noise_is_doubted_neither_way():
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(128, 60, (240, 320)), (0, 0), 2)
    levels = ((noise - noise.min()) / np.ptp(noise) * 255).astype(np.uint8)
    assert find_doubt(levels) == find_doubt(255 - levels) == ""


def test_a_picture_without_structure_cannot_be_told_either_way(blur):
    assert find_doubt(blur) == "untold"
    assert find_doubt(255 - blur) == "untold"


def test_even_and_small_pictures_are_not_judged(blur):
    assert find_doubt(np.full((240, 320), 90, np.uint8)) == ""
    assert find_doubt(cv2.resize(blur, (40, 30))) == ""


@pytest.mark.parametrize("palette", ["auto", "white-hot", "black-hot", "none"])
def test_a_file_that_looks_black_hot_is_said_unless_its_palette_is_given(palette, street, blur, tmp_path):
    for name, shown, words in (
        ("black", 255 - street, "black looks hot"),
        ("untold", blur, "cannot be told"),
    ):
        path = tmp_path / f"{name}.png"
        write_picture(path, Picture(shown))
        reading = read_thermal(path, Thermal(palette=palette))
        assert (words in reading.note) == (palette == "auto")
        assert ("warm things may be dark" in reading.note) == (palette == "auto")
        turned = palette == "black-hot"
        np.testing.assert_array_equal(reading.picture.pixels, 255 - shown if turned else shown)


def test_a_video_is_doubted_by_most_looks_at_it(street):
    black, white = 255 - street, street
    for frames, doubted in (([black] * 3, True), ([white, white, black], False), ([white] * 3, False)):
        stream = ThermalStream(Thermal(), "ir.mp4")
        for index, frame in enumerate(frames):
            stream(np.roll(frame, 7 * index, axis=1), 5.0 * index)
        assert ("black looks hot" in stream.note) == doubted


def test_real_white_hot_pictures_are_hardly_ever_doubted(data_root):
    files = sorted((data_root / "detect/msrs/ir").glob("*.webp"))[::6]
    files += sorted((data_root / "test/RoadScene/ir").iterdir())
    shown = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files]
    assert np.mean([find_doubt(each) != "" for each in shown]) < 0.03
    assert np.mean([find_doubt(255 - each) == "black" for each in shown]) > 0.9


def test_gray_with_traces_of_colour_is_gray(street, tmp_path):
    rgb = np.repeat(255 - street[..., None], 3, axis=2)
    rgb[..., 1] = np.minimum(rgb[..., 1].astype(int) + 1, 255)
    write_picture(tmp_path / "a.png", Picture(rgb))
    reading = read_thermal(tmp_path / "a.png")
    assert "black looks hot" in reading.note
    turned = read_thermal(tmp_path / "a.png", Thermal(palette="black-hot"))
    assert np.abs(turned.scene.levels.astype(int) - street).max() <= 1
