"""What went wrong, as problem documents (RFC 9457), with the sentence that the command line prints."""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse

from fsidfusion.errors import FusionError, MissingDependency, ModelError, NotEnoughMemory, as_options
from fsidfusion.serving.desk import Busy, Stopping

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2  # after which a place is likely to be free


class Problem(FusionError):
    """A request that cannot be answered; ``kind`` is one word for programs, the message a line for people."""

    def __init__(
        self, status: int, kind: str, message: str, source: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """``source`` is the form field that is to blame, if one is."""
        super().__init__(message)
        self.status, self.kind, self.source, self.headers = status, kind, source, dict(headers or {})


def of_error(error: BaseException, names: Mapping[str, tuple[str, str]] | None = None) -> Problem:
    """An exception as a problem.

    Args:
        error: of the fusion, or already a problem.
        names: for each path on this machine the form field of a file and what the client calls it, which is
            what the message says.
    """
    if isinstance(error, Problem):
        return error
    retry = {"Retry-After": str(RETRY_SECONDS)}
    if isinstance(error, Busy):
        return Problem(429, "busy", str(error), headers=retry)
    if isinstance(error, Stopping):
        return Problem(503, "stopping", str(error), headers=retry)
    if not isinstance(error, FusionError):
        return Problem(500, "internal", f"an error inside the service ({type(error).__name__}); see its log")
    message, source = in_their_words(str(error), names or {})
    status, kind = 422, "input"
    if isinstance(error, NotEnoughMemory):
        kind = "memory"
    elif isinstance(error, ModelError):
        status, kind = 500, "model"
    elif isinstance(error, MissingDependency):
        status, kind = 501, "missing"
    return Problem(status, kind, message, source)


def in_their_words(message: str, names: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """A message with the client's names for files, and the form field of the file that it is about."""
    places = {path: message.find(path) for path in names if path in message}
    source = names[min(places, key=places.__getitem__)][0] if len(places) == 1 else ""
    message = as_options(message)
    for path in places:
        message = message.replace(path, names[path][1])
    return "".join(letter if letter.isprintable() else " " for letter in message), source


def answer(problem: Problem) -> JSONResponse:
    """The document."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": str(problem),
        "kind": problem.kind,
    }
    if problem.source:
        document["source"] = problem.source
    return JSONResponse(document, problem.status, problem.headers, MEDIA_TYPE)
