"""The files of deploy/: what can be checked without Docker and Triton."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml

from prepixel.cli.parser import parse_arguments

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
