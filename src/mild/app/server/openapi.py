"""What FastAPI cannot see by itself: bodies that are multipart or JSON, and their examples."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from mild.app.server.inputs import JobBody, PhotoBody
from mild.app.server.problems import ProblemDocument

_REF = "#/components/schemas/{model}"
_FILE = {"type": "string", "format": "binary"}

JOB_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "photo": {**_FILE, "description": "The photo: JPEG, PNG, WebP, TIFF or HEIC."},
                        "photo_id": {"type": "string", "description": "Instead of `photo`: one uploaded before."},
                        "mask": {**_FILE, "description": "A mask of the photo's size; white = erase."},
                        "request": {"type": "string", "description": "The EraseRequest as JSON."},
                        "kind": {"type": "string", "enum": ["erase", "layers"], "description": "Only for /v1/jobs."},
                    },
                },
                "encoding": {"photo": {"contentType": "image/*"}, "mask": {"contentType": "image/*"}},
                "example": {"photo": "(the file)", "request": '{"selection": {"people": [2]}}'},
            },
            "application/json": {
                "schema": {"$ref": _REF.format(model="JobBody")},
                "example": {
                    "photo_id": "5f70bf18a086007016e948b04aed3b82",
                    "request": {"selection": {"people": [2]}, "seed": 0},
                },
            },
        },
    }
}

SELECTION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": _REF.format(model="Selection")},
                "example": {"points": [[310, 95]]},
            }
        },
    }
}

PHOTO_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"photo": _FILE}, "required": ["photo"]},
                "encoding": {"photo": {"contentType": "image/*"}},
            },
            "application/json": {"schema": {"$ref": _REF.format(model="PhotoBody")}},
        },
    }
}


def install(app: FastAPI, *, with_key: bool) -> None:
    """Complete the app's OpenAPI document."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )  # fmt: skip
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for model in (JobBody, PhotoBody, ProblemDocument):
                schema = model.model_json_schema(ref_template=_REF)
                for name, part in schema.pop("$defs", {}).items():
                    schemas.setdefault(name, part)
                schemas[model.__name__] = schema
            # Ours are problem documents; FastAPI's own error models would be a lie.
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            if with_key:
                keys = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
                document["components"]["securitySchemes"] = {"key": keys}
                document["security"] = [{"key": []}]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]
