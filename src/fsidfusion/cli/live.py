"""``fsidfusion live``: two cameras, streams or files fused as they come, with a page, a file, or a pipe."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from fsidfusion.cli.guard import stop_status
from fsidfusion.cli.messages import print_json, say, warn
from fsidfusion.cli.options import Json, Overwrite, Run
from fsidfusion.cli.progress import progress
from fsidfusion.cli.video import Frames, plan_of
from fsidfusion.errors import InputError
from fsidfusion.fusion.feed import Playing
from fsidfusion.fusion.pairing import Pairing
from fsidfusion.thermal.measure import Measuring
from fsidfusion.thermal.scene import Thermal

if TYPE_CHECKING:
    from fsidfusion.fusion.live_counts import Status
    from fsidfusion.fusion.live_outputs import Output
    from fsidfusion.serving.live import Preview

TOKEN = "FSIDFUSION_TOKEN"
STANDARD_OUTPUT = "-"


@dataclass(frozen=True)
class LiveSources:
    """Cameras, addresses, pipes, or files, which are played at their own pace."""

    ir: Annotated[str, tyro.conf.arg(metavar="SOURCE")]
    """infrared: rtsp://..., http://..., /dev/video0, a camera's number, a pipe, - for standard input, or what
    'video' takes"""
    vis: Annotated[str, tyro.conf.arg(metavar="SOURCE")]
    """visible, likewise; its frames set the pace"""
    max_width: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """scale wider visible frames down, where the machine does not keep pace; time goes with the pixels"""
    fps: float = 25.0
    """frames a second of picture sequences"""


@dataclass(frozen=True)
class LiveOutputs:
    """Where the pictures go; at least one, and several at the same time."""

    output: Annotated[str | None, tyro.conf.arg(aliases=["-o"], metavar="FILE|-")] = None
    """.mp4, .mov, .mkv or .webm; - is standard output, for another program"""
    serve: Annotated[int | None, tyro.conf.arg(metavar="PORT")] = None
    """a page to watch, at http://127.0.0.1:PORT; 0 takes a free port, and prints it"""
    host: str = "127.0.0.1"
    """address of the page; 0.0.0.0 for all, which should not be done without a token (FSIDFUSION_TOKEN)"""
    pipe: Literal["ts", "mkv", "y4m", "rgb"] = "ts"
    """what standard output holds: H.264 in MPEG-TS or Matroska, YUV4MPEG2, or the bytes of RGB pictures"""
    crf: int = 18
    """constant rate factor of file and standard output: 0 without loss, 18 good, 28 small"""
    overwrite: Overwrite = False
    json: Json = False


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
def live(
    *,
    inputs: LiveSources,
    output: LiveOutputs = LiveOutputs(),
    run: Run = Run(),
    frames: Frames = Frames(),
    thermal: Thermal = Thermal(),
    measuring: Measuring = Measuring(),
    playing: Playing = Playing(),
    pairing: Pairing = Pairing(reconnect=60.0),
) -> int:
    """Fuse two cameras or streams as they come: to a page, a file, another program.

    Watch: --ir /dev/video2 --ir-format Y16 --vis rtsp://camera/stream --align rig.json --serve 8080

    Record as well: --ir ... --vis ... --serve 8080 -o fused.mp4

    Hand on: --ir ... --vis ... -o - | ffplay -fflags nobuffer -

    The newest frames of both are paired by time; what comes too fast is dropped and counted. A source that
    is lost is waited for, and the visible picture stands alone. Ctrl-C ends it, and leaves a whole file.

    Args:
        inputs: what to fuse.
        output: where the pictures go.
        run: the model and how it runs.
        frames: what is done to the frames.
        thermal: what the infrared frames hold: counts, temperatures, false colours.
        measuring: what is told of temperatures.
        playing: how files are played, and for how long.
        pairing: how the frames of both are taken and paired.
    """
    if output.output is None and output.serve is None:
        raise InputError("nothing would be seen: give `output` FILE, `output` -, or `serve` PORT")
    if output.json and output.output == STANDARD_OUTPUT:
        raise InputError("`json` and `output` - both want standard output; leave one of them out")
    from fsidfusion.fusion.live import fuse_live
    from fsidfusion.fusion.opening import check_installed

    check_installed()
    plan = plan_of(frames, thermal, measuring, crf=output.crf, overwrite=output.overwrite)
    tell = warn if output.output == STANDARD_OUTPUT or output.json else say
    outputs: list[Output] = []
    if output.output is not None:
        outputs.append(_written(output))
    page = None if output.serve is None else _page(output)
    with progress("frames", shown=not output.json) as bar:
        if page is not None:
            outputs.append(page)
            tell(f"watch at {page.address} (Ctrl-C stops)")
            sys.stdout.flush()
        fuser = run.load()

        def say_all(line: str) -> None:
            warn(f"fsidfusion live: {line}")
            if page is not None:
                page.say(line)

        def told(status: "Status") -> None:
            if page is not None:
                page.tell(status)
            bar.at(status.frames, text=_text(status))

        summary = fuse_live(
            inputs.ir,
            inputs.vis,
            outputs,
            fuser=fuser,
            plan=plan,
            rate=inputs.fps,
            pairing=pairing,
            playing=playing,
            max_width=inputs.max_width,
            say=say_all,
            told=told,
        )
    if summary.note:
        warn(f"note: {summary.note}")
    if not summary.frames:
        warn("fsidfusion live: ended before the first picture; nothing was written")
    file = output.output if output.output not in (None, STANDARD_OUTPUT) else None
    if output.json:
        print_json({"output": file, **summary.record()})
    elif summary.frames:
        tell(f"{file or 'live'}  {summary.line()}{', stopped' if summary.stopped else ''}")
    return stop_status() if summary.stopped else 0


def _written(output: LiveOutputs) -> "Output":
    from fsidfusion.fusion.live_outputs import Recording, standard_output

    if output.output == STANDARD_OUTPUT:
        return standard_output(output.pipe, output.crf)
    return Recording(Path(str(output.output)), output.crf)


def _page(output: LiveOutputs) -> "Preview":
    from fsidfusion.serving.server import check_installed
    from fsidfusion.serving.settings import LOOPBACK

    check_installed()
    from fsidfusion.serving.live import Preview

    assert output.serve is not None
    if not 0 <= output.serve <= 65_535:
        raise InputError(f"`serve` {output.serve}: expected a port of 0 to 65535")
    token = os.environ.get(TOKEN, "")
    if output.host not in LOOPBACK and not token:
        warn(f"fsidfusion live: {output.host} can be reached by others, who need no token; set {TOKEN}")
    return Preview(output.host, output.serve, token)


def _text(status: "Status") -> str:
    states = ", ".join(f"{side.side} {side.state}" for side in status.sides if side.state != "live")
    return f"{1000 * status.latency:.0f} ms{'; ' + states if states else ''}"
