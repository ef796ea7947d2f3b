"""Where a network runs: device, precision, and how much memory it may take."""

import ctypes
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from fsidfusion.errors import InputError

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16"]

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


def choose_precision(precision: str, device: "torch.device") -> Literal["fp32", "bf16"]:
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
            f"bf16 is not native on this {device.type}, so it would only be slow; use auto or fp32"
        )
    return "bf16" if native else "fp32"


def has_native_bf16(device: "torch.device") -> bool:
    """Whether the device computes in bf16: CUDA from capability 8.0, a CPU with AVX512_BF16 or AMX."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    cpuinfo = Path("/proc/cpuinfo")
    if device.type != "cpu" or not cpuinfo.exists():
        return False
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE)
    return bool(flags and {"avx512_bf16", "amx_bf16"} & set(flags[1].split()))


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
    """Bytes of memory that this process holds now (its peak, where the system does not tell the present)."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def release_free_blocks() -> None:
    """Give back to the system what glibc keeps of freed memory, so that it does not count as held."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def free_memory() -> int:
    """Bytes that this process could still take: what the system has left, and its control group allows."""
    free = 4 * 1024**3  # where the system does not tell
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        available = re.search(r"^MemAvailable:\s*(\d+) kB", meminfo.read_text(), re.MULTILINE)
        free = int(available[1]) * 1024 if available else free
    elif hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        free = free if limit == "max" else min(free, int(limit) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no control groups, or an older kind
        pass
    return max(free, 0)
