import subprocess
import sys
from pathlib import Path

import pytest

from fsidfusion.errors import FusionError
from fsidfusion.images.lock import alone


def test_one_at_a_time_and_nothing_is_left(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    for _ in range(2):
        with alone(lock, "it is busy"):
            with pytest.raises(FusionError, match="it is busy; wait for its end"), alone(lock, "it is busy"):
                pass
            assert lock.exists()
        assert not lock.exists()


def test_a_process_that_dies_frees_its_lock(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from fsidfusion.images.lock import alone
with alone(Path({str(tmp_path / ".lock")!r}), ""):
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert (tmp_path / ".lock").exists()
    with alone(tmp_path / ".lock", ""):
        pass


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FusionError, match="choose another folder"), alone(tmp_path / "file" / ".lock", ""):
        pass
