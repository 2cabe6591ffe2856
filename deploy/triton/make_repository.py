"""Write a model repository for NVIDIA Triton from an exported network: reading in Python, the graph in ONNX Runtime.

    python deploy/triton/make_repository.py exported/lite0 repository
    tritonserver --model-repository repository

The repository holds three models: ``prepixel_read`` (JPEG bytes to values), ``prepixel_network`` (values to the graph's
output) and ``prepixel``, an ensemble of both, which takes ``photo`` and gives ``output``. The server's Python needs
``prepixel`` (``pip install prepixel``), and no torch.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from prepixel.errors import PrepixelError
from prepixel.runtime.exported_files import ExportedFiles
from prepixel.runtime.manifest import MANIFEST

_TYPES = {"float32": "TYPE_FP32", "int8": "TYPE_INT8"}
_MAX_BATCH = 32


def main() -> None:
    """Write the repository that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="a folder that prepixel export wrote, in the format onnx")
    parser.add_argument("repository", type=Path, help="the folder to write; it must not exist")
    options = parser.parse_args()
    try:
        write_repository(options.network, options.repository)
    except (PrepixelError, OSError) as error:
        raise SystemExit(str(error)) from error


def write_repository(network: Path, repository: Path) -> None:
    """Write the three models of a network.

    Raises:
        PrepixelError: the network cannot be read.
        OSError: the repository exists, or cannot be written.
    """
    files = ExportedFiles.read(network)
    manifest = files.manifest
    manifest.check_task("classification", network)
    if manifest.graph.format != "onnx":
        raise SystemExit(f"{network}: holds a graph of {manifest.graph.format}; export it by --format onnx")
    repository.mkdir()
    kind = _TYPES[manifest.input.dtype]
    sizes = [len(manifest.input.bands), *manifest.input.grid]
    values = _tensor("values", kind, sizes)
    output = _tensor("output", "TYPE_FP32", [manifest.num_classes])
    photo = _tensor("photo", "TYPE_STRING", [1])
    here = Path(__file__).parent
    for name, config in {
        "prepixel_read": _config("prepixel_read", 'backend: "python"', photo, values, "instance_group [{ count: 2 }]"),
        "prepixel_network": _config(
            "prepixel_network",
            'platform: "onnxruntime_onnx"',
            values,
            output.replace("]\n}", '] label_filename: "labels.txt"\n}'),
            "dynamic_batching { max_queue_delay_microseconds: 1000 }",
        ),
        "prepixel": _config("prepixel", 'platform: "ensemble"', photo, output, _STEPS),
    }.items():
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(config, encoding="utf-8")
    shutil.copy(here / "prepixel_read" / "1" / "model.py", repository / "prepixel_read" / "1" / "model.py")
    shutil.copy(network / MANIFEST, repository / "prepixel_read" / "1" / MANIFEST)
    (repository / "prepixel_network" / "1" / "model.onnx").write_bytes(files.contents[manifest.graph.file])
    names = "".join(f"{' '.join(name.split())}\n" for name in files.labels)
    (repository / "prepixel_network" / "labels.txt").write_text(names, encoding="utf-8")


_STEPS = """\
ensemble_scheduling {
  step [
    { model_name: "prepixel_read" model_version: -1
      input_map { key: "photo" value: "photo" } output_map { key: "values" value: "values" } },
    { model_name: "prepixel_network" model_version: -1
      input_map { key: "values" value: "values" } output_map { key: "output" value: "output" } }
  ]
}"""


def _config(name: str, kind: str, given: str, result: str, more: str) -> str:
    return f'name: "{name}"\n{kind}\nmax_batch_size: {_MAX_BATCH}\ninput [{given}]\noutput [{result}]\n{more}\n'


def _tensor(name: str, kind: str, sizes: list[int]) -> str:
    return f'\n{{ name: "{name}" data_type: {kind} dims: {sizes}\n}}'


if __name__ == "__main__":
    main()
