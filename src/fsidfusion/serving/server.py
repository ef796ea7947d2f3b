"""Begin and end the service."""

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fsidfusion.errors import InputError, is_installed, missing
from fsidfusion.serving.settings import Settings

if TYPE_CHECKING:
    from fsidfusion.fusion.arguments import Emphasis
    from fsidfusion.fusion.fuser import Fuser
    from fsidfusion.fusion.plan import Task

NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
GRACE = 20.0  # seconds that requests have to end once a stop is asked for
_IDLE = 5  # seconds for which a connection without a request is kept


def check_installed() -> None:
    """Raises MissingDependency where the packages of a service are not installed."""
    for module in NEEDED:
        if not is_installed(module):
            raise missing(module, "the service")


def serve(
    settings: Settings,
    load: "Callable[[str, Task, Emphasis], Fuser]",
    names: Sequence[str],
    token: str = "",
    ready: Callable[[str], None] = print,
) -> None:
    """Serve until Ctrl-C or SIGTERM; requests that are under way are finished.

    Args:
        settings: address and limits.
        load: gives the fuser of a model by name, task and emphasis.
        names: of the models that are served; the first is the default, and loaded at once.
        token: that clients have to send; "" for none.
        ready: called with the address once it listens.

    Raises:
        InputError: an address that cannot be had, or a model that cannot be loaded.
        MissingDependency: the packages of a service are not installed.
    """
    check_installed()
    import uvicorn

    from fsidfusion.serving.app import create_app
    from fsidfusion.serving.service import Service

    listening = listen(settings)
    service = Service(settings, load, tuple(names), token)
    config = uvicorn.Config(
        create_app(service),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=int(GRACE),
        backlog=settings.places + 64,
        h11_max_incomplete_event_size=32 << 10,
    )
    ready(web_address(listening))
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:  # raised again by uvicorn once all is answered: it ended in good order
        pass
    finally:
        service.close()


def web_address(listening: socket.socket) -> str:
    """The address at which a browser finds it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(settings: Settings, port: str = "port") -> socket.socket:
    """A socket at the address of the settings; ``port`` is the name of the option that gives it.

    Raises:
        InputError: the address cannot be had.
    """
    place = f"{settings.host}:{settings.port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[
            0
        ]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()  # who comes before all is ready waits
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{place} cannot be listened on ({reason}); give another `host` or `{port}`"
        ) from error
    return listening
