"""Folders as ZIP: fused as the command line fuses them, and nothing of an archive's names on the disk."""

import io
import json
import zipfile

import pytest

from fsidfusion.errors import InputError
from fsidfusion.serving.archives import Room, unpack
from service import wait_for_job


def packed(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def side(pairs, name: str) -> dict[str, bytes]:
    return {f"{number}.png": (pairs / name / f"{number}.png").read_bytes() for number in range(3)}


def opened(client, job: dict) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(client.get(job["result"]).content))


def test_two_folders_are_fused_and_failures_are_told(served, client, pairs):
    infrared, visible = side(pairs, "ir"), side(pairs, "vis")
    infrared["broken.png"] = visible["broken.png"] = b"no picture"
    visible["alone.png"] = visible["0.png"]
    visible["notes.txt"] = b"left out"
    files = {"infrared": ("ir.zip", packed(infrared)), "visible": ("vis.zip", packed(visible))}
    sent = client.post("/v1/jobs", files=files, data={"color": "gray"})
    assert sent.status_code == 202, sent.text
    assert sent.headers["location"] == f"/v1/jobs/{sent.json()['id']}"
    job = wait_for_job(client, sent.json()["id"])
    assert (job["state"], job["total"], job["done"], job["failed"]) == ("done", 4, 4, 1)
    assert job["failures"][0]["message"].startswith("broken.png is not a picture")
    assert job["without_partner"] == ["visible/alone.png"] and job["settings"] == {"color": "gray"}
    archive = opened(client, job)
    assert sorted(archive.namelist()) == ["0.png", "1.png", "2.png", "fused.json"]
    single = served.fuse(client, pairs / "ir" / "1.png", pairs / "vis" / "1.png", color="gray")
    assert archive.read("1.png") == single.content
    outcomes = json.loads(archive.read("fused.json"))["outcomes"]
    assert [outcome["status"] for outcome in outcomes] == ["fused", "fused", "fused", "failed"]


def test_one_archive_with_both_folders(client, pairs):
    both = {
        f"set/{name}/{file}": content for name in ("ir", "vis") for file, content in side(pairs, name).items()
    }
    sent = client.post("/v1/jobs", files={"pairs": ("set.zip", packed(both))}, data={"format": "webp"})
    assert sent.status_code == 202, sent.text
    job = wait_for_job(client, sent.json()["id"])
    assert sorted(opened(client, job).namelist())[:3] == ["0.webp", "1.webp", "2.webp"]
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert client.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert client.get(job["result"]).json()["kind"] == "job"


@pytest.mark.parametrize(
    "files, words",
    [
        ({"infrared": b"no archive", "visible": b"no archive"}, "infrared is no ZIP archive"),
        ({"infrared": packed({"a.png": b""}), "visible": packed({"b.txt": b""})}, "holds no picture"),
        (
            {"infrared": packed({"a.png": b""}), "visible": packed({"b.png": b""})},
            "no two files share a stem",
        ),
        ({"pairs": packed({"x/a.png": b"", "y/a.png": b""})}, "no set of two folders"),
    ],
)
def test_archives_that_hold_no_pairs_are_refused(client, files, words):
    answer = client.post("/v1/jobs", files={name: (name, content) for name, content in files.items()})
    assert answer.status_code == 422 and words in answer.json()["detail"]


def test_names_that_climb_are_text(tmp_path):
    names = ("../../../etc/a.png", "/b.png", "C:\\c.png", "..\\d.png", ".hidden/e.png", "__MACOSX/f.png")
    found = unpack(io.BytesIO(packed(dict.fromkeys(names, b"x"))), "z.zip", tmp_path, Room(100))
    assert {place.as_posix() for place in found} == {"etc/a.png", "b.png", "C:/c.png", "d.png"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000", "000001", "000002", "000003"]


def test_a_bomb_is_cut_off_at_the_limit(tmp_path):
    bomb = packed({"a.png": bytes(50_000_000)})
    assert len(bomb) < 60_000
    with pytest.raises(InputError, match="hold more than 3 MB"):
        unpack(io.BytesIO(bomb), "z.zip", tmp_path, Room(3_000_000))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4_000_000


def test_damaged_archives_are_refused(tmp_path):
    good = bytearray(packed({"a.png": bytes(range(256)) * 40}))
    good[60] ^= 255
    with pytest.raises(InputError, match="is no ZIP archive that can be read"):
        unpack(io.BytesIO(bytes(good)), "z.zip", tmp_path, Room(1_000_000))
