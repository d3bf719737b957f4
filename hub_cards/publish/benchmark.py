"""A measured figure for the leaderboard of a benchmark: the Hub's evaluation-results files.

Benchmarks are datasets that the Hub has taken on as such; they hold an `eval.yaml`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.utils import yaml_dump

METRICS = "metrics.json"


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Where a figure is listed.

    Args:
        dataset_id: Hub id of the benchmark.
        task_id: Its task, as its `eval.yaml` names it.
        metric: Which of the figures in `metrics.json` it ranks by, such as "AP".
    """

    dataset_id: str
    task_id: str
    metric: str


def eval_results_file(folder: Path, benchmark: Benchmark) -> dict[str, bytes]:
    """Path in the repository -> content, of the figure as the Hub reads it, with how it was measured as a note.

    Raises:
        FileNotFoundError: The folder has no `metrics.json`.
        ValueError: The figure was not measured.
    """
    if not (folder / METRICS).is_file():
        raise FileNotFoundError(f"{folder} has no {METRICS} to take a figure from: vitpose evaluate --out writes it.")
    figures = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    measured = [name for name, value in figures.items() if isinstance(value, int | float) and math.isfinite(value)]
    if benchmark.metric not in measured:
        raise ValueError(f"{folder / METRICS} has no figure {benchmark.metric}; it has {', '.join(measured)}.")
    entry = {
        "dataset": {"id": benchmark.dataset_id, "task_id": benchmark.task_id},
        "value": figures[benchmark.metric],
        "notes": ", ".join(f"{name}: {value}" for name, value in figures.get("settings", {}).items()),
    }
    name = f"{benchmark.dataset_id.split('/')[-1]}_{benchmark.task_id}"
    return {f".eval_results/{name}.yaml": yaml_dump([entry], sort_keys=False).encode()}
