"""The command line: one table from command name to the thin function that calls the public API.

Only the module of the command that was called is imported, so help and errors come at once.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Annotated, Any, Union

from fsidfusion import __version__
from fsidfusion.cli.guard import guarded, open_streams
from fsidfusion.cli.messages import warn
from fsidfusion.cli.parsing import parse
from fsidfusion.errors import InputError

COMMANDS: dict[str, tuple[str, str]] = {
    # command: (module.function below fsidfusion.cli, what it does)
    "fuse": ("fuse.fuse", "fuse pictures or volumes: infrared and visible, or MRI and CT/PET/SPECT"),
    "series": ("series.series", "list the DICOM series of a folder, for fuse --series"),
    "video": ("video.video", "fuse two videos, image sequences or cameras, without flicker"),
    "live": ("live.live", "fuse two cameras or streams as they come, with a page to watch"),
    "align": ("align.align", "estimate how infrared pictures lie on visible ones, for fuse and video"),
    "serve": ("serve.serve", "serve the fusion over HTTP, with a page to use in a browser"),
    "demo": ("demo.demo", "fuse the example pairs and show them on one contact sheet"),
    "data": ("data.data", "prepare training pairs, check them, or render scenes"),
    "train": ("train.train", "train a network in two stages; stop and resume at will"),
    "explain": ("explain.explain", "measure and draw what the features of a network do"),
    "evaluate": ("evaluate.evaluate", "score fused pictures or models, and compare them"),
    "benchmark": ("benchmark.benchmark", "measure quality on the test sets, or speed"),
    "detect": ("detect.detect", "compare inputs by how well a detector learns from them"),
    "segment": ("segment.segment", "compare inputs by how well a segmenter learns from them"),
    "export": ("export.export", "write a network as ONNX, OpenVINO or TorchScript"),
    "import-weights": ("weights.import_weights", "convert a published checkpoint to safetensors"),
    "models": ("weights.models", "list the shipped networks, their scores and licences"),
}


SHELLS = ("bash", "zsh", "tcsh")


def usage() -> str:
    """The overview that ``fsidfusion --help`` prints."""
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return (
        f"fsidfusion {__version__}: infrared-visible and medical image fusion\n\n"
        "usage: fsidfusion COMMAND [options]      fsidfusion COMMAND --help, or --advanced-help for all\n\n"
        f"{rows}\n\n"
        "example: fsidfusion fuse --ir thermal.png --vis colour.png -o fused.png\n"
        "completion of commands and options: fsidfusion --print-completion bash (or zsh, tcsh)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status that :mod:`fsidfusion.cli.guard` tells of."""
    open_streams()
    argv = list(sys.argv[1:] if arguments is None else arguments)
    return guarded("fsidfusion", partial(_command, argv), debug="--debug" in argv)


def _command(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
        print(f"fsidfusion {__version__}")
        return 0
    if "--print-completion" in argv:  # of all commands, after whichever it stands
        return _print_completion(argv[argv.index("--print-completion") + 1 :])
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        warn(f"fsidfusion: unknown command {name!r}; the commands are {', '.join(COMMANDS)}")
        return 2
    debug = "--debug" in rest
    rest = [word for word in rest if word != "--debug"]
    run = partial(_run, name, rest)
    return guarded(f"fsidfusion {name}", run, debug, json="--json" in rest)


def _run(name: str, words: list[str]) -> int | None:
    return parse(_load(name), words, f"fsidfusion {name}")()


def _load(name: str) -> Callable[..., int | None]:
    module, function = COMMANDS[name][0].rsplit(".", 1)
    command: Callable[..., int | None] = getattr(import_module(f"fsidfusion.cli.{module}"), function)
    return command


def _everything() -> object:
    """All commands as one type, for the completion of the first word."""
    import tyro

    commands = [Annotated[Any, tyro.conf.subcommand(name=name, constructor=_load(name))] for name in COMMANDS]
    return Union[tuple(commands)]  # noqa: UP007


def _print_completion(words: list[str]) -> int:
    """The script for a shell that completes commands, tasks and options, by tyro."""
    import tyro

    if len(words) != 1 or words[0] not in SHELLS:
        raise InputError(f"--print-completion {' '.join(words)}: expected one of {', '.join(SHELLS)}")
    tyro.cli(_everything(), args=["--tyro-print-completion", words[0]], prog="fsidfusion")  # type: ignore[call-overload]
    return 0
