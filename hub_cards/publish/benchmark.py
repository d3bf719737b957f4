"""A measured metric for the leaderboard of a benchmark: the Hub's evaluation-results files.

Benchmarks are datasets that the Hub has taken on as such; they hold an `eval.yaml`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.utils import yaml_dump

from vitpose.base.files import read_json

METRICS = "metrics.json"


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A leaderboard on the Hub.

    Args:
        dataset_id: Hub id of the benchmark.
        task_id: Its task, as its `eval.yaml` names it.
        metric: Name in `metrics.json` of the metric it ranks by, such as "AP".
    """

    dataset_id: str
    task_id: str
    metric: str


def eval_results_file(folder: Path, benchmark: Benchmark) -> dict[str, bytes]:
    """Write the metric as the Hub reads it, with the evaluation settings as a note.

    Returns:
        Path in the repository -> content.

    Raises:
        FileNotFoundError: The folder has no `metrics.json`.
        ValueError: The metric was not measured.
    """
    if not (folder / METRICS).is_file():
        raise FileNotFoundError(f"{folder} has no {METRICS} to read metrics from: vitpose evaluate --out writes it.")
    metrics = read_json(folder / METRICS)
    measured = [name for name, value in metrics.items() if isinstance(value, int | float) and math.isfinite(value)]
    if benchmark.metric not in measured:
        raise ValueError(f"{folder / METRICS} has no metric {benchmark.metric}; it has {', '.join(measured)}.")
    entry = {
        "dataset": {"id": benchmark.dataset_id, "task_id": benchmark.task_id},
        "value": metrics[benchmark.metric],
        "notes": ", ".join(f"{name}: {value}" for name, value in metrics.get("settings", {}).items()),
    }
    name = f"{benchmark.dataset_id.split('/')[-1]}_{benchmark.task_id}"
    return {f".eval_results/{name}.yaml": yaml_dump([entry], sort_keys=False).encode()}
