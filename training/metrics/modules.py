"""The metrics as `evaluate` modules: folders that also load by path, or from the Hub once they are pushed there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from vitpose.base.names import unknown_name

if TYPE_CHECKING:
    from evaluate import EvaluationModule

MetricName = Literal[
    "crowdpose_ap", "end_point_error", "keypoint_auc", "oks_ap", "pck", "pckh", "torso_pck", "wholebody_ap"
]
METRIC_FOLDER = Path(__file__).with_name("evaluate_modules")


def load_metric(name: MetricName, **options: Any) -> EvaluationModule:
    """Load a metric of this package as a module of `evaluate`, without a download.

    The same as `evaluate.load` with the folder of the metric, whose README.md describes inputs and outputs.

    Args:
        name: Name of the metric.
        options: For `evaluate.load`, such as `keep_in_memory=True`, or `num_process` and `process_id`.

    Raises:
        ValueError: There is no metric of that name; the message lists them.
    """
    if name not in get_args(MetricName):
        raise ValueError(unknown_name("metric", name, get_args(MetricName)))
    import evaluate  # only those who ask for a module pay for its import

    return evaluate.load(str(METRIC_FOLDER / name), **options)
