"""The service without its routes: the models, the desk, and one pair from form to picture."""

import asyncio
import io
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from fsidfusion.errors import FusionError, InputError
from fsidfusion.fusion.arguments import Emphasis
from fsidfusion.fusion.files import FromFiles, check_pair
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.pipeline import Pipeline, Still
from fsidfusion.fusion.plan import Plan, Task
from fsidfusion.images.encode import encode_picture, output_format
from fsidfusion.images.pairs import Pair
from fsidfusion.serving.desk import Desk, Work
from fsidfusion.serving.meters import Meters
from fsidfusion.serving.options import Choice, Format
from fsidfusion.serving.settings import Settings
from fsidfusion.serving.uploads import Scratch

log = logging.getLogger("fsidfusion.serving")

LoadModel = Callable[[str, Task, Emphasis], Fuser]


@dataclass
class ToBytes(FromFiles):
    """A pair of files whose result stays in memory, encoded."""

    format: Format = "png"
    encoded: bytes = b""

    def write(self, plan: Plan) -> None:
        """Encode it as the client wants it."""
        assert self.result is not None
        path = Path(f"fused.{self.format}")
        name = output_format(path, *self.result.size, bits=8 * self.result.pixels.dtype.itemsize)
        stream = io.BytesIO()
        self.say(encode_picture(stream, self.result, name, plan.quality))
        self.encoded = stream.getvalue()


@dataclass
class Service:
    """All that the routes share."""

    settings: Settings
    load: LoadModel  # by name, task and emphasis
    names: Sequence[str]  # of the models that are served; the first is the default
    token: str = ""  # "": none is asked for
    scratch: Scratch = field(default_factory=Scratch)

    def __post_init__(self) -> None:
        self._fusers: dict[tuple[str, Task, Emphasis], Fuser] = {}
        self._loading = threading.Lock()
        first = self.fuser("", "thermal", "targets")
        first.fuse(*(np.zeros((480, 640), np.uint8),) * 2)  # measures, compiles, allocates
        self.desk = Desk.around(first, self.settings.places)
        self.meters = Meters(self.desk)

    def fuser(self, name: str, task: Task, emphasis: Emphasis) -> Fuser:
        """A model that is served, loaded when it is first asked for; InputError for another one."""
        name = name or self.names[0]
        if name not in self.names:
            raise InputError(f"model {name[:60]!r} is not served here; choose one of {', '.join(self.names)}")
        with self._loading:
            key = (name, task, emphasis)
            if key not in self._fusers:
                self._fusers[key] = self.load(*key)
            return self._fusers[key]

    def queue(self, pair: Pair, choice: Choice, format: Format, names: tuple[str, str]) -> Work:
        """Look at the headers of a pair and queue it.

        Args:
            pair: files of ours.
            choice: what is wanted.
            format: of the result.
            names: of the two files, as they stand in messages.

        Raises:
            FusionError: what cannot be fused, before anything is decoded.
            Stopping: the service ends.
        """
        fuser = self.fuser(choice.model, choice.plan.task, choice.emphasis)
        checked = check_pair(fuser, pair, Path(f"fused.{format}"), choice.plan)
        fusion = ToBytes(
            names=names,
            dtype=np.dtype(np.uint16 if checked.bits == 16 else np.uint8),
            notes=[checked.note] if checked.note else [],
            pair=pair,
            format=format,
        )
        pipeline = Pipeline(fuser, choice.plan, Still(choice.plan, choice.range))
        return self.desk.put(Work(fusion, pipeline, checked.size, checked.bytes))

    async def finish(self, work: Work) -> ToBytes:
        """Wait for a pair; one that is not waited for any more is dropped.

        Raises:
            FusionError: what the pair failed with.
        """
        try:
            fusion = cast(ToBytes, await asyncio.wrap_future(work.done))
        except asyncio.CancelledError:
            self.desk.drop(work)
            self.meters.count(work, "cancelled")
            raise
        except Exception as error:
            self.meters.count(work, "failed")
            if not isinstance(error, FusionError):
                log.error("a pair failed", exc_info=error)
            raise
        self.meters.count(work, "fused")
        return fusion

    def faults(self) -> Mapping[str, Any]:
        """Why it cannot answer; empty where it can."""
        faults: dict[str, Any] = {}
        if not self.desk.workers:
            faults["desk"] = "no thread computes"
        if not self.scratch.root.is_dir():
            faults["scratch"] = "the folder for uploads is gone"
        return faults

    def close(self) -> None:
        """Finish what has begun, and remove what was sent."""
        self.desk.close()
        self.scratch.close()
