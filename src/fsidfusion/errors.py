"""The exceptions that are the user's to mend: one line that says what was given, expected, and what to do.

The command line prints that line and exits with status 2; in Python they are raised as they are.
"""

import re
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_EXTRAS = {
    # module: the extra of this package that brings it
    "torch": "torch",
    "safetensors": "torch",
    "onnx": "torch",
    "yaml": "torch",
    "openvino": "openvino",
    "onnxruntime": "",  # of every installation
    "av": "video",
    "nibabel": "medical",
    "pydicom": "medical",
    "scipy": "medical",
    "SimpleITK": "align",
    "pywt": "baselines",
    "h5py": "hdf5",
    "tensorboard": "tensorboard",
    "pycocotools": "downstream",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "python_multipart": "serve",
    "ray": "ray",
    "fsspec": "ray",
    "pyarrow": "ray",
}

_OPTIONS = {  # of parameters whose options have another name
    "max_pixels": "max-megapixels",
    "agc_visible": "agc-vis",
    "infrared_fov": "ir-fov",
    "visible_fov": "vis-fov",
}


def as_options(message: str) -> str:
    """A message that names parameters in backticks, with the names of the options of the command line."""
    return re.sub(
        r"`([a-z][a-z0-9_]*)`", lambda m: f"--{_OPTIONS.get(m[1], m[1].replace('_', '-'))}", message
    )


class FusionError(ValueError):
    """Anything that this package raises on purpose."""


class InputError(FusionError):
    """A file, an array, an option or a combination of them that cannot be used."""


class ModelError(FusionError):
    """Weights or a network that cannot be used, or that give no sound result."""


class MissingDependency(FusionError):
    """A part of the package that is not installed; the message says how to install it."""


class NotEnoughMemory(FusionError):
    """The memory limit does not hold what was asked for."""


def required(module: str, what: str) -> Any:
    """Import an optional module that ``what`` needs.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise missing(str(error.name or module), what) from error


def is_installed(module: str) -> bool:
    """Whether a module can be imported, as far as can be told without doing so."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # barred, or half imported
        return False


def missing(module: str, what: str) -> MissingDependency:
    """The one line for a module that is not there: ``what`` needs it, and how it is installed."""
    root = module.partition(".")[0]
    extra = _EXTRAS.get(root)
    how = f"pip install {root}" if extra is None else install(extra)
    return MissingDependency(f"{what} needs {root}, which is not installed: {how}")


def install(extra: str = "") -> str:
    """How this package is installed with an extra: the one place that knows where it comes from.

    Until its first release it is not on the package index, and the name may be anyone's there.
    """
    return f"pip install '.[{extra}]' in the folder of its source" if extra else "pip install ."


def is_optional(module: str) -> bool:
    """Whether a module belongs to an extra."""
    return module.partition(".")[0] in _EXTRAS
