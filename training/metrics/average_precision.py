"""Average precision and recall of poses by OKS, computed by pycocotools or faster-coco-eval."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

Backend = Literal["pycocotools", "faster_coco_eval"]
METRIC_NAMES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")


def oks_metrics(
    truth: dict[str, Any], poses: list[dict[str, Any]], *, sigmas: Sequence[float] | None, backend: Backend
) -> dict[str, float]:
    """Compute the ten metrics of poses against a ground truth, both checked by `checks`.

    Args:
        truth: Ground truth in COCO form; a person counts by `area`, `iscrowd` and `num_keypoints`.
        poses: Results with `area`, in square image pixels, and `id` from 1.
        sigmas: One for each keypoint; None means COCO's 17.
        backend: The evaluator.

    Returns:
        The metrics of `METRIC_NAMES` in [0, 1]; -1 where the ground truth holds nobody of that size.
    """
    evaluator = run_coco_eval(truth, poses, sigmas=sigmas, backend=backend)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.summarize()
    return {name: float(value) for name, value in zip(METRIC_NAMES, evaluator.stats, strict=True)}


def run_coco_eval(
    truth: dict[str, Any],
    poses: list[dict[str, Any]],
    *,
    sigmas: Sequence[float] | None,
    backend: Backend = "pycocotools",
    thresholds: Sequence[float] | None = None,
) -> Any:
    """Run the evaluator, and return it for what it holds besides the ten metrics.

    Args:
        truth: As for [`oks_metrics`].
        poses: As for [`oks_metrics`].
        sigmas: As for [`oks_metrics`].
        backend: As for [`oks_metrics`].
        thresholds: OKS thresholds instead of COCO's ten; people of all sizes are then one group.
    """
    make_index, make_evaluator = _evaluator(backend)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth_index = _indexed(make_index(), truth)
        pose_index = _indexed(make_index(), {**truth, "annotations": poses})
        evaluator = make_evaluator(truth_index, pose_index, iouType="keypoints")
        if sigmas is not None:
            evaluator.params.kpt_oks_sigmas = np.asarray(sigmas, dtype=np.float64)
        if thresholds is not None:
            evaluator.params.iouThrs = np.asarray(thresholds, dtype=np.float64)
            evaluator.params.areaRng, evaluator.params.areaRngLbl = evaluator.params.areaRng[:1], ["all"]
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator


def _evaluator(backend: Backend) -> tuple[Any, Any]:
    """Classes of the index and of the evaluator; both libraries share one interface."""
    try:
        if backend == "pycocotools":
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval

            return COCO, COCOeval
        if backend == "faster_coco_eval":
            from faster_coco_eval import COCO as FasterCOCO
            from faster_coco_eval import COCOeval_faster

            return FasterCOCO, COCOeval_faster
    except ImportError as error:
        package = backend.replace("_", "-")
        raise ImportError(f"backend {backend!r} is not installed; run `pip install {package}`.") from error
    raise ValueError(f"backend must be one of {list(get_args(Backend))}, got {backend!r}.")


def _indexed(index: Any, dataset: dict[str, Any]) -> Any:
    index.dataset = dataset
    index.createIndex()
    return index
