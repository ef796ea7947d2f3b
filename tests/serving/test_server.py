"""The command itself: what it says where the service is not installed, and limits that cannot be."""

import subprocess
import sys

import pytest

from fsidfusion.errors import InputError
from fsidfusion.serving.settings import Settings


def test_without_the_extra_it_is_one_line():
    barred = "import sys; sys.modules['uvicorn'] = None"
    code = f"{barred}; from fsidfusion.cli import main; sys.exit(main(['serve']))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == (
        "fsidfusion serve: the service needs uvicorn, which is not installed:"
        " pip install '.[serve]' in the folder of its source\n"
    )


@pytest.mark.parametrize("wrong", [{"port": 70_000}, {"places": 0}, {"timeout": 0.0}, {"max_upload": -1.0}])
def test_limits_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Settings(**wrong)
