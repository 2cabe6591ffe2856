"""The verbs: what each is for, its options, and an example; where its code is, as ``module:function``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_verbs(verbs: Any) -> None:
    """Add every verb to argparse's subparsers, in the order in which help lists them."""
    for add in (
        _inspect,
        _scan,
        _thin,
        _pack,
        _stats,
        _synthesize,
        _train,
        _fold,
        _evaluate,
        _predict,
        _sensitivity,
        _select,
        _heatmap,
        _table,
        _compare,
        _plot,
        _bench,
        _env,
    ):
        add(verbs)


def _verb(verbs: Any, name: str, place: str, summary: str, about: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=about,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(verb=place)
    return parser


def _threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads to read on (default: one a core)")


def _gate_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--data", type=Path, metavar="FOLDER", help="images, one folder a class (default: the recipe's)")
    verb.add_argument("--weights", choices=("best", "last"), default="best", help="which checkpoint (default: best)")
    _threads(verb)


def _inspect(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "inspect",
        "inspect:inspect",
        "say what one image file holds",
        "Say what one image file holds: size, color, process, each component's blocks, table and quality.\n"
        "Damaged files are read as far as they go, and what is missing is counted.",
        "prepixel inspect photo.jpg --plot channels.png",
    )
    verb.add_argument("file", type=Path, help="a JPEG, or any image that Pillow opens")
    verb.add_argument("--plot", type=Path, metavar="FILE", help="draw the frequency channels there (.png, .svg, .pdf)")
    verb.add_argument("--json", action="store_true", help="print one JSON object instead")


def _scan(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "scan",
        "datasets:scan",
        "say what a folder of images holds, and which files are broken",
        "Decode every image below a folder and say what there is: sizes, kinds, samplings, broken files.\n"
        "The exit status is 1 if a file is broken.",
        "prepixel scan photos/train",
    )
    verb.add_argument("folder", type=Path, help="the folder; folders inside it are read too")
    verb.add_argument("--json", action="store_true", help="print one JSON object instead")
    _threads(verb)


def _thin(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "thin",
        "thin:thin",
        "make JPEGs smaller by keeping chosen frequencies alone",
        "Write JPEGs anew with the frequencies of a band set alone, untouched, in files that any program opens: one\n"
        "file, or a folder with all below it. Before a folder is begun, its size and duration are foretold from a\n"
        "sample. Every file is read back. A run that was stopped goes on where it was, by the same command. JPEGs\n"
        "that cannot be thinned are listed, and the exit status is then 1.",
        "prepixel thin photos/train thinned/train --bands S-24 --strip",
    )
    verb.add_argument("source", type=Path, metavar="SOURCE", help="a JPEG, or a folder")
    verb.add_argument("target", type=Path, metavar="DEST", help="the file to write, or a new folder beside the source")
    verb.add_argument("--bands", default="S-24", help="frequencies to keep (default: S-24)")
    verb.add_argument("--restart", type=int, metavar="N", help="MCUs between restart markers (default: as they are)")
    verb.add_argument(
        "--restart-rows",
        type=int,
        default=0,
        metavar="N",
        help="rows of MCUs between them instead; with 1, reading begins at the crop",
    )
    verb.add_argument("--strip", action="store_true", help="leave out metadata but color and orientation")
    verb.add_argument("--others", choices=("skip", "copy"), default="skip", help="what is no JPEG (default: skip)")
    verb.add_argument(
        "--bad",
        choices=("skip", "copy", "stop"),
        default="skip",
        help="JPEGs that cannot be thinned: leave them out, copy them as they are, or stop (default: skip)",
    )
    verb.add_argument("--dry-run", action="store_true", help="say what it would make and take, and write nothing")
    verb.add_argument("--json", action="store_true", help="print one JSON object instead")
    _threads(verb)


def _pack(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "pack",
        "pack:pack",
        "pack a data set's coefficients into shards that are read faster than JPEGs",
        "Write the chosen quantized coefficients of a folder of JPEGs, or of tar files with JPEGs, to tar shards that\n"
        "any tool opens; name their folder as data.train in a recipe. Size and duration are foretold from a sample.\n"
        "Every image is read back. A run that was stopped goes on where it was, by the same command, and ends with\n"
        "the same bytes. Images that cannot be packed are listed, and the exit status is then 1.",
        "prepixel pack photos/train shards/train --bands S-24",
    )
    verb.add_argument("source", type=Path, metavar="SOURCE", help="a folder of images, or tar files of them")
    verb.add_argument("target", type=Path, metavar="DEST", help="a new folder, or one to go on with")
    verb.add_argument("--bands", default="all", help="frequencies to keep, such as S-24 (default: all)")
    verb.add_argument("--compression", choices=("zstd", "none"), default="zstd", help="of each image (default: zstd)")
    verb.add_argument("--level", type=int, default=1, metavar="N", help="of zstd, 1 to 19 (default: 1)")
    verb.add_argument("--shard-size", type=int, default=1000, metavar="N", help="images a shard (default: 1000)")
    verb.add_argument("--classes", type=Path, metavar="FILE", help="class names in order of their labels, one a line")
    verb.add_argument(
        "--annotations", type=Path, metavar="FILE", help="COCO's .json of the photos of SOURCE, which have no class"
    )
    verb.add_argument("--append", action="store_true", help="add another source behind what the folder holds")
    verb.add_argument(
        "--on-error",
        choices=("store", "skip", "stop"),
        default="store",
        help="images without YCbCr coefficients: store their files as they are, or leave them out; damaged ones are "
        "left out by both; or stop at the first (default: store)",
    )
    verb.add_argument("--dry-run", action="store_true", help="say what it would make and take, and write nothing")
    verb.add_argument("--json", action="store_true", help="print one JSON object instead")
    _threads(verb)


def _stats(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "stats",
        "datasets:stats",
        "measure mean and spread of each frequency channel",
        "Measure each frequency channel's mean, spread and extremes over a data set's centered crops.\n"
        "Training does this by itself; a file serves several runs (recipe key input.statistics).",
        "prepixel stats photos/train --grid 28 28 --bands 192 --output statistics.json",
    )
    verb.add_argument("folder", type=Path, help="the images, one folder a class")
    verb.add_argument("--grid", type=int, nargs=2, required=True, metavar=("DOWN", "ACROSS"), help="blocks of a crop")
    verb.add_argument("--bands", default="192", help="band set (default: 192, which serves every other)")
    verb.add_argument("--crop-fraction", type=float, default=0.875, help="share of the short side (default: .875)")
    verb.add_argument("--images", type=int, metavar="N", help="at most so many, evenly spaced (default: all)")
    verb.add_argument("--skip-bad", action="store_true", help="leave out files that cannot be read")
    verb.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the .json file to write")
    _threads(verb)


def _synthesize(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "synthesize",
        "datasets:synthesize",
        "write the embedded data set: real JPEG files, ten classes",
        "Write the embedded data set: pictures of ten classes as real JPEG files of many kinds. Four classes differ\n"
        "only in a fine texture, which a small resize destroys. A complete data set is left as it is.",
        "prepixel synthesize runs/data --train 60 --val 20",
    )
    verb.add_argument("folder", type=Path, help="gets train/CLASS and val/CLASS")
    verb.add_argument("--train", type=int, default=60, metavar="N", help="training images a class (default: 60)")
    verb.add_argument("--val", type=int, default=20, metavar="N", help="validation images a class (default: 20)")
    verb.add_argument("--seed", type=int, default=0, help="other seed, other pictures (default: 0)")
    _threads(verb)


def _train(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "train",
        "train:train",
        "train a recipe",
        "Train a recipe into a folder: weights, records, statistics, versions. Any key of the recipe can be changed\n"
        "by --section.key VALUE. Ctrl-C stops after the running step with everything saved; --resume goes on.\n"
        "Several processes: torchrun --nproc-per-node 2 -m prepixel.cli train RECIPE",
        "prepixel train recipes/demo_dct24.yaml --optimization.learning_rate 0.02 --seed 3 --output runs/trial",
    )
    verb.add_argument("recipe", type=Path, help="a YAML file; see recipes/")
    verb.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="the run's folder (default: runs/RECIPE)")
    verb.add_argument("--resume", action="store_true", help="go on with the run in that folder; start if there is none")


def _fold(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "fold",
        "fold:fold",
        "turn a pretrained RGB network into one on coefficients, without training",
        "Turn an RGB network into the same network on JPEG coefficients, in closed form, without training. The file\n"
        "holds all that evaluate and predict need. NETWORK is efficientnet_lite0 (with ImageNet weights), a network\n"
        "of torchvision, timm:NAME, your own as FILE.py:FUNCTION, or the folder of a run on pixels.",
        "prepixel fold efficientnet_lite0 --bands S-24 -o lite0.pt",
    )
    verb.add_argument("network", metavar="NETWORK", help="name of the RGB network")
    verb.add_argument(
        "--weights", metavar="FILE", help="its weights: a state_dict, or a name that torchvision downloads"
    )
    verb.add_argument("--bands", default="S-24", help="channels to keep (default: S-24)")
    verb.add_argument("--pixels", type=int, nargs="+", metavar="N", help="that it takes (default: 224)")
    verb.add_argument("--grid", type=int, nargs="+", metavar="N", help="blocks a side (default: of twice the pixels)")
    verb.add_argument("--mean", type=float, nargs=3, metavar="X", help="subtracted from R G B, as fractions of 255")
    verb.add_argument("--std", type=float, nargs=3, metavar="X", help="dividing them (default: the library's)")
    verb.add_argument(
        "--reduction", choices=("dct", "box"), default="dct", help="from samples to pixels (default: dct)"
    )
    verb.add_argument("--form", choices=("auto", "composed", "factored"), default="auto", help="default: the cheaper")
    verb.add_argument("--classes", type=Path, metavar="FILE", help="names, one a line, or a .json list")
    verb.add_argument("--crop-fraction", type=float, default=0.875, help="share of the short side (default: .875)")
    verb.add_argument("--filter", choices=("bilinear", "bicubic"), default="bilinear", help="default: bilinear")
    verb.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the file to write")


def _evaluate(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "evaluate",
        "predict:evaluate",
        "score a run's network: top-1, top-5, per class, confusion",
        "Score a network on its validation images or on another folder of its classes.",
        "prepixel evaluate runs/demo_dct24 --data photos/val",
    )
    verb.add_argument("run", type=Path, help="a run's folder, or a folded network's file")
    verb.add_argument("--data", type=Path, metavar="FOLDER", help="images, one folder a class (default: the recipe's)")
    verb.add_argument("--weights", choices=("best", "last"), default="best", help="which checkpoint (default: best)")
    verb.add_argument("--plot", type=Path, metavar="FILE", help="the confusion plot (default: RUN/confusion.png)")
    verb.add_argument("--batch-size", type=int, metavar="N", help="images a batch (default: the recipe's)")
    verb.add_argument("--json", action="store_true", help="print one JSON object instead")
    _threads(verb)


def _predict(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "predict",
        "predict:predict",
        "say what images show",
        "Say what images show, by a run's or a folded network. Files that cannot be read are named on standard error,\n"
        "the others are done all the same, and the exit status is then 1.",
        "prepixel predict runs/demo_dct24 photo.jpg photos/ --json",
    )
    verb.add_argument("run", type=Path, help="a run's folder, or a folded network's file")
    verb.add_argument("files", type=Path, nargs="+", help="image files, or folders of them")
    verb.add_argument("--top", type=int, default=5, metavar="K", help="classes to name (default: 5)")
    verb.add_argument(
        "--min-score", type=float, metavar="S", help="of a detector: leave out lower scores (default: .5)"
    )
    verb.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="of a detector: drawings (default: RUN/predictions)"
    )
    verb.add_argument(
        "--beside", type=Path, nargs="+", default=[], metavar="RUN", help="other detectors' runs, drawn beside it"
    )
    verb.add_argument(
        "--annotations", type=Path, metavar="FILE", help="of a detector: COCO's .json of these photos, drawn beside"
    )
    verb.add_argument("--weights", choices=("best", "last"), default="best", help="which checkpoint (default: best)")
    verb.add_argument("--batch-size", type=int, default=32, metavar="N", help="images at a time (default: 32)")
    verb.add_argument("--json", action="store_true", help="print one JSON object a line instead")
    _threads(verb)


