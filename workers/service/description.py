"""The OpenAPI description: as FastAPI makes it, with refusals as they are sent."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from metaopt.client.models import Problem
from workers.service.problems import MEDIA_TYPE

REFUSAL = {
    "description": "Refused, and why",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
FRAMEWORKS = ("HTTPValidationError", "ValidationError")  # schemas that nothing is sent by


def describe(app: FastAPI) -> None:
    """Makes `app` describe itself so."""

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = description


def _described(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title,
        version="1",
        summary=app.summary,
        routes=app.routes,
        openapi_version="3.1.0",
    )
    for operations in found["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = REFUSAL
            operation["security"] = [{}, {"token": []}]
    schemas = found["components"]["schemas"]
    for name in FRAMEWORKS:
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return found
