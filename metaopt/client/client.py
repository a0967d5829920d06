"""The service as methods, one a request. They raise `ServiceError`, and return models."""

import tempfile
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from metaopt.client import models, streams
from metaopt.client.connection import Connection, ServiceError, checked
from metaopt.client.models import Run, Value
from metaopt.client.streams import Message

PAGE = 200
PLAN_SECONDS = 300.0
EXPORT_SECONDS = 600.0
SILENCE_SECONDS = 45.0  # of a stream, which has a ping each 15 s
LONGEST_PAUSE = 15.0  # before a stream that broke is opened again


class Client:
    """The service at a URL. Not for several threads at once."""

    def __init__(self, url: str, token: str | None = None, seconds: float = 60.0):
        """`token` is by default that of METAOPT_SERVICE_TOKEN; `seconds` are for each answer."""
        self._at = Connection(url, token, seconds)

    def service(self) -> models.Service:
        """What the service is and allows."""
        return self._at.get("service", models.Service)

    def runs(self, state: Sequence[str] = (), text: str = "") -> list[models.RunSummary]:
        """All runs in one of these states, or any, with `text` in them; the newest first."""
        found: list[models.RunSummary] = []
        cursor = None
        while True:
            asked = {"state": list(state), "text": text or None, "cursor": cursor, "limit": PAGE}
            page = self._at.get("runs", models.RunPage, **asked)
            found += page.runs
            cursor = page.next
            if cursor is None:
                return found

    def run(self, run: str) -> Run:
        """All about a run that is not a curve."""
        return self._at.get(_of(run), Run)

    def metrics(
        self,
        run: str,
        names: Sequence[str] = ("meta_loss",),
        first: int | None = None,
        last: int | None = None,
        points: int = 500,
    ) -> models.Metrics:
        """Curves of a run, of the outer steps from `first` to `last`, by default all.

        The lists of a series become arrays by `np.array(series.mean, float)`: None is NaN.
        """
        asked = {"name": list(names), "first": first, "last": last, "points": points}
        return self._at.get(_of(run, "metrics"), models.Metrics, **asked)

    def events(
        self, run: str, kind: str | None = None, after: str | None = None, limit: int = 1000
    ) -> list[models.Event]:
        """The newest events of a run, at most `limit`, the newest first."""
        found: list[models.Event] = []
        cursor = None
        while len(found) < limit:
            asked = {"kind": kind, "after": after, "cursor": cursor}
            size = min(PAGE, limit - len(found))
            page = self._at.get(_of(run, "events"), models.EventPage, limit=size, **asked)
            found += page.events
            cursor = page.next
            if cursor is None:
                break
        return found

    def workers(self, run: str) -> models.Workers:
        """The workers of a run, as it last said."""
        return self._at.get(_of(run, "workers"), models.Workers)

    def families(self, run: str) -> list[models.FamilyProgress]:
        """What a run has learned on each task family."""
        return list(self._at.get(_of(run, "families"), models.FamilyProgressList).root)

    def recipes(self) -> list[models.Recipe]:
        """What runs may be started from."""
        return self._at.get("recipes", models.RecipeList).recipes

    def task_families(self) -> list[models.TaskFamily]:
        """The families that tasks are drawn from."""
        return self._at.get("task-families", models.TaskFamilyList).families

    def tasks(self, family: str, seed: int = 0, count: int = 12) -> list[models.Task]:
        """Tasks drawn from a family."""
        path = f"task-families/{quote(family, safe='')}/tasks"
        return self._at.get(path, models.TaskPage, seed=seed, count=count).tasks

    def plan(
        self,
        recipe: str | None = None,
        clone_of: str | None = None,
        overrides: Mapping[str, Value] = {},
    ) -> models.Plan:
        """What such a run would take."""
        asked = checked(
            models.PlanRequest, recipe=recipe, clone_of=clone_of, overrides=dict(overrides)
        )
        return self._at.post("plans", models.Plan, asked, seconds=PLAN_SECONDS)

    def start(
        self,
        recipe: str | None = None,
        clone_of: str | None = None,
        overrides: Mapping[str, Value] = {},
        name: str | None = None,
        key: str | None = None,
    ) -> Run:
        """Starts a run from a recipe, or like another run.

        `key` is the idempotency key, a new one by default: who asks again with it gets the same
        run. So do repetitions in here, when the way to the service breaks.
        """
        asked = checked(
            models.StartRequest,
            recipe=recipe,
            clone_of=clone_of,
            overrides=dict(overrides),
            name=name,
        )
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self._at.post("runs", Run, asked, headers)

    def stop(self, run: str) -> Run:
        """Asks a run to end after the outer step in progress, with a checkpoint."""
        return self._at.post(_of(run, "stop"), Run)

    def resume(self, run: str, num_steps: int | None = None) -> Run:
        """Has a run go on, to `num_steps` outer steps in all."""
        return self._at.post(
            _of(run, "resume"), Run, checked(models.ResumeRequest, num_steps=num_steps)
        )

    def scale(self, run: str, workers: int) -> Run:
        """Has a run go on with as many workers."""
        return self._at.post(_of(run, "scale"), Run, checked(models.ScaleRequest, workers=workers))

    def export(self, run: str, path: str | Path, step: int | None = None) -> Path:
        """Downloads the export of a run to the new folder `path`, for `metaopt.load`.

        It is that of the best checkpoint, or of the one at `step`.
        """
        path = Path(path)
        if path.exists():
            raise ServiceError(f"{path} exists; give a folder to make")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".metaopt-", dir=path.parent) as folder:
            archive = Path(folder, "export.zip")
            self._download(_of(run, "export"), archive, step=step)
            try:
                with zipfile.ZipFile(archive) as files:
                    files.extractall(Path(folder, "files"))  # leaves out what leads elsewhere
                (extracted,) = Path(folder, "files").iterdir()
            except (zipfile.BadZipFile, ValueError, OSError) as error:
                raise ServiceError(f"what the service sent is no export: {error}") from error
            extracted.rename(path)
        return path

    def follow(
        self,
        runs: Sequence[str] = (),
        names: Sequence[str] = ("meta_loss",),
        cursor: str | None = None,
    ) -> Iterator[Message]:
        """What happens in runs from now on, or from `cursor` on; without end.

        Without `runs`, the summaries of all. Where the connection breaks it is made again, and
        nothing is lost or twice.
        """
        pause = 0.0
        while True:
            try:
                for message in self._messages(runs, names, cursor):
                    cursor, pause = message.cursor or cursor, 0.0
                    yield message
            except (requests.RequestException, ValueError) as error:
                if isinstance(error, ServiceError) and error.status not in (None, 429, 502, 503):
                    raise
            pause = min(LONGEST_PAUSE, 2 * pause + 0.5)
            time.sleep(pause)

    def _messages(
        self, runs: Sequence[str], names: Sequence[str], cursor: str | None
    ) -> Iterator[Message]:
        headers = {"Accept": "text/event-stream"}
        if cursor:
            headers["Last-Event-ID"] = cursor
        answer = self._at.opened(
            "stream", SILENCE_SECONDS, headers, run=list(runs), name=list(names)
        )
        with answer:
            yield from streams.messages(streams.lines(answer.iter_content(None)))

    def _download(self, path: str, file: Path, **asked: Any) -> None:
        try:
            with self._at.opened(path, EXPORT_SECONDS, **asked) as answer, file.open("wb") as out:
                for part in answer.iter_content(2**16):
                    out.write(part)
        except (requests.RequestException, OSError) as error:
            raise ServiceError(f"the download broke off: {error}") from error


def _of(run: str, *parts: str) -> str:
    """The path of a run, or of something of it."""
    return "/".join(("runs", quote(run, safe=""), *parts))
