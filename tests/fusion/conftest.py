"""Stores on this machine."""

import pytest


@pytest.fixture(scope="session")  # s3fs keeps its clients, which would go on asking a server that has ended
def s3_server():
    """An S3 on this machine, with one bucket."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """The environment that leads to it; its bucket is empty."""
    names = {"ACCESS_KEY_ID": "testing", "SECRET_ACCESS_KEY": "testing", "DEFAULT_REGION": "us-east-1"}
    for name, value in {**names, "ENDPOINT_URL": s3_server}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("s3", skip_instance_cache=True)
    if system.exists("bucket"):
        system.rm("bucket", recursive=True)
    system.mkdir("bucket")
