"""`vitpose evaluate`: a model measured on annotated people."""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitpose.training.config.recipe import Recipe

# The flags that are fields of a recipe under another name.
_FIELDS = {"split": "eval_split", "boxes": "eval_boxes", "batch_size": "eval_batch_size"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Further arguments are a recipe's: [RECIPE.yaml] [--field value ...], such as --eval_people 500 or "
        "--num_workers 4. How crops are cut and heatmaps decoded, the image processor beside the model says. "
        "Several processes: accelerate launch --num_processes 2 -m vitpose evaluate ..."
    )
    parser.add_argument(
        "--model",
        default="tiny",
        help="small, base, large, huge or tiny; a folder or Hub id",
    )
    parser.add_argument("--ensemble", nargs="+", default=[], metavar="MODEL", help="more models, to be averaged")
    parser.add_argument(
        "--dataset", metavar="NAME", help="such as coco or mpii, or a tool such as yolo; all its people"
    )
    parser.add_argument("--data", metavar="DIR", help="the dataset's folder; without --dataset a recipe's field data")
    parser.add_argument("--split", help="val if not given")
    parser.add_argument(
        "--boxes", metavar="FILE", help="a detector's, in COCO's results form, or 'published'; else the annotated ones"
    )
    parser.add_argument(
        "--flip-test", action=argparse.BooleanOptionalAction, help="average with the mirrored crops, as is usual"
    )
    parser.add_argument("--batch-size", help="people a batch and process")
    parser.add_argument("--out", type=Path, help="folder for metrics.json, results.json and report.png")


def evaluation_recipe(chosen: argparse.Namespace) -> "Recipe":
    """The recipe of the command: `[RECIPE.yaml]`, the flags, then the fields that were given by their own names.

    Raises:
        ValueError: A field is unknown or of a wrong value, or there is a dataset without its folder.
    """
    from vitpose.training.config.parsing import parse_recipe
    from vitpose.training.data.loading import check_readable

    rest = chosen.rest
    file = rest[:1] if rest and not rest[0].startswith("-") else []
    fields = {field: getattr(chosen, flag) for flag, field in _FIELDS.items()}
    if chosen.dataset is not None:
        check_readable(chosen.dataset)
        if chosen.data is None:
            raise ValueError(f"--dataset {chosen.dataset} needs --data, the folder of the dataset.")
        fields |= {"data": chosen.dataset, "data_dir": chosen.data, "eval_people": "null"}
    else:
        fields["data"] = chosen.data
    arguments = [part for name, value in fields.items() if value is not None for part in (f"--{name}", value)]
    if chosen.flip_test is not None:
        arguments += ["--flip_test", str(chosen.flip_test)]
    recipe = parse_recipe([*file, *arguments, *rest[len(file) :]])
    return recipe if chosen.dataset is None else recipe.replace(mixture=[])  # one of it, if it has any


def run(chosen: argparse.Namespace) -> None:
    """Evaluate the model and print the table."""
    from vitpose.training.evaluation.saved import report_model

    if int(os.environ.get("RANK", "0")) > 0:  # one process of several speaks
        logging.getLogger("vitpose").setLevel(logging.WARNING)
    recipe = evaluation_recipe(chosen)
    report = report_model(chosen.model, recipe, ensemble=chosen.ensemble, out=chosen.out)
    if report is not None:
        sys.stdout.write(report.table())
