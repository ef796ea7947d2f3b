import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from browser import Browser, find
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies.scenes import render_scene
from service import Served
from serving_options import QUICK

AXE = "axe-core@4"  # of the npm registry, taken for the tests alone
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


@pytest.fixture(scope="session")
def axe(tmp_path_factory) -> str:
    """The source of axe-core: of $FSIDFUSION_AXE, or from npm."""
    if given := os.environ.get("FSIDFUSION_AXE"):
        return Path(given).read_text("utf-8")
    if shutil.which("npm") is None:
        pytest.skip("axe-core is not here: set FSIDFUSION_AXE to axe.min.js, or install npm")
    folder = tmp_path_factory.mktemp("axe")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), AXE]
    try:
        done = subprocess.run(install, capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("axe-core cannot be fetched: npm took too long")
    if done.returncode:
        pytest.skip("axe-core cannot be fetched: the npm registry is out of reach")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="module")
def browser():
    """A headless browser, for the tests of a module."""
    if find() is None:
        pytest.skip("no Chromium with chromedriver is installed")
    with Browser() as browser:
        yield browser
