"""A stop happens in time, also where a library swallows it, and leaves no part of a file."""

import signal
import subprocess
import sys

import pytest

SWALLOWS = """
import sys, time
from pathlib import Path
from fsidfusion.cli import watchdog
from fsidfusion.images.atomic import Part
watchdog.GRACE = 0.1
signal = __import__("signal")
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.default_int_handler)
watchdog.watch("fuse")
part = Part(Path(sys.argv[1]) / "a.png")
ready = False
while True:
    try:
        if not ready:
            ready = True
            print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        pass  # as a library that calls back may do
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_swallowed_stop_ends_the_command_and_leaves_no_part(tmp_path, number):
    command = [sys.executable, "-c", SWALLOWS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said == "fsidfusion fuse: stopped; what was finished is kept, run again to go on\n"
    assert not list(tmp_path.iterdir())


DROPS = """
import time
from fsidfusion.cli import watchdog
watchdog.watch("fuse")
class Drops:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(60)
try:
    dropped = Drops()
    del dropped
    time.sleep(60)
except KeyboardInterrupt:
    print("told")
"""


def test_an_interrupt_that_is_dropped_comes_again():
    command = [sys.executable, "-c", DROPS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
    assert (process.returncode, printed, said) == (0, "told\n", "")


IMPORTS = """
import os, sys
import fsidfusion.__main__ as entry

class Stops:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            os.kill(os.getpid(), {number})
            for _ in range(1000):  # the interpreter looks for signals between these
                pass

sys.meta_path.insert(0, Stops())
sys.exit(entry.run())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("module", ["fsidfusion.cli", "fsidfusion.cli.fuse", "numpy.linalg", "cv2"])
def test_a_stop_while_libraries_are_imported_is_one_line(tmp_path, module, number):
    code = IMPORTS.format(module=module, number=int(number))
    words = ["fuse", "--ir", "absent.png", "--vis", "absent.png", "-o", str(tmp_path / "x.png")]
    result = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert result.returncode == 128 + number
    (line,) = result.stderr.splitlines()
    assert line.startswith("fsidfusion")
    assert "stopped" in line


LINGERS = """
import atexit, sys, threading
import fsidfusion.__main__ as entry
import fsidfusion.cli

def stopped():
    atexit.register(print, "tidied")
    threading.Thread(target=threading.Event().wait).start()  # which the interpreter would wait for
    print("said")
    return 143

fsidfusion.cli.main = stopped
sys.exit(entry.run())
"""


def test_a_stopped_command_is_not_held_up_by_what_is_taken_down():
    command = [sys.executable, "-c", LINGERS]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (result.returncode, result.stdout, result.stderr) == (143, "said\ntidied\n", "")


def test_trainings_end_as_soon_as_the_rest():
    from fsidfusion.cli.watchdog import GRACE, SLOW

    assert GRACE < 2
    assert not {"train", "detect", "segment"} & set(SLOW)
