"""Trains the small network that tells white-hot from black-hot (:mod:`fsidfusion.thermal.polarity`).

    python -m fsidfusion.studies.polarity polarity.npz --white-hot FOLDER ... --neutral FOLDER ...

The folders hold infrared pictures that are white-hot: ``train/msrs128/ir`` once and ``train/roadscene/ir``
twice for the weights that are shipped; every twentieth of each is left out. Neutral ones, such as visible
pictures and scans, are of neither kind: on them the network is to abstain. It takes ten minutes on one core.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from fsidfusion.images.files import read_picture
from fsidfusion.images.pixels import luma, quantise

Gray = NDArray[np.uint8]
_WIDTH, _HEIGHT = 128, 96
_BATCH, _NEUTRAL = 64, 16  # pictures of a step, and of neither kind beside them
_HOLD_OUT = 20


class PolarityNetwork(nn.Module):
    """Four convolutions; log odds of white-hot, opposite for a negative."""

    def __init__(self) -> None:
        super().__init__()
        channels = (1, 8, 16, 24, 32)
        for index in range(4):
            size = 5 if index == 0 else 3
            convolution = nn.Conv2d(channels[index], channels[index + 1], size, 2, size // 2)
            self.add_module(f"conv{index}", convolution)
        self.line = nn.Linear(2 * channels[-1], 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) of mean 0 to log odds (B,)."""
        return self._judge(pictures) - self._judge(-pictures)

    def _judge(self, layer: torch.Tensor) -> torch.Tensor:
        for index in range(4):
            layer = functional.relu(self.get_submodule(f"conv{index}")(layer))
        odds: torch.Tensor = self.line(torch.cat((layer.mean((2, 3)), layer.amax((2, 3))), 1))
        return odds[:, 0]


def train(white_hot: list[Gray], neutral: list[Gray], epochs: int = 40, seed: int = 0) -> PolarityNetwork:
    """A network that tells white-hot pictures from their negatives, and abstains on neutral ones."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = PolarityNetwork()
    steps = max(1, epochs * len(white_hot) // _BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=2e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps + 1)
    # a negative is the same picture to the network, with the other sign: one target is enough
    target = torch.cat((torch.full((_BATCH,), 0.98), torch.full((_NEUTRAL,), 0.5)))
    weight = torch.cat((torch.full((_BATCH,), 1 / _BATCH), torch.full((_NEUTRAL,), 0.25 / _NEUTRAL)))
    for _ in range(steps):
        chosen = [white_hot[rng.integers(len(white_hot))] for _ in range(_BATCH)]
        chosen += [neutral[rng.integers(len(neutral))] for _ in range(_NEUTRAL)]
        pictures = torch.from_numpy(np.stack([changed(each, rng) for each in chosen]))[:, None]
        loss = functional.binary_cross_entropy_with_logits(network(pictures), target, weight, reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


def changed(picture: Gray, rng: np.random.Generator) -> NDArray[np.float32]:
    """A part of a picture (H, W) as another camera might show it: (96, 128), of mean 0 and spread 1."""
    height, width = picture.shape
    share, aspect = rng.uniform(0.35, 1) ** 0.7, np.exp(rng.normal(0, 0.12))
    tall, wide = int(min(height, height * share * aspect)), int(min(width, width * share / aspect))
    top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    part = picture[top : top + tall, left : left + wide]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    levels = cv2.resize(np.ascontiguousarray(part), (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
    kind = rng.random()  # gain control, of the camera or none
    if kind < 0.15:
        levels = cv2.createCLAHE(rng.uniform(1, 6), (4, 4)).apply(levels)
    shown = levels.astype(np.float32)
    if 0.15 < kind < 0.35:
        ranks = np.argsort(np.argsort(shown, axis=None)).reshape(shown.shape) / shown.size * 255
        shown += rng.uniform(0.2, 1) * (ranks - shown).astype(np.float32)
    if rng.random() < 0.15:
        turn = cv2.getRotationMatrix2D((_WIDTH / 2, _HEIGHT / 2), rng.normal(0, 10), 1.1)
        shown = np.asarray(cv2.warpAffine(shown, turn, (_WIDTH, _HEIGHT), borderMode=cv2.BORDER_REFLECT))
    low, high = (float(np.percentile(shown, share)) for share in (rng.uniform(0, 2), 100 - rng.uniform(0, 2)))
    shown = (((shown - low) / max(high - low, 6)).clip(0, 1) ** np.exp(rng.normal(0, 0.5))) * 255
    if rng.random() < 0.3:
        shown = cv2.GaussianBlur(shown, (0, 0), rng.uniform(0.4, 1.8))
    if rng.random() < 0.5:
        shown = shown + rng.normal(0, rng.uniform(0, 12), shown.shape)
    if rng.random() < 0.15:  # what a camera writes over it
        shown = shown.clip(0, 255).astype(np.uint8)
        place = int(rng.integers(0, 90)), int(rng.integers(10, _HEIGHT))
        cv2.putText(shown, "12.3", place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, int(rng.choice([0, 255])), 1)
    shown = shown.astype(np.float32) - np.float32(shown.mean())
    return shown / (shown.std() + np.float32(4))


def save(network: PolarityNetwork, path: Path) -> None:
    """The weights in half precision, as :mod:`fsidfusion.thermal.polarity` reads them."""
    weights = {
        name.replace(".", "_"): value.numpy().astype(np.float16)
        for name, value in network.state_dict().items()
    }
    np.savez_compressed(path, **weights)


def _read(folders: list[Path]) -> list[Gray]:
    found: list[Gray] = []
    for folder in folders:
        files = [file for index, file in enumerate(sorted(folder.iterdir())) if index % _HOLD_OUT]
        for file in files:
            pixels = read_picture(file).pixels
            levels = pixels if pixels.ndim == 2 else quantise(luma(pixels), np.dtype(np.uint8))
            found.append(cv2.resize(levels, (160, 120), interpolation=cv2.INTER_AREA).astype(np.uint8))
    return found


def train_from(output: Path, white_hot: list[Path], neutral: list[Path], epochs: int = 40) -> None:
    """Trains on the pictures of folders, and writes the weights to ``output``."""
    save(train(_read(white_hot), _read(neutral), epochs), output)


if __name__ == "__main__":
    import tyro

    def _main(output: tyro.conf.Positional[Path], white_hot: list[Path], neutral: list[Path]) -> None:
        train_from(output, white_hot, neutral)

    tyro.cli(_main, description=__doc__)
