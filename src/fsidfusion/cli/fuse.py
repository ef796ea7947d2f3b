"""``fsidfusion fuse``: pairs of picture files, from one line."""

import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from json import dumps
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from fsidfusion.cli.options import Engine, Inputs, Volumes
from fsidfusion.cli.progress import progress
from fsidfusion.cli.volumes import fuse_volumes, names_volumes
from fsidfusion.errors import FusionError, InputError
from fsidfusion.images.atomic import write_text
from fsidfusion.thermal.measure import TABLE_HEAD, Measuring, table_row
from fsidfusion.thermal.reading import Thermal
from fsidfusion.thermal.temperature import Unit

if TYPE_CHECKING:
    from fsidfusion.fusion.files import Outcome


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
def fuse(
    output: Annotated[str, tyro.conf.arg(aliases=["-o"], metavar="FILE|FOLDER")],
    inputs: Inputs = Inputs(),
    engine: Engine = Engine(),
    volumes: Volumes = Volumes(),
    color: Annotated[str, tyro.conf.arg(metavar="auto|gray|heat|thermal:PALETTE")] = "auto",
    bits: Literal["auto", "8", "16"] = "auto",
    format: Literal["png", "jpg", "bmp", "tif", "webp"] = "png",
    thermal: Thermal = Thermal(),
    measuring: Measuring = Measuring(),
    agc_vis: Annotated[str, tyro.conf.arg(metavar="MODE")] = "off",
    temperature: Annotated[str | None, tyro.conf.arg(metavar="FILE|FOLDER")] = None,
    align: Annotated[str, tyro.conf.arg(metavar="none|auto|FILE")] = "none",
    crop: bool = False,
    resize: bool = False,
    quality: int = 95,
    overwrite: bool = False,
    max_megapixels: float = 500.0,
    json: bool = False,
) -> int:
    """Fuse pairs of pictures: infrared with visible, or MRI with CT, PET or SPECT.

    One pair: --ir thermal.png --vis colour.png -o fused.png

    Folders: --ir thermal/ --vis colour/ -o fused/

    Globs: --ir 'x/*_ir.png' --vis 'x/*_vis.png' -o fused/

    Medical: --mri mri.png --pet pet.png -o fused.png

    Thermal: --ir flir.jpg --vis colour.jpg --resize --temperature t.tif --highlight 35C -o fused.jpg

    Volumes: --mri t1.nii.gz --ct ct.nii.gz -o fused.nii.gz, or folders of DICOM series

    PNG, JPEG, BMP, TIFF and WebP; 8 and 16 bits; gray and colour. What exists is skipped, so that the same
    line resumes a stopped run. Exit status: 0 done, 1 some of many pairs failed, 2 nothing could be done.

    Args:
        output: the fused picture, or a folder for many.
        inputs: what to fuse.
        engine: the model and how it runs.
        volumes: for NIfTI files and DICOM series.
        color: auto keeps the colour of the visible (PET, SPECT) picture; heat warms it where infrared is hot;
            thermal:PALETTE shows infrared in a palette under the edges of the visible picture.
        bits: of a sample in the output; auto keeps 16 where a source has them.
        format: of the files in an output folder.
        thermal: what infrared files hold: counts, temperatures, false colours.
        measuring: what is told of temperatures.
        agc_vis: gain control of visible (MRI) pictures: off, linear, plateau, clahe, window:LOW..HIGH.
        temperature: write the infrared temperatures, on the grid of the fused picture, as float TIFF in C.
        align: auto estimates how each infrared picture lies on the visible one; FILE comes from 'align'.
        crop: cut the aligned picture to what both sources fill.
        resize: resample the infrared (CT, PET, SPECT) picture where its size differs.
        quality: of JPEG, 1 to 100.
        overwrite: replace outputs that exist.
        max_megapixels: larger pictures are refused before they are decoded.
        json: print one JSON object about all pairs on standard output, and no progress.
    """
    from fsidfusion.alignment.transform import read_align
    from fsidfusion.fusion.files import fuse_pairs
    from fsidfusion.fusion.outputs import output_paths
    from fsidfusion.fusion.plan import Plan

    if names_volumes(inputs, volumes):
        unit: Unit = "SUV" if thermal.unit == "SUV" else "auto"
        for_pictures = {
            "options for thermal pictures": thermal != Thermal(unit=unit),
            "--agc-vis": agc_vis != "off",
            "--temperature": temperature is not None,
            "options for temperatures": measuring != Measuring(),
            "--align": align != "none",
            "--crop": crop,
            "--resize": resize,
            f"--color {color}": color not in ("auto", "gray"),
        }
        unfit = [name for name, given in for_pictures.items() if given]
        gray, suv = color == "gray", unit == "SUV"
        return fuse_volumes(inputs, engine, volumes, output, gray, suv, bits, overwrite, json, unfit)
    start = time.perf_counter()
    try:
        if volumes != Volumes():
            raise InputError("options for volumes are given, but no volume; see 'fsidfusion fuse --help'")
        matches, task = inputs.match()
        paths = output_paths(matches.pairs, output, matches.many, f".{format}")
        warm = None if temperature is None else output_paths(matches.pairs, temperature, matches.many, ".tif")
        plan = Plan(
            task=task,
            color=color,
            thermal=thermal,
            agc_visible=agc_vis,
            align=read_align(align, crop),
            crop=crop,
            resize=resize,
            bits=bits,
            quality=quality,
            overwrite=overwrite,
            measuring=measuring,
            max_pixels=int(max_megapixels * 1e6),
        )
        fuser = engine.load(len(paths), task)
        with progress(len(paths), shown=not json) as report:
            outcomes = fuse_pairs(fuser, matches.pairs, paths, plan, report, warm or ())
    except FusionError as error:
        if json:
            print(dumps({"status": 2, "error": str(error)}))
        raise
    if measuring.table:
        rows = [table_row(outcome.pair.infrared.name, outcome.measures) for outcome in outcomes]
        write_text(measuring.table, "\n".join((TABLE_HEAD, *rows)) + "\n")
    counts = Counter(outcome.status for outcome in outcomes)
    failed = counts["failed"] + len(matches.alone)
    status = 0 if not failed else 1 if matches.many else 2
    seconds = time.perf_counter() - start
    if json:
        summary = {
            "status": status,
            "model": engine.name(task),
            "device": fuser.device,
            "precision": fuser.precision,
            "runtime": fuser.runtime,
        }
        summary |= {
            "seconds": round(seconds, 3),
            **{name: counts[name] for name in ("fused", "skipped", "failed")},
        }
        alone = [str(path) for path in matches.alone]
        print(
            dumps({**summary, "pairs": [_entry(outcome) for outcome in outcomes], "without_partner": alone})
        )
    else:
        _summarise(outcomes, seconds, output)
    for outcome in outcomes:
        if outcome.status == "failed":
            print(f"fsidfusion fuse: failed: {outcome.message}", file=sys.stderr)
    for path in matches.alone:
        near = f"; the nearest is {matches.nearest[path].name}" if path in matches.nearest else ""
        print(
            f"fsidfusion fuse: failed: {path} has no partner of the same stem{near}; add it, or leave it out",
            file=sys.stderr,
        )
    return status


