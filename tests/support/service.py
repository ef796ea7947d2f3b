"""The service as a process of its own, on a free port of this machine."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

STARTS_WITHIN = 90.0  # seconds; a bound for a hung start, not a measurement


class Served:
    """``fsidfusion serve`` with options; a context manager. ``address`` is where it listens."""

    def __init__(self, *options: str, **environment: str) -> None:
        command = [sys.executable, "-m", "fsidfusion", "serve", "--port", "0", "--device", "cpu", *options]
        variables = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self.process = subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.address = ""

    def __enter__(self) -> "Served":
        assert self.process.stdout and self.process.stderr
        line = ""
        if select.select([self.process.stdout], [], [], STARTS_WITHIN)[0]:
            line = self.process.stdout.readline()
        if not line.startswith("serving on "):
            self.process.kill()
            raise AssertionError(f"it did not start: {line}{self.process.stderr.read()}")
        self.address = line.split()[2]
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.address.rpartition(":")[2])

    def client(self, **options) -> httpx.Client:
        """A client of it."""
        return httpx.Client(base_url=self.address, timeout=60.0, trust_env=False, **options)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Ask it to stop; its exit status, and what it wrote to standard error."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors

    def fuse(self, client: httpx.Client, infrared: Path, visible: Path, **fields: str) -> httpx.Response:
        """One pair."""
        files = {"infrared": infrared.read_bytes(), "visible": visible.read_bytes()}
        named = {"infrared": (infrared.name, files["infrared"]), "visible": (visible.name, files["visible"])}
        return client.post("/v1/fuse", files=named, data=fields)


def wait_for_job(client: httpx.Client, id: str) -> dict:
    """Ask after a job until it has ended; its last report."""
    for _ in range(600):
        job = client.get(f"/v1/jobs/{id}").raise_for_status().json()
        if job["state"] in ("done", "failed"):
            return job
        time.sleep(0.05)
    raise AssertionError(f"the job did not end: {job}")
