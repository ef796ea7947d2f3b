"""One pair over HTTP: what fuse gives, in the format that is asked for, and what it refuses."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fsidfusion.images.files import Picture, read_picture, write_picture
from serving_options import QUICK


def pixels(content: bytes, folder) -> np.ndarray:
    path = folder / "answer"
    path.write_bytes(content)
    return read_picture(path).pixels


@pytest.fixture(scope="module")
def fused(pairs, tmp_path_factory):
    """What the command line makes of the folder."""
    output = tmp_path_factory.mktemp("fused")
    command = [sys.executable, "-m", "fsidfusion", "fuse", "--device", "cpu", *QUICK]
    folders = ["--ir", pairs / "ir", "--vis", pairs / "vis", "-o", output]
    subprocess.run([*command, *map(str, folders)], check=True, capture_output=True)
    return output


@pytest.mark.parametrize("number", [0, 1, 2])
def test_pixels_are_those_of_the_command_line(served, client, pairs, fused, number, tmp_path):
    name = f"{number}.png"
    answer = served.fuse(client, pairs / "ir" / name, pairs / "vis" / name)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == (fused / name).read_bytes()
    assert [part.partition(";")[0] for part in answer.headers["server-timing"].split(", ")] == [
        "wait", "read", "fuse", "write"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "accept, field, format",
    [
        ("*/*", "", "PNG"),
        ("image/webp, image/png;q=0.5", "", "WEBP"),
        ("image/jpeg", "", "JPEG"),
        ("text/html, image/*;q=0.8", "", "PNG"),
        ("image/png", "bmp", "BMP"),
        ("image/png;q=0, image/tiff", "", "TIFF"),
    ],
)
def test_the_format_is_what_accept_or_the_field_says(served, client, pairs, accept, field, format):
    client.headers["accept"] = accept
    answer = served.fuse(client, pairs / "ir" / "0.png", pairs / "vis" / "0.png", format=field)
    assert answer.status_code == 200, answer.text
    assert Image.open(io.BytesIO(answer.content)).format == format


def test_options_are_those_of_the_command_line(served, client, pairs, tmp_path):
    sides = pairs / "ir" / "0.png", pairs / "vis" / "0.png"
    gray = served.fuse(client, *sides, color="gray", range="none", bits="16")
    picture = pixels(gray.content, tmp_path)
    assert picture.ndim == 2 and picture.dtype == np.uint16
    plain = served.fuse(client, *sides)
    heat = served.fuse(client, *sides, color="heat", emphasis="natural")
    assert plain.content != heat.content


def test_medical_pairs_go_by_their_names(client, pairs, tmp_path):
    scene = {"mri": (pairs / "ir" / "0.png").read_bytes(), "pet": (pairs / "vis" / "0.png").read_bytes()}
    answer = client.post("/v1/fuse", files=scene)
    assert answer.status_code == 200 and pixels(answer.content, tmp_path).ndim == 3


def test_an_alignment_is_sent_as_a_file(client, pairs, tmp_path):
    from fsidfusion.alignment.transform import Alignment, write_alignment

    alignment = Alignment(np.eye(3), (96, 128), (96, 128), "homography", "given")
    write_alignment(tmp_path / "rig.json", alignment)
    files = {
        "infrared": (pairs / "ir" / "0.png").read_bytes(),
        "visible": (pairs / "vis" / "0.png").read_bytes(),
        "align": ("../../rig.json", (tmp_path / "rig.json").read_bytes()),
    }
    assert client.post("/v1/fuse", files=files).status_code == 200
    files["align"] = ("rig.json", b"{}")
    refused = client.post("/v1/fuse", files=files).json()
    assert refused["source"] == "align" and refused["detail"].startswith("rig.json ")


def test_notes_come_in_a_header(served, client, pairs):
    client.headers["accept"] = "image/jpeg"
    answer = served.fuse(client, pairs / "ir" / "2.png", pairs / "vis" / "2.png")
    notes = json.loads(answer.headers["fsidfusion-notes"])
    assert any("holds 8 bits only" in note for note in notes)


def refused(answer, status: int) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status and "\n" not in problem["detail"]
    assert "/tmp" not in problem["detail"]
    return problem


def test_errors_say_what_the_command_line_says(served, client, pairs, tmp_path):
    problem = refused(served.fuse(client, pairs / "ir" / "0.png", pairs / "vis" / "1.png"), 422)
    assert problem["detail"] == (
        "sizes differ: 0.png has 128x96 pixels, 1.png 131x101; give --align, or --resize"
    )
    problem = refused(served.fuse(client, pairs / "ir" / "0.png", pairs / "vis" / "0.png", color="x"), 422)
    assert problem["detail"].startswith("color 'x' is unknown; choose one of auto, ")
    problem = refused(
        served.fuse(client, pairs / "ir" / "0.png", pairs / "vis" / "0.png", model="/etc/x"), 422
    )
    assert "is not served here" in problem["detail"]
    problem = refused(
        served.fuse(client, pairs / "ir" / "0.png", pairs / "vis" / "0.png", align="/etc/x"), 422
    )
    assert "sent as a file" in problem["detail"]


def test_the_picture_that_is_to_blame_is_named(client, pairs):
    good = (pairs / "ir" / "0.png").read_bytes()
    for content, words in ((b"no picture", "is not a picture"), (good[:300], "damaged"), (b"", "is empty")):
        files = {"infrared": ("../../etc/cold.png", content), "visible": ("warm.png", good)}
        problem = refused(client.post("/v1/fuse", files=files), 422)
        assert problem["source"] == "infrared" and words in problem["detail"]
        assert problem["detail"].startswith("cold.png ")


@pytest.mark.parametrize(
    "files, data, status, words",
    [
        ({}, {"infrared": "x"}, 415, "expected a form"),
        ({"infrared": b"x"}, {}, 422, "given infrared; expected infrared and visible"),
        ({"infrared": b"x", "visible": b"x", "ct": b"x"}, {}, 422, "expected infrared and visible"),
        ({"infrared": b"x", "visible": b"x"}, {"colour": "heat"}, 422, "field 'colour' is unknown"),
        ({"infrared": b"x", "visible": b"x", "more": b"x"}, {}, 422, "'more' is not expected"),
        ({"infrared": b"x", "visible": b"x"}, {"crop": "perhaps"}, 422, "expected true or false"),
        ({"infrared": b"x"}, {"visible": "embedded"}, 422, "is not a picture"),
    ],
)
def test_what_is_no_pair_is_refused(client, files, data, status, words):
    assert words in refused(client.post("/v1/fuse", files=files, data=data), status)["detail"]


def test_no_format_that_is_accepted_is_refused(served, client, pairs):
    client.headers["accept"] = "text/html"
    problem = refused(served.fuse(client, pairs / "ir" / "0.png", pairs / "vis" / "0.png"), 406)
    assert problem["kind"] == "accept"


def test_other_paths_and_verbs_are_problems_too(client):
    assert refused(client.get("/v1/nothing"), 404)["kind"] == "request"
    assert refused(client.get("/v1/fuse"), 405)["kind"] == "request"


def test_a_picture_over_the_limit_is_refused_by_its_header(client, tmp_path):
    write_picture(tmp_path / "large.png", Picture(np.zeros((1001, 1000), np.uint8)))
    content = (tmp_path / "large.png").read_bytes()
    files = {"infrared": ("large.png", content), "visible": ("large.png", content)}
    assert "the limit is 1 megapixels" in refused(client.post("/v1/fuse", files=files), 422)["detail"]


def test_models_and_limits_are_told(client):
    told = client.get("/v1/models").json()
    assert told["default"] == told["models"][0]["name"] == "fsidfusion-light"
    assert told["models"][0]["medical"] == "fsidfusion-light-medical"
    assert told["limits"]["upload_bytes"] == 2_000_000 and "percentile" in told["options"]["range"]["choices"]


def test_health_readiness_and_counters(client):
    assert client.get("/healthz").json()["status"] == "ok"
    assert client.get("/readyz").json() == {"status": "ok"}
    counters = client.get("/metrics").text
    assert 'fsidfusion_requests_total{route="/v1/fuse",status="422"}' in counters
    assert "fsidfusion_places_taken 0.0" in counters


def test_the_document_of_the_interface_names_every_option(client):
    from fsidfusion.serving.options import OPTIONS

    document = client.get("/openapi.json").json()
    body = document["paths"]["/v1/fuse"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert set(OPTIONS) < set(body["schema"]["properties"]) and body["examples"]
    assert "429" in document["paths"]["/v1/fuse"]["post"]["responses"]
