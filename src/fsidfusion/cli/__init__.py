"""The command line: one table from command name to the thin function that calls the public API.

Only the module of the command that was called is imported, so help and errors come at once.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from fsidfusion import __version__
from fsidfusion.errors import FusionError

COMMANDS: dict[str, tuple[str, str]] = {
    # command: (module.function below fsidfusion.cli, what it does)
    "fuse": ("fuse.fuse", "fuse pictures or volumes: infrared and visible, or MRI and CT/PET/SPECT"),
    "video": ("video.video", "fuse two videos, image sequences or cameras, without flicker"),
    "align": ("align.align", "estimate how infrared pictures lie on visible ones, for fuse and video"),
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


def usage() -> str:
    """The overview that ``fsidfusion --help`` prints."""
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return (
        f"fsidfusion {__version__}: infrared-visible and medical image fusion\n\n"
        f"usage: fsidfusion COMMAND [options]      fsidfusion COMMAND --help\n\n{rows}\n\n"
        "example: fsidfusion fuse --ir thermal.png --vis colour.png -o fused.png"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status (0 done, 1 some pairs failed, 2 wrong call)."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
        print(f"fsidfusion {__version__}")
        return 0
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        print(
            f"fsidfusion: unknown command {name!r}; the commands are {', '.join(COMMANDS)}", file=sys.stderr
        )
        return 2
    import tyro

    module, function = COMMANDS[name][0].rsplit(".", 1)
    command = getattr(import_module(f"fsidfusion.cli.{module}"), function)
    try:
        status = tyro.cli(command, args=rest, prog=f"fsidfusion {name}")
        return int(status or 0)
    except SystemExit as exit_:  # tyro: 0 after --help, 2 after a wrong option
        return int(exit_.code or 0) if not isinstance(exit_.code, str) else 2
    except FusionError as error:
        print(f"fsidfusion {name}: {error}", file=sys.stderr)
        return 2
    except MemoryError:
        print(f"fsidfusion {name}: not enough memory; try a smaller --tile or --memory", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"fsidfusion {name}: stopped; what was finished is kept, run again to go on", file=sys.stderr)
        return 128 + getattr(stop, "number", 2)  # of SIGTERM, where a training ended for it
