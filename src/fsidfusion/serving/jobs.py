"""Folders of pairs as jobs: sent as ZIP, fused in the background, asked after, fetched as ZIP."""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from fsidfusion.errors import FusionError
from fsidfusion.images.pairs import Pair
from fsidfusion.serving import documents
from fsidfusion.serving.archives import Results, Taken, take_pairs
from fsidfusion.serving.bounds import bounded
from fsidfusion.serving.desk import Busy
from fsidfusion.serving.options import Choice, choose
from fsidfusion.serving.problems import Problem, answer, in_their_words, of_error
from fsidfusion.serving.service import Service
from fsidfusion.serving.uploads import Form, read_form

log = logging.getLogger("fsidfusion.serving")

State = Literal["waiting", "running", "done", "failed"]

_SLOWER = 10.0  # times the seconds of a pair, for an archive to arrive


@dataclass
class Job:
    """One folder of pairs."""

    taken: Taken
    choice: Choice
    folder: Path  # of ours
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))  # cannot be guessed
    state: State = "waiting"
    error: str = ""
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    task: "asyncio.Task[None] | None" = None

    @property
    def result(self) -> Path:
        """The archive of fused pictures."""
        return self.folder / "fused.zip"

    def report(self) -> dict[str, Any]:
        """What a client is told."""
        failures = [outcome for outcome in self.outcomes if outcome["status"] == "failed"]
        running = self.state in ("waiting", "running")
        report = {
            "id": self.id,
            "state": self.state,
            "total": len(self.taken.pairs),
            "done": len(self.outcomes),
            "failed": len(failures),
            "seconds": round(time.monotonic() - self.started if running else self.seconds, 3),
            "failures": failures,
            "without_partner": self.taken.alone,
            "settings": self.choice.given,
        }
        return {
            **report,
            **({"error": self.error} if self.error else {}),
            **({"result": f"/v1/jobs/{self.id}/result"} if self.state == "done" else {}),
        }


