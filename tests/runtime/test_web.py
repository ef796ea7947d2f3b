"""The page for browsers: its folder, and that WebAssembly fuses as the package does."""

import shutil
import subprocess
import threading
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import browser
from fsidfusion.errors import FusionError
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.images.files import read_picture
from fsidfusion.network.checkpoint import load_model
from fsidfusion.runtime import web
from fsidfusion.runtime.web import write_site

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
CHECK = """<!doctype html><title>check</title><script type="module">
import { decode, fuse, load } from "./fusion.js";
const answer = (kind, body) => fetch(`/${kind}`, { method: "POST", body });
try {
  const network = await load("wasm");
  const [infrared, visible] = await Promise.all(
    ["infrared", "visible"].map(async (name) => decode(await (await fetch(`${name}.png`)).blob())));
  const fused = await fuse(network, infrared, visible);
  await answer("result", fused.data);
} catch (error) { await answer("error", String(error)); }
</script>"""


@pytest.fixture
def ort(tmp_path):
    """A folder with the names of onnxruntime-web's files."""
    dist = tmp_path / "package" / "dist"
    dist.mkdir(parents=True)
    for name in web._ORT_FILES:
        (dist / name).write_text(name)
    return dist.parent


def test_a_site_is_whole(ort, tmp_path):
    pytest.importorskip("onnx")
    assert write_site(load_model("fsidfusion-light"), tmp_path / "site", ort=ort) <= 1 / 255
    names = {str(path.relative_to(tmp_path / "site")) for path in (tmp_path / "site").rglob("*")}
    page = {"index.html", "page.css", "page.js", "fusion.js", "offline.js", "network.onnx", "ort"}
    assert names == page | {f"ort/{name}" for name in web._ORT_FILES}
    worker = (tmp_path / "site" / "offline.js").read_text()
    assert "VERSION" not in worker and '"network.onnx"' in worker and "webgpu" not in worker
    for name in ("index.html", "page.js", "fusion.js", "page.css", "offline.js"):
        assert "//" not in (tmp_path / "site" / name).read_text().replace("// ", "")  # no other address


def test_wrong_calls_are_said(ort, tmp_path, monkeypatch):
    network = load_model("fsidfusion-light")
    with pytest.raises(FusionError, match="holds something already"):
        write_site(network, tmp_path, ort=ort)
    with pytest.raises(FusionError, match="holds no onnxruntime-web"):
        write_site(network, tmp_path / "site", ort=EXAMPLES)
    (ort / "dist" / web._ORT_FILES[1]).unlink()
    with pytest.raises(FusionError, match="another version than onnxruntime-web@"):
        write_site(network, tmp_path / "site", ort=ort)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FusionError, match="npm is not installed"):
        write_site(network, tmp_path / "site")
    assert not (tmp_path / "site").exists()


class _Answers(SimpleHTTPRequestHandler):
    """Serves a folder, and keeps the one answer that the page posts."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answer = (self.path, body)
        self.send_response(204)
        self.end_headers()
        self.server.answered.set()

    def log_message(self, *_):
        pass


def in_browser(folder):
    """What the page posts: where to, and the content."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answers, directory=str(folder)))
    server.answered, server.answer = threading.Event(), ("/nothing", b"")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    profile, page = f"--user-data-dir={folder}/profile", f"http://127.0.0.1:{server.server_port}/check.html"
    call = [shutil.which("chromium"), *flags, profile, "--remote-debugging-port=0", page]
    chromium = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        server.answered.wait(120)
        return server.answer
    finally:
        chromium.terminate()
        chromium.wait()
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the page, with onnxruntime-web as npm gives it."""
    pytest.importorskip("onnx")
    if not (shutil.which("chromium") and shutil.which("npm")):
        pytest.skip("needs chromium and npm")
    folder = tmp_path_factory.mktemp("web") / "site"
    try:
        write_site(load_model("fsidfusion-light"), folder)
    except FusionError as error:
        pytest.skip(f"the npm package cannot be fetched: {error}")
    return folder


@pytest.mark.parametrize("name", ["day_shade"])
def test_webassembly_fuses_as_the_package_does(name, site):
    (site / "check.html").write_text(CHECK)
    pair = [EXAMPLES / kind / f"{name}.png" for kind in ("ir", "vis")]
    for path, kind in zip(pair, ("infrared", "visible")):
        shutil.copy(path, site / f"{kind}.png")
    where, body = in_browser(site)
    assert where == "/result", body
    expected = Fuser(device="cpu", precision="fp32", runtime="onnxruntime").fuse(
        *(read_picture(path).pixels for path in pair)
    )
    fused = np.frombuffer(body, np.uint8).reshape(*expected.shape[:2], 4)[..., :3]
    assert np.abs(fused.astype(int) - expected).max() <= 2


@pytest.mark.skipif(not browser.find(), reason="needs chromium and chromedriver")
def test_after_the_first_visit_the_page_works_without_a_network(site):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answers, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/index.html"
    ready = """const said = document.getElementById("said");
        while (said.value === "loading the network") await new Promise(requestAnimationFrame);
        return said.value;"""
    with browser.Browser() as page:
        page.visit(address)
        assert page.run(ready) == "ready, by WebAssembly"
        page.run("await navigator.serviceWorker.ready;")  # active: all files are kept
        page.run("""while (navigator.serviceWorker.controller?.state !== "activated")
            await new Promise(requestAnimationFrame);""")
        server.shutdown()
        server.server_close()
        with pytest.raises(OSError):
            urllib.request.urlopen(address)
        page.visit(address)
        assert page.run(ready) == "ready, by WebAssembly"
