"""Where the real pairs and the reference values lie; tests that need them skip, with a reason, elsewhere."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parent.parent


def _shared(variable: str, name: str) -> Path:
    root = Path(os.environ.get(variable, ROOT.parent / "shared" / name))
    if not root.is_dir():
        pytest.skip(f"{name} is not here: set {variable} to its folder")
    return root


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real image pairs."""
    return _shared("FSIDFUSION_DATA", "data")


@pytest.fixture(scope="session")
def golden_root() -> Path:
    """The folder of reference values."""
    return _shared("FSIDFUSION_GOLDEN", "golden")
