"""How fast networks are on this machine: seconds, pairs a second, memory, and the share of what is possible.

Every row is measured in a process of its own, so that its peak memory is its own. Beside the rows, the speed
of large convolutions is measured (calibration), which bounds what any of these networks can reach.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from fsidfusion.errors import FusionError, InputError
from fsidfusion.images.pixels import Pixels, unit
from fsidfusion.runtime.libraries import import_openvino

if TYPE_CHECKING:
    from torch import nn

SIZES = ("128x128", "640x480", "1920x1080", "3840x2160")
QUICK_SIZES = ("128x128", "640x480")
RUNTIMES = ("torch", "openvino", "onnxruntime", "plain")
PLAIN = RUNTIMES[-1]  # the runtime of the reference row: the published network, eager, in float32
FRAMES = "frames"  # from colour frames to colour frames, instead of luma to luma
BUDGET = 3.0  # seconds of passes in a row
MIN_PASSES = 3
MAX_PASS = 20.0  # seconds; a row that would take longer is left out
PLAIN_PIXELS = 640 * 480  # the plain form needs about 20 KiB of memory a pixel
_ROW = "from fsidfusion.studies.speed.networks import answer; answer()"


@dataclass(frozen=True)
class Row:
    """One line of the table. Sizes are height and width, memory is in bytes, times are in seconds."""

    model: str
    runtime: str
    precision: str
    form: str  # luma or frames
    height: int
    width: int
    device: str = "cpu"  # or cuda
    seconds: float = 0.0  # the median of all passes
    p95: float = 0.0
    passes: int = 0
    memory: int = 0  # at the peak of the process, libraries included
    gflop: float = 0.0  # of one pair
    note: str = ""  # why it was not measured

    @property
    def pairs_per_second(self) -> float:
        """Pairs a second, one after the other."""
        return 1 / self.seconds if self.seconds else 0.0

    @property
    def gflops(self) -> float:
        """10^9 floating-point operations a second, of the network's convolutions and products."""
        return self.gflop / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Speed:
    """All rows, and what they are to be seen against."""

    rows: tuple[Row, ...]
    calibration: dict[str, float]  # 10^9 operations a second of large convolutions, by precision and device
    machine: dict[str, str]

    def share(self, row: Row) -> float:
        """The speed of a row as a share of the calibration's in its precision."""
        best = self.calibration.get(f"{row.precision} on {row.device}", 0.0)
        return row.gflops / best if best else 0.0


def plan(
    models: Sequence[str],
    runtimes: Sequence[str],
    precisions: Sequence[str],
    sizes: Sequence[tuple[int, int]],
) -> list[Row]:
    """The rows to measure, by model and then by size; what cannot be combined is left out.

    Where torch finds a CUDA device, its rows come after those of the CPU.

    Args:
        models: shipped networks or .safetensors files.
        runtimes: of ``torch``, ``openvino``, ``onnxruntime`` and ``plain``.
        precisions: of ``fp32`` and ``bf16``.
        sizes: (height, width) each.
    """
    import torch

    from fsidfusion.network.checkpoint import load_model
    from fsidfusion.runtime.device import choose_device, has_native_bf16

    bf16 = has_native_bf16(choose_device("cpu"))
    rows = []
    for model in models:
        published = load_model(model).architecture == "fsidfusion"
        for height, width in sizes:
            for runtime in runtimes:
                for precision in precisions:
                    only_fp32 = runtime in (PLAIN, "onnxruntime") or not bf16
                    if (only_fp32 and precision == "bf16") or (runtime == PLAIN and not published):
                        continue
                    forms = ("luma",) if published else ("luma", FRAMES)  # beside it the rest is nothing
                    rows += [Row(model, runtime, precision, form, height, width) for form in forms]
    if "torch" in runtimes and torch.cuda.is_available():
        rows += [replace(row, device="cuda") for row in rows if row.runtime == "torch"]
    return rows


