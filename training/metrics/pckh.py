"""PCKh, MPII's percentage of correct keypoints, measured by the size of the head."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vitpose.modeling.keypoint_schemas import get_keypoint_schema

from .pck import checked_boxes, pck

HEAD_SHARE = 0.6  # of the head box's diagonal, MPII
STRICT_THRESHOLD = 0.1
NOT_IN_MEAN = ("pelvis", "thorax")
GROUPS = {
    "Head": ("head_top",),
    "Shoulder": ("left_shoulder", "right_shoulder"),
    "Elbow": ("left_elbow", "right_elbow"),
    "Wrist": ("left_wrist", "right_wrist"),
    "Hip": ("left_hip", "right_hip"),
    "Knee": ("left_knee", "right_knee"),
    "Ankle": ("left_ankle", "right_ankle"),
}


def pckh(
    predictions: npt.ArrayLike, targets: npt.ArrayLike, *, head_sizes: npt.ArrayLike, threshold: float = 0.5
) -> dict[str, Any]:
    """Compute the PCKh of the 16 keypoints of MPII: the share within `threshold` times the head size, by MPII's rules.

    Left and right are averaged with equal weight. The mean is over all labels except those of pelvis and thorax;
    upper neck counts in it, though no group shows it. MPII's files count pixels from 1: predictions and targets must
    count alike, both from 0 or both from 1; the metrics are then the same.

    Args:
        predictions: `(N, 16, 2)` x, y in image pixels.
        targets: `(N, 16, 3)` labeled x, y, visibility in image pixels; visibility 0 means not labeled.
        head_sizes: `(N,)` in image pixels, see `head_size`. People whose size is NaN or 0 cannot be judged: they are
            left out and counted.
        threshold: Share of the head size within which a keypoint is right.

    Returns:
        `Head`, `Shoulder`, `Elbow`, `Wrist`, `Hip`, `Knee`, `Ankle` and `Mean` in [0, 1], NaN where a keypoint of the
        group is labeled for nobody; `Mean@0.1`, the mean at a threshold of 0.1 (the released configs print 0.11 under
        that name); `people` judged and `people_excluded`.
    """
    schema = get_keypoint_schema("mpii")
    people = np.array(targets, dtype=np.float64)
    if people.ndim != 3 or people.shape[1:] != (schema.num_keypoints, 3):
        raise ValueError(f"targets must have shape (N, {schema.num_keypoints}, 3), got {people.shape}.")
    people[:, [schema.keypoints.index(name) for name in NOT_IN_MEAN], 2] = 0
    at_threshold = pck(predictions, people, normalizers=head_sizes, threshold=threshold)
    strict = pck(predictions, people, normalizers=head_sizes, threshold=STRICT_THRESHOLD)
    shares = dict(zip(schema.keypoints, at_threshold["PCK_per_keypoint"], strict=True))
    groups = {group: float(np.mean([shares[name] for name in names])) for group, names in GROUPS.items()}
    counts = {name: at_threshold[name] for name in ("people", "people_excluded")}
    return {**groups, "Mean": at_threshold["PCK"], f"Mean@{STRICT_THRESHOLD}": strict["PCK"], **counts}


def head_size(head_boxes: npt.ArrayLike) -> np.ndarray:
    """Head sizes `(N,)` of `(N, 4)` head boxes [x, y, width, height]: 0.6 times the diagonal (MPII).

    MPII gives the corners x1, y1, x2, y2 of a head; its width is x2 - x1.
    """
    return HEAD_SHARE * np.linalg.norm(checked_boxes(head_boxes)[:, 2:], axis=1)
