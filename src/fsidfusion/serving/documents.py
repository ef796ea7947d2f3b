"""What the OpenAPI document says of each route, with examples."""

from typing import Any

from fsidfusion.serving.options import MEDIA_TYPES, OPTIONS
from fsidfusion.serving.problems import MEDIA_TYPE

ABOUT = """Fuse infrared with visible pictures, or MRI with CT, PET or SPECT.

    curl -F infrared=@thermal.png -F visible=@colour.png http://127.0.0.1:8000/v1/fuse -o fused.png

The options are those of `fsidfusion fuse`, as form fields without the dashes in front. What goes wrong is
told as a problem document (RFC 9457), with the sentence that the command line prints."""

_PROBLEM_EXAMPLE = {
    "type": "about:blank",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "sizes differ: thermal.png has 320x240 pixels, colour.png 640x480; give --align, or --resize",
    "kind": "input",
}
_PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail", "kind"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {
            "type": "string",
            "description": "one line: what was given, what was expected, what to do",
        },
        "kind": {
            "type": "string",
            "description": "one word for programs: input, size, busy, timeout, token, ...",
        },
        "source": {"type": "string", "description": "the form field of the file that it is about, if one is"},
    },
}
_FILE = {"type": "string", "format": "binary"}
_ROLES = {
    "infrared": "an infrared picture: 8 or 16 bits, counts, temperatures, false colours, or radiometric",
    "visible": "a visible picture; the text 'embedded' for the one in a FLIR file",
    "mri": "an MRI picture, with one of ct, pet, spect",
    "ct": "a CT picture",
    "pet": "a PET picture",
    "spect": "a SPECT picture",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that are problem documents."""
    about = {
        400: "a form that cannot be read",
        401: "a token is needed",
        404: "no such job",
        406: "no format that Accept names",
        408: "the request did not arrive in time",
        409: "not yet done, or failed",
        413: "too large",
        415: "no form",
        422: "pictures or options that cannot be used",
        429: "all places are taken; Retry-After says when to ask again",
        503: "the service stops",
        504: "it took too long",
    }
    content = {MEDIA_TYPE: {"schema": _PROBLEM, "example": _PROBLEM_EXAMPLE}}
    return {status: {"description": about[status], "content": content} for status in statuses}


def _option(name: str) -> dict[str, Any]:
    option = OPTIONS[name]
    schema: dict[str, Any] = {"description": option.about, "type": "string"}
    if isinstance(option.default, bool):
        schema["type"] = "boolean"
    elif option.kind is int:
        schema["type"] = "integer"
    if option.choices:
        schema["enum"] = [option.kind(choice) for choice in option.choices]
    if option.default not in (None, ""):
        schema["default"] = option.default
    return schema


def form(roles: dict[str, str]) -> dict[str, Any]:
    """A request body: files by their roles, and the options."""
    files = {name: {**_FILE, "description": about} for name, about in roles.items()}
    properties = {**files, **{name: _option(name) for name in OPTIONS}}
    examples = {
        "colour": {"summary": "two pictures", "value": {"infrared": "(file)", "visible": "(file)"}},
        "heat": {
            "summary": "warm targets glow, over two cameras that are aligned first",
            "value": {"infrared": "(file)", "visible": "(file)", "color": "heat", "align": "auto"},
        },
        "medical": {"summary": "MRI and PET", "value": {"mri": "(file)", "pet": "(file)"}},
    }
    schema = {"type": "object", "properties": properties}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema, "examples": examples}}}


FUSE: dict[str, Any] = {
    "summary": "Fuse one pair",
    "description": "Gives the picture, as PNG or as Accept or the field 'format' says. Server-Timing tells"
    " the milliseconds of each step, FSIDFusion-Notes what should be known of the result (a JSON list).",
    "openapi_extra": {"requestBody": form(_ROLES)},
    "responses": {
        200: {
            "description": "the fused picture",
            "content": {name: {"schema": _FILE} for name in MEDIA_TYPES},
        },
        **problems(400, 401, 406, 408, 413, 415, 422, 429, 503, 504),
    },
}
MODELS: dict[str, Any] = {"summary": "The models, the options of a request, and the limits of this service"}
HEALTH: dict[str, Any] = {"summary": "Whether the process answers"}
READY: dict[str, Any] = {
    "summary": "Whether it can fuse",
    "responses": {503: {"description": "it cannot; says why"}},
}
METRICS: dict[str, Any] = {
    "summary": "Counters for Prometheus",
    "responses": {200: {"description": "the text format of Prometheus", "content": {"text/plain": {}}}},
}
_JOB_EXAMPLE = {
    "id": "kq3vV9b1rU2m0cXH6d8f1w",
    "state": "running",
    "total": 40,
    "done": 12,
    "failed": 1,
    "seconds": 0.6,
    "failures": [{"name": "night/7", "status": "failed", "message": "night/7.png is empty (0 bytes); ..."}],
    "without_partner": [],
    "settings": {"color": "heat"},
}
_ARCHIVES = {
    "infrared": "a ZIP of infrared pictures",
    "visible": "a ZIP of visible pictures, with the same stems",
    "pairs": "instead of two, one ZIP that holds the folders ir and vi, or MRI and CT, PET or SPECT",
    "mri": "a ZIP of MRI pictures, with one of ct, pet, spect",
    "ct": "a ZIP of CT pictures",
    "pet": "a ZIP of PET pictures",
    "spect": "a ZIP of SPECT pictures",
}
_JOB_ANSWER = {"description": "how far it is", "content": {"application/json": {"example": _JOB_EXAMPLE}}}

JOBS: dict[str, Any] = {
    "summary": "Fuse folders, sent as ZIP",
    "status_code": 202,
    "openapi_extra": {"requestBody": form(_ARCHIVES)},
    "responses": {202: _JOB_ANSWER, **problems(400, 401, 408, 413, 415, 422, 429, 503)},
}
JOB: dict[str, Any] = {"summary": "How far a job is", "responses": {200: _JOB_ANSWER, **problems(401, 404)}}
RESULT: dict[str, Any] = {
    "summary": "The fused pictures of a job, as ZIP, with a report fused.json",
    "responses": {
        200: {"description": "the archive", "content": {"application/zip": {"schema": _FILE}}},
        **problems(401, 404, 409),
    },
}
DELETED: dict[str, Any] = {"summary": "Stop a job, and remove what is of it", "responses": problems(401, 404)}
