import numpy as np
import pytest

from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies.scenes import render_scene
from service import Served
from serving_options import QUICK

SIZES = ((96, 128), (101, 131), (120, 160))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    """A folder with ir and vis, of three sizes, one of 16 bits."""
    root = tmp_path_factory.mktemp("pairs")
    for number, size in enumerate(SIZES):
        scene = render_scene(number, size)
        infrared = scene.infrared.astype(np.uint16) * 257 if number == 2 else scene.infrared
        write_picture(root / "ir" / f"{number}.png", Picture(infrared))
        write_picture(root / "vis" / f"{number}.png", Picture(scene.visible))
    return root


@pytest.fixture(scope="session")
def served():
    """A service that all quick tests share."""
    with Served(*QUICK, "--max-upload", "2", "--max-megapixels", "1", "--places", "32") as service:
        yield service


@pytest.fixture
def client(served):
    with served.client() as client:
        yield client
