"""Results in the form that each benchmark takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics.wholebody import NUMBERS
from .by_dataset import column

MPII_KEYPOINTS = 16


def submission(results: Sequence[Mapping[str, Any]], *, dataset: str) -> list[dict[str, Any]]:
    """COCO's results form; of COCO-WholeBody with the keypoints of body, feet, face and hands in fields of their own.

    Args:
        results: COCO result dicts with all keypoints in `keypoints`.
        dataset: Name of the dataset, or of its keypoint schema.
    """
    if dataset != "coco_wholebody":
        return [dict(result) for result in results]
    ends = np.cumsum(list(NUMBERS.values())).tolist()
    split = []
    for result in results:
        parts = {
            field: result["keypoints"][end - count : end]
            for (field, count), end in zip(NUMBERS.items(), ends, strict=True)
        }
        split.append({**result, **parts})
    return split


def mpii_predictions(points: np.ndarray, people: Any) -> np.ndarray:
    """Keypoints of MPII as the field's `pred.mat` holds them under `preds`: in the order of the annotation file.

    Args:
        points: (N, 16, 2) x, y in image pixels, counted from 0.
        people: The N people; `person_id` is their place in the file.

    Returns:
        (M, 16, 2) x, y in pixels counted from 1, as MATLAB does; NaN for people of the file who were not predicted.
    """
    places = np.array(column(people, "person_id"))
    table = np.full((places.max() + 1, MPII_KEYPOINTS, 2), np.nan)
    table[places] = points + 1.0
    return table
