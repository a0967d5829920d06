"""What changes runs: they are started, stopped, resumed and scaled, each once.

A launch is written down before it begins, under a name and with an idempotency key that nothing
else has. What became of it is told by the run folder and the launcher, so a service that dies in
between loses nothing.
"""

import contextlib
import datetime
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from metaopt.client.models import (
    Launch,
    PlanRequest,
    Recipe,
    Run,
    StartRequest,
    State,
)
from taskset.errors import InputError
from workers import run_status
from workers.service import questions
from workers.service.configuration import facts
from workers.service.desk import Desk
from workers.service.fleet import Fleet
from workers.service.launcher import Launcher, LauncherLiveness, Unreachable, asked_for
from workers.service.launches import Launches, digest
from workers.service.liveness import runs_here, started
from workers.service.problems import Refusal
from workers.service.resolved import BadOverrides, Limits, Resolved
from workers.service.settings import Settings
from workers.service.states import Progress, derive, is_awaited
from workers.service.store import LaunchFile

Answer = TypeVar("Answer")

TRAINS = (State.PENDING, State.RUNNING, State.STALLED)
CANCELLED = "stopped before it began to train"
MAX_SNIPPETS = 4096
MAX_STEM = 100  # characters of a name that the time is put behind


class Control:
    """Changes the runs in a folder. Methods block; any number of threads may call them."""

    def __init__(
        self,
        settings: Settings,
        fleet: Fleet,
        launcher: Launcher,
        launches: Launches,
        liveness: LauncherLiveness,
        desk: Desk,
    ):
        self._settings, self._fleet, self._store = settings, fleet, fleet.store
        self._launcher, self._launches, self._liveness = launcher, launches, liveness
        self._desk = desk
        self._changing = threading.Lock()
        self._recipes: list[Recipe] | None = None
        self._snippets: dict[str, str] = {}

    def recipes(self) -> list[Recipe]:
        """What may be started, by name. Raises `InputError` for a folder that has none."""
        if self._recipes is None:
            self._recipes = self._desk.ask(questions.recipes, self._settings.recipes)
        return self._recipes

    def prepare(self) -> None:
        """Reads the recipes before anyone asks; what is wrong with them is told who does."""
        with contextlib.suppress(Refusal, InputError):
            self.recipes()

    def snippet(self, run: str, config: str) -> str:
        """The lines that use the export of a run with this configuration; "" where it has none."""
        key = digest(run, config)
        if key not in self._snippets:
            if len(self._snippets) > MAX_SNIPPETS:
                self._snippets.clear()
            with contextlib.suppress(Refusal, InputError):
                self._snippets[key] = self._desk.ask(questions.snippet, run, config)
        return self._snippets.get(key, "")

    def resolve(self, request: PlanRequest) -> Resolved:
        """The run that is asked for. Raises `Refusal`, 422, with the keys that it is about."""
        return self._changed(request, questions.resolve, self._launcher.kind)

    def form(self, request: PlanRequest) -> Recipe:
        """What may be set in the run that is asked for. Raises `Refusal` as `resolve` does."""
        name = request.recipe or request.clone_of or ""
        return self._changed(request, questions.form, name)

    def _changed(self, request: PlanRequest, question: Callable[..., Answer], last: str) -> Answer:
        limits = Limits(self._settings.max_workers)
        config, changes = self._config(request), dict(request.overrides)
        try:
            return self._desk.ask(question, config, changes, limits, last)
        except BadOverrides as error:
            raise Refusal(422, str(error), [f"{key}: {error}" for key in error.keys]) from error

    def start(self, request: StartRequest, user: str, key: str | None) -> tuple[str, bool]:
        """The run that is started, and whether it is new: the same key gives the same run.

        Raises `Refusal`: 409 when the name is taken, 422 for what cannot be started, 503 when
        there is nothing to start it on.
        """
        self._check_folder()
        body = digest(request.model_dump_json())
        hashed = digest(user, key) if key else None
        with self._changing:
            before = self._launches.with_key(hashed) if hashed else None
            if before:
                return self._again(before, body), False
            run = self.resolve(request)
            launch = Launch(
                by=user,
                at=(now := _now()),
                recipe=request.recipe,
                clone_of=request.clone_of,
                overrides=request.overrides,
            )
            record = LaunchFile(
                run=self._name(request),
                launch=launch,
                asked=now,
                command=run.command,
                key=hashed,
                body=body,
            )
            record = self._launcher.prepared(record)
            if not self._launches.add(record, run.config):
                raise Refusal(409, f"there is a run {record.run!r} already; give another name")
            self._begin(record, run.config)
        return record.run, True

    def stop(self, run: str) -> None:
        """Asks a run to end with a checkpoint. Raises `Refusal`, 409, when it does not train."""
        state = self._state(run)
        record = self._record(run)
        try:
            stopped = state in TRAINS and record is not None and self._launcher.stop(record)
        except Unreachable as error:
            raise Refusal(503, str(error)) from error
        if not stopped:
            where = "; it was started elsewhere, stop it there" if state in TRAINS else ""
            raise Refusal(409, f"run {run!r} is {state} and has no process to stop{where}")
        if state is State.PENDING and record is not None:
            self._launches.replace(record.model_copy(update={"cancelled": CANCELLED}))

    def resume(self, run: str, num_steps: int | None, user: str) -> None:
        """Has a run go on. Raises `Refusal`: 409 when it trains or cannot, 422, 503."""
        self._check_folder()
        with self._changing:
            self._check_resumable(run, num_steps)
            before = self._launches.read(run)
            record = self._launcher.prepared(self._resumed(run, before, user))
            if before:
                self._launches.replace(record)
            elif not self._launches.add(record, ""):
                raise Refusal(409, f"run {run!r} is being resumed")
            try:
                self._launches.replace(self._launcher.go_on(record, num_steps))
            except Unreachable as error:
                if not self._launcher.is_there(record):
                    self._launches.replace(before) if before else self._launches.remove(run)
                raise Refusal(503, str(error)) from error

    def scale(self, run: str, workers: int) -> None:
        """Has a run go on with as many workers. Raises `Refusal`: 409 when it does not train."""
        self._check_folder()
        state = self._state(run)
        if state not in (State.RUNNING, State.STALLED):
            raise Refusal(409, f"run {run!r} is {state}; only one that trains can be scaled")
        if workers > self._settings.max_workers:
            raise Refusal(422, f"this service allows at most {self._settings.max_workers} workers")
        self._desk.ask(questions.scale, Path(self._settings.root) / run, workers)

    def shown(self, run: str) -> Run:
        """A run as it is now, once what was done to it is seen."""
        return self._fleet.fresh(run)

    def _check_folder(self) -> None:
        """Raises `Refusal`, 409, where launches cannot be written down before they begin."""
        if "://" in self._settings.root:
            raise Refusal(
                409,
                "runs at a URL are only shown and stopped here; start them by `metaopt submit`, "
                "or serve a folder",
            )

    def _state(self, run: str) -> State:
        """How a run fares at this moment, whatever was last seen of it."""
        status, record = run_status.parse(self._store.status(run)), self._launches.read(run)
        asked = asked_for(record) if record else None
        known = self._fleet.runs.get(run)
        progress = known.progress() if known else Progress()
        look = self._liveness.look(run, status, record.launch if record else None)
        return derive(status, asked, progress, look, time.time()).state

    def _check_resumable(self, run: str, num_steps: int | None) -> None:
        state = self._state(run)
        if state in TRAINS:
            raise Refusal(409, f"run {run!r} is {state}; stop it first")
        saved = self._store.checkpoints(run)
        if not saved:
            raise Refusal(409, f"run {run!r} has no checkpoint to go on from; clone it")
        wanted = num_steps or facts(self._store.config(run)).num_steps or 0
        if wanted <= saved[-1].step:
            said = f"run {run!r} has made {saved[-1].step} outer steps of {wanted}"
            raise Refusal(409 if num_steps is None else 422, f"{said}; give a larger num_steps")

    def _resumed(self, run: str, before: LaunchFile | None, user: str) -> LaunchFile:
        """The record of a run that goes on, whoever began it."""
        kind = facts(self._store.config(run)).kind
        record = before or LaunchFile(launch=Launch(by=user, at=_now()), run=run)
        changed = {
            "asked": _now(),
            "cancelled": "",
            "command": "tune" if kind == "tune" else "train",
        }
        return record.model_copy(update=changed)

    def _config(self, request: PlanRequest) -> str:
        if (request.recipe is None) == (request.clone_of is None):
            raise Refusal(422, "give a recipe, or clone_of, a run to start one like; not both")
        if request.recipe is not None:
            recipes = {recipe.name: recipe.config for recipe in self.recipes()}
            if request.recipe not in recipes:
                said = f"there is no recipe {request.recipe!r}; there are {', '.join(recipes)}"
                raise Refusal(422, said, [f"recipe: {said}"])
            return recipes[request.recipe]
        found = self._store.config(request.clone_of or "")
        if found is None:
            said = f"there is no run {request.clone_of!r} with a configuration"
            raise Refusal(422, said, [f"clone_of: {said}"])
        return found.text

    def _name(self, request: StartRequest) -> str:
        """A name that no run has. Raises `Refusal`, 409, when the one asked for is taken."""
        taken = lambda name: self._launches.exists(name) or name in self._fleet
        if request.name is not None:
            if taken(request.name) or (Path(self._settings.root) / request.name).exists():
                raise Refusal(409, f"there is a run {request.name!r} already; give another name")
            return request.name
        stem = (request.recipe or request.clone_of or "run")[:MAX_STEM]
        base = f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
        names = (base, *(f"{base}-{i}" for i in range(2, 1000)))
        return next(name for name in names if not taken(name))

    def _again(self, record: LaunchFile, body: str) -> str:
        """The run of a key that was used before; started now if it could not be then."""
        if record.body != body:
            raise Refusal(422, "this Idempotency-Key was used for another request; take a new one")
        if record.run not in self._folders() and not self._launcher.began(record):
            self._begin(record, self._launches.config(record.run).read_text(encoding="utf-8"))
        return record.run

    def _begin(self, record: LaunchFile, config: str) -> None:
        try:
            self._launches.replace(self._launcher.begin(record, config))
        except Unreachable as error:
            if self._launcher.is_there(record) is None and record.key:
                pass  # it may have been heard; the same request with the same key finds out
            elif not self._launcher.began(record):
                self._launches.remove(record.run)
            raise Refusal(503, str(error)) from error

    def _folders(self) -> set[str]:
        return {path.name for path in Path(self._settings.root).iterdir() if path.is_dir()}

    def _record(self, run: str) -> LaunchFile | None:
        """What runs a run now, whoever started it."""
        record = self._launches.read(run)
        status = run_status.parse(self._store.status(run))
        if status is None or (record and is_awaited(status, asked_for(record))):
            return record
        at = datetime.datetime.fromtimestamp(status.began, datetime.UTC)
        pid = status.pid if runs_here(status) else None
        launch = Launch(by="", at=at, pid=pid, submission=status.submission)
        ticks = started(pid) if pid is not None else None
        return LaunchFile(run=run, launch=launch, process_started=ticks)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
