"""`vitpose convert-data`: a dataset as Parquet files."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("name", metavar="NAME", help="of a dataset, such as coco or mpii, or of a tool, such as yolo")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder; of a tool also its file")
    parser.add_argument("--split", required=True, help="such as train or val")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into; several splits may share it")
    parser.add_argument("--category", metavar="NAME", help="whose keypoints, where a tool's file has several skeletons")
    parser.add_argument("--shard-size", default="500MB", metavar="SIZE", help="about how large a file may be")


def run(chosen: argparse.Namespace) -> None:
    """Write the shards and their card."""
    from vitpose.export.convert_data import convert_data

    convert_data(
        chosen.name,
        chosen.data,
        split=chosen.split,
        out=chosen.out,
        shard_size=chosen.shard_size,
        category=chosen.category,
    )
