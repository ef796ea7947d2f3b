"""A network under ONNX Runtime on the CPU, in float32."""

import numpy as np
from numpy.typing import NDArray

from fsidfusion.runtime import allocator
from fsidfusion.runtime.libraries import import_onnxruntime


class OnnxEngine:
    """Fuse batches, (B, H, W) float32 each, to (B, H, W) float32; safe to call from several threads."""

    def __init__(self, model: bytes, threads: int, emphasis: float = 1.0) -> None:
        """Load a network from the content of an ONNX file; ``emphasis`` of targets, where it takes such."""
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        options.enable_cpu_mem_arena = not allocator.is_brief
        # waiting threads would take the cores from those that read and write pictures
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = {port.name for port in self._session.get_inputs()}
        self._given = {"emphasis": np.array(emphasis, np.float32)} if "emphasis" in names else {}

    def __call__(self, infrared: NDArray[np.float32], visible: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fuse a batch; MemoryError where there is none for it."""
        pair = {"infrared": infrared[:, None], "visible": visible[:, None]}
        try:
            fused: NDArray[np.float32] = self._session.run(["fused"], {**pair, **self._given})[0]
        except Exception as error:
            if "alloc" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise
        return fused[:, 0]
