"""The service's description, for programs that read OpenAPI."""

from __future__ import annotations

from typing import Any

from prepixel.runtime import Manifest
from prepixel.serving.service_settings import ServiceSettings

_STATUSES = {
    408: "the body did not arrive in time",
    413: "the body, a photo or the number of photos is larger than allowed",
    415: "the body is no photo or form, or the photo is of a kind that is not decoded",
    422: "the photo is damaged or truncated, the form malformed, or a parameter out of range",
    429: "too many photos wait, or too many bytes are held; try again later",
    503: "the service is stopping, or gave no answer in time",
}


def description(manifest: Manifest, settings: ServiceSettings) -> dict[str, Any]:
    """Return the OpenAPI description of a service."""
    photo = {"type": "string", "format": "binary", "maxLength": settings.max_body_bytes}
    form = {"type": "object", "properties": {"photo": {"type": "array", "items": photo}}}
    error = {"$ref": "#/components/schemas/Error"}
    failures = {
        str(status): {"description": about, "content": _json({"type": "object", "properties": {"error": error}})}
        for status, about in _STATUSES.items()
    }
    answer = {
        "type": "object",
        "required": ["trained", "photos"],
        "properties": {
            "trained": {"type": "boolean", "description": "false: the network has random weights"},
            "photos": {"type": "array", "items": {"$ref": "#/components/schemas/Photo"}},
        },
    }
    predict = {
        "summary": "Classify one photo, or the files of a form",
        "parameters": [
            {
                "name": "top",
                "in": "query",
                "description": "classes to list for each photo",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": manifest.num_classes,
                    "default": min(5, manifest.num_classes),
                },
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": photo},
                "application/octet-stream": {"schema": photo},
                "multipart/form-data": {"schema": form},
            },
        },
        "responses": {
            "200": {"description": "at least one photo was classified", "content": _json(answer)},
            **failures,
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"prepixel: {manifest.name}",
            "version": manifest.versions.get("prepixel", "0"),
            "description": f"Classifies photos into {manifest.num_classes} classes from their JPEG coefficients.",
        },
        "paths": {
            "/predict": {"post": predict},
            "/healthz": {"get": _plain("the process answers")},
            "/readyz": {"get": _plain("photos are taken", unavailable="the service is stopping")},
            "/metrics": {"get": _plain("counters in Prometheus' text format")},
        },
        "components": {"schemas": {"Photo": _photo_schema(error), "Error": _error_schema()}},
    }


def _photo_schema(error: dict[str, Any]) -> dict[str, Any]:
    one_class = {
        "type": "object",
        "properties": {"class": {"type": "string"}, "probability": {"type": "number", "minimum": 0, "maximum": 1}},
    }
    return {
        "type": "object",
        "required": ["status"],
        "properties": {
            "name": {"type": "string", "description": "the file name in the form"},
            "status": {"type": "integer"},
            "classes": {"type": "array", "items": one_class},
            "error": error,
        },
    }


def _error_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["kind", "message"],
        "properties": {"kind": {"type": "string"}, "message": {"type": "string"}},
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _plain(about: str, *, unavailable: str = "") -> dict[str, Any]:
    responses = {"200": {"description": about}}
    if unavailable:
        responses["503"] = {"description": unavailable}
    return {"summary": f"Tell that {about}" if "counters" not in about else "Show counters", "responses": responses}
