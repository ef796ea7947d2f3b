import io

import cv2
import numpy as np
import pytest
from PIL import Image

from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies.scenes import render_scene
from fsidfusion.thermal.reading import read_thermal
from fsidfusion.thermal.scene import Thermal
from fsidfusion.thermal.strokes import find_strokes


@pytest.fixture(scope="module")
def street():
    """A rendered infrared picture (480, 640) of a street at night, darkened so that both blends show."""
    return (render_scene(4, (480, 640), time_of_day="night", smoke=False).infrared // 2 + 40).astype(np.uint8)


def text(shape):
    drawn = np.zeros(shape, np.uint8)
    cv2.putText(drawn, "36.4C 08:15", (12, 466), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2)
    return drawn > 0


def cross(shape, hole):
    drawn = np.zeros(shape, np.uint8)
    y, x = shape[0] // 2, shape[1] // 2
    for way in (-1, 1):
        cv2.line(drawn, (x + way * hole, y), (x + way * 28, y), 255, 2)
        cv2.line(drawn, (x, y + way * hole), (x, y + way * 28), 255, 2)
    return drawn > 0


def blended(levels, mask, part, level):
    result = levels.astype(np.float32)
    result[mask] += part * (level - result[mask])
    return np.rint(result).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("part", [0.45, 0.7, 1.0])
@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("draw", [text, lambda shape: cross(shape, 0), lambda shape: cross(shape, 9)])
def test_half_transparent_text_and_cross_hairs_are_found(street, part, level, draw):
    mask = draw(street.shape)
    found = find_strokes(blended(street, mask, part, level))
    assert found[mask].mean() > 0.75
    assert found.mean() < 0.05


def test_they_are_found_through_jpeg_and_in_false_colours(street):
    mask = text(street.shape)
    rgb = np.asarray(cv2.applyColorMap(street, cv2.COLORMAP_INFERNO)[..., ::-1])
    drawn = np.stack([blended(rgb[..., channel], mask, 0.6, 255) for channel in range(3)], -1)
    for picture in (blended(street, mask, 0.6, 255), drawn):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "JPEG", quality=85)
        assert find_strokes(np.asarray(Image.open(stream)))[mask].mean() > 0.6


@pytest.mark.parametrize("seed", range(6))
def test_scenes_have_none(seed):
    scene = render_scene(seed, (240, 320))
    assert find_strokes(scene.infrared) is None
    assert find_strokes(scene.visible) is None


def test_pales_windows_and_poles_are_no_text_and_no_cross():
    picture = np.full((240, 320), 90, np.uint8)
    for left in range(20, 300, 9):
        picture[12:30, left : left + 4] = 160  # pales
        picture[205:217, left : left + 7] = 170  # windows
    picture[:, 158:161] = 180  # a pole
    picture[119:121, :] = 170  # and a wire across it
    assert find_strokes(picture) is None
    assert find_strokes(np.zeros((20, 20), np.uint8)) is None


def test_what_is_drawn_counts_as_not_measured_unless_palette_is_given(street, tmp_path):
    mask = cross(street.shape, 9)
    write_picture(tmp_path / "a.png", Picture(blended(street, mask, 0.5, 255)))
    reading = read_thermal(tmp_path / "a.png")
    assert "text or a cross-hair drawn over" in reading.note
    assert not reading.scene.known[mask].mean() > 0.2
    assert read_thermal(tmp_path / "a.png", Thermal(palette="none")).scene.known is None


def test_real_pictures_are_hardly_ever_touched(data_root):
    files = sorted((data_root / "train/roadscene/ir").iterdir())[::2]
    files += sorted((data_root / "train/msrs_full/ir").iterdir())
    touched = sum(find_strokes(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)) is not None for file in files)
    assert touched <= len(files) / 100


def test_many_rows_of_figures_are_rather_cells_seen_from_above(street):
    """As of solar panels: four and more words in the upper quarter are left alone."""

    def written(rows):
        drawn = np.zeros(street.shape, np.uint8)
        for row in range(rows):
            place = 12, 27 + 27 * row
            cv2.putText(drawn, "36.4C 08:15", place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2)
        return blended(street, drawn > 0, 0.6, 255)

    assert find_strokes(written(2)) is not None
    assert find_strokes(written(4)) is None
