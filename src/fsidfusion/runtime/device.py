"""Where a network runs: device, precision, and how much memory it may take."""

import ctypes
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import psutil

from fsidfusion.errors import InputError

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16"]

MAX_THREADS = 256  # or as many as there are processors, if there are more
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def choose_device(name: str = "auto") -> "torch.device":
    """``auto`` takes CUDA, then MPS, then the CPU; ``cuda:1`` names one of several.

    Raises:
        InputError: an unknown device, or one that this machine or this torch does not have.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()):
        raise InputError(f"device {name!r} is unknown; choose auto, cpu, cuda (cuda:1) or mps")
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[
        kind
    ]
    if int(index or 0) >= present:
        raise InputError(f"device {name} is not available here; choose another, or auto")
    return torch.device(name)


def choose_precision(precision: str, device: "torch.device | str") -> Literal["fp32", "bf16"]:
    """``auto`` takes bf16 where the device computes in it natively.

    Raises:
        InputError: an unknown precision, or bf16 asked for where it is only emulated.
    """
    if precision not in get_args(Precision):
        raise InputError(
            f"precision {precision!r} is unknown; choose one of {', '.join(get_args(Precision))}"
        )
    if precision == "fp32":
        return "fp32"
    native = has_native_bf16(device)
    if precision == "bf16" and not native:
        raise InputError(
            f"bf16 is not native on this {str(device).partition(':')[0]}, so it would only be slow;"
            " use auto or fp32"
        )
    return "bf16" if native else "fp32"


def has_native_bf16(device: "torch.device | str") -> bool:
    """Whether the device computes in bf16: CUDA from capability 8.0, a CPU with AVX512_BF16 or AMX."""
    kind = str(device).partition(":")[0]
    if kind == "cuda":
        import torch

        return torch.cuda.get_device_capability(device)[0] >= 8
    cpuinfo = Path("/proc/cpuinfo")
    if kind != "cpu" or not cpuinfo.exists():
        return False
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE)
    return bool(flags and {"avx512_bf16", "amx_bf16"} & set(flags[1].split()))


def may_have_gpu() -> bool:
    """Whether the system shows signs of a GPU that torch may know; to import torch for it else is waste."""
    if sys.platform == "darwin":
        return True
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll").exists()
    return any(Path(place).exists() for place in ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/kfd"))


def default_threads() -> int:
    """One thread for each core of the CPU that this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, psutil.cpu_count(logical=False) or allowed))


def check_threads(threads: int | None) -> int | None:
    """The same number, where so many threads can compute; None is none given.

    Raises:
        InputError: below 1, or so many that they only take memory.
    """
    most = max(MAX_THREADS, os.cpu_count() or 1)
    if threads is not None and not 1 <= threads <= most:
        raise InputError(
            f"`threads` {threads}: expected 1 to {most} on this machine, or none to use all cores"
        )
    return threads


def parse_bytes(text: str | int) -> int:
    """``"2GiB"``, ``"1.5G"``, ``"800MB"`` or a number of bytes; units are powers of 1024.

    Raises:
        InputError: anything else, or nothing.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(text).lower())
    size = int(float(match[1]) * 1024 ** _UNITS[match[2]]) if match else 0
    if size <= 0:
        raise InputError(f"memory {text!r} is not a size; give one such as 2GiB or 800MiB")
    return size


def format_bytes(size: float) -> str:
    """1610612736 -> ``"1.5 GiB"``."""
    return f"{size / 1024**3:.2g} GiB" if size >= 1024**3 else f"{max(1, round(size / 1024**2))} MiB"


def resident_memory() -> int:
    """Bytes of memory that this process holds now."""
    return int(psutil.Process().memory_info().rss)


def release_free_blocks() -> None:
    """Give back to the system what glibc keeps of freed memory, so that it does not count as held."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def free_memory() -> int:
    """Bytes that this process could still take: what the system has left, and its control group allows."""
    free = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        free = free if limit == "max" else min(free, int(limit) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no control groups, or an older kind
        pass
    return max(free, 0)
