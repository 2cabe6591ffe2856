"""Try an installed ``prepixel[serve]`` without torch: predict with an exported network, then serve it.

Usage: python -P .ci/smoke_runtime.py FOLDER, from a folder that does not hold prepixel's sources.
"""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path

from PIL import Image

from prepixel.runtime import Predictor


def main(folder: str) -> None:
    """Run the smoke test; an assertion or an exit status other than 0 ends it."""
    started = time.perf_counter()
    assert importlib.util.find_spec("torch") is None, "this is not the light install"
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "JPEG")
    (label,) = Predictor.load(folder).predict([buffer.getvalue()]).labels
    print(f"predicted in {time.perf_counter() - started:.2f} s: {label}")

    command = Path(sysconfig.get_path("scripts"), "prepixel")
    done = subprocess.run(
        [command, "predict", folder, "-", "--json"], input=buffer.getvalue(), stdout=subprocess.PIPE, check=True
    )
    assert json.loads(done.stdout)["classes"][0]["class"] == label

    service = subprocess.Popen([command, "serve", folder, "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert service.stdout is not None
    line = next(line for line in service.stdout if "http://" in line)
    request = urllib.request.Request(
        f"{line.split()[-1]}/predict", buffer.getvalue(), {"Content-Type": "image/jpeg"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        (photo,) = json.load(answer)["photos"]
    assert photo["classes"][0]["class"] == label
    service.terminate()
    assert service.wait(timeout=60) == 0
    print("prepixel[serve] without torch: smoke test passed")


if __name__ == "__main__":
    main(sys.argv[1])
