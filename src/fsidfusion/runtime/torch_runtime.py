"""A network under torch: arrays in, arrays out, on one device in one precision."""

import os
import time
import weakref
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fsidfusion.network.statistics import Statistics
from fsidfusion.runtime.device import choose_device, choose_precision, free_memory
from fsidfusion.runtime.interface import Traits

# What a pass takes beyond the tensors that can be seen: the copies that convolution libraries make.
HIDDEN_SHARE = 1.25
HIDDEN_BYTES = 96 * 1024**2


class TorchRuntime:
    """A :class:`fsidfusion.runtime.interface.Runtime` of PyTorch, on a CPU or a GPU.

    The network is moved to the device and keeps its weights. Under bf16 its convolutions run in bf16, while
    the sum with the skip image stays in float32: the picture is not quantised.
    """

    def __init__(self, network: nn.Module, device: str = "auto", precision: str = "auto") -> None:
        """Choose device and precision.

        Raises:
            InputError: a device or precision that is unknown or not available.
        """
        self.name = "torch"
        self._device = choose_device(device)
        self.device = str(self._device)
        self.precision: str = choose_precision(precision, self._device)
        network = network.eval().to(self._device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.threads = torch.get_num_threads()
        self._process = os.getpid()
        self.traits = Traits.of(network)
        self.tile_pixels: int | None = None

    def __call__(
        self,
        infrared: NDArray[np.float32],
        visible: NDArray[np.float32],
        statistics: Statistics | None = None,
    ) -> NDArray[np.float32]:
        """See :class:`fsidfusion.runtime.interface.Runtime`."""
        extra = () if statistics is None else (statistics.replay(),)
        return self._forward(infrared, visible, *extra)[:, 0].float().cpu().numpy()

    def record(self, infrared: NDArray[np.float32], visible: NDArray[np.float32]) -> Statistics:
        """Take the statistics of one image from crops of it, (N, h, w) each."""
        statistics = Statistics.record()
        self._forward(infrared, visible, statistics)
        return statistics

    def memory(self) -> int:
        """Bytes free on the device."""
        if self._device.type == "cuda":
            return int(torch.cuda.mem_get_info(self._device)[0])
        return free_memory()

    def peak_bytes(self, pixels: int) -> int:
        """About the most memory that a pass over ``pixels`` pixels takes, measured on two small passes."""
        small, large = self._measured
        slope = max(0.0, (large[1] - small[1]) / (large[0] - small[0]))
        return int(HIDDEN_SHARE * (small[1] + slope * max(0, pixels - small[0]))) + HIDDEN_BYTES

    def seconds(self, pixels: int) -> float:
        """About how long a pass over ``pixels`` pixels takes in one thread."""
        pixels_measured, _, seconds = self._measured[1]
        return seconds * pixels / pixels_measured

    def use_threads(self, number: int) -> None:
        """Compute with so many threads of the CPU in the thread that calls."""
        torch.set_num_threads(number)

    @cached_property
    def _measured(self) -> tuple[tuple[int, int, float], tuple[int, int, float]]:
        """(pixels, bytes, seconds) of two passes; the second shows what grows with the image."""
        results = []
        self.use_threads(1)
        for least in (96, 192):
            side = (
                -(-max(least, self.traits.minimum_size) // self.traits.size_multiple)
                * self.traits.size_multiple
            )
            image = np.zeros((1, side, side), np.float32)
            start = time.perf_counter()
            with _LiveBytes() as live:
                self._forward(image, image)
            results.append((side * side, live.peak, time.perf_counter() - start))
        self.use_threads(self.threads)
        return results[0], results[1]

    def _forward(self, infrared: NDArray[np.float32], visible: NDArray[np.float32], *extra: Any) -> Tensor:
        if os.getpid() != self._process:  # a fork leaves the pool of threads behind: to ask it would hang
            torch.set_num_threads(1)
            self._process = os.getpid()
        bf16 = self.precision == "bf16"
        try:
            with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=bf16):
                pair = (torch.from_numpy(image)[:, None].to(self._device) for image in (infrared, visible))
                return self.network(*pair, *extra)
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error)) from error
        except RuntimeError as error:  # the allocator of the CPU
            if "not enough memory" in str(error) or "can't allocate memory" in str(error):
                raise MemoryError(str(error)) from error
            raise


class _LiveBytes(TorchDispatchMode):
    """Count the bytes of the tensors that are alive at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._live = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._watch(tensor.untyped_storage())
        return result

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._known:
            self._known.add(key)
            self._live += storage.nbytes()
            self.peak = max(self.peak, self._live)
            weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._live -= size
