"""A Fuser that was used goes on in a forked process, whose threads are gone."""

import os
import subprocess
import sys

import pytest

from fsidfusion.runtime.runtimes import installed_runtimes

CODE = """
import os, sys
import numpy as np
from fsidfusion import Fuser

fuser = Fuser(device="cpu", precision="fp32", runtime=sys.argv[1], threads=2)
pair = np.random.default_rng(0).integers(0, 256, (2, 160, 160), np.uint8)
expected = fuser.fuse(*pair)
child = os.fork()
if child == 0:
    os._exit(0 if np.abs(fuser.fuse(*pair).astype(int) - expected).max() <= 1 else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("runtime", installed_runtimes())
def test_a_fuser_survives_a_fork(runtime):
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    call = [sys.executable, "-W", "ignore", "-c", CODE, runtime]
    done = subprocess.run(call, timeout=60, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