def measure(
    rows: Sequence[Row],
    *,
    budget: float = BUDGET,
    threads: int | None = None,
    progress: Callable[[Row], None] = lambda row: None,
) -> Speed:
    """Measure rows one by one, each in a fresh process; a row that fails or would take too long says so.

    Args:
        rows: see :func:`plan`; smaller sizes first, from which the time of larger ones is foretold.
        budget: seconds of passes in a row, of which there are at least three.
        threads: of the CPU; all by default.
        progress: called with every row as it is done.
    """
    kinds = dict.fromkeys((row.precision, row.device) for row in rows)
    calibration = {
        f"{precision} on {device}": float(
            _ask({"calibrate": precision, "device": device, "budget": budget, "threads": threads})["gflops"]
        )
        for precision, device in kinds
    }
    done: list[Row] = []
    for row in rows:
        measured = _measured(row, done, budget, threads)
        progress(measured)
        done.append(measured)
    return Speed(tuple(done), calibration, _machine(threads))


def _measured(row: Row, done: Sequence[Row], budget: float, threads: int | None) -> Row:
    pixels = row.height * row.width
    kin = [
        other
        for other in done
        if other.seconds
        and (other.model, other.runtime, other.precision, other.form, other.device)
        == (row.model, row.runtime, row.precision, row.form, row.device)
    ]
    if row.runtime == PLAIN and pixels > PLAIN_PIXELS:
        return replace(row, note="needs too much memory")
    foretold = kin[-1].seconds * pixels / (kin[-1].height * kin[-1].width) if kin else 0.0
    if foretold > MAX_PASS and row.runtime != PLAIN:
        return replace(row, note=f"over {MAX_PASS:.0f} s a pass")
    answered = _ask({"row": asdict(row), "budget": budget, "threads": threads})
    return replace(row, **answered)


