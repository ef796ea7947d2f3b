"""A network under ONNX Runtime on the CPU, in float32."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from torch import nn

from fsidfusion.runtime.export import onnx_bytes


class OnnxEngine:
    """Fuse batches, (B, H, W) float32 each, to (B, H, W) float32; safe to call from several threads."""

    def __init__(self, network: nn.Module, threads: int) -> None:
        """Export and load in memory, for batches and sizes of any kind."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # waiting threads would take the cores from those that read and write pictures
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            onnx_bytes(network), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, infrared: NDArray[np.float32], visible: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fuse a batch; MemoryError where there is none for it."""
        pair = {"infrared": infrared[:, None], "visible": visible[:, None]}
        try:
            fused: NDArray[np.float32] = self._session.run(["fused"], pair)[0]
        except Exception as error:
            if "alloc" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise
        return fused[:, 0]
