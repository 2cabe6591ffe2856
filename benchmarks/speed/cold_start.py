"""Time a process from its start to its first answer, and weigh what is installed: with torch, and without.

Each round starts a fresh interpreter that imports, opens EfficientNet-Lite0 (folded over S-24; in the runtime
exported to ONNX) and classifies one photo. ``PREPIXEL_LIGHT`` names the interpreter of an environment that holds
``prepixel[runtime]`` alone; without it the runtime is timed in this environment, where its size means nothing and is
left out.

    PREPIXEL_LIGHT=light/bin/python python -m benchmarks.speed.cold_start -n 5
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import arguments, photos

from prepixel.export import export_classifier
from prepixel.files import image_files
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.runs import fold_pixel_model, write_folded

_TORCH = """
from prepixel.runs import read_folded
(found,) = read_folded(NETWORK, device="cpu").predict([PHOTO], top=1, threads=1)
answer = found.classes[0]
"""
_RUNTIME = """
from prepixel.runtime import Predictor
(answer,) = Predictor.load(NETWORK, threads=1).predict([PHOTO]).labels
"""
_REPORT = """
import json, resource, sys, sysconfig
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"answer": answer, "cpu": usage.ru_utime + usage.ru_stime, "kib": usage.ru_maxrss,
                  "torch": "torch" in sys.modules, "packages": sysconfig.get_path("purelib")}))
"""


def main() -> None:
    """Start both in turn, and print medians."""
    options = arguments(__doc__)
    light = os.environ.get("PREPIXEL_LIGHT")
    photo = next(iter(image_files(photos() / "imagenet_samples")))
    with tempfile.TemporaryDirectory() as folder:
        classifier = fold_pixel_model("efficientnet_lite0")
        write_folded(classifier, Path(folder, "net.pt"))
        export_classifier(classifier, Path(folder, "net"))
        subjects = {
            "torch, folded file": (sys.executable, _TORCH, Path(folder, "net.pt")),
            "runtime, ONNX": (light or sys.executable, _RUNTIME, Path(folder, "net")),
        }
        rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in subjects}
        for counted in range(-1, options.n):  # the first round fills the system's cache of files
            for name, (python, code, network) in subjects.items():
                found = start(python, code, network, photo)
                if counted >= 0:
                    rounds[name].append(found)
    rows = []
    assert len({one["answer"] for found in rounds.values() for one in found}) == 1
    for name, found in rounds.items():
        scores: dict[str, float] = {
            "seconds": statistics.median(one["wall"] for one in found),
            "cpu_seconds": statistics.median(one["cpu"] for one in found),
            "resident_mib": statistics.median(one["kib"] for one in found) / 1024,
        }
        if light or name.startswith("torch"):
            scores["installed_mib"] = size_mib(Path(found[0]["packages"]))
        assert found[0]["torch"] == name.startswith("torch")
        print(f"{name:20s} " + ", ".join(f"{key} {value:.2f}" for key, value in scores.items()))
        rows.append(
            ScoreRow("cold start", "efficientnet_lite0, one photo", name, len(found), scores, describe_environment())
        )
    if options.output:
        append_records(options.output, rows)


def start(python: str, code: str, network: Path, photo: str) -> dict[str, Any]:
    """Run a program in a fresh interpreter, and return what it reports, with its duration."""
    text = f"NETWORK, PHOTO = {str(network)!r}, {photo!r}\n{code}{_REPORT}"
    started = time.perf_counter()
    done = subprocess.run([python, "-c", text], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    return {**json.loads(done.stdout), "wall": seconds}


def size_mib(folder: Path) -> float:
    """Return the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


if __name__ == "__main__":
    main()
