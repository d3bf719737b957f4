"""`vitpose convert`: checkpoints from one format to another."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("source", help="file of weights, folder or Hub id; small, base, large, huge or tiny")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; with --to authors or mmpose a file")
    formats = ("transformers", "authors", "mmpose")
    parser.add_argument("--to", choices=formats, default=formats[0], help="format to write; mmpose is its version 1.x")
    parser.add_argument("--fold", metavar="NAME", help="write the ordinary model of this dataset alone")
    file = parser.add_argument_group("for a file of weights, where it does not say it itself")
    heads = file.add_mutually_exclusive_group()
    heads.add_argument("--datasets", nargs="+", metavar="NAME", help="whose keypoints the heads predict, in order")
    heads.add_argument(
        "--schema", nargs="+", type=Path, metavar="FILE", help="the same for other keypoints, as vitpose schema writes"
    )
    file.add_argument("--weights", metavar="NAME", help="which of several sets of weights, such as ema_state_dict")
    file.add_argument("--image-size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"), help="crops in pixels")
    file.add_argument("--num-attention-heads", type=int, metavar="N", help="needed for widths that were not published")


def run(chosen: argparse.Namespace) -> None:
    """Read the checkpoint and write it."""
    from vitpose.export.convert import convert
    from vitpose.modeling.keypoint_schemas import read_keypoint_schema

    convert(
        chosen.source,
        chosen.out,
        to=chosen.to,
        datasets=[read_keypoint_schema(file) for file in chosen.schema] if chosen.schema else chosen.datasets,
        image_size=tuple(chosen.image_size) if chosen.image_size else None,
        num_attention_heads=chosen.num_attention_heads,
        weights=chosen.weights,
        fold=chosen.fold,
    )
