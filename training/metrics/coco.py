"""COCO's keypoint metrics."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from .average_precision import Backend, oks_metrics
from .checks import check_ground_truth, check_results, load_source
from .oks import checked_sigmas

COCO_NUM_KEYPOINTS = 17  # what both evaluators assume when no sigmas are given


def coco_keypoint_metrics(
    results: Sequence[dict[str, Any]] | str | os.PathLike[str],
    annotations: dict[str, Any] | str | os.PathLike[str],
    sigmas: Sequence[float] | None = None,
    backend: Backend = "pycocotools",
) -> dict[str, float]:
    """Compute COCO's ten keypoint metrics: OKS AP and AR over thresholds 0.50:0.95, at most 20 poses an image.

    Only `image_id`, `category_id`, `keypoints` and `score` of a result count, as on the COCO server: the evaluators
    would take an extra `bbox` for the size of the pose. Neither argument is changed.

    Args:
        results: Dicts in COCO results form (`keypoints` is K times x, y, score in image pixels, flat or nested), or a
            JSON file of them. An empty list scores 0.
        annotations: Ground truth in COCO form, or its JSON file. Where people have no `area`, as in AI Challenger,
            `box_areas` adds the one that the field uses.
        sigmas: K numbers of the keypoint schema; None means COCO's 17.
        backend: `"pycocotools"`, the reference, or `"faster_coco_eval"`, the same metrics two to three times faster.

    Returns:
        AP, AP50, AP75, APm, APl, AR, AR50, AR75, ARm, ARl in [0, 1]; -1 where the ground truth holds nobody of that
        size, as the reference has it.

    Raises:
        ValueError: A result or annotation does not fit the ground truth or the keypoint count; the message names it.
        ImportError: The evaluator is not installed.
    """
    num_keypoints = COCO_NUM_KEYPOINTS if sigmas is None else len(checked_sigmas(sigmas))
    content, name = load_source(annotations, "annotations")
    truth = check_ground_truth(content, num_keypoints=num_keypoints, name=name)
    content, name = load_source(results, "results")
    poses = check_results(content, truth, num_keypoints=num_keypoints, name=name)
    return oks_metrics(truth, poses, sigmas=sigmas, backend=backend)