def _sensitivity(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "sensitivity",
        "sensitivity:sensitivity",
        "ask which frequency channels a network needs, without training",
        "Leave out a network's frequency channels one by one, and all but those of published sets, and say what its\n"
        "answers lose. Draws a heat map and curves, and writes the channels that mattered most as a band set. Folders\n"
        "named by the network's classes give accuracy; others, agreement with the network that has all channels.",
        "prepixel sensitivity lite0-192.pt photos/ --channels 24 -o bands.json",
    )
    verb.add_argument("run", type=Path, help="a run's folder, or a folded network's file (fold it with --bands 192)")
    verb.add_argument("folder", type=Path, help="images, best one folder a class")
    verb.add_argument("--images", type=int, default=128, metavar="N", help="evenly spaced (default: 128)")
    verb.add_argument("--greedy-images", type=int, default=32, metavar="N", help="that choosing goes by (default: 32)")
    verb.add_argument("--channels", type=int, default=24, metavar="K", help="to write as a band set (default: 24)")
    verb.add_argument("--weights", choices=("best", "last"), default="best", help="which checkpoint (default: best)")
    verb.add_argument("--plot", type=Path, metavar="FILE", help="the figure (default: beside the band set)")
    verb.add_argument("--records", type=Path, metavar="FILE", help="append what was measured there, as JSON lines")
    verb.add_argument("--title", default="", help="printed above the figure")
    verb.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the band set's .json file")
    _threads(verb)


