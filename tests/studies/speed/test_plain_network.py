"""The plain form is the same function as the network."""

import pytest
import torch

from fsidfusion.network.fsidfusion import FSIDFusion
from fsidfusion.studies.speed.plain_network import PlainFSIDFusion


@pytest.mark.parametrize("height, width, batch", [(24, 17, 1), (9, 30, 2)])
def test_it_computes_the_same(height, width, batch):
    torch.manual_seed(0)
    network = FSIDFusion(channels=16, blocks=1).eval()
    infrared, visible = torch.rand(2, batch, 1, height, width)
    with torch.inference_mode():
        expected = network(infrared, visible)
        assert expected.std() > 0.01
        torch.testing.assert_close(PlainFSIDFusion(network)(infrared, visible), expected, atol=1e-5, rtol=0)
