"""The page of a live run: for programs, for many who watch at their own pace, and in a browser."""

import socket
import threading
from itertools import count

import httpx
import numpy as np
import pytest

from browser import Browser
from fsidfusion.errors import InputError
from fsidfusion.fusion.feed import Side
from fsidfusion.fusion.live_counts import Status
from fsidfusion.images.files import decode_picture
from fsidfusion.studies.scenes import render_scene

pytest.importorskip("uvicorn")
from fsidfusion.serving.live import Preview

SIZE = (96, 128)
PICTURE = np.ascontiguousarray(render_scene(4, SIZE).visible)


def status(frames=1, infrared="live", **more):
    sides = (
        Side("infrared", "rtsp://***@camera/ir", infrared, 20, 3, 1, 9.0, 0.1 if infrared == "live" else 4.2),
        Side("visible", "/dev/video0", "live", 50, 2, 0, 25.0, 0.02),
    )
    return Status(12.3, frames, 24.6, 0.038, 5, sides, "aligned: by hand", **more)


@pytest.fixture
def preview():
    page = Preview()
    yield page
    page.close()


@pytest.fixture
def client(preview):
    with httpx.Client(base_url=preview.address, timeout=30.0, trust_env=False) as client:
        yield client


def shown(content, tmp_path):
    (tmp_path / "picture").write_bytes(content)
    return decode_picture(tmp_path / "picture").pixels.astype(int)


def test_the_newest_picture_and_how_the_run_is(preview, client, tmp_path):
    assert client.get("/").text.count("<main") == 1
    assert client.get("/page/live.js").status_code == 200
    assert client.get("/v1/live").json()["frames"] == 0
    assert client.get("/v1/live/picture.png").status_code == 204
    preview.put(PICTURE, 0.0)
    preview.put(255 - PICTURE, 0.1)
    preview.tell(status())
    preview.say("infrared is lost")
    answer = client.get("/v1/live/picture.jpg")
    assert answer.headers["Picture-Number"] == "2" and answer.headers["Content-Type"] == "image/jpeg"
    assert np.abs(shown(answer.content, tmp_path) - (255 - PICTURE)).mean() < 6
    whole = client.get("/v1/live/picture.png")
    assert whole.headers["Content-Disposition"].startswith('attachment; filename="fused-')
    np.testing.assert_array_equal(shown(whole.content, tmp_path), 255 - PICTURE)
    told = client.get("/v1/live").json()
    assert told["latency_ms"] == 38 and told["fps"] == 24.6 and told["size"] == [128, 96]
    assert told["sources"][0]["state"] == "live" and told["sources"][0]["dropped"] == 3
    assert [line["text"] for line in told["events"]] == ["infrared is lost"]
    preview.put(np.zeros((10, 2000, 3), np.uint8), 0.2)
    wide = client.get("/v1/live/picture.jpg?after=2")
    assert shown(wide.content, tmp_path).shape == (6, 1280, 3)


def test_a_request_waits_for_the_next_picture(preview, client):
    preview.put(PICTURE, 0.0)
    found = []
    asks = threading.Thread(target=lambda: found.append(client.get("/v1/live/picture.jpg?after=1")))
    asks.start()
    preview.put(PICTURE, 0.1)
    asks.join(30)
    assert found[0].headers["Picture-Number"] == "2"


