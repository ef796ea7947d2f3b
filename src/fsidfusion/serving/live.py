"""The page of a live run: the newest picture for whoever watches, and how the run is.

Pictures are encoded once for all who watch, when somebody asks; who is slow gets fewer of them. A thread of
its own answers, and the fusion never waits for it.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import cv2
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fsidfusion import __version__
from fsidfusion.images.pixels import Pixels
from fsidfusion.serving.app import PAGE
from fsidfusion.serving.guard import Guard
from fsidfusion.serving.server import check_installed, listen, web_address
from fsidfusion.serving.settings import Settings

if TYPE_CHECKING:
    from fsidfusion.fusion.live_counts import Status
    from fsidfusion.fusion.sources import Source

_QUALITY = 88  # of JPEG
_WIDEST = 1280  # pixels; wider pictures are shown smaller
_PATIENCE = 5.0  # seconds that a request waits for the next picture
_STARTS_WITHIN = 10.0  # seconds
_ENDS_WITHIN = 0.7
_EVENTS = 50  # lines that are kept
_PART = b"frame"  # boundary of the parts of a stream


class Preview:
    """A page with the newest picture; it takes pictures as an output of a live run."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, token: str = "") -> None:
        """Begin to answer.

        Args:
            host: address to listen on.
            port: 0 for a free one.
            token: that clients have to send; "" for none.

        Raises:
            InputError: the address cannot be had.
            MissingDependency: the packages of a service are not installed.
        """
        check_installed()
        self.left_out = 0
        settings = Settings(host=host, port=port)
        socket = listen(settings, "serve")
        self.address = web_address(socket)
        self._status: dict[str, Any] = {"frames": 0, "sources": []}
        self._events: deque[dict[str, Any]] = deque(maxlen=_EVENTS)
        self._newest: tuple[int, Pixels] | None = None  # its number, from 1
        self._coded: tuple[int, bytes] = (0, b"")
        self._is_over = False
        self._begun = time.time()
        self._news: asyncio.Event
        self._coding: asyncio.Lock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        config = uvicorn.Config(
            Guard(self._app(), settings, token),
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [socket]}, name="fsidfusion-page", daemon=True
        )
        self._thread.start()
        self._started.wait(_STARTS_WITHIN)

    def begin(self, size: tuple[int, int], visible: "Source") -> None:
        """Nothing is to be prepared."""

    def put(self, pixels: Pixels, seconds: float) -> None:
        """Show a picture (H, W[, 3]) uint8 from now on."""
        number = self._newest[0] + 1 if self._newest else 1
        self._newest = number, pixels
        self._announce()

    def tell(self, status: "Status") -> None:
        """Show how the run is."""
        self._status = status.record()

    def say(self, line: str) -> None:
        """Show that something happened."""
        self._events.append({"at": round(time.time(), 1), "text": line})

    def close(self) -> str:
        """Answer no more."""
        self._is_over = True
        self._announce()
        self._server.should_exit = True
        self._thread.join(_ENDS_WITHIN)
        return ""

    def _announce(self) -> None:
        """Wake those who wait for a picture."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _app(self) -> Starlette:
        @contextlib.asynccontextmanager
        async def life(app: Starlette) -> AsyncIterator[None]:
            self._loop, self._news, self._coding = asyncio.get_running_loop(), asyncio.Event(), asyncio.Lock()
            self._started.set()
            yield

        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/healthz", self._health),
                Route("/v1/live", self._state),
                Route("/v1/live/picture.jpg", self._picture),
                Route("/v1/live/picture.png", self._whole_picture),
                Route("/v1/live/stream.mjpg", self._stream),
                Mount("/page", StaticFiles(directory=PAGE)),
            ],
            lifespan=life,
        )

    async def _page(self, request: Request) -> Response:
        return Response((PAGE / "live.html").read_text("utf-8"), media_type="text/html")

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__})

    async def _state(self, request: Request) -> Response:
        newest = self._newest
        size = None if newest is None else [newest[1].shape[1], newest[1].shape[0]]
        state = {
            **self._status,
            "picture": newest[0] if newest else 0,
            "size": size,
            "run": self._begun,
            "events": list(self._events),
        }
        return JSONResponse(state, headers={"Cache-Control": "no-store"})

    async def _picture(self, request: Request) -> Response:
        """The newest picture after the one whose number is given; 204 where none comes for a while."""
        after = request.query_params.get("after", "0")
        coded = await self._after(int(after) if after.isdecimal() else 0)
        if coded is None:
            return Response(status_code=204, headers={"Cache-Control": "no-store"})
        headers = {"Cache-Control": "no-store", "Picture-Number": str(coded[0])}
        return Response(coded[1], media_type="image/jpeg", headers=headers)

    async def _whole_picture(self, request: Request) -> Response:
        """The newest picture without loss, at its full size."""
        newest = self._newest
        if newest is None:
            return Response(status_code=204)
        content = await run_in_threadpool(_png, newest[1])
        name = f"fused-{time.strftime('%Y%m%d-%H%M%S')}.png"
        disposition = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(content, media_type="image/png", headers=disposition)

    async def _stream(self, request: Request) -> Response:
        media_type = f"multipart/x-mixed-replace; boundary={_PART.decode()}"
        return StreamingResponse(self._parts(), media_type=media_type, headers={"Cache-Control": "no-store"})

    async def _parts(self) -> AsyncIterator[bytes]:
        number = 0
        while not self._is_over:
            coded = await self._after(number)
            if coded is not None:
                number, content = coded
                head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(content)
                yield b"--" + _PART + b"\r\n" + head + content + b"\r\n"

    async def _after(self, number: int) -> tuple[int, bytes] | None:
        """The newest picture as JPEG, with its number, once that is another than the one given."""
        end = time.monotonic() + _PATIENCE
        while (newest := self._newest) is None or newest[0] == number:
            left = end - time.monotonic()
            if self._is_over or left <= 0:
                return None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left)
        async with self._coding:
            newest = self._newest
            assert newest is not None
            if self._coded[0] != newest[0]:
                self._coded = newest[0], await run_in_threadpool(_jpeg, newest[1])
            return self._coded


def _jpeg(pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    if width > _WIDEST:
        size = _WIDEST, max(1, round(height * _WIDEST / width))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", _bgr(pixels), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _png(pixels: Pixels) -> bytes:
    return cv2.imencode(".png", _bgr(pixels))[1].tobytes()


def _bgr(pixels: Pixels) -> Pixels:
    return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
