"""Where the real pairs and the reference values lie; tests that need real pairs skip elsewhere."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from fsidfusion.alignment.sampling import pixel_grid, sample
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies.alignment import known_warp
from fsidfusion.studies.scenes import render_scene

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("repeatable")

# a shell lets its background jobs, and what they start, ignore these
for stop, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(stop) is signal.SIG_IGN:
        signal.signal(stop, usual)

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real image pairs."""
    root = Path(os.environ.get("FSIDFUSION_DATA", ROOT.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip("the real pairs are not here: set FSIDFUSION_DATA to their folder")
    return root


@pytest.fixture(scope="session")
def golden_root() -> Path:
    """The folder of reference values."""
    return ROOT / "tests" / "golden"


SIZE = (240, 320)


@pytest.fixture(scope="session")
def scene():
    """A rendered pair, aligned: infrared (240, 320), visible (240, 320, 3)."""
    return render_scene(3, SIZE, time_of_day="day", smoke=False)


@pytest.fixture(scope="session")
def warped(scene):
    """The infrared picture of the scene under a known warp, and the true map of visible pixels into it."""
    into, back = known_warp(SIZE, 5)
    return sample(scene.infrared, back, cubic=True, outside=0.0), into


@pytest.fixture(scope="session")
def end_point_error():
    def median(alignment, truth):
        height, width = truth.shape[:2]
        inside = ((truth >= 0) & (truth <= (width - 1, height - 1))).all(-1)
        distances = np.linalg.norm(alignment.place(pixel_grid((height, width))) - truth, axis=-1)
        return float(np.median(distances[inside]))

    return median


@pytest.fixture(scope="session")
def rendered(tmp_path_factory) -> Path:
    """TNO (gray), MRI_PET (colour in the infrared place), MSRS/test (colour), and a train folder beside."""
    root = tmp_path_factory.mktemp("sets")
    scenes = [render_scene(seed, (96, 128)) for seed in range(4)]
    for number, scene in enumerate(scenes):
        write_picture(root / "TNO" / "ir" / f"{number}.png", Picture(scene.infrared))
        write_picture(root / "TNO" / "vi" / f"{number}.bmp", Picture(scene.visible[..., 1].copy()))
    for number, scene in enumerate(scenes[:2]):
        write_picture(root / "MRI_PET" / "PET" / f"{number}.png", Picture(scene.visible))
        write_picture(root / "MRI_PET" / "MRI" / f"{number}.png", Picture(scene.infrared))
        for split in ("test", "train"):
            write_picture(root / "MSRS" / split / "ir" / f"{number}.png", Picture(scene.infrared))
            write_picture(root / "MSRS" / split / "vi" / f"{number}.png", Picture(scene.visible))
        write_picture(root / "train" / "TNO" / "ir" / f"{number}.png", Picture(scene.infrared))
        write_picture(root / "train" / "TNO" / "vi" / f"{number}.png", Picture(scene.visible))
    return root