def _select(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "select",
        "gates:select",
        "write the channels that a run's gate lets pass most often as a band set",
        "Average a gate's bits over a run's validation images, or others, and write the channels most often on as a\n"
        "band set. A network on those alone starts from the gated one's weights by the recipe keys input.bands (the\n"
        "file) and network.from_run (the run).",
        "prepixel select runs/gates --channels 24 -o learned-24.json",
    )
    verb.add_argument("run", type=Path, help="the folder of a run whose recipe has a gate")
    verb.add_argument("--channels", type=int, required=True, metavar="K", help="how many to keep")
    verb.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the band set's .json file")
    _gate_options(verb)


def _heatmap(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "heatmap",
        "gates:heatmap",
        "draw how often each frequency channel is on in gated runs",
        "Draw how often a gate lets each frequency channel pass: three 8 x 8 maps a run, Y, Cb and Cr, with zigzag\n"
        "numbers in the corners. The same numbers are appended to a file of records.",
        "prepixel heatmap runs/gates -o heatmap.png",
    )
    verb.add_argument("runs", type=Path, nargs="+", help="folders of runs whose recipes have a gate")
    verb.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the figure (.png, .svg, .pdf)")
    verb.add_argument("--records", type=Path, metavar="FILE", help="default: beside the figure, as .jsonl")
    verb.add_argument("--title", default="", help="printed above")
    _gate_options(verb)


