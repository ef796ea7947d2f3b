"""Memory of a huge pair, in a process of its own: below what the documents promise."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from fsidfusion.images.files import Picture, write_picture

PEAK_OF_ITSELF = """
def peak():
    # not ru_maxrss, which begins with that of the process that started this one
    with open("/proc/self/status") as status:
        return next(line.split()[1] for line in status if line.startswith("VmHWM"))
"""
PEAK = 1.4  # GiB for 6000x8000
RUN = """
import sys
from pathlib import Path
from fsidfusion import Fuser, Plan
from fsidfusion.fusion.files import fuse_pairs
from fsidfusion.images.pairs import Pair
folder = Path(sys.argv[1])
fuser = Fuser(memory=sys.argv[2] or None)
pair = Pair("a", folder / "i.png", folder / "v.png")
(outcome,) = fuse_pairs(fuser, [pair], [folder / "o.png"], Plan())
print(outcome.status, peak())
"""


@pytest.mark.long
@pytest.mark.skipif("FSIDFUSION_FUZZ" not in os.environ, reason="a minute: make fuzz runs it")
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak")
@pytest.mark.parametrize("limit", ["", "1400MiB"], ids=["by default", "with a limit"])
def test_a_pair_of_48_megapixels(tmp_path, limit):
    rows, columns = np.mgrid[0:6000, 0:8000]
    gray = ((columns // 7 + rows // 5) % 256).astype(np.uint8)
    write_picture(tmp_path / "i.png", Picture(gray))
    write_picture(tmp_path / "v.png", Picture(np.stack([gray, gray[::-1], 255 - gray], -1)))
    done = subprocess.run(
        [sys.executable, "-c", PEAK_OF_ITSELF + RUN, str(tmp_path), limit],
        capture_output=True,
        text=True,
        check=True,
    )
    status, peak = done.stdout.split()
    assert status == "fused"
    assert int(peak) < PEAK * (1 << 20)


PAIRS = """
import sys
from pathlib import Path
from fsidfusion import Fuser, Plan
from fsidfusion.fusion.files import fuse_pairs
from fsidfusion.images.pairs import Pair
folder = Path(sys.argv[1])
pairs = [Pair(str(n), folder / "i.png", folder / "v.png") for n in range(int(sys.argv[3]))]
outputs = [folder / "out" / f"{pair.name}.bmp" for pair in pairs]
found = fuse_pairs(Fuser(memory=sys.argv[2]), pairs, outputs, Plan())
print(*{outcome.status for outcome in found}, peak())
"""


@pytest.mark.long
@pytest.mark.skipif("FSIDFUSION_FUZZ" not in os.environ, reason="minutes: make fuzz runs it")
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak")
@pytest.mark.parametrize("size, number", [((3000, 4000), 1), ((480, 640), 40)], ids=["large", "many"])
def test_a_limit_of_memory_is_kept_to_a_tenth(tmp_path, size, number):
    rows, columns = np.mgrid[: size[0], : size[1]]
    gray = ((columns // 7 + rows // 5) % 256).astype(np.uint8)
    write_picture(tmp_path / "i.png", Picture(gray))
    write_picture(tmp_path / "v.png", Picture(np.stack([gray, gray[::-1], 255 - gray], -1)))
    peaks = []
    for limit in (900, 1800):  # MiB
        done = subprocess.run(
            [sys.executable, "-c", PEAK_OF_ITSELF + PAIRS, str(tmp_path), f"{limit}MiB", str(number)],
            capture_output=True,
            text=True,
            check=True,
        )
        status, peak = done.stdout.split()
        assert status == "fused"
        peaks.append(int(peak) / 1024)
        assert peaks[-1] <= 1.1 * limit
        shutil.rmtree(tmp_path / "out")
    if number == 1:
        assert peaks[0] < peaks[1]  # what there is, is used