def _ask(question: dict[str, Any]) -> dict[str, Any]:
    """Have a fresh process answer; its failure is an answer, too."""
    process = subprocess.run(
        [sys.executable, "-c", _ROW], input=json.dumps(question), capture_output=True, text=True, check=False
    )
    if process.returncode == 0:
        return json.loads(process.stdout.splitlines()[-1])
    reason = (process.stderr.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
    if "row" not in question:
        raise InputError(f"the calibration failed: {reason}")
    return {"note": reason[:200]}


def answer() -> None:
    """Answer the question on standard input; what a process of :func:`measure` runs."""
    import torch

    from fsidfusion.runtime.allocator import keep_large_blocks

    question = json.load(sys.stdin)
    if question.get("row", {}).get("runtime") != PLAIN:  # the reference is as it would be run elsewhere
        keep_large_blocks()
    if question["threads"]:
        torch.set_num_threads(question["threads"])
    if "calibrate" in question:
        print(
            json.dumps(
                {"gflops": calibrate(question["calibrate"], question["budget"] / 3, question["device"])}
            )
        )
        return
    row = Row(**question["row"])
    try:
        print(json.dumps(_measure_here(row, question["budget"], question["threads"])))
    except FusionError as error:
        sys.exit(str(error))


def calibrate(precision: str, budget: float, device: str = "cpu") -> float:
    """10^9 operations a second that 3x3 convolutions of 64 to 64 channels reach, at their best.

    In torch, and on the CPU in OpenVINO where it is installed; the faster counts. ``budget`` is seconds for
    each.
    """
    import torch
    from torch import nn

    channels, height, width, layers = 64, 240, 320, 4
    chain = nn.Sequential(*(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(layers)))
    batch = 1 if device == "cpu" else 16  # enough work for all of a GPU
    chain = chain.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.rand(batch, channels, height, width).to(device, memory_format=torch.channels_last)

    def work() -> None:
        chain(image)
        if device == "cuda":
            torch.cuda.synchronize()

    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        seconds = min(timed(work, budget)) / batch
    if device == "cpu" and find_spec("openvino"):
        openvino = import_openvino()
        operations = openvino.opset13

        start = node = operations.parameter([1, channels, height, width], np.float32)
        for layer in chain:
            weight = operations.constant(layer.weight.detach().contiguous().numpy())
            node = operations.convolution(node, weight, [1, 1], [1, 1], [1, 1], [1, 1])
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        compiled = openvino.Core().compile_model(openvino.Model([node], [start]), "CPU", options)
        request, pixels = compiled.create_infer_request(), [image.contiguous().numpy()]
        seconds = min(seconds, *timed(lambda: request.infer(pixels, share_inputs=True), budget))
    return 2 * 9 * channels * channels * height * width * layers / seconds / 1e9


def gflop_per_pixel(network: "nn.Module") -> float:
    """10^9 floating-point operations for each pixel of a pair; a multiplication with an addition is two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    totals = []
    for side in (32, 64):  # two, since some work does not grow with the image
        image = torch.zeros(1, 1, side, side)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(image, image)
        totals.append(counter.get_total_flops())
    return (totals[1] - totals[0]) / (64**2 - 32**2) / 1e9


def timed(call: Callable[[], object], budget: float) -> list[float]:
    """Seconds of each of several calls, after two that prepare; at least three, and ``budget`` in all.

    A call that takes over five budgets prepares and is timed once.
    """
    for _ in range(2):
        start = time.perf_counter()
        call()
        if (first := time.perf_counter() - start) > budget:
            break
    least = 1 if first > 5 * budget else MIN_PASSES
    times: list[float] = []
    while len(times) < least or (sum(times) < budget and len(times) < 1000):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def _measure_here(row: Row, budget: float, threads: int | None) -> dict[str, Any]:
    import resource

    from fsidfusion.fusion.fuser import Fuser
    from fsidfusion.network.checkpoint import load_model
    from fsidfusion.studies.speed.plain_network import PlainFSIDFusion

    network = load_model(row.model)
    random = np.random.default_rng(0)
    shape = (row.height, row.width)
    infrared = random.integers(0, 256, shape, np.uint8)
    visible = random.integers(0, 256, (*shape, 3) if row.form == FRAMES else shape, np.uint8)
    call: Callable[[], object]
    if row.runtime == PLAIN:
        network = PlainFSIDFusion(network)  # type: ignore[arg-type]
        call = partial(_plain_pass, network, infrared, visible)
    else:
        fuser = Fuser(
            network, device=row.device, precision=row.precision, runtime=row.runtime, threads=threads
        )
        if fuser.precision != row.precision:
            raise InputError(f"{row.precision} is not faithful here")
        if row.form == FRAMES:
            call = partial(fuser.fuse, infrared, visible)
        else:
            call = partial(fuser.fuse_luma, [infrared], [visible])
    times = timed(call, budget)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if row.device == "cuda":
        import torch

        peak = torch.cuda.max_memory_reserved()
    return {
        "seconds": median(times),
        "p95": float(np.quantile(times, 0.95)),
        "passes": len(times),
        "memory": peak,
        "gflop": gflop_per_pixel(network.cpu()) * row.height * row.width,
    }


def _plain_pass(network: "nn.Module", infrared: Pixels, visible: Pixels) -> None:
    import torch

    with torch.inference_mode():
        network(*(torch.from_numpy(unit(image))[None, None] for image in (infrared, visible)))


def _machine(threads: int | None) -> dict[str, str]:
    import torch

    from fsidfusion.runtime.runtimes import installed_runtimes, processor, version_of

    versions = ", ".join(f"{name} {version_of(name)}" for name in installed_runtimes())
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        **gpu,
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "threads": str(threads or torch.get_num_threads()),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": versions,
    }


def parse_size(text: str) -> tuple[int, int]:
    """``640x480`` to (height, width). InputError for anything else."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) > 1 and int(height) > 1):
        raise InputError(f"size {text!r} is unknown; give width x height, such as 640x480")
    return int(height), int(width)
