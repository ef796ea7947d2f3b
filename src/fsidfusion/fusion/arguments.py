"""What a fusion can be told in Python: every name once, with its type, its meaning and what it is by default.

:class:`fsidfusion.fusion.fuser.Fuser` takes the settings, its ``fuse`` the treatment of one pair, and
:func:`fsidfusion.fuse` both.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec, TypedDict, TypeVar

from numpy.typing import DTypeLike

from fsidfusion.alignment.transform import Alignment
from fsidfusion.fusion.plan import Color, Task
from fsidfusion.images.output_range import RangeMode
from fsidfusion.images.pixels import PixelsLike

Emphasis = Literal["targets", "natural"]

P = ParamSpec("P")
R = TypeVar("R")


class Settings(TypedDict, total=False):
    """What a model is for, and how it runs."""

    task: Task
    """``thermal`` for infrared and visible; ``medical`` for MRI with CT, PET or SPECT, which takes the
    weights for them where the network has such."""
    device: str
    """``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``."""
    precision: str
    """``auto`` (bf16 where the device has it natively), ``fp32`` or ``bf16``."""
    range: RangeMode
    """The output mapping, see :mod:`fsidfusion.images.output_range`."""
    emphasis: Emphasis
    """``targets`` sets off from their surroundings what only infrared shows, people above all; ``natural``
    leaves them to the fusion. Of a named network with an overview; others have none."""
    tile: Literal["auto", "off"] | int
    """``auto`` tiles where the image does not fit into ``memory``; ``off`` never; a number is the side of
    every tile in pixels, with its context."""
    memory: str | int | None
    """Most memory to take: of this process on a CPU, of the device elsewhere ("2GiB" or bytes). Half of what
    is free is the default, and less for pictures beyond 4K."""
    threads: int | None
    """Threads of the CPU for the whole process; all is the default."""
    runtime: str
    """``torch``, ``openvino``, ``onnxruntime``, or ``auto`` for the one that a fixed rule takes for a network
    that is named (:mod:`fsidfusion.runtime.runtimes`); a network that is given stays in torch."""


class Treatment(TypedDict, total=False):
    """What is done to one pair; a pair of scans is given by name."""

    mri: PixelsLike | None
    """As ``visible``, in its place."""
    ct: PixelsLike | None
    """As ``infrared``, in its place."""
    pet: PixelsLike | None
    """Likewise."""
    spect: PixelsLike | None
    """Likewise."""
    color: Color
    """Whose chroma the result carries: ``auto`` for that of visible, or of CT, PET and SPECT; ``visible``
    (MRI), ``infrared`` (CT, PET, SPECT), ``gray`` for none, or ``heat``: that of ``visible``, warmed to
    orange by the infrared level (:mod:`fsidfusion.thermal.heat`)."""
    dtype: DTypeLike | None
    """Of the result; that of ``visible`` (MRI) by default."""
    align: Alignment | Literal["auto"] | None
    """How the infrared image lies on the visible one, or ``auto`` to estimate it
    (:mod:`fsidfusion.alignment`). Outside the infrared field the visible image stands alone."""
    crop: bool
    """Cut the aligned result to what both images fill."""


class Arguments(Settings, Treatment, total=False):
    """All of both."""


SETTINGS: Settings = {
    "task": "thermal",
    "device": "auto",
    "precision": "auto",
    "range": "percentile",
    "emphasis": "targets",
    "tile": "auto",
    "memory": None,
    "threads": None,
    "runtime": "auto",
}
TREATMENT: Treatment = {
    "mri": None,
    "ct": None,
    "pet": None,
    "spect": None,
    "color": "auto",
    "dtype": None,
    "align": None,
    "crop": False,
}


def spelled_out(names: type[Any]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For a function that takes one of these as ``**``: its signature names each, and others are refused.

    Raises:
        TypeError: of the function, as of any other, for a name that is none of them.
    """
    defaults: dict[str, object] = {**SETTINGS, **TREATMENT}

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        own = inspect.signature(function)
        listed = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
        for name, kind in names.__annotations__.items():
            listed.append(
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=kind
                )
            )
        signature = own.replace(parameters=listed)

        @wraps(function)
        def checked(*arguments: P.args, **named: P.kwargs) -> R:
            try:
                signature.bind(*arguments, **named)
            except TypeError as error:
                raise TypeError(f"{function.__qualname__}() {error}") from None
            return function(*arguments, **named)

        checked.__signature__ = signature  # type: ignore[attr-defined]
        return checked

    return decorate
