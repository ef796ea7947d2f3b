"""A network compiled by OpenVINO for the CPU."""

from collections import OrderedDict
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion.runtime.libraries import import_openvino

_HINTS = {"bf16": "bf16", "fp32": "f32"}

# A network that is compiled for one size takes about two thirds of the time of one for any, as OpenVINO joins
# small operations there alone; compiling takes as long as some passes. Which of both computes a picture
# depends on its size alone, so that its pixels do not depend on what came before it.
OWN_PIXELS = 200_000, 2_200_000  # single pictures from 512x400 to 1920x1088 get their own
KEPT_PIXELS = 4_400_000  # of all sizes that stay compiled


class OpenVinoEngine:
    """Fuse batches, (B, H, W) float32 each, to (B, H, W) float32; safe to call from several threads."""

    def __init__(self, model: bytes, precision: str, threads: int, emphasis: float = 1.0) -> None:
        """Compile a network from the content of an ONNX file, for batches and sizes of any kind.

        ``emphasis``: of targets, where the network takes such.
        """
        self._core = import_openvino().Core()
        self._model = model
        self._precision = precision
        self._options: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",  # a pass takes all threads; callers take turns
        }
        names = [port.any_name for port in self._core.read_model(model).inputs]
        self._given = [np.array(emphasis, np.float32)] if "emphasis" in names else []
        self._networks: OrderedDict[tuple[int, int] | None, _Network] = OrderedDict()
        self._lock = Lock()

    def __call__(self, infrared: NDArray[np.float32], visible: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fuse a batch; MemoryError where there is none for it."""
        pair = [np.ascontiguousarray(image)[:, None] for image in (infrared, visible)]
        try:
            network = self._network(*infrared.shape)
            request = network.request()
            result = request.infer([*pair, *self._given], share_inputs=True, share_outputs=True)
            fused: NDArray[np.float32] = result[0][:, 0].copy()  # the buffer serves the next pass
        except RuntimeError as error:
            if "alloc" in str(error).lower() or "memory" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise
        network.idle.put(request)
        return fused

    def _network(self, batch: int, height: int, width: int) -> "_Network":
        """The network compiled for one picture of this size, or for any, see ``OWN_PIXELS``."""
        least, most = OWN_PIXELS
        size = (height, width) if batch == 1 and least <= height * width <= most else None
        with self._lock:
            if size not in self._networks:
                self._networks[size] = _Network(self._compile(size))
            self._networks.move_to_end(size)
            while sum(h * w for h, w in filter(None, self._networks)) > KEPT_PIXELS:
                del self._networks[next(filter(None, self._networks))]
            return self._networks[size]

    def _compile(self, size: tuple[int, int] | None) -> Any:
        graph = self._core.read_model(self._model)
        if size is not None:
            graph.reshape({port: [1, 1, *size] for port in graph.inputs if len(port.partial_shape)})
        # a light network says itself what is bf16
        hint = "fp32" if self._precision == "bf16" and decode_in_bf16(graph) else self._precision
        options = {**self._options, "INFERENCE_PRECISION_HINT": _HINTS[hint]}
        return self._core.compile_model(graph, "CPU", options)


class _Network:
    """A compiled network with its idle requests, which keep their buffers for the next caller."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self.idle: SimpleQueue[Any] = SimpleQueue()

    def request(self) -> Any:
        """An idle request, or a new one."""
        try:
            return self.idle.get_nowait()
        except Empty:
            return self._compiled.create_infer_request()


def decode_in_bf16(graph: Any) -> bool:
    """Let a light network decode in bf16 and do the rest in float32, as torch does under autocast.

    With the hint bf16 OpenVINO would compute in it from the pixels on, which costs up to 7 grey levels.

    False, and nothing done, where the graph is none of a light network: it is known by names of its parts.
    """
    operations = import_openvino().opset13
    nodes = {node.get_friendly_name(): node for node in graph.get_ops()}
    start, end = (_convolution(nodes, part) for part in ("merge", "output"))
    if start is None or end is None:
        return False
    behind = list(end.output(0).get_target_inputs())
    reduced = operations.convert(start, "bf16")
    seen, waiting = {start.get_friendly_name()}, [end]
    while waiting:
        node = waiting.pop()
        if node.get_friendly_name() in seen:
            continue
        seen.add(node.get_friendly_name())
        for port in node.inputs():
            source = port.get_source_output()
            before = source.get_node()
            if before.get_friendly_name() == start.get_friendly_name():
                port.replace_source_output(reduced.output(0))
            elif before.get_type_name() != "Constant":
                waiting.append(before)
            elif source.get_element_type().get_type_name() == "f32":
                port.replace_source_output(operations.convert(source, "bf16").output(0))
    exact = operations.convert(end, "f32")
    for port in behind:
        port.replace_source_output(exact.output(0))
    graph.validate_nodes_and_infer_types()
    return True


def _convolution(nodes: dict[str, Any], part: str) -> Any:
    """The convolution of a part of a light network, with the addition of its bias; None: there is no such."""
    names = [f"{above}/{part}/Conv{end}" for above in ("", "/network") for end in ("", "/WithoutBiases")]
    node = next((nodes[name] for name in names if name in nodes), None)
    targets = [port.get_node() for port in node.output(0).get_target_inputs()] if node else []
    return targets[0] if len(targets) == 1 and targets[0].get_type_name() == "Add" else node
