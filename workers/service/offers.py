"""What may be started, what that takes, and what comes of it; changes nothing."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from metaopt.client.models import (
    NAME,
    Plan,
    PlanRequest,
    Recipe,
    RecipeList,
    TaskFamilyList,
    TaskPage,
)
from workers.service import questions
from workers.service.backend import ExistingRun, Parts
from workers.service.problems import Refusal

router = APIRouter(prefix="/v1")
RecipeName = Annotated[str, InPath(pattern=NAME)]
FamilyName = Annotated[str, InPath(max_length=100)]
Step = Annotated[int | None, Query(ge=0, le=2**53)]
SVG_HEADERS = {
    "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "cache-control": "private, max-age=86400",
}


@router.get("/recipes")
def recipes(parts: Parts) -> RecipeList:
    """The configurations that a run may be started from."""
    return RecipeList(recipes=parts.control.recipes())


@router.get("/recipes/{name}")
def recipe(name: RecipeName, parts: Parts) -> Recipe:
    """One of them."""
    for found in parts.control.recipes():
        if found.name == name:
            return found
    raise Refusal(404, f"there is no recipe {name!r}")


@router.post("/forms")
def form(asked: PlanRequest, parts: Parts) -> Recipe:
    """What may be set in a recipe, or in the configuration of a run, as changed."""
    return parts.control.form(asked)


@router.post("/plans")
def plan(asked: PlanRequest, parts: Parts) -> Plan:
    """What a run would do and take; one estimate is compiled and measured."""
    return parts.plans.make(parts.control.resolve(asked))


@router.get("/task-families")
def task_families(parts: Parts) -> TaskFamilyList:
    """The families that tasks are drawn from."""
    return TaskFamilyList(families=parts.desk.ask(questions.families))


@router.get("/task-families/{family}/tasks")
def tasks(
    family: FamilyName,
    parts: Parts,
    seed: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    count: Annotated[int, Query(ge=1, le=50)] = 12,
) -> TaskPage:
    """Tasks drawn from a family."""
    if family not in {found.family for found in parts.desk.ask(questions.families)}:
        raise Refusal(404, f"there is no task family {family[:100]!r}")
    return TaskPage(tasks=parts.desk.ask(questions.tasks, family, seed, count))


@router.get("/tasks/thumbnail.svg", response_class=Response)
def thumbnail(task: Annotated[str, Query(max_length=300)], parts: Parts) -> Response:
    """A small picture of a task."""
    picture = parts.desk.ask(questions.thumbnail, task)
    return Response(picture, headers=SVG_HEADERS, media_type="image/svg+xml")


@router.get("/runs/{run}/export", response_class=FileResponse)
def export(run: ExistingRun, parts: Parts, step: Step = None) -> FileResponse:
    """What `metaopt export` writes of a run, as an archive."""
    folder = Path(tempfile.mkdtemp(prefix="metaopt-export-"))
    clean = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    try:
        archive = parts.archives.make(run, step, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FileResponse(
        archive, filename=archive.name, media_type="application/zip", background=clean
    )
