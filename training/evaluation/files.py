"""Files of an evaluation: metrics.json and results.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vitpose.base.files import whole_file

from .evaluator import joined_metrics
from .score import Evaluation
from .submission import submission


def file_name(name: str, dataset: str, evaluations: Mapping[str, Evaluation]) -> str:
    """A file's name, with the dataset's in it where there are several."""
    stem, ending = name.split(".")
    return name if len(evaluations) == 1 else f"{stem}_{dataset}.{ending}"


def write_metrics(
    folder: Path, evaluations: Mapping[str, Evaluation], details: Mapping[str, Any] | None = None
) -> None:
    """Write `metrics.json` (values and how they were measured) and `results.json` (the form of the benchmark).

    Args:
        folder: To write into.
        evaluations: By the name of the data.
        details: More for `metrics.json`.
    """
    with whole_file(folder / "metrics.json") as path:
        path.write_text(json.dumps(measured_metrics(evaluations, details), indent=2), encoding="utf-8")
    for name, evaluation in evaluations.items():
        with whole_file(folder / file_name("results.json", name, evaluations)) as path:
            content = submission(evaluation.results, dataset=evaluation.people.schema.name)
            path.write_text(json.dumps(content), encoding="utf-8")


def measured_metrics(evaluations: Mapping[str, Evaluation], details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What `metrics.json` holds: values, None where one is no number, details, and how they were measured."""
    values = {name: value if np.isfinite(value) else None for name, value in joined_metrics(evaluations).items()}
    return {**values, **(details or {}), "settings": joined_settings(evaluations)}


def joined_settings(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """How all datasets were measured; by their names where there are several."""
    measured = {name: evaluation.measured for name, evaluation in evaluations.items()}
    return measured if len(measured) > 1 else next(iter(measured.values()))
