"""``fsidfusion serve``: the fusion over HTTP, with a page."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from fsidfusion.cli.messages import say, warn
from fsidfusion.cli.options import Run
from fsidfusion.errors import InputError
from fsidfusion.images.text import read_text
from fsidfusion.serving.server import check_installed
from fsidfusion.serving.server import serve as serve_
from fsidfusion.serving.settings import Settings

if TYPE_CHECKING:
    from fsidfusion.fusion.arguments import Emphasis
    from fsidfusion.fusion.fuser import Fuser
    from fsidfusion.images.pairs import Task

TOKEN = "FSIDFUSION_TOKEN"


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
def serve(
    settings: Settings = Settings(),
    run: Run = Run(),
    also: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME|FILE")] = (),
    token_file: Path | None = None,
) -> int:
    """Serve the fusion over HTTP on this machine, with a page at http://127.0.0.1:8000.

    One pair: curl -F infrared=@t.png -F visible=@c.png http://127.0.0.1:8000/v1/fuse -o fused.png

    Ctrl-C or SIGTERM ends it once the requests that are under way are answered. The options of a request are
    those of 'fsidfusion fuse', as form fields; range and emphasis are left to the requests.

    Args:
        settings: where it listens, and its limits.
        run: the model and how it runs.
        also: further models that a request may name.
        token_file: a file with the token that clients have to send (Authorization: Bearer TOKEN); by default
            the environment variable FSIDFUSION_TOKEN, and without one none is asked for.
    """
    check_installed()
    token = os.environ.get(TOKEN, "")
    if token_file is not None:
        token = read_text(token_file, "token").strip()
        if not token:
            raise InputError(f"{token_file} is empty; write a token into it")
    if not settings.is_local and not token:
        warn(
            f"fsidfusion serve: {settings.host} can be reached by others, who need no token; set {TOKEN}"
            " or `token_file`"
        )

    def load(name: str, task: "Task", emphasis: "Emphasis") -> "Fuser":
        return replace(run, model=name, emphasis=emphasis).load(task=task)

    serve_(settings, load, (run.model, *also), token, _say)
    return 0


def _say(address: str) -> None:
    say(f"serving on {address} (Ctrl-C stops)")
    sys.stdout.flush()
