"""``fsidfusion video``: two videos, picture sequences or cameras, fused to one video."""

import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import tyro

from fsidfusion.cli.options import Engine
from fsidfusion.cli.progress import counted
from fsidfusion.fusion.pairing import Pairing
from fsidfusion.thermal.measure import Measuring
from fsidfusion.thermal.reading import Thermal

STOPPED = 130  # exit status after Ctrl-C


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
def video(
    ir: Annotated[str, tyro.conf.arg(metavar="SOURCE")],
    vis: Annotated[str, tyro.conf.arg(metavar="SOURCE")],
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")],
    engine: Engine = Engine(),
    thermal: Thermal = Thermal(),
    measuring: Measuring = Measuring(),
    pairing: Pairing = Pairing(),
    color: Annotated[str, tyro.conf.arg(metavar="auto|gray|heat|thermal:PALETTE")] = "auto",
    align: Annotated[str, tyro.conf.arg(metavar="none|auto|FILE")] = "none",
    resize: bool = False,
    fps: float = 25.0,
    crf: int = 18,
    overwrite: bool = False,
) -> int:
    """Fuse an infrared and a visible video without flicker.

    Files: --ir ir.mp4 --vis vis.mp4 -o fused.mp4

    Picture sequences: --ir frames/ir/ --vis 'frames/vis/*.png' --fps 30 -o fused.mkv

    Cameras: --ir 1 --vis 0 -o fused.mp4, until Ctrl-C

    Frames are paired by time, by the clocks of both where they have any; the visible one's times and sound
    are kept. Ctrl-C ends the run, and leaves a whole file of what was fused.

    Args:
        ir: infrared: a video, FLIR's SEQ or CSQ, a folder or glob of pictures, or a camera's number.
        vis: visible; its colour and sound are kept.
        output: .mp4, .mov, .mkv or .webm.
        engine: the model and how it runs.
        thermal: what the infrared frames hold: counts, temperatures, false colours.
        measuring: what is told of temperatures.
        pairing: how the frames of both are paired.
        color: auto keeps the colour of the visible video; heat warms it where infrared is hot;
            thermal:PALETTE shows infrared in a palette under the edges of the visible video.
        align: auto estimates once, from the first frames, how the cameras lie; FILE comes from 'align'.
        resize: resample the infrared frames where their size differs.
        fps: frames a second of picture sequences.
        crf: constant rate factor of the result: 0 without loss, 18 good, 28 small.
        overwrite: replace an output that exists.
    """
    from fsidfusion.alignment.transform import read_align
    from fsidfusion.fusion.plan import Plan
    from fsidfusion.fusion.video import fuse_video

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    start = time.perf_counter()
    fuser = engine.load()
    with counted("frames", "fps") as report:
        plan = Plan(
            color=color,
            thermal=thermal,
            align=read_align(align),
            resize=resize,
            crf=crf,
            overwrite=overwrite,
            measuring=measuring,
        )
        summary = fuse_video(
            ir, vis, output, fuser=fuser, plan=plan, rate=fps, pairing=pairing, progress=report
        )
    seconds = time.perf_counter() - start
    if summary.note:
        print(f"note: {summary.note}", file=sys.stderr)
    if not summary.frames:
        print("fsidfusion video: stopped before the first frame; nothing was written", file=sys.stderr)
        return STOPPED
    end = ", stopped early" if summary.stopped else ""
    print(
        f"{output}  {summary.width}x{summary.height}, {summary.frames} frames in {seconds:.1f} s,"
        f" {summary.frames / seconds:.1f} fps{end}"
    )
    return STOPPED if summary.stopped else 0
