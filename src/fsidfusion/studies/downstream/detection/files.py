"""A trained detector on disk: safetensors that say what it was trained on."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from safetensors import SafetensorError, safe_open

from fsidfusion.errors import InputError
from fsidfusion.images.text import reason
from fsidfusion.network.checkpoint import save_weights
from fsidfusion.studies.downstream.detection.config import DetectConfig
from fsidfusion.studies.downstream.detection.network import Detector

_SMALL = 64  # options up to this are taken without tensors that bear them out


@dataclass(frozen=True)
class Trained:
    """A detector and what it is for."""

    detector: Detector
    classes: tuple[str, ...]
    input: str  # as given to the training: "visible", a model's name or file
    weights: str  # sha256 of the model that fused its frames; "" without one
    config: DetectConfig
    seed: int


def save_detector(path: Path, trained: Trained) -> None:
    """Write it whole or not at all. InputError where it cannot be written."""
    described = {
        "classes": json.dumps(trained.classes),
        "input": trained.input,
        "input_weights": trained.weights,
        "schedule": json.dumps(asdict(trained.config)),
        "seed": str(trained.seed),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path.parent} ({error.strerror}); choose another place") from error
    save_weights(path, trained.detector, described)


def load_detector(path: Path, device: str = "cpu") -> Trained:
    """A detector ready to look at frames. InputError for a file that is absent, damaged or no detector."""
    try:
        with safe_open(path, "pt") as file:
            described = dict(file.metadata() or {})
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}; 'fsidfusion detect train' writes one") from None
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is not a whole safetensors file ({error}); train it again") from error
    if described.get("architecture") != Detector.architecture:
        raise InputError(f"{path} holds no detector but {described.get('architecture', 'something else')}")
    try:
        options = msgspec.json.decode(described["config"], type=dict[str, int])
        most = max(_SMALL, *(side for tensor in state.values() for side in tensor.shape))
        if not all(0 < number <= most for number in options.values()):
            raise ValueError(f"its tensors do not bear out {options}")
        detector = Detector(**options)
        detector.load_state_dict(state)
        return Trained(
            detector.eval().to(device),
            msgspec.json.decode(described["classes"], type=tuple[str, ...]),
            described["input"],
            described["input_weights"],
            msgspec.json.decode(described["schedule"], type=DetectConfig),
            int(described["seed"]),
        )
    except Exception as error:  # an untrusted file: whatever its content leads to, the file is what is wrong
        raise InputError(
            f"{path} does not fit the detector that it names ({reason(error)}); train it again"
        ) from error
