"""The software that computes a network: PyTorch, or OpenVINO and ONNX Runtime where they are installed.

``auto`` takes the one that was fastest for this kind of network on this machine. That is measured once, and
remembered in the user's cache folder.
"""

import json
import math
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fsidfusion.errors import InputError, MissingDependency
from fsidfusion.images.atomic import whole_file
from fsidfusion.network.statistics import Statistics
from fsidfusion.runtime.device import choose_device
from fsidfusion.runtime.torch_runtime import TorchRuntime

Runtime = Literal["auto", "torch", "openvino", "onnxruntime"]
Engine = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]

MAX_DIFFERENCE = 2 / 255  # of a bf16 pass from the fp32 one, at any pixel
PROBE_SIDE = 64  # of the image that is compared
MEASURED_SIDES = {False: 256, True: 96}  # of the image that is timed; with global statistics: a slow network
TURNS = 5  # of which the fastest counts
# Memory a pixel of the published network, which goes through whole.
PEAK_BYTES = {"openvino": 12 * 1024, "onnxruntime": 26 * 1024}


def load_runtime(
    network: nn.Module, runtime: str = "auto", device: str = "auto", precision: str = "auto"
) -> TorchRuntime:
    """Make a network ready to run.

    Args:
        network: see :class:`TorchRuntime`.
        runtime: ``torch`` runs everywhere, ``openvino`` and ``onnxruntime`` on CPUs; ``auto`` is the fastest
            that is installed.
        device: see :func:`fsidfusion.runtime.device.choose_device`.
        precision: ``auto`` and ``bf16`` never differ from fp32 by over two grey levels of 8 bits; where
            bf16 would, ``auto`` stays with fp32.

    Raises:
        InputError: a runtime that is unknown, not installed, or does not go with device or precision.
    """
    if runtime not in get_args(Runtime):
        raise InputError(f"runtime {runtime!r} is unknown; choose one of {', '.join(get_args(Runtime))}")
    if device == "auto" and runtime not in ("auto", "torch"):
        device = "cpu"
    on_cpu = choose_device(device).type == "cpu"
    if runtime == "auto":
        runtime = fastest_runtime(network, precision) if on_cpu else "torch"
    if runtime == "torch":
        return TorchRuntime(network, device, precision)
    if not on_cpu:
        raise InputError(
            f"runtime {runtime} computes on the CPU, not on {device}; use torch, or `device` cpu"
        )
    return CompiledRuntime(network, runtime, precision)


