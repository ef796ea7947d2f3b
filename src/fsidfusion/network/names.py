"""The shipped networks by name: which there are, which weights suit which task, and their cards."""

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fsidfusion import DEFAULT_MODEL
from fsidfusion.errors import ModelError

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
MEDICAL = "-medical"  # ends the name of the weights of a network that are for MRI with CT, PET or SPECT


def shipped_models() -> list[str]:
    """The names that ``load_model`` knows."""
    return sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))


def shipped_networks() -> list[str]:
    """The shipped names, the default one first, each network once: without what ``suited`` finds."""
    names = shipped_models()
    second = {name + MEDICAL for name in names}
    networks = [name for name in names if name not in second]
    return sorted(networks, key=lambda name: name != DEFAULT_MODEL)


def suited(name: str, medical: bool) -> str:
    """The weights to take for MRI pairs: NAME-medical where a NAME is shipped with such, else ``name``."""
    return name + MEDICAL if medical and name + MEDICAL in shipped_models() else name


def is_name(model: str | Path) -> bool:
    """Whether ``model`` is to be looked up among the shipped networks, as it is no file."""
    return Path(model).suffix != ".safetensors" and not Path(model).exists()


def shipped_file(name: str) -> Path:
    """The safetensors file of a shipped network. ModelError for an unknown name."""
    names = shipped_models()
    if name in names:
        return WEIGHTS / f"{name}.safetensors"
    close = get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    known = ", ".join(names) or "none in this installation"
    raise ModelError(f"no network or file is named {name!r}{hint} (shipped networks: {known})")


def model_card(name: str) -> dict[str, Any]:
    """The card of a shipped network (recipe, data, scores, licence). ModelError for an unknown name."""
    card = shipped_file(name).with_suffix(".json")
    return json.loads(card.read_text("utf-8")) if card.exists() else {}


def models() -> dict[str, dict[str, Any]]:
    """The shipped networks: the card (recipe, data, scores, licence) by the name that ``model`` takes."""
    return {name: model_card(name) for name in shipped_models()}
