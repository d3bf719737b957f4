"""The commands of the command line that are about data: `vitpose convert-data` and `vitpose schema`."""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def add_data_commands(commands: Any) -> None:
    """Add the commands to the subparsers of the command line."""
    convert = commands.add_parser("convert-data", help="write a dataset as Parquet files, ready for the Hub")
    convert.add_argument("name", metavar="NAME", help="of the dataset, such as coco or mpii; see docs/datasets.md")
    convert.add_argument("--data", type=Path, required=True, metavar="DIR", help="the dataset's folder")
    convert.add_argument("--split", required=True, help="such as train or val")
    convert.add_argument("--out", type=Path, required=True, help="folder to write into; several splits may share it")
    convert.add_argument("--shard-size", default="500MB", metavar="SIZE", help="about how large a file may be")
    convert.set_defaults(command=_convert_data)

    schema = commands.add_parser("schema", help="write the keypoint schema of annotations of one's own")
    schema.add_argument("annotations", type=Path, help="JSON in COCO layout, as annotation tools export it")
    schema.add_argument("--out", type=Path, required=True, help="JSON file to write, for a recipe's field schema")
    schema.add_argument("--name", help="what to call it; the category's name if not given")
    schema.add_argument("--category", metavar="NAME", help="whose keypoints, where several categories have some")
    schema.set_defaults(command=_schema)


# Imports wait until a command runs, so that --help answers at once.


def _convert_data(chosen: argparse.Namespace, _: list[str]) -> None:
    from .convert_data import convert_data

    convert_data(chosen.name, chosen.data, split=chosen.split, out=chosen.out, shard_size=chosen.shard_size)


def _schema(chosen: argparse.Namespace, _: list[str]) -> None:
    from vitpose.training.data.schema_from_coco import schema_from_annotations

    from ..base.files import whole_file

    schema = schema_from_annotations(chosen.annotations, name=chosen.name, category=chosen.category)
    with whole_file(chosen.out) as path:
        path.write_text(json.dumps(schema.to_dict(), indent=1), encoding="utf-8")
    logger.info("%d keypoints, %d mirror pairs: %s", schema.num_keypoints, len(schema.flip_pairs), chosen.out)
