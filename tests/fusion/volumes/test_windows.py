import numpy as np
import pytest

from fsidfusion.errors import FusionError
from fsidfusion.fusion.volumes.grid import Volume
from fsidfusion.fusion.volumes.windows import (
    apply_colormap,
    apply_window,
    is_hounsfield,
    parse_window,
    scale_robust,
)
from volume_files import head


def volume(*values):
    return Volume("ct", np.array(values, np.float32).reshape(-1, 1, 1), np.eye(4))


def test_a_window_is_linear_between_its_ends():
    result = apply_window(volume(-1000, 0, 20, 40, 80, 1500), "brain").ravel()
    assert result.tolist() == [0, 0, 0.25, 0.5, 1, 1]
    assert apply_window(volume(-500, 500, 1500), "bone").ravel().tolist() == [0, 0.5, 1]
    assert parse_window("400,-40") == (400, -40)


@pytest.mark.parametrize("window", ["lung!", "0,40", "-80,40", "nan,40", "80", "1,2,3", ""])
def test_windows_that_are_none(window):
    with pytest.raises(FusionError, match=r"unknown; give brain, bone, or width and level"):
        parse_window(window)


def test_a_window_outside_the_data():
    with pytest.raises(FusionError, match=r"shows 4900\.\.5100, but ct holds 0\.\.100"):
        apply_window(volume(0, 100), "200,5000")


def test_scaling_ignores_single_bright_voxels():
    plain, hot = head(), head()
    hot.voxels[3, 3, 3] = 1e6
    assert np.abs(scale_robust(hot) - scale_robust(plain)).max() < 0.02 or scale_robust(hot)[3, 3, 3] == 1
    inside = plain.voxels > 100
    assert np.abs(scale_robust(hot)[inside] - scale_robust(plain)[inside]).max() < 0.02


def test_scaling_knows_no_unit():
    """Any linear change of the values, as between two scanners, gives the same picture."""
    plain = head()
    other = Volume("other", plain.voxels * 7.5 - 300, plain.affine)
    assert np.allclose(scale_robust(plain), scale_robust(other), atol=1e-4)


def test_a_flat_volume():
    with pytest.raises(FusionError, match="flat"):
        scale_robust(volume(5, 5, 5))


def test_colormaps():
    values = np.linspace(0, 1, 256, dtype=np.float32)
    for name in ("hot", "rainbow", "gray"):
        colours = apply_colormap(values, name)
        assert colours.shape == (256, 3)
        assert colours[0].tolist() == [0, 0, 0]
    assert apply_colormap(values, "hot")[-1].tolist() == [255, 255, 255]
    assert apply_colormap(values, "rainbow")[-1].tolist() == [255, 0, 0]
    assert np.array_equal(apply_colormap(values, "gray")[:, 1], np.arange(256))
    luma = apply_colormap(values, "hot") @ [0.299, 0.587, 0.114]
    assert (np.diff(luma) >= 0).all()


def test_hounsfield_units_have_air():
    assert is_hounsfield(volume(-1000, 40))
    assert not is_hounsfield(volume(0, 40, 3000))
