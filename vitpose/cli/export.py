"""`vitpose export`: a model for another runtime."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("source", help="small, base, large, huge or tiny; a folder or Hub id")
    parser.add_argument("--to", choices=("onnx", "openvino"), required=True, help="format to write")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32", help="of the weights")
    parser.add_argument("--dataset", metavar="NAME", help="whose keypoints to find, where a model has several")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")


def run(chosen: argparse.Namespace) -> None:
    """Write and check the exported model."""
    from vitpose.export.export import export_model

    export_model(chosen.source, chosen.out, to=chosen.to, precision=chosen.precision, dataset=chosen.dataset)
