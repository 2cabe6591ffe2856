"""Runs kept in a store: killed, their machine lost, resumed; and what the store refuses."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.data.jobs.killed_packing import write_source
from tests.engine.test_processes import ROOT, TORCHRUN
from tests.engine.toy import same
from tests.small_photos import Captured
from tests.stores.conftest import use_server
from tests.stores.s3_server import FaultyProxy
from tests.stores.test_remote_jobs import contents
from tests.stores.test_remote_training import losses

from prepixel.cli import main
from prepixel.engine.checkpoint import read_checkpoint
from prepixel.errors import RunError, StoreError
from prepixel.recipes import Recipe, read_recipe
from prepixel.runs import fetch_run, load_run, run, run_store
from prepixel.runs.run_store import RunStore
from prepixel.stores.remote_path import RemotePath

RECIPE = """
data: {{train: '{photos}', val: '{photos}', batch_size: 8, threads: 1, on_error: skip}}
input: {{kind: spectrum, bands: S-6, grid: [3, 5], statistics_images: 9}}
network: {{name: mobilenet_v3_small}}
optimization: {{learning_rate: 0.01}}
training: {{epochs: {epochs}, device: cpu, tensorboard: false, record_steps: 1, checkpoint_steps: 2}}
"""
KILLED_AT = 9  # of 10 steps, in the second epoch; the last checkpoint is that after step 8
FILES = {"recipe.yaml", "classes.json", "bands.json", "statistics.json", "environment.json", "records.jsonl"}


@pytest.fixture
def recipe(bucket: str, tmp_path: Path) -> Recipe:
    """Return a recipe of one epoch on local photos."""
    return write_recipe(tmp_path, 1)


def write_recipe(folder: Path, epochs: int) -> Recipe:
    write_source(folder / "photos", 42)
    (folder / "small.yaml").write_text(RECIPE.format(photos=folder / "photos", epochs=epochs))
    return read_recipe(folder / "small.yaml")


def train(folder: Path, name: str, *words: str, processes: int = 1, last: int = -1) -> None:
    """Train in processes of its own, to the end, or until the first is killed before a step."""
    log = folder / f"{name} {last}"
    log.mkdir()
    launcher = [*TORCHRUN[:-1], f"--nproc-per-node={processes}", "-m"] if processes > 1 else []
    command = [sys.executable, "-m", *launcher, "tests.stores.killed_training", str(log), str(last)]
    command += ["train", str(folder / "small.yaml"), "-o", str(folder / name), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ("Signal 9" in done.stderr or done.returncode == -signal.SIGKILL) == (last >= 0), done.stderr
    assert last >= 0 or (folder / name / "checkpoints" / "last.pt").is_file(), done.stderr


@pytest.fixture
def proxy(server: str, monkeypatch: pytest.MonkeyPatch, bucket: str) -> Iterator[FaultyProxy]:
    """Stand before the server, at first without faults."""
    found = FaultyProxy(int(server.rpartition(":")[2]))
    use_server(monkeypatch, found.url)
    yield found
    found.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_whose_machine_is_lost_is_resumed_on_an_empty_one_to_the_same_losses(
    processes: int, bucket: str, proxy: FaultyProxy, tmp_path: Path
) -> None:
    write_recipe(tmp_path, 2)
    train(tmp_path, "straight", processes=processes)
    proxy.refused = proxy.cut = 0.05
    train(tmp_path, "lost", "--store", f"{bucket}/one", processes=processes, last=KILLED_AT)
    shutil.rmtree(tmp_path / "lost")
    train(tmp_path, "found", "--store", f"{bucket}/one", "--resume", processes=processes)
    assert proxy.num_refused
    assert proxy.num_cut
    proxy.refused = proxy.cut = 0
    expected, got = tmp_path / "straight", tmp_path / "found"
    assert len(losses(expected)) == 10
    assert losses(got) == losses(expected)
    assert '"resumed_at": 8' in (got / "records.jsonl").read_text()
    fetched = fetch_run(f"{bucket}/one", tmp_path / "fetched").path
    assert losses(fetched) == losses(expected)
    for which in ("last.pt", "best.pt"):
        states = [read_checkpoint(path / "checkpoints" / which) for path in (expected, got, fetched)]
        assert same(states[0], states[1])
        assert same(states[0], states[2])
    left = {name.rpartition("/")[0] for name in contents(f"{bucket}/one")}
    assert left == {"", "checkpoints/last.pt", "checkpoints/best.pt", *FILES}
    assert len(contents(f"{bucket}/one")) == 1 + 2 + len(FILES)
    assert load_run(fetched).classes == load_run(expected).classes


def test_a_save_that_dies_at_any_request_leaves_the_old_copy_or_the_new_one(
    bucket: str, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "run"
    run(recipe, place, store=f"{bucket}/one")
    old = {path: (place / path).read_bytes() for path in (*FILES, "checkpoints/last.pt", "checkpoints/best.pt")}
    new = {name: b"new " + held for name, held in old.items()}
    new["recipe.yaml"] = old["recipe.yaml"]
    requests = ("upload", "unlink")
    whole = {name: getattr(RemotePath, name) for name in requests}
    seen = []
    for deadly in range(40):
        for name, held in old.items():
            (place / name).write_bytes(held)
        store = RunStore(f"{bucket}/one")
        store.read()
        store.save(run_store.RunFolder(place), (1, 0))
        for name, held in new.items():
            (place / name).write_bytes(held)
        left = deadly

        def counted(path: RemotePath, request: str, *words: object, **more: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            whole[request](path, *words, **more)

        with monkeypatch.context() as patch:
            for name in requests:
                patch.setattr(RemotePath, name, functools.partialmethod(counted, name))
            try:
                store.save(run_store.RunFolder(place), (2, 0))
                died = False
            except KeyboardInterrupt:
                died = True
        fetched = fetch_run(f"{bucket}/one", tmp_path / f"fetched {deadly}").path
        held = {name: (fetched / name).read_bytes() for name in old}
        assert held in (old, new)
        seen.append(held == new)
        if not died:
            break
    changed = len(old) - 1
    assert len(seen) == 2 * changed + 2  # uploads, the description, removals; then none died
    assert seen == [False] * (changed + 1) + [True] * (changed + 1)
    after = RunStore(f"{bucket}/one")
    copy = after.read()
    assert copy is not None
    assert copy.position == (2, 0)
    with (place / "records.jsonl").open("rb") as file:
        (RemotePath.parse(bucket) / f"one/records.jsonl/{'0' * 64}").upload(file)
    after.remove_leftovers()
    assert len(contents(f"{bucket}/one")) == 1 + len(old)


def test_a_store_that_fails_ends_the_run_and_the_folder_brings_it_back_there(
    bucket: str, proxy: FaultyProxy, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = 0
    save = run_store.KeptRun.save

    def broken(kept: run_store.KeptRun, position: tuple[int, int]) -> None:
        nonlocal saves
        saves += 1
        if saves == 3:  # that of the start, after 2 steps, after 4
            monkeypatch.setattr(RemotePath, "upload", refuse)
        save(kept, position)

    def refuse(path: RemotePath, file: object) -> None:
        raise StoreError(f"{path}: access is denied")

    with monkeypatch.context() as patch:
        patch.setattr(run_store.KeptRun, "save", broken)
        upload = RemotePath.upload
        with pytest.raises(StoreError, match=r"denied\. The run is saved in .*/run alone: --resume continues it there"):
            run(recipe, tmp_path / "run", store=f"{bucket}/one")
        monkeypatch.setattr(RemotePath, "upload", upload)
    assert read_checkpoint(tmp_path / "run/checkpoints/last.pt")["position"]["step"] == 4
    assert RunStore(f"{bucket}/one").read().position == (0, 2)  # type: ignore[union-attr]
    run(recipe, tmp_path / "run", resume=True)  # into the store that the run was given
    assert RunStore(f"{bucket}/one").read().position == (1, 0)  # type: ignore[union-attr]
    straight = tmp_path / "straight"
    run(recipe, straight)
    assert losses(tmp_path / "run") == losses(straight)


def test_a_folder_that_is_behind_the_store_is_brought_forward(bucket: str, recipe: Recipe, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(_start(recipe, old, f"{bucket}/one"), tmp_path / "kept")
    run(recipe, new, store=f"{bucket}/one", resume=True)
    shutil.rmtree(old)
    shutil.copytree(tmp_path / "kept", old)
    (old / "checkpoints" / "best.pt").write_bytes(b"of another run")
    done = run(recipe, old, resume=True)
    assert done.training.resumed_at == done.training.steps == 5
    assert (old / "checkpoints/best.pt").read_bytes() == (new / "checkpoints/best.pt").read_bytes()


def _start(recipe: Recipe, folder: Path, store: str) -> Path:
    """Train until the checkpoint after two steps."""
    save = run_store.KeptRun.save

    def stop(kept: run_store.KeptRun, position: tuple[int, int]) -> None:
        save(kept, position)
        if position == (0, 2):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_store.KeptRun, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, folder, store=store)
    return folder


def test_two_processes_that_keep_one_run_are_noticed(bucket: str, recipe: Recipe, tmp_path: Path) -> None:
    place = run_store.RunFolder(_start(recipe, tmp_path / "one", f"{bucket}/one"))
    first, second = RunStore(f"{bucket}/one"), RunStore(f"{bucket}/one")
    first.read()
    second.read()
    (place.path / "environment.json").write_text("{}")
    first.save(place, (0, 3))
    (place.path / "environment.json").write_text("[]")
    with pytest.raises(StoreError, match="/one: another process keeps a run there, too; end it"):
        second.save(place, (0, 4))
    assert fetch_run(f"{bucket}/one", tmp_path / "two").environment.read_text() == "{}"


def test_what_is_no_place_for_a_run_is_refused(bucket: str, recipe: Recipe, tmp_path: Path, capsys: Captured) -> None:
    other = RemotePath.parse(bucket)
    with (tmp_path / "small.yaml").open("rb") as file:
        (other / "photos/1.jpg").upload(file)
    with pytest.raises(RunError, match=r"photos: holds 1\.jpg but no run; name a new folder of the store"):
        run(recipe, tmp_path / "run", store=f"{bucket}/photos")
    with pytest.raises(RunError, match=r"/here: is no place in a store; write s3://BUCKET/FOLDER"):
        run(recipe, tmp_path / "run", store=tmp_path / "here")
    with pytest.raises(StoreError, match="files cannot be written over HTTP"):
        run(recipe, tmp_path / "run", store="http://127.0.0.1:9/run")
    with pytest.raises(RunError, match="nothing: holds no run; name what prepixel train --store was given"):
        fetch_run(f"{bucket}/nothing", tmp_path / "fetched")
    assert not (tmp_path / "run").exists()
    _start(recipe, tmp_path / "one", f"{bucket}/one")
    with pytest.raises(RunError, match="/one: holds a run already; resume it with --resume, or give another place by"):
        run(recipe, tmp_path / "run", store=f"{bucket}/one")
    words = ["train", str(tmp_path / "small.yaml"), "-o", str(tmp_path / "run"), "--store", f"{bucket}/one", "--resume"]
    assert main([*words, "--seed", "5"]) == 2
    assert "/one: cannot be resumed by another recipe: seed was 0, is 5" in capsys.readouterr().err
    with pytest.raises(RunError, match="one: exists and is not empty; name a new folder"):
        fetch_run(f"{bucket}/one", tmp_path / "one")
    (tmp_path / "one" / "store.json").write_text("{")
    with pytest.raises(RunError, match=r"store\.json: cannot be read .*; remove it, and name the store by --store"):
        run(recipe, tmp_path / "one", resume=True)


def test_a_damaged_copy_is_refused(bucket: str, recipe: Recipe, tmp_path: Path) -> None:
    _start(recipe, tmp_path / "one", f"{bucket}/one")
    root = RemotePath.parse(f"{bucket}/one")
    manifest = json.loads((root / "run.json").read_bytes())
    checkpoint = root / f"checkpoints/last.pt/{manifest['files']['checkpoints/last.pt']['sha256']}"
    held = checkpoint.read_bytes()

    def put(path: RemotePath, what: bytes) -> None:
        (tmp_path / "put").write_bytes(what)
        with (tmp_path / "put").open("rb") as file:
            path.upload(file)

    put(checkpoint, held[:-1] + b"?")
    with pytest.raises(RunError, match=r"last\.pt: is not what was saved \(its checksum differs\)"):
        fetch_run(root, tmp_path / "two")
    assert not (tmp_path / "two/checkpoints/last.pt").exists()
    checkpoint.unlink()
    with pytest.raises(RunError, match=r"/one: lacks .*last\.pt/[0-9a-f]{64}, which its run\.json names; was it"):
        fetch_run(root, tmp_path / "three")
    for key, value, words in (
        ("format", "prepixel run 9", "its format is 'prepixel run 9'"),
        ("files", {"../up": {"size": 1, "sha256": "0" * 64}}, "'../up' is described wrongly"),
        ("files", {}, "it has no recipe, or no position"),
        ("position", [1], "ValueError: not enough values"),
    ):
        put(root / "run.json", json.dumps(manifest | {key: value}).encode())
        with pytest.raises(RunError, match=rf"run\.json: describes no run, or is damaged .*{words}"):
            fetch_run(root, tmp_path / "four")


def test_commands_that_take_runs_say_how_one_is_fetched(bucket: str, tmp_path: Path, capsys: Captured) -> None:
    for words in (["evaluate"], ["predict", "photo.jpg"], ["fold", "-o", "x"], ["export", "-o", "x"], ["table"]):
        assert main([words[0], f"{bucket}/one", *words[1:]]) == 2
        assert "is in a store, and this takes a local path; prepixel fetch URL FOLDER" in capsys.readouterr().err
    with pytest.raises(RunError, match="one: is in a store; fetch the run: prepixel fetch URL FOLDER"):
        load_run(f"{bucket}/one")


def test_the_command_fetches_a_run(bucket: str, recipe: Recipe, tmp_path: Path, capsys: Captured) -> None:
    run(recipe, tmp_path / "one", store=f"{bucket}/one")
    assert main(["fetch", f"{bucket}/one", str(tmp_path / "two")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'two'}: fetched from {bucket}/one\n"
    assert main(["evaluate", str(tmp_path / "two")]) in {0, 1}
