"""The face of a room whose modules are heavy: its names are imported when they are first asked for."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing's: its import would take longer than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any


def lazily(
    package: str, face: Mapping[str, Sequence[str]], also: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` for the ``__init__`` of a package.

    Args:
        package: its ``__name__``.
        face: the names that it shows, by the module below it that holds them.
        also: names that stand in the ``__init__`` itself, for ``dir``.
    """
    homes = {name: module for module, names in face.items() for name in names}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        except ModuleNotFoundError as error:
            from fsidfusion.errors import is_optional, missing

            if not is_optional(error.name or ""):
                raise
            raise missing(error.name or "", f"{package}.{name}") from error

    return get, lambda: sorted((*homes, *also))
