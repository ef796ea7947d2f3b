"""``fsidfusion import-weights`` and ``fsidfusion models``."""

from pathlib import Path
from typing import Annotated

import tyro


def import_weights(
    published: Annotated[Path, tyro.conf.Positional],
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE.safetensors")],
) -> None:
    """Convert a published checkpoint to safetensors; only plain tensors are read from it, never code.

    Args:
        published: the published checkpoint (.pth).
        output: the file to write; --model takes it afterwards.
    """
    from fsidfusion.network.checkpoint import import_published, save_weights

    model = import_published(published)
    save_weights(output, model, {"source": f"published checkpoint {published.name}"})
    values = sum(tensor.numel() for tensor in model.state_dict().values())
    print(f"{output}: {model.architecture}, {values:,} values from {published.name}")


def models(json: bool = False) -> None:
    """List the shipped networks.

    Args:
        json: print the whole cards, as JSON.
    """
    from json import dumps

    from fsidfusion.network import checkpoint

    cards = checkpoint.models()
    if json:
        print(dumps(cards, indent=2))
        return
    for name, card in cards.items():
        print(name)
        for key in ("architecture", "parameters", "task", "data", "scores", "licence"):
            if key in card:
                print(f"  {key:<14}{_line(card[key])}")
    if not cards:
        print("no network is shipped with this installation; --model takes a .safetensors file")


def _line(value: object) -> str:
    """A value of a card in one line: nested entries as ``name value``."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_line(below)}" for key, below in value.items())
    if isinstance(value, list):
        return ", ".join(map(_line, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