class CompiledRuntime(TorchRuntime):
    """A network compiled for the CPU by OpenVINO or ONNX Runtime; safe to call from several threads.

    Whole images and the tiles of local networks go through the compiled form. Tiles that replay the
    statistics of their image go through torch.
    """

    def __init__(self, network: nn.Module, name: str, precision: str = "auto") -> None:
        """Compile for all threads of torch.

        Raises:
            InputError: not installed, or bf16 that cannot be had faithfully.
        """
        super().__init__(network, "cpu", precision)
        self.name = name
        if name not in installed_runtimes():
            raise MissingDependency(
                f"runtime {name} is not installed: pip install 'fsidfusion[{name}]', or use `runtime` torch"
            )
        if name == "onnxruntime" and precision == "bf16":
            raise InputError("runtime onnxruntime computes in fp32; use `precision` fp32, or another runtime")
        if name == "onnxruntime":
            self.precision = "fp32"
        self._engine = self._compile()
        if self.precision == "bf16" and (difference := self._difference()) > MAX_DIFFERENCE:
            if precision == "bf16":
                raise InputError(
                    f"bf16 under {name} differs from fp32 by {255 * difference:.1f} grey levels"
                    " for this network; use `precision` fp32, or `runtime` torch"
                )
            self.precision = "fp32"
            self._engine = self._compile()

    def __call__(
        self,
        infrared: NDArray[np.float32],
        visible: NDArray[np.float32],
        statistics: Statistics | None = None,
    ) -> NDArray[np.float32]:
        """Fuse a batch, (B, H, W) each in 0..1, to (B, H, W); see :meth:`TorchRuntime.__call__`."""
        if statistics is not None:
            return super().__call__(infrared, visible, statistics)
        return self._engine(infrared, visible)

    def peak_bytes(self, pixels: int) -> int:
        """About the most memory that a pass over ``pixels`` pixels takes."""
        return PEAK_BYTES[self.name] * pixels if self.has_global_statistics else super().peak_bytes(pixels)

    def _compile(self) -> Engine:
        if self.name == "openvino":
            from fsidfusion.runtime.openvino_engine import OpenVinoEngine

            return OpenVinoEngine(self.network, self.precision, self.threads)
        from fsidfusion.runtime.onnx_engine import OnnxEngine

        return OnnxEngine(self.network, self.threads)

    def _difference(self) -> float:
        """The largest difference of a pass from torch in fp32, for a picture with edges and slopes."""
        side = -(-PROBE_SIDE // self.size_multiple) * self.size_multiple
        y, x = np.mgrid[:side, :side].astype(np.float32) / side
        infrared = np.where((x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.08, np.float32(0.9), 0.2 + 0.3 * y)[None]
        visible = (0.5 + 0.45 * np.sin(12 * x) * np.cos(9 * y))[None]
        with torch.inference_mode():
            exact = self.network(*(torch.from_numpy(image)[:, None] for image in (infrared, visible)))
        return float(np.abs(self._engine(infrared, visible) - exact[:, 0].numpy()).max())


def installed_runtimes() -> list[str]:
    """The runtimes that can be used on the CPU of this machine."""
    needed = {"torch": ("torch",), "openvino": ("openvino",), "onnxruntime": ("onnxruntime", "onnx")}
    return [name for name, modules in needed.items() if all(map(find_spec, modules))]


def fastest_runtime(network: nn.Module, precision: str = "auto") -> str:
    """The fastest installed runtime for networks of this architecture on the CPU.

    Measured on a few short passes, unless the cache tells. Speed does not depend on the weights, so the cache
    goes by architecture, its options, precision, threads, processor and versions.
    """
    names = installed_runtimes()
    if precision == "bf16" or getattr(network, "has_global_statistics", False):  # fp32 only, and much memory
        names = [name for name in names if name != "onnxruntime"]
    if names == ["torch"]:
        return "torch"
    key = _cache_key(network, precision, names)
    known = _read_cache()
    if known.get(key) in names:
        return known[key]
    candidates = []
    for name in names:
        try:
            torch_only = name == "torch"
            candidates.append(
                TorchRuntime(network, "cpu", precision)
                if torch_only
                else CompiledRuntime(network, name, precision)
            )
        except Exception:  # a runtime that cannot take this network, whatever it raises, is not the fastest
            if torch_only:
                raise
    seconds = _seconds(candidates)
    fastest = min(seconds, key=lambda name: seconds[name])
    _write_cache({**known, key: fastest})
    return fastest


def cache_folder() -> Path:
    """Where measurements are remembered: $XDG_CACHE_HOME/fsidfusion, by default ~/.cache/fsidfusion."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if Path(root).is_absolute() else Path.home() / ".cache") / "fsidfusion"


def _seconds(candidates: list[TorchRuntime]) -> dict[str, float]:
    """The shortest pass of each; they take turns, so that what else runs on the machine slows all alike."""
    side = MEASURED_SIDES[candidates[0].has_global_statistics]
    image = np.linspace(0, 1, side * side, dtype=np.float32).reshape(1, side, side)
    best = dict.fromkeys((runtime.name for runtime in candidates), math.inf)
    for turn in range(TURNS + 1):  # the first prepares
        for runtime in candidates:
            start = time.perf_counter()
            runtime(image, image)
            if turn:
                best[runtime.name] = min(best[runtime.name], time.perf_counter() - start)
    return best


def _cache_key(network: nn.Module, precision: str, names: list[str]) -> str:
    config = json.dumps(getattr(network, "config", None), sort_keys=True)
    architecture = getattr(network, "architecture", type(network).__name__)
    versions = [f"{name} {version_of(name)}" for name in names]
    return "; ".join(
        (f"{architecture} {config}", precision, f"{torch.get_num_threads()} threads", processor(), *versions)
    )


def processor() -> str:
    """What the system calls the processor of this machine."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    told = {name.strip(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
    if "model name" not in told:
        return platform.processor() or platform.machine() or "unknown"
    kind = ", ".join(f"{name} {told[name]}" for name in ("cpu family", "model") if name in told)
    return f"{told['model name']} ({kind})"


def version_of(name: str) -> str:
    """The version of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:  # another distribution of the same module
        return "of unknown version"


def _read_cache() -> dict[str, str]:
    try:
        known = json.loads((cache_folder() / "runtimes.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {k: v for k, v in known.items() if isinstance(v, str)} if isinstance(known, dict) else {}


def _write_cache(known: dict[str, str]) -> None:
    """Remember, where the folder can be written; else the next run measures again."""
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with whole_file(cache_folder() / "runtimes.json") as stream:
            stream.write(json.dumps(known, indent=1).encode())
    except OSError:
        pass
