"""``fsidfusion import-weights`` and ``fsidfusion models``."""

from pathlib import Path
from typing import Annotated

import tyro

from fsidfusion.cli.messages import print_json, say
from fsidfusion.cli.options import Json, OutputFile


def import_weights(
    published: Annotated[Path, tyro.conf.Positional],
    output: OutputFile,
) -> None:
    """Convert a published checkpoint to safetensors; only plain tensors are read from it, never code.

    Args:
        published: the published checkpoint (.pth).
        output: the .safetensors file to write; --model takes it afterwards.
    """
    from fsidfusion.network.checkpoint import import_published, save_weights

    model = import_published(published)
    save_weights(output, model, {"source": f"published checkpoint {published.name}"})
    values = sum(tensor.numel() for tensor in model.state_dict().values())
    say(f"{output}: {model.architecture}, {values:,} values from {published.name}")


def models(json: Json = False) -> None:
    """List the shipped networks; their whole cards with --json."""
    from fsidfusion.network import names

    cards = names.models()
    if json:
        print_json(cards)
        return
    for name, card in cards.items():
        say(name)
        for key in ("architecture", "parameters", "task", "data", "scores", "licence"):
            if key in card:
                say(f"  {key:<14}{_line(card[key])}")
    if not cards:
        say("no network is shipped with this installation; `model` takes a .safetensors file")


def _line(value: object) -> str:
    """A value of a card in one line: nested entries as ``name value``."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_line(below)}" for key, below in value.items())
    if isinstance(value, list):
        return ", ".join(map(_line, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
