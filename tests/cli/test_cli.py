"""The command, verb by verb, on files and folders; what is wrong is one line, and the exit status says so."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.interrupts import start_command, wait_until
from tests.small_photos import Captured, facts, jpeg, write_folder

from prepixel import cli
from prepixel.cli import main
from prepixel.cli.parser import UsageError, parse_arguments
from prepixel.data.datasets.text_formats import class_lines
from prepixel.engine import TrainingInterrupted
from prepixel.errors import RecipeError
from prepixel.spectrum import BandSet, Statistics

FILES = ["inspect", "scan", "index", "bandlimit", "pack", "stats", "merge", "synthesize"]
COMMANDS = [
    *FILES,
    "train",
    "fetch",
    "fold",
    "export",
    "evaluate",
    "predict",
    "serve",
    "sensitivity",
    "select",
    "heatmap",
]
COMMANDS += ["table", "compare", "plot", "bench", "env"]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg(subsampling="4:2:0", restart_marker_blocks=7))
    return path


# -- words -------------------------------------------------------------------------------------------------------------


def test_every_command_has_help_with_an_example_that_works(capsys: Captured) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit) as left:
            main([command, "--help"])
        assert left.value.code == 0
        example = capsys.readouterr().out.split("example:\n  prepixel ")[1].splitlines()[0].split()
        assert example[0] == command
        parse_arguments(example)


def test_no_words_give_help(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert all(f"\n    {command}" in out for command in COMMANDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian", "x"], "no command 'trian'; did you mean train?"),
        (["zzz"], f"no command 'zzz'; commands: {', '.join(COMMANDS)}"),
        (["inspect", "a.jpg", "--plt", "x"], "prepixel inspect has no --plt; did you mean --plot?"),
        (["env", "--qqq"], "prepixel env has no --qqq; see: prepixel env --help"),
        (["stats", "x", "--grid"], "argument --grid: expected at least one argument; see: prepixel stats --help"),
        (["inspect"], "the following arguments are required: FILE; see: prepixel inspect --help"),
        (["evaluate", "x", "--weights", "w"], "argument --weights: invalid choice: 'w'"),
    ],
)
def test_words_not_understood_are_named(capsys: Captured, words: list[str], message: str) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"prepixel: {message}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_overrides_of_train_are_kept_apart_from_its_own_words() -> None:
    words = "train --seed 3 recipe.yaml --training.epochs=7 -o runs/a --input.grid [3,5] --resume --data.threads -1"
    options = parse_arguments(words.split())
    assert (options.recipe, options.output, options.resume) == (Path("recipe.yaml"), Path("runs/a"), True)
    assert options.overrides == ["--seed", "3", "--training.epochs=7", "--input.grid", "[3,5]", "--data.threads", "-1"]
    with pytest.raises(UsageError, match="required: RECIPE"):
        parse_arguments(["train", "--seed", "3"])


def test_version_is_that_of_the_distribution(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("prepixel 0.")


# -- how it ends -------------------------------------------------------------------------------------------------------


def test_unexpected_errors_keep_their_traceback(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("prepixel.cli.inspect_command.read_jpeg", fail)
    with pytest.raises(ZeroDivisionError):
        main(["inspect", str(photo)])


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (FileNotFoundError(2, "No such file", "photo.jpg"), 2, "prepixel: photo.jpg: No such file; check the path\n"),
        (PermissionError(13, "Permission denied", "a.jpg"), 2, "prepixel: a.jpg: Permission denied; check the permis"),
        (RecipeError("too long"), 2, "prepixel: too long\n"),
        (TrainingInterrupted("stopped", signal.SIGTERM), 143, "prepixel: stopped\n"),
    ],
)  # fmt: skip
def test_errors_become_one_line(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, words: str
) -> None:
    def fail(_: list[str]) -> None:
        raise error

    monkeypatch.setattr(cli, "parse_arguments", fail)
    assert main(["env"]) == status
    assert capsys.readouterr().err.startswith(words)


def run_command(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prepixel.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_help_and_inspect_never_load_torch(photo: Path) -> None:
    code = (
        "import sys; from prepixel.cli import main\n"
        "for words in (['scan', '--help'], ['train', '--help'], ['env', '--help'], ['--version']):\n"
        "    try: main(words)\n"
        "    except SystemExit: pass\n"
        f"assert main(['inspect', {str(photo)!r}]) == 0\n"
        "assert main(['table', 'nowhere']) == 2\n"
        "sys.exit(int(any(name in sys.modules for name in ('torch', 'matplotlib', 'jsonargparse'))))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_command_as_a_process_says_errors_on_standard_error(tmp_path: Path) -> None:
    done = run_command("inspect", str(tmp_path / "none.jpg"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"prepixel: {tmp_path / 'none.jpg'}: No such file or directory; check the path\n"


def test_reader_that_leaves_early_is_no_error(photo: Path) -> None:
    command = f"{sys.executable} -m prepixel.cli inspect {photo} --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_interrupted_command_ends_quietly(tmp_path: Path) -> None:
    words = ["synthesize", str(tmp_path / "data"), "--train", "2000", "--threads", "1"]
    with start_command(*words, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        wait_until(lambda: list(tmp_path.glob(".prepixel-*.partial/train/*/*.jpg")), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted\n")
    assert not (tmp_path / "data").exists()


# -- files -------------------------------------------------------------------------------------------------------------


def test_inspect_says_what_a_jpeg_is(capsys: Captured, photo: Path) -> None:
    assert main(["inspect", str(photo)]) == 0
    out = capsys.readouterr().out
    told = facts(out)
    assert told["size"] == "61 x 83 (height x width, upright)"
    assert told["color"] == "YCbCr"
    assert told["kind"] == "JPEG, baseline, 1 scan"
    assert told["restart markers"] == "every 7 MCUs"
    assert told["missing"] == "nothing"
    table = [line.split() for line in out.splitlines() if line.startswith(("Y ", "Cb ", "Cr "))]
    assert [line[0] for line in table] == ["Y", "Cb", "Cr"]
    assert " ".join(table[0][1:10]) == "2 x 2 61 x 83 8 x 11"
    assert " ".join(table[1][1:10]) == "1 x 1 31 x 42 4 x 6"
    assert [line[-1] for line in table] == ["90", "90", "90"]


def test_inspect_as_json_holds_the_tables(capsys: Captured, photo: Path) -> None:
    assert main(["inspect", str(photo), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["upright_size"], told["bytes"]) == ([61, 83], photo.stat().st_size)
    assert told["components"][0]["quantization"][0][:3] == [3, 2, 2]
    assert told["components"][2]["quality"] == {"quality": 90, "exact": True}


def test_inspect_counts_what_a_cut_file_lacks(capsys: Captured, tmp_path: Path) -> None:
    whole = jpeg(subsampling="4:4:4")
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) - 200])
    assert main(["inspect", str(tmp_path / "cut.jpg")]) == 0
    told = facts(capsys.readouterr().out)["missing"]
    assert told.endswith("%): the file is truncated or damaged")
    assert 0 < int(told.split()[0]) < int(told.split()[2]) == 3 * 8 * 11


@pytest.mark.parametrize(
    ("name", "options", "color", "names"),
    [
        ("gray.jpg", {"mode": "L"}, "gray", ["gray"]),
        ("cmyk.jpg", {"mode": "CMYK"}, "CMYK", ["C", "M", "Y", "K"]),
        ("rgb.jpg", {"keep_rgb": True}, "RGB", ["R", "G", "B"]),
    ],
)
def test_inspect_knows_other_colors(
    capsys: Captured, tmp_path: Path, name: str, options: dict[str, str], color: str, names: list[str]
) -> None:
    (tmp_path / name).write_bytes(jpeg(**options))  # type: ignore[arg-type]
    assert main(["inspect", str(tmp_path / name), "--plot", str(tmp_path / "channels.svg")]) == 0
    out = capsys.readouterr().out
    assert facts(out)["color"] == color
    rows = out.split("quality\n")[1].splitlines()
    assert [row.split()[0] for row in rows[: len(names)]] == names
    plot = (tmp_path / "channels.svg").read_text(encoding="utf-8")
    assert plot.count("<image") == len(names)
    assert all(f">{component}: 8 x 11 blocks, " in plot for component in names)


def test_inspect_of_another_format_names_the_pixel_fallback(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(jpeg(format="PNG"))
    assert main(["inspect", str(tmp_path / "photo.png")]) == 0
    told = facts(capsys.readouterr().out)
    assert told["kind"] == "not a JPEG: it stores no coefficients, so they were computed from its pixels"
    assert main(["inspect", str(tmp_path / "photo.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["process"] is None


def test_inspect_says_orientation(capsys: Captured, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.jpg").write_bytes(jpeg(exif=exif))
    assert main(["inspect", str(tmp_path / "turned.jpg")]) == 0
    told = facts(capsys.readouterr().out)
    assert told["size"] == "83 x 61 (height x width, upright)"
    assert told["orientation"] == "EXIF 6: to be rotated clockwise"


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"some words", "no image of a format that is read (packed images, JPEG, PNG"),
        (b"", "is empty, 0 bytes; fetch it again, or leave it out"),
        (b"\xff\xd8\xff\xd9", "byte 2: "),
        (jpeg().replace(b"\xff\xc0", b"\xff\xc9", 1), "arithmetic"),
    ],
)
def test_file_that_cannot_be_read_is_named(capsys: Captured, tmp_path: Path, contents: bytes, words: str) -> None:
    path = tmp_path / "odd.jpg"
    path.write_bytes(contents)
    assert main(["inspect", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith((f"prepixel: {path}: ", f"prepixel: {path}, "))
    assert words in captured.err
    assert "buffer" not in captured.err


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "photos", {"dog/d.png": jpeg(format="PNG"), "dog/notes.txt": b"not an image"})


def test_scan_says_what_a_folder_holds(capsys: Captured, folder: Path) -> None:
    assert main(["scan", str(folder)]) == 0
    out = capsys.readouterr().out
    told = facts(out)
    assert told["readable"] == "4, 0 broken, 0 with a warning"
    assert told["height x width"] == "smallest 31 x 31, median 54 x 65, largest 61 x 83, each side on its own"
    table = {tuple(line.split()[:2]): line.split()[2] for line in out.splitlines() if len(line.split()) == 5}
    assert table["process", "baseline"] == "2"
    assert table["process", "progressive"] == "1"
    assert table["sampling", "4:2:0"] == "1"


def test_scan_names_broken_files_and_says_so_by_its_status(capsys: Captured, folder: Path) -> None:
    (folder / "cat" / "cut.jpg").write_bytes(jpeg()[:500])
    assert main(["scan", str(folder), "--threads", "1"]) == 1
    out = capsys.readouterr().out
    assert facts(out)["readable"] == "4, 1 broken, 0 with a warning"
    assert f"TruncatedJpeg: {folder / 'cat' / 'cut.jpg'}, byte" in out.splitlines()[-1]
    assert main(["scan", str(folder), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["num_files"], [file["kind"] for file in report["broken"]]) == (5, ["TruncatedJpeg"])
    assert report["processes"] == {"baseline": 2, "progressive": 1, "pixels": 1}


def test_scan_counts_broken_files_by_kind(capsys: Captured, folder: Path) -> None:
    (folder / "cat" / "cut.jpg").write_bytes(jpeg()[:500])
    whole = jpeg()
    scan = whole.index(b"\xff\xda") + 14
    damaged = whole[:scan] + b"\xff\x00" * 4 + whole[scan + 8 :]  # 32 ones: no Huffman code
    Image.open(io.BytesIO(damaged)).load()
    (folder / "dog" / "damaged.jpg").write_bytes(damaged)
    assert main(["scan", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "DamagedJpeg (libjpeg reads these with a warning)      1" in out
    assert "TruncatedJpeg (the file ends before its image)        1" in out
    assert main(["scan", str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["broken_kinds"] == {"DamagedJpeg": 1, "TruncatedJpeg": 1}


def test_scan_of_nothing_is_an_error(capsys: Captured, tmp_path: Path) -> None:
    assert main(["scan", str(tmp_path)]) == 2
    assert "no image below it" in capsys.readouterr().err
    assert main(["scan", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_stats_writes_what_training_reads(capsys: Captured, folder: Path, tmp_path: Path) -> None:
    words = ["stats", str(folder), "--grid", "3", "5", "--bands", "S-12", "-o", str(tmp_path / "s.json")]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{tmp_path / 's.json'}: 12 channels over 4 images\n"
    statistics = Statistics.read(tmp_path / "s.json")
    assert (statistics.grid, statistics.num_images) == ((3, 5), 4)
    assert statistics.bands == BandSet.parse("S-12")
    (folder / "cat" / "cut.jpg").write_bytes(jpeg()[:500])
    assert main(words) == 2
    assert "cut.jpg, byte" in capsys.readouterr().err
    assert main([*words, "--skip-bad"]) == 1
    assert capsys.readouterr().out.endswith(": 12 channels over 4 images, 1 unreadable images left out\n")
    assert main([*words[:-3], "S-13", "-o", "x.json"]) == 2
    assert "no band set 'S-13'; nearest: S-" in capsys.readouterr().err


def test_synthesize_writes_a_data_set_once(capsys: Captured, tmp_path: Path) -> None:
    words = ["synthesize", str(tmp_path / "data"), "--train", "1", "--val", "1", "--seed", "7"]
    for _ in range(2):
        assert main(words) == 0
        assert capsys.readouterr().out.endswith("10 and 10 images of 10 classes\n")
    assert len(list((tmp_path / "data").rglob("*.jpg"))) == 20
    assert main([*words[:-1], "8"]) == 2
    assert str(tmp_path / "data") in capsys.readouterr().err


def test_env_says_what_it_runs_on(capsys: Captured) -> None:
    assert main(["env"]) == 0
    told = facts(capsys.readouterr().out)
    assert {"processor", "cores", "instruction sets", "torch threads", "commit", "torch", "prepixel"} <= set(told)
    assert main(["env", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["instruction sets"][0] == "portable"
    assert found["versions"]["torch"] == told["torch"]


def test_class_names_of_fold_are_those_of_every_other_file(tmp_path: Path) -> None:
    from prepixel.cli.fold_command import _class_names

    names = ["plain", " edges ", "a\u2028b", "a\x85b", '"quoted"', "line\nbreak"]
    (tmp_path / "classes.txt").write_text(class_lines(names), encoding="utf-8", newline="")
    assert _class_names(tmp_path / "classes.txt") == names
    (tmp_path / "classes.json").write_text(json.dumps(names), encoding="utf-8")
    assert _class_names(tmp_path / "classes.json") == names
