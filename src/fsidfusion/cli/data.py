"""``fsidfusion data``: training pairs from folders."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fsidfusion.cli.messages import say
from fsidfusion.cli.options import File, Files, Folder, OutputFolder, Size
from fsidfusion.cli.progress import progress


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Write aligned pairs into a patch cache; a stopped run goes on where it was."""

    data: Folder = None
    """a folder of sets in their usual layouts (ir, vi; MRI with CT, PET or SPECT), up to two levels down;
    test splits are left out where there are train splits"""
    ir: Files = ()
    """infrared (or CT, PET, SPECT) pictures: files, folders, globs"""
    vis: Files = ()
    """visible (or MRI) pictures, matched by stem"""
    hdf5: File = None
    """a patch file in the published layout, instead of pictures; its patches are kept as they are"""
    patch: int = 128
    """side of the patches in pixels; 0 keeps whole pictures, from which training draws crops"""
    stride: int = 200
    """distance between patches in pixels"""
    min_contrast: float = 0.1
    """drop patches in which (high - low) / high of either image is below this"""
    percentiles: tuple[float, float] = (10, 90)
    """what low and high are, of the grey levels of a patch"""
    validation: bool = True
    """hold out every 20th pair of each set, by name"""
    format: Literal["cache", "hdf5"] = "cache"
    """cache (uint8 memory maps), or hdf5: the published layout, beside a cache of the same name"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER|FILE")]
    """folder of the cache, new; or the file, with --format hdf5"""

    def run(self) -> int:
        """Prepare."""
        from fsidfusion.errors import InputError
        from fsidfusion.training.hdf5 import published_pairs, write_published
        from fsidfusion.training.patches import PatchCache, PatchSettings
        from fsidfusion.training.prepare import prepare
        from fsidfusion.training.sources import source_pairs, training_sets

        if self.hdf5 is not None:
            if self.data or self.ir or self.vis:
                raise InputError("--hdf5 names all pairs; leave out --data, --ir and --vis")
            pairs, settings = published_pairs(self.hdf5, self.validation), PatchSettings(patch=0)
        else:
            pairs = source_pairs(self.data, self.ir, self.vis, self.validation)
            settings = PatchSettings(self.patch, self.stride, self.min_contrast, *self.percentiles)
        folder = self.output.with_suffix(".cache") if self.format == "hdf5" else self.output
        counts = Counter(pair.set for pair in pairs)
        say("sets: " + ", ".join(f"{name} ({number})" for name, number in counts.items()))
        left_out = training_sets(self.data)[1] if self.data else []
        if left_out:
            say("left out: " + ", ".join(f"{found.name} ({len(found.pairs)} pairs)" for found in left_out))
        if self.format == "hdf5" and folder.exists() and PatchCache(folder).settings == settings:
            cache = PatchCache(folder)  # a stopped run had come so far
        else:
            with progress("pairs", len(pairs)) as bar:
                cache = prepare(bar.each(pairs), folder, settings)
        held = len(cache.positions("validation"))
        say(f"{len(cache)} items from {len(pairs)} pairs ({held} for validation) in {folder}")
        if self.format == "hdf5":
            say(f"{write_published(cache, self.output)} patches in {self.output}")
        return 0


@dataclass(frozen=True)
class Check:
    """Find what would spoil a training: unreadable files, missing partners, sizes, flat images, pairs in
    two splits, shifts. Exit status 1 when something was found."""

    data: Path
    """a folder of sets in their usual layouts, up to two levels down"""
    sheet: File = None
    """write a contact sheet here: a few pairs of each set, those with findings first"""

    def run(self) -> int:
        """Check, print, draw."""
        from fsidfusion.errors import InputError
        from fsidfusion.images.files import Picture, write_picture
        from fsidfusion.images.sets import find_sets
        from fsidfusion.images.sheet import contact_sheet
        from fsidfusion.training.check import check_sets

        sets = find_sets(self.data)
        if not sets:
            raise InputError(
                f"{self.data} holds no set of pairs; expected folders such as ir and vi, or CT and MRI"
            )
        total = sum(len(found.pairs) for found in sets)
        with progress("pairs", total) as bar:
            findings, shown = check_sets(sets, on_pair=bar.step)
        for finding in findings:
            say(f"{finding.kind:<10}  {finding.set}/{finding.pair}: {finding.text}")
        if self.sheet is not None and shown:
            rows = [[(pair.name, pair.infrared), ("", pair.visible)] for pair in shown]
            write_picture(self.sheet, Picture(contact_sheet(rows)))
            say(f"contact sheet: {self.sheet}")
        counts = Counter(finding.kind for finding in findings)
        summary = ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "nothing wrong"
        say(f"{total} pairs in {len(sets)} sets: {summary}")
        return 1 if findings else 0


@dataclass(frozen=True)
class Render:
    """Render street scenes in the layout of MSRS, with true masks and boxes, for segmentation and detection.

    By day, by night and in smoke. A stopped call goes on where it was."""

    output: OutputFolder
    """folder of the set"""
    train: int = 400
    """number of training scenes"""
    test: int = 100
    """number of test scenes; none shares a seed with a training scene"""
    size: Size = (240, 320)
    """of the frames, in pixels"""

    def run(self) -> int:
        """Render."""
        from fsidfusion.studies.scenes.rendered_set import write_scene_set

        scenes = write_scene_set(self.output, self.train, self.test, self.size)
        with progress("scenes", self.train + self.test) as bar:
            for _ in bar.each(scenes):
                pass
        say(f"{self.train} training and {self.test} test scenes in {self.output}")
        return 0


@tyro.conf.configure(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
def data(task: Prepare | Check | Render) -> int:
    """Prepare training pairs, check them, or render scenes.

    Args:
        task: what to do.
    """
    return task.run()
