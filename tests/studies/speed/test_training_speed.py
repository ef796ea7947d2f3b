import torch

from fsidfusion.network.fsidfusion import FSIDFusion
from fsidfusion.studies.speed.plain_network import PlainFSIDFusion
from fsidfusion.studies.speed.training import measure


def test_plain_form_computes_the_same_images_and_gradients() -> None:
    torch.manual_seed(0)
    network = FSIDFusion(16, 1).train()
    infrared, visible = torch.rand(2, 2, 1, 16, 24)
    gradients = []
    images = []
    for model in (network, PlainFSIDFusion(network)):
        network.zero_grad()
        outputs = model.fuse_and_reconstruct(infrared, visible)
        sum(output.square().mean() for output in outputs).backward()
        images.append(torch.cat(outputs))
        gradients.append(network.encoder.embedding.weight.grad.clone())
    assert torch.allclose(*images, atol=1e-5)
    assert torch.allclose(*gradients, atol=1e-5)


def test_every_form_is_timed_against_the_plain_one() -> None:
    steps = measure(batch=2, crop=16, repeats=1, channels=16, blocks=1)
    assert [step.form.split(",")[0] for step in steps] == ["plain", "ours", "ours"]
    assert steps[0].ratio == 1
    assert all(step.ratio == steps[0].seconds / step.seconds for step in steps)
