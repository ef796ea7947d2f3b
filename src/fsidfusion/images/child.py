"""Reading by a library that can fail whole processes: in one of its own, with limits of memory and time.

Some decoders end their process, fill its memory or never return on files made to harm, deep in native code
where no check of ours reaches. A child process calls them instead; what goes wrong ends it alone, and the
next call starts another. Questions and answers are JSON and raw samples: nothing in them can run code here.

Run as ``python -m fsidfusion.images.child`` it is that process.
"""

import atexit
import json
import os
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from importlib import import_module
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

try:
    import resource
except ImportError:  # Windows: the clock alone
    resource = None  # type: ignore[assignment]

_LENGTH = struct.Struct("<Q")
_LONGEST = 1 << 20  # bytes of a question or of what is said of an answer
_ROOM = 1 << 30  # bytes beside what an answer takes several times over
_COPIES = 6  # of an answer, in which decoders hold it on the way
_SHOWN = 300  # characters of an error


class ChildFailed(ValueError):
    """The call failed, or its process did; what is said is one line."""


class Child:
    """Calls of one function in a process of its own, one at a time; it starts with the first."""

    def __init__(self, function: str) -> None:
        """``function`` is module:name; of strings and numbers it makes an array and facts for JSON."""
        self._function = function
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()
        atexit.register(self.close)

    def call(self, *arguments: str | int, size: int, seconds: float) -> tuple[NDArray[Any], dict[str, Any]]:
        """The function's answer: an array, and what is said of it.

        Args:
            arguments: of the function.
            size: bytes that the answer has at most; memory is bound in proportion to it.
            seconds: after which the process is ended.

        Raises:
            ChildFailed: the function raised, took too long, or ended its process; or the answer is larger.
        """
        question = json.dumps({"arguments": arguments, "size": size, "seconds": seconds}).encode()
        with self._lock:
            try:
                process = self._running()
            except OSError as error:
                raise ChildFailed(f"no process can be started for it ({error.strerror})") from error
            late = threading.Timer(seconds, process.kill)
            late.start()
            try:
                assert process.stdin and process.stdout
                process.stdin.write(_LENGTH.pack(len(question)) + question)
                process.stdin.flush()
                said = json.loads(_read(process.stdout, _length(process.stdout, _LONGEST)))
                if "error" in said:
                    raise ChildFailed(str(said["error"])[:_SHOWN])
                dtype, shape = np.dtype(str(said["dtype"])), tuple(int(side) for side in said["shape"])
                content = _read(process.stdout, _length(process.stdout, size))
                return np.frombuffer(content, dtype).reshape(shape), dict(said["facts"])
            except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
                if isinstance(error, ChildFailed):
                    raise
                ended = not late.is_alive()
                self._end()
                why = f"takes over {seconds:.0f} s" if ended else "ends the program that decodes it"
                raise ChildFailed(f"it {why}") from error
            finally:
                late.cancel()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._owner = os.getpid()  # a forked process has no share in its parent's
            command = [sys.executable, "-m", "fsidfusion.images.child", self._function]
            places = os.pathsep.join(path for path in sys.path if path)
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": places},
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                if stream:
                    stream.close()


def _length(stream: IO[bytes], most: int) -> int:
    (length,) = _LENGTH.unpack(_read(stream, _LENGTH.size))
    if length > most:
        raise ValueError(f"{length} bytes where at most {most} are expected")
    return int(length)


def _read(stream: IO[bytes], length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return content


def _limit(size: int, seconds: float) -> None:
    """Bind the call at hand; the clock counts for a process that outlives its parent."""
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    clock = int(used.ru_utime + used.ru_stime + 2 * seconds) + 10
    for kind, most in (
        (resource.RLIMIT_AS, _in_use() + _COPIES * size + _ROOM),
        (resource.RLIMIT_CPU, clock),
    ):
        with suppress(OSError, ValueError):  # where the system knows no such limit, or has a lower one
            resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))


def _in_use() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _serve(function: str) -> None:
    module, name = function.split(":")
    call = getattr(import_module(module), name)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what native libraries print is no answer
    questions = sys.stdin.buffer
    while head := questions.read(_LENGTH.size):
        asked = json.loads(_read(questions, _LENGTH.unpack(head)[0]))
        _limit(asked["size"], asked["seconds"])
        content = b""
        try:
            array, facts = call(*asked["arguments"])
            found = np.ascontiguousarray(array)
            if found.dtype.hasobject:
                raise ValueError("no array of numbers")
            content = found.tobytes()
            said = {"dtype": found.dtype.str, "shape": found.shape, "facts": facts}
        except MemoryError:
            said = {"error": "it takes far more memory than its picture"}
        except Exception as error:
            said = {"error": " ".join(str(error).split())[:_SHOWN] or type(error).__name__}
        text = json.dumps(said).encode()
        answers.write(_LENGTH.pack(len(text)) + text)
        if "error" not in said:
            answers.write(_LENGTH.pack(len(content)))
            answers.write(content)
        answers.flush()


if __name__ == "__main__":
    _serve(sys.argv[1])
