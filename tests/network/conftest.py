"""Fixtures of the network tests."""

from pathlib import Path

import pytest
import torch

from fsidfusion.network.fsidfusion import FSIDFusion
from network_reference import reference_network, small_network


@pytest.fixture(scope="session")
def reference(golden_root: Path) -> FSIDFusion:
    """The published network with the reference values; not to be changed."""
    return reference_network(golden_root).to(memory_format=torch.channels_last)


@pytest.fixture
def small() -> FSIDFusion:
    """A small network of one's own."""
    return small_network()
