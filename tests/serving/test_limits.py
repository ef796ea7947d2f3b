"""Bad weather: many clients, slow ones, cut ones, bombs, no places, tokens, strange hosts, a stop."""

import signal
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from service import Served
from serving_options import QUICK

CLIENTS, ROUNDS = 8, 6


def body_of(pairs, number: int = 0) -> tuple[bytes, str]:
    """A form with one pair, and its content type."""
    import httpx

    files = {name: (pairs / folder / f"{number}.png").read_bytes() for name, folder in
             (("infrared", "ir"), ("visible", "vis"))}  # fmt: skip
    request = httpx.Request("POST", "http://x/", files=files)
    return request.read(), request.headers["content-type"]


def begun(port: int, body: bytes, kind: str, sent: int, length: int | None = None) -> socket.socket:
    """A connection that has sent the head of a request and so many bytes of its body."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    head = (
        f"POST /v1/fuse HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    connection.sendall(head.encode() + body[:sent])
    return connection


def answer_of(connection: socket.socket) -> bytes:
    """All that comes until the other side closes, or a whole head with its body."""
    received = b""
    while chunk := connection.recv(1 << 16):
        received += chunk
        head, _, body = received.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if b"content-length:" in line), None
        )
        if length is not None and len(body) >= length:
            break
    return received


def until_free(client) -> None:
    """Wait until no place is taken; a bounded number of looks."""
    for _ in range(400):
        if "fsidfusion_places_taken 0.0" in client.get("/metrics").text:
            return
    raise AssertionError("a place was not given back")


def test_many_clients_lose_nothing_and_get_what_fuse_gives(served, client, pairs):
    expected = {
        number: served.fuse(client, pairs / "ir" / f"{number}.png", pairs / "vis" / f"{number}.png").content
        for number in range(3)
    }

    def ask(seed: int) -> list[str]:
        faults = []
        with served.client() as own:
            for turn in range(ROUNDS):
                number, other = (seed + turn) % 3, (seed + turn + 1) % 3
                good = turn % 3 != 2
                sides = pairs / "ir" / f"{number}.png", pairs / "vis" / f"{number if good else other}.png"
                answer = served.fuse(own, *sides)
                if good and answer.content != expected[number]:
                    faults.append(f"{answer.status_code}: {answer.text[:200]}")
                if not good and answer.status_code != 422:
                    faults.append(f"{answer.status_code} instead of 422")
        return faults

    with ThreadPoolExecutor(CLIENTS) as pool:
        faults = [fault for found in pool.map(ask, range(CLIENTS)) for fault in found]
    assert not faults
    until_free(client)


def test_a_cut_upload_gives_its_place_back_and_leaves_nothing(served, client, pairs):
    body, kind = body_of(pairs)
    begun(served.port, body, kind, len(body) // 2).close()
    until_free(client)
    assert served.fuse(client, pairs / "ir" / "0.png", pairs / "vis" / "0.png").status_code == 200


def test_a_client_that_goes_away_gives_its_place_back(served, client, pairs):
    body, kind = body_of(pairs)
    for _ in range(10):
        begun(served.port, body, kind, len(body)).close()
    until_free(client)


def test_what_is_too_large_is_refused_before_it_is_read(served, pairs):
    body, kind = body_of(pairs)
    with begun(served.port, body, kind, 0, length=3_000_000) as connection:  # nothing of it is ever sent
        received = answer_of(connection)
    assert received.startswith(b"HTTP/1.1 413 ") and b'"kind":"size"' in received


def test_what_does_not_say_its_size_is_cut_off(client):
    def endless():
        yield b"--x\r\nContent-Disposition: form-data; name=infrared; filename=a\r\n\r\n"
        for _ in range(3000):
            yield bytes(1000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        status = client.post("/v1/fuse", content=endless(), headers=headers).status_code
    except OSError:  # it may close while we still send
        status = 413
    except Exception as error:
        assert "rite" in type(error).__name__ or "rotocol" in type(error).__name__, error
        status = 413
    assert status == 413


def png_that_claims(width: int, height: int, data: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60_000, 60_000), (900, 1000)])
def test_bombs_are_refused(client, size):
    bomb = png_that_claims(*size, zlib.compress(bytes(1000 if size[0] < 1000 else 40_000_000), 9))
    files = {"infrared": ("bomb.png", bomb), "visible": ("bomb.png", bomb)}
    answer = client.post("/v1/fuse", files=files)
    assert answer.status_code == 422 and answer.json()["kind"] == "input"


def test_strange_hosts_and_origins_are_refused(served, client, pairs):
    assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 403
    answer = client.post("/v1/fuse", headers={"Origin": "http://evil.example"})
    assert answer.json()["kind"] == "origin"
    assert "access-control-allow-origin" not in client.get("/healthz").headers
    assert client.get("/healthz", headers={"Origin": served.address}).status_code == 200


def test_no_place_a_token_a_slow_client_and_a_stop(pairs, tmp_path):
    """One process for what needs other settings."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    options = ("--places", "2", "--timeout", "4", "--cors", "http://friend.example", "--max-jobs", "0")
    with Served(*QUICK, *options, FSIDFUSION_TOKEN="sésame", TMPDIR=str(scratch)) as service:
        token = {"Authorization": "Bearer sésame".encode()}
        with service.client() as stranger:
            refused = stranger.get("/v1/models")
            assert refused.status_code == 401 and refused.headers["www-authenticate"].startswith("Bearer")
            assert stranger.get("/v1/models", headers={"Authorization": "Bearer no"}).status_code == 401
            assert stranger.get("/healthz").status_code == stranger.get("/").status_code == 200
        with service.client(headers=token) as client:
            friend = client.get("/v1/models", headers={"Origin": "http://friend.example"})
            assert friend.headers["access-control-allow-origin"] == "http://friend.example"
            assert client.post("/v1/jobs", files={"pairs": b"x"}).status_code == 429
            body, kind = body_of(pairs)
            kind += "\r\nAuthorization: Bearer sésame"
            slow = [begun(service.port, body, kind, 100) for _ in range(2)]
            taken = ""
            for _ in range(400):
                taken = client.get("/metrics").text
                if "fsidfusion_places_taken 2.0" in taken:
                    break
            assert "fsidfusion_places_taken 2.0" in taken
            busy = service.fuse(client, pairs / "ir" / "0.png", pairs / "vis" / "0.png")
            assert busy.status_code == 429 and int(busy.headers["retry-after"]) > 0
            assert busy.json()["kind"] == "busy"
            for connection in slow:  # the time is up for those who do not send
                assert answer_of(connection).startswith(b"HTTP/1.1 408 ")
                connection.close()
            assert service.fuse(client, pairs / "ir" / "0.png", pairs / "vis" / "0.png").status_code == 200
            last = begun(service.port, body, kind, len(body) - 10)
            for _ in range(400):
                if "fsidfusion_places_taken 1.0" in client.get("/metrics").text:
                    break
            service.process.send_signal(signal.SIGTERM)
            last.sendall(body[-10:])  # what is under way is answered
            assert answer_of(last).startswith(b"HTTP/1.1 200 ")
            last.close()
        status, errors = service.stop()
        assert status == 0, errors
        assert not list(scratch.glob("fsidfusion-*"))


def test_a_taken_port_is_one_line(served):
    import subprocess
    import sys

    command = [sys.executable, "-m", "fsidfusion", "serve", "--port", str(served.port)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 2
    assert ended.stderr.startswith("fsidfusion serve: 127.0.0.1:") and "cannot be listened on" in ended.stderr