def _table(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "table",
        "report:table",
        "compare runs: scores beside all that they cost",
        "Compare runs: top-1 after the last epoch (mean and standard deviation where runs differ in their seed\n"
        "alone), the resolution that the input was made from, values and bytes a sample, images/s, parameters,\n"
        "multiply-adds.",
        "prepixel table runs/* --format markdown",
    )
    verb.add_argument("runs", type=Path, nargs="+", help="folders of runs, or folders that hold such")
    verb.add_argument("--format", choices=("text", "markdown", "csv"), default="text", help="default: text")
    verb.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there instead of printing")


def _compare(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "compare",
        "compare:compare",
        "train several recipes with several seeds and compare them",
        "Train each recipe with each seed into a folder of its own, leaving out what has been trained there already,\n"
        "then write table.md, table.csv and score_over_bytes.png beside them and print the table. A command that was\n"
        "stopped goes on where it was. Keys changed by --section.key VALUE are changed in every recipe.",
        "prepixel compare recipes/imagenette_*.yaml --seeds 0 1 2 -o runs/imagenette",
    )
    verb.add_argument("recipes", type=Path, nargs="+", metavar="RECIPE", help="YAML files; see recipes/")
    verb.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="S", help="default: 0")
    verb.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="gets RECIPE-SEED folders")
    verb.add_argument("--title", default="", help="printed above the figure")


def _plot(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "plot",
        "report:plot",
        "draw runs' loss and top-1 over epochs",
        "Draw runs' loss and top-1 over epochs; runs that differ in their seed alone become a mean and a band.",
        "prepixel plot runs/* --output curves.png",
    )
    verb.add_argument("runs", type=Path, nargs="+", help="folders of runs, or folders that hold such")
    verb.add_argument("-o", "--output", type=Path, default=Path("curves.png"), metavar="FILE", help="the figure")
    verb.add_argument("--title", default="", help="printed above")


def _bench(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "bench",
        "bench:bench",
        "say whether reading coefficients pays on your images and this machine",
        "Time the roads from a folder's JPEGs to training batches, on the same random crops, in turn: RGB by Pillow,\n"
        "torchvision and simplejpeg (where it is installed), by nvJPEG where there is a CUDA device, coefficients of\n"
        "the files, of thinned ones and of packed shards; and beside them a network's training step, which says how\n"
        "long the device would wait for each road.",
        "prepixel bench photos/train --network resnet50 --plot bench.png",
    )
    verb.add_argument("folder", type=Path, help="JPEGs, at any depth")
    verb.add_argument("--bands", default="S-24", help="channels to read (default: S-24)")
    verb.add_argument("--grid", type=int, nargs="+", default=[56], metavar="N", help="blocks a side (default: 56)")
    verb.add_argument("--pixels", type=int, nargs="+", default=[224], metavar="N", help="of RGB (default: 224)")
    verb.add_argument("--network", default="resnet50", metavar="NAME", help="its trunk, or none (default: resnet50)")
    verb.add_argument("--images", type=int, default=256, metavar="N", help="at most, evenly spaced (default: 256)")
    verb.add_argument("--batch-size", type=int, default=32, metavar="N", help="images at a time (default: 32)")
    verb.add_argument("--rounds", type=int, default=5, metavar="N", help="of all roads in turn (default: 5)")
    verb.add_argument("--plot", type=Path, metavar="FILE", help="draw the rates there (.png, .svg, .pdf)")
    verb.add_argument("--records", type=Path, metavar="FILE", help="append what was measured there, as JSON lines")
    verb.add_argument("--json", action="store_true", help="print one JSON object instead")
    _threads(verb)


def _env(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "env",
        "env:env",
        "say what prepixel runs on: put this into a bug report",
        "Say what prepixel runs on: processor, instruction sets, threads, devices, versions.",
        "prepixel env",
    )
    verb.add_argument("--json", action="store_true", help="print one JSON object instead")
