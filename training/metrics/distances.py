"""Distances between predicted and labeled keypoints, and the two metrics of hands: AUC and EPE."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

AUC_PIXELS = 30.0  # released configs, InterHand2.6M
AUC_STEPS = 20


def keypoint_auc(
    predictions: npt.ArrayLike, targets: npt.ArrayLike, *, normalizer: float = AUC_PIXELS, steps: int = AUC_STEPS
) -> dict[str, Any]:
    """Compute the area under the curve of correct keypoints over distances of 0 to `normalizer` (released configs).

    The curve is summed at `steps` thresholds, 0, 1 / steps, ... of `normalizer`, and averaged over keypoints, not over
    labels. A keypoint is correct up to and including the threshold; the released configs leave the threshold itself
    out, which differs only where a distance equals one: predictions without any error would get 0.95 there.

    Args:
        predictions: `(N, K, 2)` x, y in image pixels.
        targets: `(N, K, 3)` labeled x, y, visibility in image pixels; visibility 0 means not labeled.
        normalizer: The distance in image pixels at which the curve ends.
        steps: Number of thresholds.

    Returns:
        `AUC` in [0, 1], NaN where nothing is labeled, and `AUC_per_keypoint` (K numbers, NaN where nobody has it).
    """
    distances, labeled = labeled_distances(predictions, targets)
    if not normalizer > 0 or steps < 1:
        raise ValueError(f"expected a positive normalizer and at least one step, got {normalizer} and {steps}.")
    thresholds = np.arange(steps) / steps * normalizer
    passed = steps - np.searchsorted(thresholds, distances, side="left")  # (N, K) thresholds at which it is correct
    per_keypoint = keypoint_means(passed / steps, labeled)
    return {"AUC": mean_of_known(per_keypoint), "AUC_per_keypoint": per_keypoint.tolist()}


def end_point_error(predictions: npt.ArrayLike, targets: npt.ArrayLike) -> dict[str, Any]:
    """Compute the mean distance of labeled keypoints in image pixels.

    Args:
        predictions: `(N, K, 2)` x, y in image pixels.
        targets: `(N, K, 3)` labeled x, y, visibility in image pixels; visibility 0 means not labeled.

    Returns:
        `EPE` over all labels, NaN where there is none, and `EPE_per_keypoint` (K numbers, NaN where nobody has it).
    """
    distances, labeled = labeled_distances(predictions, targets)
    error = float(distances[labeled].mean()) if labeled.any() else float("nan")
    return {"EPE": error, "EPE_per_keypoint": keypoint_means(distances, labeled).tolist()}


def labeled_distances(predictions: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Compute distances `(N, K)` in image pixels and the mask `(N, K)` of those that count, True where labeled.

    Raises:
        ValueError: The shapes differ from `(N, K, 2)` and `(N, K, 3)`, or a number is NaN or infinite.
    """
    points, people = np.asarray(predictions, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if points.ndim != 3 or points.shape[2] != 2:
        raise ValueError(f"predictions must have shape (N, K, 2), got {points.shape}.")
    if people.shape != (*points.shape[:2], 3):
        raise ValueError(f"targets must have shape {(*points.shape[:2], 3)} as the predictions, got {people.shape}.")
    finite = np.isfinite(points).all(axis=(1, 2)) & np.isfinite(people).all(axis=(1, 2))
    if not finite.all():
        rows = np.flatnonzero(~finite)
        raise ValueError(
            f"predictions and targets must be finite, got NaN or infinite coordinates of {len(rows)} people, "
            f"first number {rows[0]}."
        )
    return np.linalg.norm(points - people[:, :, :2], axis=2), people[:, :, 2] > 0


def keypoint_means(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Means `(K,)` of the counted of `(N, K)` values, NaN where none counts."""
    counts = counted.sum(axis=0)
    return np.where(counts > 0, np.where(counted, values, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan)


def mean_of_known(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN where there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
