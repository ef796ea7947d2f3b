import numpy as np
import pytest

from fsidfusion.errors import FusionError
from fsidfusion.images.sheet import contact_sheet


def test_every_picture_and_label_is_on_the_sheet():
    red = np.zeros((30, 60, 3), np.uint8)
    red[..., 0] = 255
    gray16 = np.full((50, 50), 0x8080, np.uint16)
    sheet = contact_sheet([[("infrared", gray16), ("visible", red)], [("fused", red)]], height=100)
    assert sheet.dtype == np.uint8
    assert sheet.shape[2] == 3
    assert (sheet == (255, 0, 0)).all(-1).sum() == 2 * 100 * 200
    assert (sheet == 128).all(-1).sum() >= 100 * 100
    without = contact_sheet([[("", gray16), ("", red)], [("", red)]], height=100)
    assert sheet.shape == without.shape
    assert (sheet != without).any()


def test_a_long_label_widens_its_cell():
    thin = np.zeros((100, 1), np.uint8)
    short, long = (contact_sheet([[(label, thin)]], 100) for label in ("a", "a very long label indeed"))
    assert long.shape[1] > short.shape[1]


@pytest.mark.parametrize("rows", [[], [[]]])
def test_a_sheet_needs_pictures(rows):
    with pytest.raises(FusionError):
        contact_sheet(rows)
