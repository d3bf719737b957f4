"""The command of the command line that is about data: `vitpose convert-data`."""

import argparse
from pathlib import Path
from typing import Any


def add_data_commands(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    convert = commands.add_parser("convert-data", help="write a dataset as Parquet files, ready for the Hub")
    convert.add_argument("name", metavar="NAME", help="of the dataset, such as coco or mpii; see docs/datasets.md")
    convert.add_argument("--data", type=Path, required=True, metavar="DIR", help="the dataset's folder")
    convert.add_argument("--split", required=True, help="such as train or val")
    convert.add_argument("--out", type=Path, required=True, help="folder to write into; several splits may share it")
    convert.add_argument("--shard-size", default="500MB", metavar="SIZE", help="about how large a file may be")
    convert.set_defaults(command=_convert_data)


# Imports wait until the command runs, so that --help answers at once.


def _convert_data(chosen: argparse.Namespace, _: list[str]) -> None:
    from .convert_data import convert_data

    convert_data(chosen.name, chosen.data, split=chosen.split, out=chosen.out, shard_size=chosen.shard_size)
