"""What an infrared picture does not show: beyond its field, where it was not measured, where it fades."""

import numpy as np
import pytest
import tifffile

from fsidfusion.alignment.transform import Alignment
from fsidfusion.alignment.warp import InfraredWarp, where_known
from fsidfusion.errors import FusionError
from fsidfusion.fusion.files import fuse_pairs
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.plan import Plan
from fsidfusion.images.files import Picture, read_picture, write_picture
from fsidfusion.images.pairs import Pair
from radiometric_files import centikelvin, warm_scene

FUSER = Fuser(model="maximum", range="none")
CENTRE = Alignment(
    np.array([[1.0, 0, -32], [0, 1, -24], [0, 0, 1]]), (96, 128), (48, 64), "similarity", "points"
)


def test_heat_is_told_by_the_infrared_picture_before_it_fades():
    """A cold field in a bright sky, with a person: the rim, which fades to the sky, is not warm."""
    infrared = np.full((48, 64), 60, np.uint8)
    infrared[15:40, 28:36] = 200
    visible = np.full((96, 128, 3), 235, np.uint8)
    fused = FUSER.fuse(infrared, visible, color="heat", align=CENTRE).astype(int)
    warm = fused[..., 0] - fused[..., 2] > 12
    assert warm[43:60, 62:66].all()
    warm[38:66, 58:70] = False
    assert not warm.any()
    plain = InfraredWarp(CENTRE, (48, 64), (96, 128))(infrared, visible).plain()
    np.testing.assert_allclose(plain[24:72, 32:96], infrared / 255, atol=1e-6)
    assert not plain[:20].any()


def test_where_nothing_was_measured_the_visible_picture_stands_alone(tmp_path):
    celsius = warm_scene()
    counts = centikelvin(celsius)
    counts[:12] = 0  # a registered picture: nothing was seen there
    tifffile.imwrite(tmp_path / "t.tif", counts)
    visible = np.random.default_rng(0).integers(20, 90, (48, 64, 3), np.uint8)
    write_picture(tmp_path / "v.png", Picture(visible))
    pair = Pair("a", tmp_path / "t.tif", tmp_path / "v.png")
    outcomes = fuse_pairs(
        FUSER, [pair], [tmp_path / "f.png"], Plan(bits="8"), temperatures=[tmp_path / "c.tif"]
    )
    assert "768 pixels are not measured" in outcomes[0].message
    fused = read_picture(tmp_path / "f.png").pixels
    assert np.abs(fused[:12].astype(int) - visible[:12]).max() <= 1
    assert fused[15:38, 22:30].mean() > 200
    written = tifffile.imread(tmp_path / "c.tif")
    assert np.isnan(written[:12]).all()
    np.testing.assert_allclose(written[12:], celsius[12:], atol=0.01)
    back = Pair("b", tmp_path / "c.tif", tmp_path / "v.png")  # what was written is an input like others
    assert fuse_pairs(FUSER, [back], [tmp_path / "g.png"], Plan(bits="8"))[0].status == "fused"
    again = read_picture(tmp_path / "g.png").pixels
    assert np.abs(again.astype(int) - fused).mean() < 3
    larger = np.repeat(np.repeat(visible, 2, 0), 2, 1)
    write_picture(tmp_path / "w.png", Picture(larger))
    wide = Pair("c", tmp_path / "t.tif", tmp_path / "w.png")
    for options in (Plan(resize=True, bits="8"), Plan(align=CENTRE, bits="8")):
        result = fuse_pairs(FUSER, [wide], [tmp_path / "h.png"], options)
        assert result[0].status == "fused", result[0].message
        top = read_picture(tmp_path / "h.png").pixels[:20].astype(int)
        assert np.abs(top - larger[:20]).max() <= 1
        (tmp_path / "h.png").unlink()


def test_weights_of_what_is_known():
    known = np.ones((4, 6), bool)
    known[1, 2] = False
    infrared = np.full((4, 6), 200, np.uint8)
    aligned = where_known(infrared, np.full((4, 6), 100, np.uint8), known)
    assert aligned.infrared[1, 2] == 100
    assert (aligned.infrared[known] == 200).all()
    assert aligned.plain()[1, 2] == pytest.approx(200 / 255)
    with pytest.raises(FusionError, match="no pixel in common"):
        far = Alignment(np.array([[1.0, 0, 900], [0, 1, 900], [0, 0, 1]]), (4, 6), (4, 6), "affine", "points")
        InfraredWarp(far, (4, 6), (4, 6))(infrared, infrared)
