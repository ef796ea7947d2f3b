"""The words of a command line as a call, by tyro; what it says of them is short and moves no terminal."""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import partial, wraps
from typing import Any

from fsidfusion.cli.messages import warn

ADVANCED = "--advanced-help"
_HELP = ("-h", "--help", "-H", "--help-verbose")


def parse(command: Callable[..., Any], words: Sequence[str], program: str) -> Callable[[], Any]:
    """The call that the words ask for.

    Help leaves out what is seldom used (:data:`fsidfusion.cli.options.SELDOM`) unless ``--advanced-help``
    asks for it.

    Raises:
        SystemExit: 0 after help, 2 where the words are no call, which has been said then.
    """
    import tyro

    @wraps(command)
    def later(*args: Any, **options: Any) -> Callable[[], Any]:
        return partial(command, *args, **options)

    if ADVANCED in words:
        words = [word for word in words if word not in (ADVANCED, *_HELP)] + ["--help"]
        tyro.cli(later, args=words, prog=program)
    if any(word in _HELP for word in words):
        with _brief():
            try:
                tyro.cli(later, args=words, prog=program)
            finally:
                print(f"Seldom-used options: {program} ... {ADVANCED}")
    said = io.StringIO()
    try:
        with redirect_stderr(said), _finite_numbers():
            call: Callable[[], Any] = tyro.cli(later, args=words, prog=program)
    except SystemExit:
        if said.getvalue():
            warn(_one_line(said.getvalue(), program))
        raise
    return call


def _one_line(box: str, program: str) -> str:
    """What tyro says in a box, its parts one after the other, without the title and the advice at the end."""
    parts: list[list[str]] = [[]]
    for line in box.splitlines()[1:]:
        text = line.strip("│╭╰╮╯─ ")
        if text:
            parts[-1].append(text)
        elif parts[-1]:
            parts.append([])
    said = "; ".join(
        " ".join(part).removesuffix(".") for part in parts if part and "full helptext" not in part[0]
    )
    return f"{program}: {said}; see {program} --help"


def _finite_numbers() -> Any:
    """Every option of a floating number, without NaN and infinity, which no option means."""
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec

    registry = ConstructorRegistry()

    @registry.primitive_rule
    def finite(info: Any) -> Any:
        if info.type is not float:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="FLOAT",
            instance_from_str=lambda words: _finite(words[0]),
            is_instance=lambda value: isinstance(value, int | float),
            str_from_instance=lambda value: [str(value)],
        )

    return registry


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word} is no finite number")
    return value


@contextmanager
def _brief() -> Iterator[None]:
    """Help without what is seldom used; tyro has no public way to leave out of help what it parses."""
    from tyro._arguments import ArgumentDefinition

    from fsidfusion.cli.options import SELDOM

    suppressed = ArgumentDefinition.is_suppressed

    def is_left_out(argument: ArgumentDefinition) -> bool:
        return argument.field.intern_name in SELDOM or suppressed(argument)

    ArgumentDefinition.is_suppressed = is_left_out  # type: ignore
    try:
        yield
    finally:
        ArgumentDefinition.is_suppressed = suppressed  # type: ignore
