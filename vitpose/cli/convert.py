"""`vitpose convert`: checkpoints from one format to another."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("source", help="file, folder or Hub id; 'tiny' is the one inside the package")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; with --to authors a .pth file")
    parser.add_argument("--to", choices=("transformers", "authors"), default="transformers", help="format to write")
    parser.add_argument("--datasets", nargs="+", metavar="NAME", help="whose keypoints the heads predict, in order")
    parser.add_argument("--image-size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"), help="crops in pixels")
    parser.add_argument("--num-attention-heads", type=int, help="needed for widths that were never published")
    parser.add_argument("--fold", metavar="NAME", help="write the ordinary model of this dataset alone")


def run(chosen: argparse.Namespace) -> None:
    """Read the checkpoint and write it."""
    from vitpose.export.convert import convert

    convert(
        chosen.source,
        chosen.out,
        to=chosen.to,
        datasets=chosen.datasets,
        image_size=tuple(chosen.image_size) if chosen.image_size else None,
        num_attention_heads=chosen.num_attention_heads,
        fold=chosen.fold,
    )
