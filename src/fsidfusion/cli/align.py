"""``fsidfusion align``: how two cameras lie on each other, estimated once and kept in a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fsidfusion.cli.messages import say
from fsidfusion.cli.options import File, Files, OutputFile, Overwrite
from fsidfusion.cli.progress import progress
from fsidfusion.errors import InputError
from fsidfusion.images.encode import FORMATS
from fsidfusion.images.pairs import Pair, match_pairs
from fsidfusion.thermal.geometry import Flip, Turn
from fsidfusion.thermal.scene import Thermal


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff)
def align(
    *,
    ir: Files = (),
    vis: Files = (),
    output: OutputFile,
    family: Literal["translation", "similarity", "affine", "homography"] = "affine",
    field: bool = False,
    method: Literal["edges", "ecc", "mi"] = "edges",
    ir_fov: Annotated[float | None, tyro.conf.arg(metavar="DEGREES")] = None,
    vis_fov: Annotated[float | None, tyro.conf.arg(metavar="DEGREES")] = None,
    ir_crop: Annotated[str | None, tyro.conf.arg(metavar="PART")] = None,
    ir_rotate: Turn = 0,
    ir_flip: Flip = "none",
    ir_offset: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None,
    points: File = None,
    calibration: Annotated[tuple[Path, Path] | None, tyro.conf.arg(metavar="IR VIS")] = None,
    alignment: File = None,
    shift: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="X Y")] = None,
    distance: Annotated[float | None, tyro.conf.arg(metavar="METRES")] = None,
    overwrite: Overwrite = False,
) -> int:
    """Estimate how infrared pictures lie on visible ones, for 'fuse' and 'video' to apply.

    One pair, or many of one rig: --ir thermal/ --vis colour/ -o alignment.json

    Matched points: --ir t.png --vis c.png --points points.csv -o alignment.json

    Calibrated cameras: --calibration ir.yaml vis.yaml --distance 20 -o alignment.json

    Parallax: --alignment alignment.json --shift 6 0 --distance 5 -o near.json

    Another distance: --alignment near.json --distance 12 -o far.json

    Args:
        ir: infrared pictures: files, a folder, a glob in quotes, or a .txt list; or one video.
        vis: visible pictures; pairs share their stem; or one video.
        output: the file to write, JSON.
        family: of the transform; more pairs bear more freedom.
        field: also estimate a smooth field of what the family cannot follow.
        method: edges matches edge directions, ecc gradient magnitudes (OpenCV), mi is mutual information
            (SimpleITK).
        ir_fov: horizontal field of view of the infrared camera; by default EXIF's, or as the visible one's.
        vis_fov: likewise of the visible camera.
        ir_crop: the part of infrared pictures or frames that counts, as of 'fuse' and 'video': the same then.
        ir_rotate: turn them clockwise, after --ir-crop.
        ir_flip: mirror them, after --ir-rotate.
        ir_offset: how much later the infrared video began, instead of what clocks and stored times tell.
        points: matched points instead: a line 'visible x, visible y, infrared x, infrared y' each.
        calibration: files of both cameras instead: YAML of OpenCV, ROS or Kalibr, with distortion; R and T in
            the infrared one take visible coordinates to infrared ones.
        alignment: change this alignment instead of estimating one.
        shift: how far things lie from where the alignment has them in the infrared picture, in its pixels.
        distance: of the things with that shift; without --shift, scale the saved shift to this distance; of
            what calibrated cameras look at (by default far away).
    """
    from fsidfusion.alignment.calibration import align_cameras, read_camera
    from fsidfusion.alignment.estimate import MAX_PAIRS, estimate
    from fsidfusion.alignment.files import align_by_points, align_files
    from fsidfusion.alignment.transform import read_alignment, write_alignment

    if output.exists() and not overwrite:
        raise InputError(f"{output} exists; give another name, or --overwrite")
    if calibration is not None:
        if ir or vis or points or alignment or shift is not None:
            raise InputError("--calibration goes with --distance alone, not with pictures, points or shifts")
        result = align_cameras(read_camera(calibration[0]), read_camera(calibration[1]), distance)
        distance = None
    elif alignment is not None:
        if ir or vis or points:
            raise InputError("--alignment goes with --shift and --distance, not with pictures or points")
        result = read_alignment(alignment)
    else:
        how = {"model": family, "field": field, "method": method}
        thermal = Thermal(ir_crop=ir_crop, ir_rotate=ir_rotate, ir_flip=ir_flip)
        if points is None and len(ir) == len(vis) == 1 and _is_video(ir[0]) and _is_video(vis[0]):
            from fsidfusion.fusion.pairing import Pairing
            from fsidfusion.fusion.video import sample_pairs

            pairing = Pairing(ir_offset="" if ir_offset is None else str(ir_offset))
            frames = sample_pairs(ir[0], vis[0], MAX_PAIRS, thermal=thermal, pairing=pairing)
            result = estimate(frames, infrared_fov=ir_fov, visible_fov=vis_fov, **how)  # type: ignore[arg-type]
        elif points is not None:
            result = align_by_points(_pairs(ir, vis)[0], points, family, thermal)
        else:
            pairs = _pairs(ir, vis)
            if ir_offset is not None:
                raise InputError("`ir_offset` is for two videos; leave it out")
            with progress("pairs", min(len(pairs), MAX_PAIRS)) as bar:
                result = align_files(
                    pairs,
                    thermal=thermal,
                    infrared_fov=ir_fov,
                    visible_fov=vis_fov,
                    progress=bar.step,
                    **how,  # type: ignore[arg-type]
                )
    if shift is not None:
        result = result.with_shift(shift, distance)
    elif distance is not None:
        result = result.at_distance(distance)
    write_alignment(output, result)
    say(f"{output}  {result.summary()}")
    return 0


def _is_video(place: str) -> bool:
    path = Path(place)
    return path.is_file() and path.suffix.lower() not in (*FORMATS, ".txt", ".fff")


def _pairs(ir: Files, vis: Files) -> Sequence[Pair]:
    if not ir or not vis:
        raise InputError("expected --ir and --vis, or --alignment with --shift or --distance")
    return match_pairs(ir, vis).pairs
