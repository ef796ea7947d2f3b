"""A network compiled for the CPU from its ONNX form, by OpenVINO or ONNX Runtime."""

import os
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.runtime.device import choose_precision, free_memory
from fsidfusion.runtime.onnx_model import OnnxModel

if TYPE_CHECKING:
    from torch import nn

    from fsidfusion.network.statistics import Statistics
    from fsidfusion.runtime.torch_runtime import TorchRuntime

_left_behind: list[object] = []

Engine = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]

MAX_DIFFERENCE = 3 / 255  # of a bf16 pass from the fp32 one, at any pixel
PROBE_SIDE = 64  # of the image that is compared
TIMED_SIDE = 192
# Memory a pixel of the published network, which goes through whole.
PEAK_BYTES = {"openvino": 12 * 1024, "onnxruntime": 26 * 1024}
LIBRARY_BYTES = 96 * 1024**2  # that a runtime takes for itself


class CompiledRuntime:
    """A :class:`fsidfusion.runtime.interface.Runtime` of OpenVINO or ONNX Runtime.

    Whole images and the tiles of local networks go through the compiled form. Tiles that replay the
    statistics of their image go through torch.
    """

    device = "cpu"

    def __init__(
        self, model: OnnxModel, name: str, precision: str = "auto", threads: int = 1, emphasis: float = 1.0
    ) -> None:
        """Compile for so many threads.

        Raises:
            MissingDependency: the runtime is not installed.
            InputError: bf16 that cannot be had faithfully.
        """
        if name == "onnxruntime" and precision == "bf16":
            raise InputError("runtime onnxruntime computes in fp32; use `precision` fp32, or another runtime")
        self.name = name
        self.threads = threads
        self.traits = model.traits
        self._model = model
        self._emphasis = emphasis
        self._process = os.getpid()
        self.precision: str = "fp32" if name == "onnxruntime" else choose_precision(precision, "cpu")
        if model.in_bf16 is False and self.precision == "bf16":
            if precision == "bf16":
                raise InputError(
                    f"bf16 under {name} is not faithful for this network; use `precision` fp32,"
                    " or `runtime` torch"
                )
            self.precision = "fp32"
        self.tile_pixels: int | None = None
        self._engine = self._compile(self.precision)
        if self.precision == "bf16" and (difference := self._difference()) > MAX_DIFFERENCE:
            if precision == "bf16":
                raise InputError(
                    f"bf16 under {name} differs from fp32 by {255 * difference:.1f} grey levels"
                    " for this network; use `precision` fp32, or `runtime` torch"
                )
            self.precision = "fp32"
            self._engine = self._compile("fp32")

    @cached_property
    def network(self) -> "nn.Module":
        """The network in torch, loaded where it is asked for."""
        return self._model.load()

    def __call__(
        self,
        infrared: NDArray[np.float32],
        visible: NDArray[np.float32],
        statistics: "Statistics | None" = None,
    ) -> NDArray[np.float32]:
        """See :class:`fsidfusion.runtime.interface.Runtime`."""
        if statistics is not None:
            return self._torch(infrared, visible, statistics)
        if os.getpid() != self._process:  # a fork leaves the threads of the engine behind
            _left_behind.append(self._engine)  # its end would wait for them
            self._engine, self._process = self._compile(self.precision), os.getpid()
        return self._engine(infrared, visible)

    def record(self, infrared: NDArray[np.float32], visible: NDArray[np.float32]) -> "Statistics":
        """Take the statistics of one image from crops of it, (N, h, w) each."""
        return self._torch.record(infrared, visible)

    def memory(self) -> int:
        """Bytes free."""
        return free_memory()

    def peak_bytes(self, pixels: int) -> int:
        """About the most memory that a pass over ``pixels`` pixels takes."""
        if self.traits.has_global_statistics:
            return PEAK_BYTES[self.name] * pixels
        return self._model.pass_bytes * pixels + LIBRARY_BYTES

    def seconds(self, pixels: int) -> float:
        """About how long a pass over ``pixels`` pixels takes in one thread."""
        return self._seconds_a_pixel * pixels

    def use_threads(self, number: int) -> None:
        """Nothing: the threads of a compiled network are shared by all callers."""

    @cached_property
    def _seconds_a_pixel(self) -> float:
        side = self._side(TIMED_SIDE)
        image = np.zeros((1, side, side), np.float32)
        self._engine(image, image)  # the first prepares
        start = time.perf_counter()
        self._engine(image, image)
        return self.threads * (time.perf_counter() - start) / (side * side)

    @cached_property
    def _torch(self) -> "TorchRuntime":
        from fsidfusion.runtime.torch_runtime import TorchRuntime

        return TorchRuntime(self.network, "cpu", self.precision)

    def _compile(self, precision: str) -> Engine:
        if self.name == "openvino":
            from fsidfusion.runtime.openvino_engine import OWN_PIXELS, OpenVinoEngine

            self.tile_pixels = OWN_PIXELS[1]
            return OpenVinoEngine(self._model.content, precision, self.threads, self._emphasis)
        from fsidfusion.runtime.onnx_engine import OnnxEngine

        return OnnxEngine(self._model.content, self.threads, self._emphasis)

    def _difference(self) -> float:
        """The largest difference of a pass from one in fp32, for a picture with edges and slopes."""
        if self._model.in_bf16:  # a test compares it
            return 0.0
        side = self._side(PROBE_SIDE)
        y, x = np.mgrid[:side, :side].astype(np.float32) / side
        infrared = np.where((x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.08, np.float32(0.9), 0.2 + 0.3 * y)[None]
        visible = (0.5 + 0.45 * np.sin(12 * x) * np.cos(9 * y))[None]
        exact = self._compile("fp32")(infrared, visible)
        return float(np.abs(self._engine(infrared, visible) - exact).max())

    def _side(self, least: int) -> int:
        multiple = self.traits.size_multiple
        return -(-max(least, self.traits.minimum_size) // multiple) * multiple
