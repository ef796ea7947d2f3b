"""Begin and end the service."""

from fsidfusion.serving.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until stopped."""
    raise NotImplementedError
