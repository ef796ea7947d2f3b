"""Write what was measured into the pages of this checkout; nothing else of them changes.

python scripts/write_docs.py quality --data DATA -o out/quality
    README's table, the part of docs/results.md and the model cards, of all sets and models; what
    `fsidfusion benchmark quality` has scored into the same folder is not scored again
python scripts/write_docs.py part speed out/speed/speed.md
    a part of docs/results.md (alignment, detection, seeing, segmentation, speed, witness), from Markdown that
    `benchmark align`, `benchmark seeing`, `benchmark speed`, `benchmark witness`, `detect compare`, `segment
    compare` wrote
python scripts/write_docs.py picture
    docs/fusion.jpg, from the rendered examples
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from fsidfusion.cli import benchmark
from fsidfusion.errors import FusionError, InputError
from fsidfusion.studies.pages import write_part
from fsidfusion.studies.quality.documents import check_docs, write_docs

CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Quality(benchmark.Quality):
    """README's table, the part of docs/results.md and the model cards."""

    def run(self) -> None:
        """Score what is not kept, and write."""
        from fsidfusion.evaluation.sets import published_layout
        from fsidfusion.studies.quality.scores import open_models

        check_docs(CHECKOUT, published_layout(self.data, self.sets), open_models(self.model), self.from_card)
        for path in write_docs(CHECKOUT, *self.measure()):
            print(f"wrote {path}")


@dataclass(frozen=True)
class Part:
    """A part of docs/results.md, from Markdown; plots beside it that it shows are copied to docs."""

    name: Annotated[str, tyro.conf.Positional]
    """of the part: alignment, detection, seeing, segmentation, speed, witness"""
    source: Annotated[Path, tyro.conf.Positional]
    """the Markdown"""
    docs: Path = CHECKOUT / "docs"
    """where results.md lies"""

    def run(self) -> None:
        """Write."""
        if not self.source.is_file():
            raise InputError(f"{self.source} is no file; expected the Markdown that a measurement wrote")
        text = self.source.read_text("utf-8")
        write_part(self.docs / "results.md", self.name, text)
        for plot in self.source.parent.glob("*.svg"):
            if f"({plot.name})" in text:
                shutil.copyfile(plot, self.docs / plot.name)
        print(f"wrote {self.docs / 'results.md'}")


@dataclass(frozen=True)
class Picture:
    """The picture at the top of README: rendered examples, fused, and fused in heat colours."""

    names: tuple[str, ...] = ("night_street", "smoke_rescue")
    """of the examples, one row each"""

    def run(self) -> None:
        """Fuse and write."""
        from fsidfusion import Fuser
        from fsidfusion.images.files import Picture as Pixels
        from fsidfusion.images.files import read_picture, write_picture
        from fsidfusion.images.sheet import contact_sheet

        fuser = Fuser(device="cpu", precision="fp32")
        rows = []
        for name in self.names:
            pair = [
                read_picture(CHECKOUT / "examples" / side / f"{name}.png").pixels for side in ("ir", "vis")
            ]
            fused = [fuser.fuse(*pair), fuser.fuse(*pair, color="heat")]
            rows.append(list(zip(("infrared", "visible", "fused", "fused, heat colours"), (*pair, *fused))))
        path = CHECKOUT / "docs" / "fusion.jpg"
        write_picture(path, Pixels(contact_sheet(rows)), quality=88)
        print(f"wrote {path}")


@tyro.conf.configure(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
def main(task: Quality | Part | Picture) -> None:
    """Write what was measured into the pages of this checkout."""
    try:
        task.run()
    except FusionError as error:
        raise SystemExit(f"write_docs: {error}") from error


if __name__ == "__main__":
    tyro.cli(main)
