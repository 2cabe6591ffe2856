"""The files of deploy/: what can be checked without Docker and Triton."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from tests.small_photos import jpeg

from prepixel.cli.parser import parse_arguments
from prepixel.runtime import Predictor
from prepixel.runtime.predictor import softmax

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def make_repository() -> Any:
    spec = importlib.util.spec_from_file_location("make_repository", DEPLOY / "triton" / "make_repository.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tensors(config: str) -> dict[str, tuple[str, list[int]]]:
    """Read the tensors of a Triton configuration."""
    found = re.findall(r'name: "(\w+)" data_type: (\w+) dims: (\[[\d, ]*\])', config)
    return {name: (kind, json.loads(sizes)) for name, kind, sizes in found}


def test_a_repository_for_triton_fits_its_graph(exported: Path, tmp_path: Path) -> None:
    make_repository().write_repository(exported, tmp_path / "repository")
    configs = {path.parent.name: path.read_text() for path in (tmp_path / "repository").glob("*/config.pbtxt")}
    assert set(configs) == {"prepixel", "prepixel_read", "prepixel_network"}
    graph = onnx.load(tmp_path / "repository" / "prepixel_network" / "1" / "model.onnx").graph
    for name, tensor in (("values", graph.input[0]), ("output", graph.output[0])):
        sizes = [one.dim_value for one in tensor.type.tensor_type.shape.dim][1:]
        assert tensor.name == name
        assert tensors(configs["prepixel_network"])[name] == ("TYPE_FP32", sizes)
    assert tensors(configs["prepixel_read"])["values"] == tensors(configs["prepixel_network"])["values"]
    assert tensors(configs["prepixel"]) == {
        "photo": tensors(configs["prepixel_read"])["photo"],
        "output": tensors(configs["prepixel_network"])["output"],
    }
    for config in configs.values():
        assert config.count("{") == config.count("}")
        assert config.count("[") == config.count("]")
    labels = (tmp_path / "repository" / "prepixel_network" / "labels.txt").read_text().splitlines()
    assert labels == ["cat", "dog", "ä, 'quoted'"]
    assert (tmp_path / "repository" / "prepixel_read" / "1" / "manifest.json").is_file()
    compile((tmp_path / "repository" / "prepixel_read" / "1" / "model.py").read_text(), "model.py", "exec")
    with pytest.raises(FileExistsError):
        make_repository().write_repository(exported, tmp_path / "repository")


def test_the_image_runs_a_command_that_there_is() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    (line,) = re.findall(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)
    words = json.loads(line)
    assert words[0].endswith("/prepixel")
    options = parse_arguments(words[1:])
    assert (options.command, str(options.folder), options.port) == ("serve", "/network", 8000)
    (check,) = re.findall(r"HEALTHCHECK .*?CMD (\[.*?\])\n", text.replace("\\\n", ""), re.DOTALL)
    compile(json.loads(check)[2], "healthcheck", "exec")
    assert "USER prepixel" in text
    assert shlex.split(re.findall(r"pip install (.*)$", text, re.MULTILINE)[0])[-1] == ".[serve]"


def test_the_compose_file_names_what_is_there() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    service = compose["services"]["prepixel"]
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    assert service["volumes"] == ["${NETWORK:?name the folder of an exported network}:/network:ro"]
    assert service["ports"] == ["127.0.0.1:8000:8000"]


# -- Triton's Python backend, by a stand-in for the module that the server gives it ------------------------------------


class _Tensor:
    def __init__(self, name: str, values: Any) -> None:
        self._name, self._values = name, values

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Any:
        return self._values


class _TritonError(Exception):
    INVALID_ARG = 3

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class _Response:
    def __init__(self, output_tensors: Any = (), error: Any = None) -> None:
        self.output_tensors, self.error = output_tensors, error


def triton_module() -> ModuleType:
    """Return what model.py takes of triton_python_backend_utils; a request is a dictionary of arrays here."""
    module = ModuleType("triton_python_backend_utils")
    module.Tensor, module.InferenceResponse, module.TritonError = _Tensor, _Response, _TritonError  # type: ignore[attr-defined]
    module.get_input_tensor_by_name = lambda request, name: _Tensor(name, request[name])  # type: ignore[attr-defined]
    return module


def test_the_models_of_the_repository_answer_as_the_predictor_does(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_repository().write_repository(exported, tmp_path / "repository")
    folder = tmp_path / "repository" / "prepixel_read"
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", triton_module())
    spec = importlib.util.spec_from_file_location("model", folder / "1" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    config = json.dumps({"parameters": {"max_pixels": {"string_value": "20000"}}})
    model.initialize({"model_repository": str(folder), "model_version": "1", "model_config": config})

    photos = [jpeg(61, 83), jpeg(100, 90)]
    batch = np.array(photos, dtype=object)[:, None]  # as the server gives TYPE_STRING of [n, 1]
    broken, large = (np.array([[one]], dtype=object) for one in (photos[0][:-300], jpeg(200, 101)))
    answers = model.execute([{"photo": batch}, {"photo": broken}, {"photo": batch[1:]}, {"photo": large}])
    assert [answer.error is None for answer in answers] == [True, False, True, False]
    for answer, message in ((answers[1], "ends"), (answers[3], "pixels")):
        assert answer.error.code == _TritonError.INVALID_ARG
        assert message in str(answer.error)

    session = onnxruntime.InferenceSession(tmp_path / "repository" / "prepixel_network" / "1" / "model.onnx")
    for answer, sources in ((answers[0], photos), (answers[2], photos[1:])):
        (tensor,) = answer.output_tensors
        assert tensor.name() == "values"
        (logits,) = session.run(["output"], {"values": tensor.as_numpy()})
        expected = Predictor.load(exported, threads=1).predict(sources)
        assert softmax(logits) == pytest.approx(expected.all_probabilities, abs=1e-6)