def _summarise(outcomes: "Sequence[Outcome]", seconds: float, output: str) -> None:
    fused = [outcome for outcome in outcomes if outcome.status == "fused"]
    skipped = [outcome for outcome in outcomes if outcome.status == "skipped"]
    if len(outcomes) == 1 and fused:
        print(f"{fused[0].output}  {fused[0].width}x{fused[0].height}  {fused[0].seconds:.2f} s")
    elif len(outcomes) > 1:
        rate = f", {len(fused) / seconds:.1f} pairs/s" if fused else ""
        counts = f"{len(fused)} of {len(outcomes)} pairs fused into {output} in {seconds:.1f} s{rate}"
        print(f"{counts}; {len(skipped)} existed and were skipped" if skipped else counts)
    if len(outcomes) == 1 and skipped:
        print(f"{skipped[0].output} exists and was left as it is; --overwrite replaces it")
    notes: dict[str, list[str]] = {}  # by what they say, whatever the numbers in them
    for outcome in fused:
        if outcome.message:
            notes.setdefault(re.sub(r"\d+", "#", outcome.message), []).append(outcome.message)
    for alike in notes.values():
        like = "" if len(set(alike)) == 1 else ", and others like it"
        print(f"note: {alike[0]}" + (f" ({len(alike)} pictures{like})" if alike[1:] else ""), file=sys.stderr)


def _entry(outcome: "Outcome") -> dict[str, object]:
    return {
        "name": outcome.pair.name,
        "infrared": str(outcome.pair.infrared),
        "visible": str(outcome.pair.visible),
        "output": str(outcome.output),
        "status": outcome.status,
        "width": outcome.width,
        "height": outcome.height,
        "seconds": round(outcome.seconds, 4),
        "message": outcome.message,
        **({"temperatures": asdict(outcome.measures)} if outcome.measures else {}),
    }
