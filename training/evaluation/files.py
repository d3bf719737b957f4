"""Files of an evaluation: metrics.json and results.json."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vitpose.base.files import whole_file

from ..config.recipe import Recipe
from .evaluator import joined_metrics
from .score import Evaluation
from .submission import submission

logger = logging.getLogger(__name__)


def _file_name(name: str, dataset: str, evaluations: Mapping[str, Evaluation]) -> str:
    """A file's name, with the dataset's in it where there are several."""
    stem, ending = name.split(".")
    return name if len(evaluations) == 1 else f"{stem}_{dataset}.{ending}"


def write_figures(
    folder: Path, evaluations: Mapping[str, Evaluation], recipe: Recipe, details: Mapping[str, Any] | None = None
) -> None:
    """Write `metrics.json` (figures and how they were measured) and `results.json` (the form of the benchmark).

    Args:
        details: More for `metrics.json`.
    """
    with whole_file(folder / "metrics.json") as path:
        path.write_text(json.dumps(measured_figures(evaluations, recipe, details), indent=2), encoding="utf-8")
    for part, (name, evaluation) in zip(recipe.parts, evaluations.items(), strict=True):
        with whole_file(folder / _file_name("results.json", name, evaluations)) as path:
            content = submission(evaluation.results, dataset=part.keypoint_schema.name)
            path.write_text(json.dumps(content), encoding="utf-8")


def measured_figures(
    evaluations: Mapping[str, Evaluation], recipe: Recipe, details: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What `metrics.json` holds: figures, None where one is no number, details, and how the figures were measured."""
    settings = {name: evaluation_settings(part) for name, part in zip(recipe.part_names, recipe.parts, strict=True)}
    own = settings if recipe.mixture else next(iter(settings.values()))
    measured = {name: value if np.isfinite(value) else None for name, value in joined_metrics(evaluations).items()}
    return {**measured, **(details or {}), "settings": own}


def evaluation_settings(recipe: Recipe) -> dict[str, Any]:
    """How the figures of a run are measured."""
    return {
        "boxes": "annotated" if recipe.eval_boxes is None else Path(recipe.eval_boxes).name,
        "flip_test": recipe.flip_test,
        "dark_sigma": recipe.dark_sigma,
        "box_padding": recipe.box_padding,
        "split": recipe.eval_split if recipe.data != "synthetic" else "generated, never trained on",
    }
