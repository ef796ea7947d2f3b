"""``fsidfusion demo``: the example pairs, fused, on one contact sheet."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from fsidfusion.cli.messages import say
from fsidfusion.cli.options import OutputFolder, Run
from fsidfusion.errors import InputError
from fsidfusion.images.files import Picture, read_picture, write_picture
from fsidfusion.images.sets import find_sets

if TYPE_CHECKING:
    from fsidfusion.images.sheet import Labelled

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"  # of a checkout


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
    for found in find_sets(_examples()):
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


def _examples() -> Path:
    """The folder of the example pairs: of a checkout, or what the wheel laid beside the package."""
    if EXAMPLES.is_dir():
        return EXAMPLES
    with suppress(PackageNotFoundError):
        for file in distribution("fsidfusion").files or ():
            if file.match("share/fsidfusion/examples/*/*.png"):
                return Path(str(file.locate())).resolve().parents[1]
    raise InputError("the example pairs are not in this installation; fuse your own: fsidfusion fuse --help")
