"""`vitpose schema`: the keypoint schema of annotations of one's own."""

import argparse
import json
import logging
from pathlib import Path

logger = logging.getLogger("vitpose.schema")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "annotations",
        type=Path,
        metavar="FILE_OR_FOLDER",
        help="of an annotation tool: COCO, YOLO pose, Label Studio, CVAT, labelme, DeepLabCut or SLEAP",
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write, for a recipe's field schema")
    parser.add_argument("--name", help="what to call it; the category's name if not given")
    parser.add_argument("--category", metavar="NAME", help="whose keypoints, where several categories have some")


def run(chosen: argparse.Namespace) -> None:
    """Write the schema."""
    from vitpose.base.files import whole_file
    from vitpose.training.data.keypoint_names import mirror_problem
    from vitpose.training.data.loading import schema_of_files

    schema = schema_of_files(chosen.annotations, name=chosen.name, category=chosen.category)
    with whole_file(chosen.out) as path:
        path.write_text(json.dumps(schema.to_dict(), indent=1), encoding="utf-8")
    logger.info("%d keypoints, %d mirror pairs: %s", schema.num_keypoints, len(schema.flip_pairs), chosen.out)
    if problem := mirror_problem(schema):
        logger.warning("LEFT AND RIGHT: %s. Correct the names in the tool, or flip_pairs in %s.", problem, chosen.out)