def test_who_reads_nothing_holds_nobody_up(preview, client):
    """One takes the stream and never reads; pictures far beyond what sockets hold go on all the same."""
    host, port = preview.address.removeprefix("http://").split(":")
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)  # some 300 kB as JPEG
    with socket.create_connection((host, int(port))) as stands_still:
        stands_still.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stands_still.sendall(b"GET /v1/live/stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        for number in range(1, 61):
            preview.put(noise, number / 25)
            answer = client.get(f"/v1/live/picture.jpg?after={number - 1}")
            assert answer.headers["Picture-Number"] == str(number)


def test_a_stream_holds_each_picture_whole(preview, client, tmp_path):
    preview.put(PICTURE, 0.0)
    with client.stream("GET", "/v1/live/stream.mjpg") as answer:
        assert answer.headers["Content-Type"].startswith("multipart/x-mixed-replace; boundary=frame")
        content, numbers = b"", count(1)
        for piece in answer.iter_raw():
            content += piece
            if content.count(b"--frame\r\n") == 3 and content.endswith(b"\xff\xd9\r\n"):
                break
            preview.put(PICTURE, next(numbers) / 25)
    parts = content.split(b"--frame\r\n")[1:]
    for part in parts:
        head, _, body = part.partition(b"\r\n\r\n")
        length = int(head.rpartition(b": ")[2])
        assert np.abs(shown(body[:length], tmp_path) - PICTURE).mean() < 6


def test_who_may_watch():
    page = Preview(token="secret")
    try:
        with httpx.Client(base_url=page.address, timeout=30.0, trust_env=False) as client:
            assert client.get("/").status_code == 200
            assert client.get("/v1/live").status_code == 401
            assert client.get("/v1/live", headers={"Authorization": "Bearer secret"}).status_code == 200
            assert client.get("/v1/live", headers={"Host": "evil.example"}).status_code == 403
        with pytest.raises(InputError, match=r"cannot be listened on .* give another `host` or `serve`"):
            Preview(port=int(page.address.rpartition(":")[2]))
    finally:
        page.close()


BRIGHT = """const pen = document.getElementById('view').getContext('2d');
return pen.getImageData(5, 5, 1, 1).data.every((level) => level > 240)"""
TEXT = "return document.getElementById(arguments[0]).textContent"


@pytest.fixture
def watched(browser, preview):
    """The page, with a picture that is shown."""
    preview.put(PICTURE, 0.0)
    preview.tell(status())
    browser.visit(preview.address + "/")
    wait(browser, "return !document.getElementById('view').hidden")
    wait(browser, "return document.querySelectorAll('.source').length === 2")
    yield browser
    of_the_test = ("ERR_", "willReadFrequently")
    assert [line for line in browser.console() if not any(word in line for word in of_the_test)] == []


def wait(browser: Browser, is_so: str) -> None:
    """Until something is so in the page; a bounded number of looks."""
    script = f"""return (async () => {{
      const is = () => {{ {is_so} }};
      for (let looks = 0; looks < 600; looks++) {{
        if (is()) return true;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }}
      return false;
    }})()"""
    assert browser.run(script), is_so


@pytest.mark.slow
def test_the_page_shows_picture_figures_and_states(watched, preview):
    assert watched.run(TEXT, "latency") == "38 ms" and watched.run(TEXT, "fps") == "24.6"
    assert "3 dropped" in watched.run(TEXT, "sources") and "aligned: by hand" in watched.run(TEXT, "note")
    assert not watched.run(BRIGHT)
    preview.put(np.full((*SIZE, 3), 250, np.uint8), 0.1)
    wait(watched, BRIGHT)
    preview.say("infrared is lost <b>and</b> waited for")
    preview.tell(status(infrared="lost"))
    wait(watched, "return !document.getElementById('banner').hidden")
    assert watched.run(TEXT, "banner") == "Infrared is away: the visible picture alone"
    assert watched.run(TEXT, "said") == "Infrared: lost, waited for"
    assert "lost <b>and</b> waited for" in watched.run(TEXT, "events")
    assert "last frame 4.2 s ago" in watched.run(TEXT, "sources")


@pytest.mark.slow
def test_keys_pause_and_go_on(watched, preview):
    watched.press(" ")
    wait(watched, "return document.getElementById('pause').textContent === 'Go on'")
    assert watched.run(TEXT, "banner") == "Paused"
    preview.put(np.full((*SIZE, 3), 250, np.uint8), 0.1)
    watched.press(" ")
    wait(watched, BRIGHT)
    assert watched.run("return document.getElementById('banner').hidden")


@pytest.mark.slow
def test_a_run_that_has_ended_is_said(watched, preview):
    preview.close()
    wait(watched, "return document.getElementById('error').textContent.includes('has ended')")
    assert watched.run(TEXT, "banner") == "No connection: this is the last picture"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_and_fits_a_phone(watched, preview, axe, scheme):
    preview.say("infrared is back after 2.0 s")
    preview.tell(status(infrared="silent"))
    wait(watched, "return document.querySelectorAll('#events li').length === 1")
    try:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        watched.emulate("setEmulatedMedia", features=features)
        watched.run(axe + ";window.axe = axe;")
        found = watched.run("return axe.run().then((result) => result.violations)")
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
        watched.emulate("setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
        assert watched.run("return document.documentElement.scrollWidth") == 360
    finally:
        watched.emulate("clearDeviceMetricsOverride")
        watched.emulate("setEmulatedMedia", features=[])
