"""Percentage of correct keypoints (PCK), and the lengths it is measured by: the torso's or the box's."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.modeling.keypoint_sides import unify_names

from .distances import keypoint_means, labeled_distances, mean_of_known


def pck(
    predictions: npt.ArrayLike, targets: npt.ArrayLike, *, normalizers: npt.ArrayLike, threshold: float = 0.2
) -> dict[str, Any]:
    """Compute the percentage of correct keypoints: the share of labeled ones within `threshold * normalizer`.

    Args:
        predictions: `(N, K, 2)` x, y in image pixels.
        targets: `(N, K, 3)` labeled x, y, visibility in image pixels; visibility 0 means not labeled.
        normalizers: `(N,)` length of each person in image pixels: `torso_size`, `box_size`, or the head's for PCKh.
            People whose length is NaN or 0 cannot be judged: they are left out and counted.
        threshold: Share of the length within which a keypoint is right.

    Returns:
        `PCK` over all labeled keypoints of the judged people, `PCK_keypoint_mean`, the mean over keypoints instead
        (released configs, InterHand2.6M), `PCK_per_keypoint` (K numbers, NaN where nobody has that keypoint labeled),
        `people` judged and `people_excluded`. `PCK` is NaN when nothing could be judged.
    """
    distances, labeled = labeled_distances(predictions, targets)  # (N, K) each
    lengths = _checked_lengths(normalizers, len(distances))
    if not threshold > 0:
        raise ValueError(f"threshold must be positive, got {threshold}.")
    judged = np.nan_to_num(lengths) > 0  # (N,)
    counted = labeled & judged[:, None]
    correct = counted & (distances <= threshold * np.where(judged, lengths, 0.0)[:, None])
    per_keypoint = keypoint_means(correct, counted)
    return {
        "PCK": float(correct.sum() / counted.sum()) if counted.any() else float("nan"),
        "PCK_keypoint_mean": mean_of_known(per_keypoint),
        "PCK_per_keypoint": per_keypoint.tolist(),
        "people": int(judged.sum()),
        "people_excluded": int((~judged).sum()),
    }


def box_size(boxes: npt.ArrayLike) -> np.ndarray:
    """Longer sides `(N,)` of `(N, 4)` boxes [x, y, width, height], the length of InterHand2.6M (released configs)."""
    return checked_boxes(boxes)[:, 2:].max(axis=1)


def torso_size(targets: npt.ArrayLike, schema: KeypointSchema) -> np.ndarray:
    """Torso diagonals `(N,)` in image pixels of `(N, K, 3)` labeled people: right shoulder to left hip.

    Where one of the two is not labeled the other diagonal stands in; a person with neither gets NaN, see `pck`.
    """
    people = np.asarray(targets, dtype=np.float64)
    if people.ndim != 3 or people.shape[1:] != (schema.num_keypoints, 3):
        raise ValueError(f"targets must have shape (any, {schema.num_keypoints}, 3), got {people.shape}.")
    main = _diagonal(people, schema, "right_shoulder", "left_hip")
    other = _diagonal(people, schema, "left_shoulder", "right_hip")
    return np.where(np.isnan(main), other, main)


def checked_boxes(boxes: npt.ArrayLike) -> np.ndarray:
    """Boxes `(N, 4)`, [x, y, width, height] in image pixels; NaN where a box is unknown."""
    table = np.asarray(boxes, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != 4:
        raise ValueError(f"boxes must have shape (N, 4), [x, y, width, height] each, got {table.shape}.")
    if np.isinf(table).any() or (table[:, 2:] < 0).any():
        raise ValueError("boxes must have sides of at least 0 pixels (NaN: unknown), got negative or infinite ones.")
    return table


def _diagonal(people: np.ndarray, schema: KeypointSchema, start: str, end: str) -> np.ndarray:
    """Distance `(N,)` between two keypoints by their unified names, NaN where either is not labeled."""
    names = unify_names(schema.keypoints)
    missing = [name for name in (start, end) if name not in names]
    if missing:
        raise ValueError(
            f"the torso needs {start} and {end}, but schema {schema.name!r} has no {' and no '.join(missing)}; "
            "pass another length as `normalizers` to `pck`."
        )
    a, b = people[:, names.index(start)], people[:, names.index(end)]  # (N, 3) each
    return np.where((a[:, 2] > 0) & (b[:, 2] > 0), np.linalg.norm(a[:, :2] - b[:, :2], axis=1), np.nan)


def _checked_lengths(normalizers: npt.ArrayLike, count: int) -> np.ndarray:
    lengths = np.asarray(normalizers, dtype=np.float64)
    if lengths.shape != (count,):
        raise ValueError(f"normalizers must have shape {(count,)}, one length a person, got {lengths.shape}.")
    if np.isinf(lengths).any() or (lengths < 0).any():
        raise ValueError("normalizers must be lengths in pixels, at least 0 (NaN: unknown), got negative or infinite.")
    return lengths
