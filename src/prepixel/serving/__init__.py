"""An HTTP service for exported networks: batches, limits, metrics, a graceful stop. Needs the extra ``serve``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prepixel.optional import lazy_names

if TYPE_CHECKING:
    from prepixel.serving.app import build_app
    from prepixel.serving.server import serve
    from prepixel.serving.service_settings import ServiceError, ServiceSettings

_PLACES = {
    "ServiceError": "prepixel.serving.service_settings",
    "ServiceSettings": "prepixel.serving.service_settings",
    "build_app": "prepixel.serving.app",
    "serve": "prepixel.serving.server",
}

__all__ = [
    "ServiceError",
    "ServiceSettings",
    "build_app",
    "serve",
]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
