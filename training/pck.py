"""Percentage of correct keypoints (PCK), and the torso length it is measured by."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vitpose.modeling.keypoint_schemas import KeypointSchema


def pck(
    predictions: npt.ArrayLike, targets: npt.ArrayLike, *, normalizers: npt.ArrayLike, threshold: float = 0.2
) -> dict[str, Any]:
    """Percentage of correct keypoints: the share of labelled keypoints within `threshold * normalizer`.

    Args:
        predictions: `(N, K, 2)` x, y in image pixels.
        targets: `(N, K, 3)` labelled x, y, visibility in image pixels; visibility 0 means not labelled.
        normalizers: `(N,)` length of each person in image pixels: `torso_size` for PCK, the head's for PCKh. People
            whose length is NaN or 0 cannot be judged: they are left out and counted.
        threshold: share of the length within which a keypoint is right.

    Returns:
        `PCK` over all labelled keypoints of the judged people, `PCK_per_keypoint` (K numbers, NaN where nobody has
        that keypoint labelled), `people` judged and `people_excluded`. `PCK` is NaN when nothing could be judged.
    """
    points, people = np.asarray(predictions, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    lengths = np.asarray(normalizers, dtype=np.float64)
    _check_pck_input(points, people, lengths, threshold)
    judged = np.nan_to_num(lengths) > 0  # (N,)
    counted = (people[:, :, 2] > 0) & judged[:, None]  # (N, K)
    distances = np.linalg.norm(points - people[:, :, :2], axis=2)  # (N, K)
    correct = counted & (distances <= threshold * np.where(judged, lengths, 0.0)[:, None])
    labelled = counted.sum(axis=0)  # (K,)
    per_keypoint = np.where(labelled > 0, correct.sum(axis=0) / np.maximum(labelled, 1), np.nan)
    return {
        "PCK": float(correct.sum() / counted.sum()) if counted.any() else float("nan"),
        "PCK_per_keypoint": per_keypoint.tolist(),
        "people": int(judged.sum()),
        "people_excluded": int((~judged).sum()),
    }


def torso_size(targets: npt.ArrayLike, schema: KeypointSchema) -> np.ndarray:
    """Torso diagonals `(N,)` in image pixels of `(N, K, 3)` labelled people: right shoulder to left hip.

    Where one of the two is not labelled the other diagonal stands in; a person with neither gets NaN, see `pck`.
    """
    people = np.asarray(targets, dtype=np.float64)
    if people.ndim != 3 or people.shape[1:] != (schema.num_keypoints, 3):
        raise ValueError(f"targets must have shape (any, {schema.num_keypoints}, 3), got {people.shape}.")
    main = _diagonal(people, schema, "right_shoulder", "left_hip")
    other = _diagonal(people, schema, "left_shoulder", "right_hip")
    return np.where(np.isnan(main), other, main)


def _diagonal(people: np.ndarray, schema: KeypointSchema, start: str, end: str) -> np.ndarray:
    """Distance `(N,)` between two named keypoints, NaN where either is not labelled."""
    missing = [name for name in (start, end) if name not in schema.keypoints]
    if missing:
        raise ValueError(
            f"the torso needs {start} and {end}, but schema {schema.name!r} has no {' and no '.join(missing)}; "
            "pass another length as `normalizers` to `pck`."
        )
    a, b = people[:, schema.keypoints.index(start)], people[:, schema.keypoints.index(end)]  # (N, 3) each
    return np.where((a[:, 2] > 0) & (b[:, 2] > 0), np.linalg.norm(a[:, :2] - b[:, :2], axis=1), np.nan)


def _check_pck_input(points: np.ndarray, people: np.ndarray, lengths: np.ndarray, threshold: float) -> None:
    if points.ndim != 3 or points.shape[2] != 2:
        raise ValueError(f"predictions must have shape (N, K, 2), got {points.shape}.")
    if people.shape != (*points.shape[:2], 3):
        raise ValueError(f"targets must have shape {(*points.shape[:2], 3)} as the predictions, got {people.shape}.")
    if lengths.shape != points.shape[:1]:
        raise ValueError(f"normalizers must have shape {points.shape[:1]}, one length a person, got {lengths.shape}.")
    if not threshold > 0:
        raise ValueError(f"threshold must be positive, got {threshold}.")
    if not (np.isfinite(points).all() and np.isfinite(people).all()):
        raise ValueError("predictions and targets must be finite, got NaN or infinite coordinates.")
    if np.isinf(lengths).any() or (lengths < 0).any():
        raise ValueError("normalizers must be lengths in pixels, at least 0 (NaN: unknown), got negative or infinite.")
