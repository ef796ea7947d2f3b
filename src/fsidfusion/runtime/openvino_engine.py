"""A network compiled by OpenVINO for the CPU."""

import copy
import warnings
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fsidfusion.network.light import LightFusion


class OpenVinoEngine:
    """Fuse batches, (B, H, W) float32 each, to (B, H, W) float32; safe to call from several threads."""

    def __init__(self, network: nn.Module, precision: str, threads: int) -> None:
        """Convert and compile in memory, for batches and sizes of any kind."""
        hint = {"bf16": "bf16", "fp32": "f32"}[precision]
        if precision == "bf16" and isinstance(network, LightFusion):
            network, hint = MixedLight(network), "f32"  # it says itself what is bf16
        options = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",  # a pass takes all threads; callers take turns
        }
        self._compiled = openvino.Core().compile_model(convert(network), "CPU", options)
        self._idle: SimpleQueue[Any] = SimpleQueue()  # requests with their buffers, for the next caller

    def __call__(self, infrared: NDArray[np.float32], visible: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fuse a batch; MemoryError where there is none for it."""
        try:
            request = self._idle.get_nowait()
        except Empty:
            request = self._compiled.create_infer_request()
        pair = [np.ascontiguousarray(image)[:, None] for image in (infrared, visible)]
        try:
            result = request.infer(pair, share_inputs=True, share_outputs=True)
            fused: NDArray[np.float32] = result[0][:, 0].copy()  # the buffer serves the next pass
        except RuntimeError as error:
            if "alloc" in str(error).lower() or "memory" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise
        self._idle.put(request)
        return fused


class MixedLight(nn.Module):
    """A light network that decodes in bf16 and does the rest in float32, as torch does under autocast.

    With the hint bf16 OpenVINO would compute in it from the pixels on, which costs up to 7 grey levels.
    """

    def __init__(self, network: LightFusion) -> None:
        super().__init__()
        self.network = network
        self.reduced = copy.deepcopy(network).bfloat16()

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """(B, 1, H, W) each, in and out."""
        merged, pair, seen = self.network.merged(infrared, visible)
        return self.network.compose(self.reduced.decode(merged.bfloat16()).float(), pair, seen)


def convert(network: nn.Module, example: tuple[Tensor, Tensor] | None = None) -> openvino.Model:
    """A network as an OpenVINO model with the inputs ``infrared`` and ``visible`` and the output ``fused``.

    ``example``: of the inputs, (1, 1, 64, 64) by default. Batch and sizes are free; channels stay.
    """
    network = copy.deepcopy(network).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    pair = example or (torch.rand(1, 1, 64, 64), torch.rand(1, 1, 64, 64))
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about sizes: they are free all the same
        traced = torch.jit.trace(network, pair, check_trace=False)
    # a copy of the weights: shared ones in bf16 are freed under the model, and overwritten
    model = openvino.convert_model(traced, example_input=pair, share_weights=False)
    shapes = [[size if size in (1, 3) and i else -1 for i, size in enumerate(image.shape)] for image in pair]
    model.reshape({i: openvino.PartialShape(shape) for i, shape in enumerate(shapes)})
    for port, name in zip((*model.inputs, *model.outputs), ("infrared", "visible", "fused")):
        port.get_tensor().set_names({name})
    return model
