"""COCO-WholeBody AP and AR of the whole and of its parts (the rules of xtcocotools, the benchmark's own evaluator).

Every part is scored alone: a person counts where one of the part's keypoints is labeled, the
OKS uses the part's sigmas and the area of the whole person, and a pose without a keypoint score above 0 in the part
says nothing about it and is left out. `foot_valid`, `face_valid`, `lefthand_valid` and `righthand_valid` say whether a
part is labeled at all; the evaluator reads that off the keypoints, and so does this one. Poses are sorted into medium
and large by the extent of their body keypoints, for every part.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from vitpose.modeling.keypoint_schemas import get_keypoint_schema

from .average_precision import Backend, oks_metrics
from .checks import Row, check_coco_layout, check_ground_truth, check_results, extent_areas, load_source, number_table

NUMBERS = {"keypoints": 51, "foot_kpts": 18, "face_kpts": 204, "lefthand_kpts": 63, "righthand_kpts": 63}
PARTS = {  # the keypoints from and to which a part goes, in the order of the schema
    "body": slice(0, 17),
    "foot": slice(17, 23),
    "face": slice(23, 91),
    "left_hand": slice(91, 112),
    "right_hand": slice(112, 133),
    "whole": slice(0, 133),
}
SCORES = {  # the official form may rank poses by part
    "foot": "foot_score",
    "face": "face_score",
    "left_hand": "lefthand_score",
    "right_hand": "righthand_score",
    "whole": "wholebody_score",
}


def wholebody_metrics(
    results: Sequence[dict[str, Any]] | str | os.PathLike[str],
    annotations: dict[str, Any] | str | os.PathLike[str],
    backend: Backend = "pycocotools",
) -> dict[str, dict[str, float]]:
    """Compute COCO's ten metrics for body, foot, face, left hand, right hand and all 133 keypoints.

    Args:
        results: Dicts in COCO results form, or a JSON file of them. The keypoints (x, y, score in image pixels) are
            133 in `keypoints`, or in the official form 17 there and the others in `foot_kpts`, `face_kpts`,
            `lefthand_kpts` and `righthand_kpts`. A part's own score, such as `face_score`, replaces `score`.
        annotations: Ground truth in COCO form with the keypoints in either way, or its JSON file.
        backend: See `coco_keypoint_metrics`.

    Returns:
        For each of `body`, `foot`, `face`, `left_hand`, `right_hand`, `whole` what `coco_keypoint_metrics` returns.

    Raises:
        ValueError: A result or annotation does not fit; the message names it.
    """
    schema = get_keypoint_schema("coco_wholebody")
    assert schema.sigmas is not None
    content, name = load_source(annotations, "annotations")
    _, people = check_coco_layout(content, name)
    whole = {**content, "annotations": _joined(people, name)}
    truth = check_ground_truth(whole, num_keypoints=schema.num_keypoints, name=name)
    content, name = load_source(results, "results")
    joined = _joined(content, name) if isinstance(content, Sequence) else content
    poses = check_results(joined, truth, num_keypoints=schema.num_keypoints, name=name)
    metrics = {}
    for part, columns in PARTS.items():
        part_poses = _poses_of_part(poses, columns, _part_scores(joined, part, name))
        part_truth = _truth_of_part(truth, columns)
        metrics[part] = oks_metrics(part_truth, part_poses, sigmas=schema.sigmas[columns], backend=backend)
    return metrics


def _joined(rows: Sequence[Row], name: str) -> list[Row]:
    """Copies of the rows with all keypoints in `keypoints`; rows that have no other field of them stay as they are."""
    others = [field for field in NUMBERS if field != "keypoints"]
    joined = []
    for number, row in enumerate(rows):
        if isinstance(row, dict) and any(field in row for field in others):
            found = {field: np.size(row.get(field, ())) for field in NUMBERS}
            if found != NUMBERS:
                place = f"{name}: entry {number} (image_id {row.get('image_id')})"
                raise ValueError(f"{place} must have keypoint numbers in all fields, {NUMBERS}, got {found}.")
            row = {**row, "keypoints": np.concatenate([np.ravel(row[field]) for field in NUMBERS])}
        joined.append(row)
    return joined


def _part_scores(results: Sequence[Row], part: str, name: str) -> np.ndarray:
    field = SCORES.get(part, "score")
    return number_table([row.get(field, row["score"]) for row in results], (), results, f"{name}: {field}")


def _truth_of_part(truth: dict[str, Any], columns: slice) -> dict[str, Any]:
    keypoints = _of_part(truth["annotations"], columns)
    labeled = (keypoints[:, :, 2] > 0).sum(axis=1).tolist()
    rows = zip(truth["annotations"], keypoints.reshape(len(keypoints), -1).tolist(), labeled, strict=True)
    return {**truth, "annotations": [{**row, "keypoints": points, "num_keypoints": n} for row, points, n in rows]}


def _poses_of_part(poses: list[Row], columns: slice, scores: np.ndarray) -> list[Row]:
    keypoints = _of_part(poses, columns)
    areas = extent_areas(_of_part(poses, PARTS["body"]).reshape(len(poses), -1))
    said = (keypoints[:, :, 2] > 0).any(axis=1)
    flat = keypoints.reshape(len(poses), -1)
    return [
        {**poses[n], "keypoints": flat[n].tolist(), "score": float(scores[n]), "area": float(areas[n])}
        for n in np.flatnonzero(said)
    ]


def _of_part(rows: list[Row], columns: slice) -> np.ndarray:
    """Keypoints `(N, K, 3)` of one part."""
    table = np.asarray([row["keypoints"] for row in rows], dtype=np.float64)
    return table.reshape(len(rows), PARTS["whole"].stop, 3)[:, columns]
