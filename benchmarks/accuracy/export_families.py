"""Export a member of each of thirteen families and compare its logits in ONNX Runtime and in OpenVINO with the network.

Networks with random weights, folded over S-24 at their own input size; the segmenter on frames of 224 x 224. The
figure is the largest difference of two logits, as a share of the largest, on random images in batches of 1 and 3.
``-n`` limits the number of families.

    python -m benchmarks.accuracy.export_families -n 13 --output benchmarks/results/records.jsonl
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from benchmarks.harness import arguments

from prepixel.errors import PrepixelError
from prepixel.export.classifier_graph import Exportable
from prepixel.export.exporter import assemble, compare
from prepixel.export.graph_files import GraphFiles, build_graph, openvino_files
from prepixel.export.segmenter_export import exportable_segmenter
from prepixel.models.segmenters import fold_segmenter, pixel_segmenter
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.runs import fold_pixel_model
from prepixel.runtime.manifest import Graph

CASE = "logits, folded, S-24, random weights"
SEGMENTER = "lraspp on mobilenet_v3_large"
FAMILIES = {
    "SqueezeNet": "squeezenet1_1",
    "ResNet": "resnet18",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3": "mobilenet_v3_small",
    "EfficientNet": "efficientnet_b0",
    "ConvNeXt": "timm:convnext_atto",
    "ViT": "timm:vit_tiny_patch16_224",
    "Swin": "swin_t",
    "RegNet": "regnet_y_400mf",
    "DenseNet": "densenet121",
    "VGG": "vgg11_bn",
    "timm hybrid of convolution and attention": "timm:coat_lite_tiny",
    "segmenter (LR-ASPP)": SEGMENTER,
}


def main() -> None:
    """Export each family and print what came of it."""
    options = arguments(__doc__)
    environment = describe_environment()
    for family, name in list(FAMILIES.items())[: options.n]:
        scores = try_family(name)
        print(
            f"{family:42s} {name:28s} " + ", ".join(f"{key} {value:.3g}" for key, value in scores.items()), flush=True
        )
        if options.output:
            row = ScoreRow("exported families", CASE, f"{family}: {name}", 4, scores, environment)
            append_records(options.output, [row])


def try_family(name: str) -> dict[str, float | int]:
    """Return the differences of one network, its size, and the seconds that the export took."""
    torch.manual_seed(0)
    exportable = segmenter() if name == SEGMENTER else Exportable.of(fold_pixel_model(name, weights="none"))
    started = time.perf_counter()
    try:
        graph = build_graph(exportable, "onnx")
    except PrepixelError as error:
        print(f"{name}: {error}")
        return {"failed": 1}
    seconds = time.perf_counter() - started
    onnx = assemble(exportable, graph, Path("model"))
    openvino = assemble(exportable, through_openvino(graph), Path("model"))
    return {
        "onnxruntime_difference": compare(exportable, onnx).difference,
        "openvino_difference": compare(exportable, openvino).difference,
        "megabytes": sum(map(len, graph.contents.values())) / 1e6,
        "export_seconds": seconds,
    }


def segmenter() -> Exportable:
    """Return torchvision's LR-ASPP with its 21 classes, folded."""
    network = fold_segmenter(pixel_segmenter("lraspp", "mobilenet_v3_large", 21).eval(), "S-24")
    return exportable_segmenter(network, classes=[str(label) for label in range(21)], grid=(56, 56), trained=False)


def through_openvino(graph: GraphFiles) -> GraphFiles:
    """Return the same graph in OpenVINO's format."""
    return GraphFiles(Graph("openvino", "model.xml", "model.bin"), openvino_files(graph.contents["model.onnx"]))


if __name__ == "__main__":
    main()
