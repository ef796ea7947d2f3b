import io

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from fsidfusion.studies.scenes import render_scene
from fsidfusion.thermal.legend import _unfolded, find_legend
from fsidfusion.thermal.palettes import LEGEND, colour, find_palette, palette
from fsidfusion.thermal.reading import read_thermal

RAMP = np.linspace(255, 0, 150).astype(np.uint8)  # hot at the top


@pytest.fixture(scope="module")
def street():
    """A rendered infrared picture (240, 320) of a street at night, white-hot."""
    return render_scene(4, (240, 320), time_of_day="night", smoke=False).infrared


def unknown():
    """The colours (256, 3) of a palette that no table holds, of like brightness at both ends."""
    points = np.array([(0, 200, 60), (30, 90, 200), (200, 30, 160), (240, 120, 20)])
    return np.stack(
        [np.interp(np.arange(256), np.linspace(0, 255, 4), each) for each in points.T], -1
    ).astype(np.uint8)


def with_bar(rgb, colours, lying=False):
    rgb = rgb.copy()
    if lying:
        rgb[224:232, 80:230] = colours[RAMP[::-1]][None]
    else:
        rgb[40:190, 300:310] = colours[RAMP][:, None]
        cv2.putText(rgb, "36.4", (284, 34), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (255, 255, 255), 1)
    return rgb


def through_jpeg(rgb, quality):
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize("quality", [95, 80])
@pytest.mark.parametrize("lying", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_a_bar_says_what_colours_mean_that_no_table_holds(street, quality, lying, turned):
    colours = unknown()[::-1] if turned else unknown()
    rgb = through_jpeg(with_bar(colours[street], colours, lying), quality)
    legend = find_legend(rgb)
    assert np.abs(legend.colours.astype(int) - colours).mean() < 12
    drawn = np.s_[226:230, 90:220] if lying else np.s_[50:180, 302:308]
    assert legend.mask[drawn].all()
    assert legend.mask.mean() < 0.06


def test_a_reversed_palette_is_read_by_its_bar_and_not_doubted(street, tmp_path):
    colours = np.ascontiguousarray(palette("ironbow")[::-1])
    Image.fromarray(with_bar(colours[street], colours)).save(tmp_path / "a.png")
    reading = read_thermal(tmp_path / "a.png")
    assert "read by the colour bar" in reading.note
    assert "may be dark" not in reading.note
    assert not reading.scene.known[45:185, 302:308].any()
    assert spearmanr(reading.scene.levels[:, :280].ravel(), street[:, :280].ravel()).statistic > 0.95


def test_a_bar_of_other_colours_than_the_picture_says_nothing(street):
    assert find_legend(with_bar(colour(street, "ironbow"), palette("viridis"))) is None


def test_pictures_without_a_bar_have_none(street):
    for name in ("ironbow", "rainbow", "rainbow-hc"):
        assert find_legend(colour(street, name)) is None
        assert find_palette(colour(street, name)).name != LEGEND
    assert find_legend(render_scene(1, (240, 320)).visible) is None
    sky = np.repeat(palette("rainbow")[np.linspace(0, 255, 240).astype(int)][:, None], 320, 1)
    assert find_legend(sky) is None
    assert find_legend(np.zeros((20, 20, 3), np.uint8)) is None


@pytest.mark.parametrize("name", ["ironbow", "rainbow", "arctic"])
def test_what_of_the_scene_follows_the_end_of_a_bar_is_trimmed(name):
    bar = palette(name)[::2].astype(np.float32)  # (128, 3)
    followed = np.concatenate((bar[[12, 9, 10, 7, 11, 8, 10, 9, 5, 3]], bar))
    np.testing.assert_array_equal(_unfolded(followed), bar)


@pytest.mark.parametrize("name", ["ironbow", "rainbow", "rainbow-hc", "arctic", "lava", "viridis"])
def test_a_whole_bar_stays_whole(name):
    for bar in (palette(name)[::2].astype(np.float32), palette(name)[::-2].astype(np.float32)):
        np.testing.assert_array_equal(_unfolded(bar), bar)
