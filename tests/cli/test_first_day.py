"""What somebody tries on the first day, and the line that answers: it says what is wrong and what to do."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from tests.small_photos import Captured, jpeg

from prepixel.cli import main
from prepixel.spectrum import Statistics


def answer(capsys: Captured, *words: object) -> str:
    """Return the one line with which a command is refused."""
    assert main([str(word) for word in words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err.removeprefix("prepixel: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inspect", "a.jpg", "b.jpg"], "prepixel inspect takes FILE; 'b.jpg' is one too many; see: prepixel inspect"),
        (["evaluate", "run", "photos"], "prepixel evaluate takes RUN; 'photos' is one too many; see: prepixel eval"),
        (["env", "x"], "prepixel env takes options only; 'x' is one too many; see: prepixel env --help"),
        (["pack", "a", "-o", "b"], "prepixel pack has no -o; it takes SOURCE DEST, without it; see: prepixel pack"),
        (["bandlimit", "a", "b", "--output", "c"], "prepixel bandlimit has no --output; it takes SOURCE DEST, without"),
    ],
)
def test_a_word_too_many_is_named_with_what_is_taken(words: list[str], message: str, capsys: Captured) -> None:
    assert answer(capsys, *words).startswith(message)


@pytest.mark.parametrize("command", ["scan", "index", "stats", "bench", "table", "serve", "evaluate --data"])
def test_a_file_given_for_a_folder_is_said_to_be_a_file(command: str, tmp_path: Path, capsys: Captured) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(jpeg(40, 50))
    more = {
        "stats": ["--grid", 2, "-o", tmp_path / "s.json"],
        "bench": ["--network", "none"],
    }
    if command == "evaluate --data":
        words = ["fold", "timm:resnet10t", "--weights", "none", "--pixels", 32, "-o", tmp_path / "n.pt"]
        assert main([str(word) for word in words]) == 0
        capsys.readouterr()
        found = answer(capsys, "evaluate", tmp_path / "n.pt", "--data", photo)
    else:
        found = answer(capsys, command, photo, *more.get(command, []))
    assert found.startswith(f"{photo}: is a file, not a folder; ")


@pytest.mark.parametrize("command", ["predict", "evaluate", "sensitivity"])
def test_a_network_that_is_not_there_or_exported_is_said_so(command: str, tmp_path: Path, capsys: Captured) -> None:
    missing, exported, photo = tmp_path / "no.pt", tmp_path / "exported", tmp_path / "a.jpg"
    photo.write_bytes(jpeg(40, 50))
    exported.mkdir()
    (exported / "manifest.json").write_text("{}")
    rest = {"predict": [photo], "evaluate": [], "sensitivity": [tmp_path, "-o", tmp_path / "b.json"]}[command]
    wanted = "no such file or folder; give a run's folder, or a file that prepixel fold wrote"
    assert answer(capsys, command, missing, *rest).startswith(f"{missing}: {wanted}")
    if command != "predict":
        line = answer(capsys, command, exported, *rest)
        assert line.startswith(f"{exported}: is an exported network, for predict and serve; give the run or the folded")


def test_a_file_of_weights_that_is_not_there_is_said_so(tmp_path: Path, capsys: Captured) -> None:
    out, missing = tmp_path / "n.pt", tmp_path / "no.safetensors"
    for network in ("timm:resnet10t", "resnet18", "efficientnet_lite0"):
        line = answer(capsys, "fold", network, "--weights", missing, "-o", out)
        assert line.startswith(f"weights: {missing}: no such file; ")
    assert answer(capsys, "fold", "net.pt", "-o", out).startswith("net.pt: no such file; ")
    assert answer(capsys, "export", "folder/net", "-o", tmp_path / "e").startswith("folder/net: no such file; ")


def test_one_number_is_a_square_grid_and_photos_need_no_classes(tmp_path: Path, capsys: Captured) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        (photos / f"{number}.jpg").write_bytes(jpeg(40 + number, 56))
    assert main(["stats", str(photos), "--grid", "5", "-o", str(tmp_path / "s.json")]) == 0
    assert main(["stats", str(photos), "--grid", "5", "5", "-o", str(tmp_path / "t.json")]) == 0
    assert Statistics.read(tmp_path / "s.json").num_images == 3
    assert (tmp_path / "s.json").read_bytes() == (tmp_path / "t.json").read_bytes()
    capsys.readouterr()
    line = answer(capsys, "stats", photos, "--grid", 5, 5, 5, "-o", tmp_path / "s.json")
    assert line.startswith("--grid 5 5 5: give one number for both sides, or two: down and across")


def test_index_has_the_short_name_of_output(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(40, 50))
    assert main(["index", str(tmp_path), "-o", str(tmp_path / "x.ppi")]) == 0
    assert (tmp_path / "x.ppi").is_file()


def test_an_empty_input_is_said_to_be_empty(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert answer(capsys, "inspect", "-") == "standard input: is empty, 0 bytes; fetch it again, or leave it out\n"


@pytest.mark.parametrize("command", ["scan", "index", "pack", "bandlimit", "predict"])
def test_a_file_that_cannot_be_opened_is_named_with_what_to_do(
    command: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's own text is "[Errno 40] Too many levels ...: '/a/b.jpg'", and of a failed read it names no file."""
    photos = tmp_path / "photos" / "cat"
    photos.mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (photos / name).write_bytes(jpeg(40, 50))
    (photos / "away.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (photos / "loop.jpg").symlink_to(photos / "loop.jpg")
    more: list[object] = {"pack": [tmp_path / "out"], "bandlimit": [tmp_path / "out"]}.get(command, [])
    words: list[object] = [command, photos.parent, *more]
    if command == "predict":
        network = tmp_path / "n.pt"
        fold = ["fold", "timm:resnet10t", "--weights", "none", "--pixels", "32", "-o", str(network)]
        assert main(fold) == 0
        words = ["predict", network, *(photos / name for name in ("a.jpg", "away.jpg", "loop.jpg"))]
    capsys.readouterr()
    assert main([str(word) for word in words]) == 1
    captured = capsys.readouterr()
    text = captured.out + captured.err
    assert "Errno" not in text
    lines = [line for line in text.splitlines() if "away.jpg" in line or "loop.jpg" in line]
    assert len(lines) == 2
    for line, name in zip(sorted(lines, key=lambda line: "loop" in line), ("away", "loop"), strict=True):
        assert line.count(f"{name}.jpg") == 1
    assert [line.partition(".jpg: ")[2] for line in lines if "away" in line] == [
        "No such file or directory; check the path"
    ]
    hint = "Too many levels of symbolic links; it is a link that leads back to itself; link to a file"
    assert [line.partition(".jpg: ")[2] for line in lines if "loop" in line] == [hint]


def test_files_that_options_name_and_that_are_not_there_are_said_so(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(40, 50))
    missing = tmp_path / "none.json"
    line = answer(capsys, "bandlimit", tmp_path / "a.jpg", tmp_path / "b.jpg", "--bands", missing)
    assert line == f"{missing}: No such file or directory; check the path\n"


def test_a_folder_given_to_inspect_is_sent_to_scan(tmp_path: Path, capsys: Captured) -> None:
    line = answer(capsys, "inspect", tmp_path)
    assert line == f"{tmp_path}: is a folder, and inspect takes one file; prepixel scan describes a folder\n"


def test_networks_are_not_written_over_without_being_asked(tmp_path: Path, capsys: Captured) -> None:
    """A second fold or export of that name took the place of the first without a word."""
    network, exported = tmp_path / "n.pt", tmp_path / "exported"
    fold = ["fold", "timm:resnet10t", "--weights", "none", "--pixels", "32", "-o", network]
    export = ["export", network, "--format", "torch", "-o", exported]
    for words, written in ((fold, network), (export, exported / "manifest.json")):
        command = [str(word) for word in words]
        assert main(command) == 0
        before = written.stat().st_mtime_ns
        capsys.readouterr()
        line = answer(capsys, *command)
        assert line == f"{words[-1]}: is there already; replace it with --overwrite, or name another by --output\n"
        assert written.stat().st_mtime_ns == before
        assert main([*command, "--overwrite"]) == 0
        assert written.stat().st_mtime_ns > before


def test_wrong_names_of_networks_are_answered_by_the_nearest(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "n.pt"
    assert answer(capsys, "fold", "resnet51", "-o", out).startswith("no network 'resnet51' (did you mean resnet50?); ")
    assert answer(capsys, "fold", "timm:resnet19", "-o", out).startswith(
        "timm has no network 'resnet19' (did you mean resnet18?); "
    )
    timm_only = answer(capsys, "fold", "resnet10t", "-o", out)
    assert timm_only.startswith("no network 'resnet10t' of torchvision; timm has it: timm:resnet10t; ")


def test_broken_standard_input_is_named_once(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tmp_path / "n.pt"
    assert main(["fold", "timm:resnet10t", "--weights", "none", "--pixels", "32", "-o", str(network)]) == 0
    for given, begin in ((b"junk\n", "standard input: no image of a"), (jpeg()[:600], "standard input, byte 600: the")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        capsys.readouterr()
        assert main(["predict", str(network), "-"]) == 1
        line = capsys.readouterr().err.splitlines()[0]
        assert line.startswith(f"prepixel: {begin}")
        assert "buffer" not in line


def test_figures_are_drawn_into_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    """Other commands made the folder; evaluate and sensitivity failed after all their work."""
    photo, figure = tmp_path / "a.jpg", tmp_path / "new" / "deeper" / "a.png"
    photo.write_bytes(jpeg(40, 50))
    assert main(["inspect", str(photo), "--plot", str(figure)]) == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
