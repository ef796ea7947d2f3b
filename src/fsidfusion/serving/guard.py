"""Who may ask: hosts, origins and the token, looked at before anything of a request is read."""

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fsidfusion.serving.problems import Problem, answer
from fsidfusion.serving.settings import LOOPBACK, Settings

OPEN = ("/", "/healthz", "/readyz", "/openapi.json")  # and what lies below /page/: without a token
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; connect-src 'self' blob:;"
    " object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Guard:
    """An ASGI layer around the application."""

    def __init__(self, app: ASGIApp, settings: Settings, token: str) -> None:
        self.app, self.settings, self._token = app, settings, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer that it may not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.lower().encode(), value.encode())
                        for name, value in _HEADERS.items()
                        if name.lower().encode() not in present
                    ),
                ]
            await send(message)

        problem = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
        await (answer(problem) if problem else self.app)(scope, receive, send_with_headers)

    def _refusal(self, method: str, path: str, headers: Headers) -> Problem | None:
        host = headers.get("host", "")
        if self.settings.is_local and _name_of(host) not in LOOPBACK:  # a page that made its name point here
            return Problem(403, "host", "this service answers to localhost and 127.0.0.1 alone; see --host")
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc != host and origin not in self.settings.cors:
            return Problem(403, "origin", f"pages of {origin[:100]} may not call this service; see --cors")
        needs_token = path not in OPEN and not path.startswith("/page/") and method != "OPTIONS"
        if self._token and needs_token and not self._knows(headers.get("authorization", "")):
            scheme = {"WWW-Authenticate": 'Bearer realm="fsidfusion"'}
            return Problem(401, "token", "a token is needed (Authorization: Bearer TOKEN)", headers=scheme)
        return None

    def _knows(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        same = hmac.compare_digest(
            token.strip().encode("latin-1", "replace"), self._token
        )  # in constant time
        return same and scheme.lower() == "bearer"


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
