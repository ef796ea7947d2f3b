"""What a request may take: a place, and the time until it is answered, as long as its client is there."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from fsidfusion.errors import FusionError
from fsidfusion.serving.problems import Problem, answer, of_error
from fsidfusion.serving.service import Service

log = logging.getLogger("fsidfusion.serving")

GONE = 499  # counted for clients that went away; nobody sees it

T = TypeVar("T")


async def bounded(
    service: Service,
    request: Request,
    route: str,
    run: Callable[[Callable[[], None]], Awaitable[Response]],
    seconds: float | None = None,
) -> Response:
    """Answer a request that costs something: in a place, within the time, with a problem where it fails.

    Args:
        service: whose places and time.
        request: the client's.
        route: for the counters.
        run: is given what to call once the request has been read.
        seconds: for all of it; by default those of the settings.
    """
    seconds = seconds or service.settings.timeout
    is_read = False

    def read() -> None:
        nonlocal is_read
        is_read = True

    try:
        with service.desk.place():
            async with asyncio.timeout(seconds):
                response = await run(read)
    except TimeoutError:
        limit = f"{seconds:g} s"
        response = answer(
            Problem(504, "timeout", f"it took more than {limit}; send a smaller picture, or raise --timeout")
            if is_read
            else Problem(
                408, "slow", f"the request did not arrive within {limit}", headers={"Connection": "close"}
            )
        )
    except ClientDisconnect:
        response = Response(status_code=GONE)
    except Exception as error:
        if not isinstance(error, FusionError):
            log.error("a request failed", exc_info=error)
        response = answer(of_error(error))
    service.meters.requests.labels(route, str(response.status_code)).inc()
    return response


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do something for a client; where it goes away that is cancelled, and ClientDisconnect raised."""
    task, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
