"""The routes: what a request becomes, within its place and its time."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from fsidfusion import __version__
from fsidfusion.errors import FusionError
from fsidfusion.serving import documents
from fsidfusion.serving.bounds import bounded, while_there
from fsidfusion.serving.desk import Work
from fsidfusion.serving.guard import Guard
from fsidfusion.serving.jobs import Jobs, add_jobs
from fsidfusion.serving.meters import MEDIA_TYPE
from fsidfusion.serving.options import MEDIA_TYPES, OPTIONS, accepted, choose
from fsidfusion.serving.problems import Problem, answer, in_their_words, of_error
from fsidfusion.serving.service import Service, ToBytes
from fsidfusion.serving.uploads import SavedPair, read_form, save_pair

log = logging.getLogger("fsidfusion.serving")

PAGE = Path(__file__).parent / "page"
_MOST_NOTES = 2000  # bytes of a header


def create_app(service: Service) -> ASGIApp:
    """The application around a service, which it closes when it ends."""

    jobs = Jobs(service)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        await jobs.close()
        await run_in_threadpool(service.close)

    app = FastAPI(
        title="FSIDFusion",
        version=__version__,
        description=documents.ABOUT,
        lifespan=life,
        docs_url=None,  # they would fetch scripts from elsewhere
        redoc_url=None,
    )
    _add_routes(app, service, jobs)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    app.add_exception_handler(HTTPException, _plain_problem)
    app.add_exception_handler(Exception, _unforeseen)
    guarded: ASGIApp = Guard(app, service.settings, service.token)
    if service.settings.cors:
        guarded = CORSMiddleware(
            guarded,
            allow_origins=list(service.settings.cors),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization"],
            expose_headers=["Server-Timing", "FSIDFusion-Notes", "Retry-After"],
        )
    return guarded


def _add_routes(app: FastAPI, service: Service, jobs: Jobs) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response((PAGE / "index.html").read_text("utf-8"), media_type="text/html")

    @app.post("/v1/fuse", response_class=Response, **documents.FUSE)
    async def fuse(request: Request) -> Response:
        return await bounded(service, request, "/v1/fuse", lambda read: _fuse(service, request, read))

    add_jobs(app, service, jobs)

    @app.get("/v1/models", **documents.MODELS)
    async def models() -> dict[str, Any]:
        return await run_in_threadpool(_models, service)

    @app.get("/healthz", **documents.HEALTH)
    async def health() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    @app.get("/readyz", response_class=JSONResponse, **documents.READY)
    async def ready() -> Response:
        faults = service.faults()
        status = {"status": "unready" if faults else "ok", **faults}
        return JSONResponse(status, 503 if faults else 200)

    @app.get("/metrics", response_class=Response, **documents.METRICS)
    async def metrics() -> Response:
        return Response(service.meters.page(), media_type=MEDIA_TYPE)


async def _fuse(service: Service, request: Request, read: Callable[[], None]) -> Response:
    folder = service.scratch.folder()
    names: Mapping[str, tuple[str, str]] = {}
    try:
        async with read_form(request, service.settings.upload_bytes) as form:
            read()
            saved = await run_in_threadpool(save_pair, form, folder)
        names = saved.names
        work, media_type = await run_in_threadpool(_begin, service, request.headers.get("accept", ""), saved)
        fusion = await while_there(request, service.finish(work))
        return Response(fusion.encoded, media_type=media_type, headers=_headers(work, fusion, names))
    except FusionError as error:
        raise of_error(error, names) from error
    finally:
        await service.scratch.remove(folder)


def _begin(service: Service, accept: str, saved: SavedPair) -> tuple[Work, str]:
    choice = choose(saved.fields, saved.task, service.settings.max_pixels, saved.alignment)
    found = accepted(accept, choice.format)
    if found is None:
        raise Problem(
            406, "accept", f"Accept {accept[:100]!r} names no format; known are {', '.join(MEDIA_TYPES)}"
        )
    names = str(saved.pair.infrared), str(saved.pair.visible)
    return service.queue(saved.pair, choice, found[0], names), found[1]


def _headers(work: Work, fusion: ToBytes, names: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    timing = ", ".join(f"{step};dur={1000 * seconds:.1f}" for step, seconds in work.seconds.items())
    notes = [in_their_words(note, names)[0] for note in fusion.notes]
    while notes and len(json.dumps(notes)) > _MOST_NOTES:
        notes.pop()
    told = {"FSIDFusion-Notes": json.dumps(notes)} if notes else {}
    return {"Server-Timing": timing, "Cache-Control": "no-store", **told}


def _models(service: Service) -> dict[str, Any]:
    """What is served, with the cards of shipped networks, and the options of a request."""
    from fsidfusion.network.names import models, suited

    cards: dict[str, dict[str, Any]] = models()
    entries = []
    for name in service.names:
        card = cards.get(name, {})
        told = [key for key in ("architecture", "parameters", "task", "licence") if key in card]
        entries.append({"name": name, "medical": suited(name, True)} | {key: card[key] for key in told})
    first = service.fuser("", "thermal", "targets")
    options = {
        name: {"about": option.about, "default": option.default, "choices": list(option.choices)}
        for name, option in OPTIONS.items()
    }
    settings = service.settings
    return {
        "version": __version__,
        "default": service.names[0],
        "models": entries,
        "device": first.device,
        "precision": first.precision,
        "runtime": first.runtime,
        "options": options,
        "limits": {
            "upload_bytes": settings.upload_bytes,
            "archive_bytes": settings.archive_bytes,
            "megapixels": settings.max_megapixels,
            "seconds": settings.timeout,
            "places": settings.places,
        },
    }


async def _plain_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {
        404: f"nothing is at {request.url.path[:100]}; see /openapi.json",
        405: f"{request.url.path[:100]} does not take {request.method}; see /openapi.json",
    }
    message = known.get(error.status_code, str(error.detail))
    return answer(Problem(error.status_code, "request", message, headers=error.headers))


async def _unforeseen(request: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return answer(of_error(error))
