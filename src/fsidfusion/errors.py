"""The exceptions that are the user's to mend: one line that says what was given, expected, and what to do.

The command line prints that line and exits with status 2; in Python they are raised as they are.
"""


class FusionError(ValueError):
    """Anything that this package raises on purpose."""


class InputError(FusionError):
    """A file, an array, an option or a combination of them that cannot be used."""


class ModelError(FusionError):
    """Weights or a network that cannot be used, or that give no sound result."""


class MissingDependency(FusionError):
    """A part of the package that is not installed; the message says how to install it."""


class NotEnoughMemory(FusionError):
    """The memory limit does not hold what was asked for."""
