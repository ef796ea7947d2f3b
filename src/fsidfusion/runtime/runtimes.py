"""The software that computes a network: ONNX Runtime, OpenVINO or PyTorch, and which of them by itself.

The choice follows a rule, so that the same installation gives the same pixels at every run. The rule is what
was measured (docs/results.md, speed): of a 640x480 pair with a local network OpenVINO computes 58 a second in
bf16 and 40 in fp32, PyTorch 46 and 34, ONNX Runtime 36, which is there a second sooner than PyTorch; the
published network is fastest under PyTorch.
"""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from fsidfusion.errors import InputError, is_installed, missing, required
from fsidfusion.network.names import is_name, shipped_file
from fsidfusion.runtime.compiled import CompiledRuntime
from fsidfusion.runtime.device import check_threads, default_threads, may_have_gpu
from fsidfusion.runtime.interface import Runtime as RunningNetwork
from fsidfusion.runtime.onnx_model import OnnxModel, shipped_onnx

if TYPE_CHECKING:
    from torch import nn

Runtime = Literal["auto", "torch", "openvino", "onnxruntime"]


def load_runtime(
    model: "str | Path | nn.Module",
    runtime: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    emphasis: float = 1.0,
) -> RunningNetwork:
    """Make a network ready to run; torch is only imported where it computes, or has to read the network.

    Args:
        model: the name of a shipped network, a .safetensors file, or a network in torch.
        runtime: ``torch`` runs everywhere, ``openvino`` and ``onnxruntime`` on CPUs. ``auto`` is, on a CPU,
            for a network by name or from a file :func:`chosen_runtime`; torch for one that is given, and on
            a GPU.
        device: see :func:`fsidfusion.runtime.device.choose_device`.
        precision: ``auto`` and ``bf16`` never differ from fp32 by over three grey levels of 8 bits; where
            bf16 would, ``auto`` stays with fp32.
        threads: of the CPU; one for each of its cores by default.
        emphasis: of targets, 0..1, of a network with an overview.

    Raises:
        InputError: a runtime that is unknown or does not go with device or precision; too many threads.
        MissingDependency: a runtime that is not installed, or a network that needs torch.
        ModelError: an unknown name, or a file that holds no network.
    """
    if runtime not in get_args(Runtime):
        raise InputError(f"runtime {runtime!r} is unknown; choose one of {', '.join(get_args(Runtime))}")
    if runtime not in ("auto", "torch") and not is_installed(runtime):
        raise missing(runtime, f"runtime {runtime}")
    threads = check_threads(threads)
    shipped = shipped_onnx(model) if isinstance(model, str | Path) else None
    on_cpu = _is_cpu(device, runtime)
    if runtime == "auto":
        runtime = "torch"
        if isinstance(model, str | Path) and on_cpu:
            has_onnx = shipped is not None
            runtime = chosen_runtime(has_onnx or _is_local(model), has_onnx, precision)
    if runtime != "torch" and not on_cpu:
        raise InputError(
            f"runtime {runtime} computes on the CPU, not on {device}; use torch, or `device` cpu"
        )
    if runtime != "torch" and shipped is not None:
        return CompiledRuntime(shipped, runtime, precision, threads or default_threads(), emphasis)
    return _through_torch(model, runtime, device, precision, threads, emphasis)


def chosen_runtime(is_local: bool, has_onnx: bool, precision: str = "auto") -> str:
    """What ``auto`` takes on a CPU.

    Args:
        is_local: the network has no statistics of the whole image.
        has_onnx: it is shipped as ONNX, so that it runs without torch.
        precision: ``bf16`` rules out ONNX Runtime.
    """
    if is_local and is_installed("openvino"):
        return "openvino"
    if has_onnx and (precision != "bf16" or not is_installed("torch")):
        return "onnxruntime"
    return "torch"


def installed_runtimes() -> list[str]:
    """The runtimes that can be used on the CPU of this machine."""
    return [name for name in get_args(Runtime) if name != "auto" and is_installed(name)]


def _is_cpu(device: str, runtime: str) -> bool:
    """Whether a network is to run on the CPU; asks torch only where it could know of more."""
    if device == "cpu" or (device == "auto" and runtime in ("openvino", "onnxruntime")):
        return True
    if device == "auto" and not (may_have_gpu() and is_installed("torch")):
        return True
    required("torch", f"device {device}")
    from fsidfusion.runtime.device import choose_device

    return choose_device(device).type == "cpu"


def _is_local(model: str | Path) -> bool:
    """Whether the file of a network says that it is no published one, which has global statistics."""
    required("torch", f"network {str(model)[:80]!r}")
    from fsidfusion.network.checkpoint import architecture_of

    return architecture_of(shipped_file(str(model)) if is_name(model) else Path(model)) != "fsidfusion"


def _through_torch(
    model: "str | Path | nn.Module",
    runtime: str,
    device: str,
    precision: str,
    threads: int | None,
    emphasis: float,
) -> RunningNetwork:
    torch = required("torch", f"network {str(model)[:80]!r}")
    from fsidfusion.network.checkpoint import load_model
    from fsidfusion.runtime.torch_runtime import TorchRuntime

    if threads is not None:
        torch.set_num_threads(threads)
    network = load_model(model) if isinstance(model, str | Path) else model
    if getattr(network, "overview", None) is not None and isinstance(model, str | Path):
        network.emphasis = emphasis  # type: ignore[assignment]
    if runtime == "torch":
        return TorchRuntime(network, device, precision)
    return CompiledRuntime(onnx_model(network), runtime, precision, torch.get_num_threads())


def onnx_model(network: "nn.Module") -> OnnxModel:
    """A network in torch as ONNX, in memory. MissingDependency where ``onnx`` is not installed."""
    required("onnx", "a network of your own in another runtime than torch")
    from fsidfusion.runtime.export import onnx_bytes, pass_bytes
    from fsidfusion.runtime.interface import Traits

    return OnnxModel(onnx_bytes(network), Traits.of(network), pass_bytes(network), lambda: network)


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
