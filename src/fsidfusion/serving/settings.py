"""What the server may spend, decided once when it starts."""

from dataclasses import dataclass

from fsidfusion.errors import InputError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Settings:
    """Where the service listens, and its limits."""

    host: str = "127.0.0.1"
    """address to listen on; 0.0.0.0 for all, which should not be done without a token"""
    port: int = 8000
    """0 takes a free one, and prints it"""
    places: int = 32
    """requests that may be sending, waiting or computing at once; one more is answered 429"""
    timeout: float = 60.0
    """seconds for a request, from its first byte to its picture"""
    max_upload: float = 64.0
    """megabytes of one request; folders as ZIP may have eight times as many"""
    max_megapixels: float = 50.0
    """larger pictures are refused before they are decoded"""
    max_jobs: int = 8
    """folders that may wait, run, or keep a result to be fetched"""
    keep: float = 60.0
    """minutes for which the result of a folder is kept"""
    cors: tuple[str, ...] = ()
    """origins whose pages may call the service; by default none but its own page"""

    def __post_init__(self) -> None:
        limits = {
            "port": (self.port, 0, 65_535),
            "places": (self.places, 1, 100_000),
            "timeout": (self.timeout, 0.1, 86_400),
            "max_upload": (self.max_upload, 0.001, 1e6),
            "max_megapixels": (self.max_megapixels, 0.001, 1e5),
            "max_jobs": (self.max_jobs, 0, 10_000),
            "keep": (self.keep, 0.01, 1e6),
        }
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                raise InputError(f"`{name}` {value:g}: expected {low:g} to {high:g}")

    @property
    def upload_bytes(self) -> int:
        """Most bytes of the body of one request."""
        return int(self.max_upload * 1e6)

    @property
    def archive_bytes(self) -> int:
        """Most bytes of a request with folders, and of what is packed in it."""
        return 8 * self.upload_bytes

    @property
    def max_pixels(self) -> int:
        """Most pixels of a picture."""
        return int(self.max_megapixels * 1e6)

    @property
    def is_local(self) -> bool:
        """Whether nothing but this machine can reach it."""
        return self.host in LOOPBACK