class Jobs:
    """All jobs of a service; one runs at a time, and single pairs go in between."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._jobs: dict[str, Job] = {}
        self._coming = 0  # that are being sent
        self._turn = asyncio.Lock()

    def check_room(self) -> None:
        """Raises Busy where there are as many as there may be."""
        if len(self._jobs) + self._coming >= self.service.settings.max_jobs:
            raise Busy("all places for folders are taken; fetch or delete a job, or ask again later")

    async def begin(self, request: Request, read: Callable[[], None]) -> Job:
        """Read the archives of a request, and run what is in them in the background.

        Raises:
            FusionError: what cannot be used.
        """
        self.check_room()
        self._coming += 1
        folder = self.service.scratch.folder()
        try:
            async with read_form(request, self.service.settings.archive_bytes) as form:
                read()
                job = await run_in_threadpool(self._take, form, folder)
            self._jobs[job.id] = job
        except BaseException:
            await self.service.scratch.remove(folder)
            raise
        finally:
            self._coming -= 1
        job.task = asyncio.create_task(self._run(job))
        return job

    def find(self, id: str) -> Job:
        """A job; Problem where there is none."""
        if id not in self._jobs:
            raise Problem(
                404, "job", f"no job {id[:60]!r} is here; it was deleted, fetched too late, or never sent"
            )
        return self._jobs[id]

    async def forget(self, job: Job) -> None:
        """Stop a job and remove all that is of it."""
        self._jobs.pop(job.id, None)
        if job.task and job.task is not asyncio.current_task():
            job.task.cancel()
            await asyncio.gather(job.task, return_exceptions=True)
        await self.service.scratch.remove(job.folder)

    async def close(self) -> None:
        """Stop all."""
        for job in list(self._jobs.values()):
            await self.forget(job)

    def _take(self, form: Form, folder: Path) -> Job:
        taken = take_pairs(form, folder, self.service.settings.archive_bytes)
        modalities = ("infrared", "visible", "mri", "ct", "pet", "spect", "pairs")
        fields = {name: text for name, text in form.fields.items() if name not in modalities}
        alignment = None
        if "align" in form.files:
            alignment = folder / "align"
            alignment.write_bytes(form.files["align"].file.read())
        try:
            choice = choose(fields, taken.task, self.service.settings.max_pixels, alignment)
            self.service.fuser(choice.model, taken.task, choice.emphasis)
        except FusionError as error:
            name = form.files["align"].filename or "align" if alignment else ""
            raise of_error(error, {str(alignment): ("align", name)} if alignment else {}) from error
        return Job(taken, choice, folder)

    async def _run(self, job: Job) -> None:
        try:
            async with self._turn:
                job.state = "running"
                results = Results(job.result)
                try:
                    await self._fuse_all(job, results)
                finally:
                    await run_in_threadpool(results.close)
            job.state = "done"
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.error("a job failed", exc_info=error)
            job.state, job.error = "failed", str(of_error(error))
        job.seconds = time.monotonic() - job.started
        keep = 60 * self.service.settings.keep
        asyncio.get_running_loop().call_later(keep, lambda: asyncio.ensure_future(self.forget(job)))

    async def _fuse_all(self, job: Job, results: Results) -> None:
        slots = asyncio.Semaphore(self.service.desk.workers + 1)  # the queue stays free for single pairs
        writing = asyncio.Lock()

        async def one(pair: Pair) -> None:
            try:
                job.outcomes.append(await self._fuse(job, pair, results, writing))
            finally:
                slots.release()

        async with asyncio.TaskGroup() as group:
            for pair in job.taken.pairs:
                await slots.acquire()
                group.create_task(one(pair))
        job.outcomes.sort(key=lambda outcome: outcome["name"])
        report = {**job.report(), "outcomes": job.outcomes}
        results.add("fused.json", json.dumps(report, indent=1).encode())

    async def _fuse(self, job: Job, pair: Pair, results: Results, writing: asyncio.Lock) -> dict[str, Any]:
        names = str(pair.infrared), str(pair.visible)
        format = job.choice.format or "png"
        try:
            work = await run_in_threadpool(self.service.queue, pair, job.choice, format, names)
            fusion = await self.service.finish(work)
            async with writing:
                await run_in_threadpool(results.add, f"{pair.name}.{format}", fusion.encoded)
        except Exception as error:
            return {"name": pair.name, "status": "failed", "message": str(of_error(error, job.taken.names))}
        finally:
            for path in {pair.infrared, pair.visible}:
                path.unlink(missing_ok=True)
        message = "; ".join(in_their_words(note, job.taken.names)[0] for note in fusion.notes)
        seconds = round(sum(work.seconds.values()), 4)
        return {"name": pair.name, "status": "fused", "message": message, "seconds": seconds}


def add_jobs(app: FastAPI, service: Service, jobs: Jobs) -> None:
    """The routes of jobs."""

    @app.post("/v1/jobs", response_class=JSONResponse, **documents.JOBS)
    async def send(request: Request) -> Response:
        async def run(read: Callable[[], None]) -> Response:
            job = await jobs.begin(request, read)
            return JSONResponse(job.report(), 202, {"Location": f"/v1/jobs/{job.id}"})

        return await bounded(service, request, "/v1/jobs", run, _SLOWER * service.settings.timeout)

    @app.get("/v1/jobs/{id}", **documents.JOB)
    async def ask(id: str) -> Response:
        try:
            return JSONResponse(jobs.find(id).report(), headers={"Cache-Control": "no-store"})
        except Problem as problem:
            return answer(problem)

    @app.get("/v1/jobs/{id}/result", response_class=Response, **documents.RESULT)
    async def fetch(id: str) -> Response:
        try:
            job = jobs.find(id)
            if job.state != "done":
                why = job.error or "ask again when its state is done"
                raise Problem(409, "job", f"the job is {job.state}; {why}")
        except Problem as problem:
            return answer(problem)
        return FileResponse(job.result, media_type="application/zip", filename="fused.zip")

    @app.delete("/v1/jobs/{id}", status_code=204, response_class=Response, **documents.DELETED)
    async def delete(id: str) -> Response:
        try:
            await jobs.forget(jobs.find(id))
        except Problem as problem:
            return answer(problem)
        return Response(status_code=204)
