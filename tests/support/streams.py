"""Streams as cameras send them: frames in real time, which stall, break off and come back at a word."""

import io
import socket
import struct
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Self

import av
import cv2
import numpy as np

FRAMES = 20.0  # a second
_BOUNDARY = b"picture"


class _Server:
    """A free port of this machine whose clients ``_accept`` serves; a context manager."""

    def __init__(self, scheme: str) -> None:
        self._ended = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"{scheme}://127.0.0.1:{self._server.getsockname()[1]}/live"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.close()

    def _accept(self) -> None: ...


class Camera(_Server):
    """MJPEG over HTTP on a free port of this machine; a context manager.

    ``stall`` keeps the connection and sends nothing, ``lose`` closes it and takes no other, and ``go_on``
    ends both.
    """

    def __init__(self, picture: Callable[[int], np.ndarray], rate: float = FRAMES) -> None:
        """``picture(number)`` gives the frame (H, W[, 3]) uint8 to send."""
        self._picture, self._rate = picture, rate
        self._sends, self._takes = threading.Event(), threading.Event()
        self._sends.set()
        self._takes.set()
        self.connections = 0
        super().__init__("http")

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._sends.set()
        self._takes.set()

    def stall(self) -> None:
        """Send nothing from now on."""
        self._sends.clear()

    def lose(self) -> None:
        """Close the connection, and let nobody in."""
        self._takes.clear()

    def go_on(self) -> None:
        """Send again, and let everybody in."""
        self._takes.set()
        self._sends.set()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            if not self._takes.is_set():
                connection.close()
                continue
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        number = 0
        with connection:
            try:
                connection.recv(4096)
                head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary="
                connection.sendall(head + _BOUNDARY + b"\r\n\r\n")
                while self._takes.is_set() and not self._ended.wait(1 / self._rate):
                    self._sends.wait()
                    connection.sendall(_part(self._picture(number)))
                    number += 1
            except OSError:
                return


def _part(pixels: np.ndarray) -> bytes:
    bgr: Any = pixels if pixels.ndim == 2 else pixels[..., ::-1]
    coded = cv2.imencode(".jpg", np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(coded)
    return b"--" + _BOUNDARY + b"\r\n" + head + coded + b"\r\n"


class RtspCamera(_Server):
    """MPEG-TS over RTP in the connection of RTSP (RFC 2326), as over TCP; a context manager.

    ``lose`` closes the connection, and the next client is served again.
    """

    def __init__(self, picture: Callable[[int], np.ndarray], rate: int = int(FRAMES)) -> None:
        """``picture(number)`` gives the frame (H, W, 3) uint8 to send."""
        self._picture, self._rate = picture, rate
        self._lost = threading.Event()
        self.asked: list[str] = []  # the requests: method, address and transport
        super().__init__("rtsp")

    def lose(self) -> None:
        """Close the connection."""
        self._lost.set()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._lost.clear()
            with connection:
                try:
                    self._serve(connection)
                except OSError:
                    continue

    def _serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while line := stream.readline().decode():
            method, place, _ = line.split()
            fields = {}
            while (field := stream.readline().decode().strip()) != "":
                name, _, value = field.partition(": ")
                fields[name.lower()] = value
            self.asked.append(f"{method} {place} {fields.get('transport', '')}".strip())
            more, body = "", ""
            if method == "OPTIONS":
                more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                lines = ("v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=-", "t=0 0", "m=video 0 RTP/AVP 33")
                body = "\r\n".join((*lines, "a=control:track", ""))
                more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif method == "SETUP":
                more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            head = f"RTSP/1.0 200 OK\r\nCSeq: {fields['cseq']}\r\nSession: 1\r\n{more}\r\n"
            connection.sendall((head + body).encode())
            if method == "PLAY":
                return self._play(connection)

    def _play(self, connection: socket.socket) -> None:
        written = io.BytesIO()
        container = av.open(written, "w", format="mpegts", options={"flush_packets": "1"})
        video: Any = None
        number = sequence = 0
        while not self._lost.is_set() and not self._ended.wait(1 / self._rate):
            pixels = self._picture(number)
            if video is None:
                video = container.add_stream("mpeg2video", rate=self._rate, options={"g": "5", "bf": "0"})
                video.height, video.width = pixels.shape[:2]
                video.pix_fmt, video.bit_rate = "yuv420p", 4_000_000
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, self._rate)
            container.mux(video.encode(frame))
            number += 1
            content = written.getvalue()
            written.seek(0)
            written.truncate()
            for at in range(0, len(content), 7 * 188):
                head = struct.pack(">BBHII", 0x80, 33, sequence % 65536, number * 90_000 // self._rate, 1)
                packet = head + content[at : at + 7 * 188]
                connection.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                sequence += 1
