import numpy as np
import pytest

from fsidfusion.alignment.benchmark import known_warp
from fsidfusion.alignment.sampling import pixel_grid, sample
from fsidfusion.data.scenes import render_scene

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
