"""``fsidfusion video``: two videos, picture sequences or cameras, fused to one video."""

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import tyro

from fsidfusion.cli.guard import stop_status
from fsidfusion.cli.messages import say, warn
from fsidfusion.cli.options import OutputFile, Overwrite, Run
from fsidfusion.cli.progress import progress
from fsidfusion.fusion.pairing import Pairing
from fsidfusion.thermal.measure import Measuring
from fsidfusion.thermal.scene import Thermal

if TYPE_CHECKING:
    from fsidfusion.fusion.plan import Plan


@dataclass(frozen=True)
class Sources:
    """Videos, folders or globs of pictures, or cameras."""

    ir: Annotated[str, tyro.conf.arg(metavar="SOURCE")]
    """infrared: a video, FLIR's SEQ or CSQ, a folder or glob of pictures, or a camera's number"""
    vis: Annotated[str, tyro.conf.arg(metavar="SOURCE")]
    """visible; its colour and sound are kept"""
    fps: float = 25.0
    """frames a second of picture sequences"""


@dataclass(frozen=True)
class Frames:
    """What is done to the frames."""

    color: Annotated[str, tyro.conf.arg(metavar="auto|gray|heat|thermal:PALETTE")] = "auto"
    """auto keeps the colour of the visible video; heat warms it where infrared is hot; thermal:PALETTE shows
    infrared in a palette under the edges of the visible video"""
    align: Annotated[str, tyro.conf.arg(metavar="none|auto|FILE")] = "none"
    """auto estimates once, from the first frames, how the cameras lie; FILE comes from 'align'"""
    resize: bool = False
    """resample the infrared frames where their size differs"""


@dataclass(frozen=True)
class Video:
    """Where the fused video goes."""

    output: OutputFile
    """.mp4, .mov, .mkv or .webm"""
    crf: int = 18
    """constant rate factor of the result: 0 without loss, 18 good, 28 small"""
    max_width: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """scale wider visible frames down, and the fused video with them"""
    overwrite: Overwrite = False


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
def video(
    *,
    inputs: Sources,
    output: Video,
    run: Run = Run(),
    frames: Frames = Frames(),
    thermal: Thermal = Thermal(),
    measuring: Measuring = Measuring(),
    pairing: Pairing = Pairing(),
) -> int:
    """Fuse an infrared and a visible video without flicker.

    Files: --ir ir.mp4 --vis vis.mp4 -o fused.mp4

    Picture sequences: --ir frames/ir/ --vis 'frames/vis/*.png' --fps 30 -o fused.mkv

    Cameras: --ir 1 --vis 0 -o fused.mp4, until Ctrl-C

    Frames are paired by time, by the clocks of both where they have any; the visible one's times and sound
    are kept. Ctrl-C ends the run, and leaves a whole file of what was fused.

    Args:
        inputs: what to fuse.
        run: the model and how it runs.
        frames: what is done to the frames.
        thermal: what the infrared frames hold: counts, temperatures, false colours.
        measuring: what is told of temperatures.
        pairing: how the frames of both are paired.
        output: where the fused video goes.
    """
    from fsidfusion.fusion.video import fuse_video

    start = time.perf_counter()
    fuser = run.load()
    plan = plan_of(frames, thermal, measuring, crf=output.crf, overwrite=output.overwrite)
    plan = replace(plan, max_width=output.max_width)
    with progress("frames") as bar:
        summary = fuse_video(
            inputs.ir,
            inputs.vis,
            output.output,
            fuser=fuser,
            plan=plan,
            rate=inputs.fps,
            pairing=pairing,
            progress=bar.at,
        )
    seconds = time.perf_counter() - start
    if summary.note:
        warn(f"note: {summary.note}")
    if not summary.frames:
        warn("fsidfusion video: stopped before the first frame; nothing was written")
        return stop_status()
    end = ", stopped early" if summary.stopped else ""
    say(
        f"{output.output}  {summary.width}x{summary.height}, {summary.frames} frames in {seconds:.1f} s,"
        f" {summary.frames / seconds:.1f} fps{end}"
    )
    return stop_status() if summary.stopped else 0


def plan_of(frames: Frames, thermal: Thermal, measuring: Measuring, *, crf: int, overwrite: bool) -> "Plan":
    """What is done to every pair of frames."""
    from fsidfusion.alignment.transform import read_align
    from fsidfusion.fusion.plan import Plan

    return Plan(
        color=frames.color,
        thermal=thermal,
        align=read_align(frames.align),
        resize=frames.resize,
        crf=crf,
        overwrite=overwrite,
        measuring=measuring,
    )
