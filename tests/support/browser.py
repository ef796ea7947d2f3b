"""A headless Chromium driven through chromedriver's HTTP protocol (W3C WebDriver): what the tests need."""

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
]


def find() -> tuple[str, str] | None:
    """The programs of the browser and of its driver, where both are installed."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One page in a fresh profile; a context manager."""

    def __enter__(self) -> "Browser":
        browser, driver = find() or ("", "")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._profile = tempfile.mkdtemp()
        self._address = f"http://127.0.0.1:{port}"
        self._driver = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL)
        options = {"binary": browser, "args": [*FLAGS, f"--user-data-dir={self._profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._session = ""
        try:
            self._wait_for_driver()
            answer = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        except BaseException:
            self.__exit__()
            raise
        self._session = f"/session/{answer['sessionId']}"
        return self

    def __exit__(self, *_: object) -> None:
        if self._session:
            self._send("DELETE", self._session)
        self._driver.terminate()
        self._driver.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, page: Path) -> None:
        """Load a file and wait until it has loaded."""
        self.visit(page.as_uri())

    def visit(self, address: str) -> None:
        """Load an address and wait until it has loaded."""
        self._send("POST", f"{self._session}/url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function body returns in the page; promises are waited for."""
        body = {"script": script, "args": list(arguments)}
        return self._send("POST", f"{self._session}/execute/sync", body)

    def drag(self, start: tuple[float, float], end: tuple[float, float], kind: str = "mouse") -> None:
        """Press at one point of the window, move to another in steps, release."""
        points = [tuple(a + (b - a) * step / 4 for a, b in zip(start, end)) for step in range(5)]
        moves = [{"type": "pointerMove", "duration": 10, "x": round(x), "y": round(y)} for x, y in points]
        actions = [
            moves[0],
            {"type": "pointerDown", "button": 0},
            *moves[1:],
            {"type": "pointerUp", "button": 0},
        ]
        pointer = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": actions}
        self._send("POST", f"{self._session}/actions", {"actions": [pointer]})

    def press(self, key: str, times: int = 1) -> None:
        """Press a key of the keyboard, as WebDriver numbers them, where the focus is."""
        strokes = [{"type": kind, "value": key} for _ in range(times) for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": strokes}
        self._send("POST", f"{self._session}/actions", {"actions": [keyboard]})

    def emulate(self, command: str, **parameters: Any) -> None:
        """A command of the DevTools protocol's Emulation domain."""
        body = {"cmd": f"Emulation.{command}", "params": parameters}
        self._send("POST", f"{self._session}/goog/cdp/execute", body)

    def console(self) -> list[str]:
        """The messages of the console since the last call."""
        entries = self._send("POST", f"{self._session}/se/log", {"type": "browser"})
        return [f"{entry['level']}: {entry['message']}" for entry in entries]

    def screenshot(self, path: Path) -> None:
        """Write the window as PNG."""
        path.write_bytes(base64.b64decode(self._send("GET", f"{self._session}/screenshot")))

    def _wait_for_driver(self) -> None:
        for _ in range(100):
            try:
                self._send("GET", "/status")
                return
            except OSError:
                if self._driver.poll() is not None:
                    break
                time.sleep(0.1)
        raise RuntimeError("chromedriver did not start")

    def _send(self, verb: str, path: str, body: Any = None) -> Any:
        text = None if body is None and verb != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._address + path, text, method=verb)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from error
