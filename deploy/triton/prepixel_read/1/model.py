"""Triton's Python backend: turn encoded photos into the input of an exported network's graph.

Triton calls this class; `make_repository.py` writes the configuration beside it. A photo that cannot be read fails its
request with the library's message.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import triton_python_backend_utils as triton

from prepixel.errors import PrepixelError
from prepixel.jpeg.source import Limits
from prepixel.runtime.manifest import Manifest
from prepixel.runtime.predictor import read_input


class TritonPythonModel:
    """Read photos by the manifest of an exported network, which lies beside this file."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the manifest and the settings."""
        folder = Path(args["model_repository"], args["model_version"])
        self.input = Manifest.read(folder).input
        parameters = json.loads(args["model_config"]).get("parameters", {})
        pixels = int(parameters.get("max_pixels", {}).get("string_value", 50_000_000))
        self.limits = Limits(max_pixels=pixels)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request with the values of its photos."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        photos = [bytes(one) for one in triton.get_input_tensor_by_name(request, "photo").as_numpy().ravel()]
        try:
            values, _ = read_input(self.input, photos, threads=1, limits=self.limits, on_error="raise")
        except PrepixelError as error:
            return triton.InferenceResponse(error=triton.TritonError(str(error), triton.TritonError.INVALID_ARG))
        return triton.InferenceResponse([triton.Tensor("values", values)])
