"""``fsidfusion demo``: the example pairs, fused, on one contact sheet."""

from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from fsidfusion.cli.messages import say
from fsidfusion.cli.options import OutputFolder, Run
from fsidfusion.errors import InputError
from fsidfusion.images.files import Picture, read_picture, write_picture
from fsidfusion.images.pairs import PairSet, find_sets

if TYPE_CHECKING:
    from fsidfusion.images.sheet import Labelled

# of a checkout; an installed package renders its own
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@tyro.conf.configure(tyro.conf.OmitArgPrefixes)
def demo(output: OutputFolder = Path("out/demo"), run: Run = Run()) -> int:
    """Fuse the example pairs and lay sources and results out on one contact sheet.

    The pairs are rendered by this project: street scenes in infrared and visible light, and MRI with PET.
    Results of an earlier demo in the same folder are replaced.

    Args:
        output: folder for the fused pictures and the contact sheet.
        run: the model and how it runs.
    """
    from fsidfusion.fusion.files import fuse_pairs
    from fsidfusion.fusion.plan import Plan
    from fsidfusion.images.sheet import contact_sheet

    rows: list[list[Labelled]] = []
    said: set[str] = set()
    for found in find_sets(EXAMPLES) or _render_examples(output / "sources"):
        other = found.pairs[0].infrared.parent.name  # ir, ct or pet
        medical = found.task == "medical"
        fuser = run.load(found.task)
        model = f"{run.name(found.task)} on {fuser.device} in {fuser.precision}"
        if model not in said:
            say(model)
            said.add(model)
        labels = (other.upper(), "MRI") if medical else ("infrared", "visible")
        names = [f"{pair.name}_mri_{other}" if medical else pair.name for pair in found.pairs]
        paths = [output / f"{name}.png" for name in names]
        plan = Plan(task=found.task, overwrite=True)
        for name, outcome in zip(names, fuse_pairs(fuser, found.pairs, paths, plan)):
            if outcome.status == "failed":
                raise InputError(outcome.message)
            say(f"{outcome.output}  {outcome.width}x{outcome.height}  {outcome.seconds:.2f} s")
            sources = (outcome.pair.infrared, outcome.pair.visible, outcome.output)
            pictures = [read_picture(path).pixels for path in sources]
            rows.append(list(zip((*labels, f"fused: {name}"), pictures)))
    sheet = output / "contact_sheet.png"
    write_picture(sheet, Picture(contact_sheet(rows)))
    say(f"{len(rows)} pairs fused; look at {sheet}")
    return 0


def _render_examples(folder: Path) -> list[PairSet]:
    """Three street scenes and two heads, for where the examples of the repository are not at hand."""
    from fsidfusion.studies.scenes import render_scene
    from fsidfusion.studies.scenes.phantom import render_phantom

    for seed, time_of_day in ((1, "day"), (2, "dusk"), (3, "night")):
        scene = render_scene(seed, time_of_day=time_of_day)
        write_picture(folder / "ir" / f"{time_of_day}.png", Picture(scene.infrared))
        write_picture(folder / "vis" / f"{time_of_day}.png", Picture(scene.visible))
    for seed in (1, 2):
        head = render_phantom(seed)
        write_picture(folder / "mri" / f"head_{seed}.png", Picture(head.mri))
        write_picture(folder / "pet" / f"head_{seed}.png", Picture(head.pet))
    return find_sets(folder)
