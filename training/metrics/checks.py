"""Checks of ground truth and results in COCO form; an error names the file and the entry.

The evaluators check nothing: they read the id 0 as "no match", NaN as a miss, and an extra `bbox` of a result as its
size.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vitpose.base.errors import PlacedError
from vitpose.base.files import read_json
from vitpose.base.names import first_of

Row = dict[str, Any]

_RESULT_FIELDS = ("image_id", "category_id", "keypoints", "score")
_PERSON_FIELDS = ("image_id", "category_id", "keypoints", "bbox", "area")


def load_source(source: Any, what: str) -> tuple[Any, str]:
    """Read a JSON file, or take the object itself; also returns its name for errors."""
    if not isinstance(source, str | os.PathLike):
        return source, what
    return read_json(source), f"{what} of {os.fspath(source)}"


def check_coco_layout(annotations: Any, name: str = "annotations") -> tuple[list[Row], list[Row]]:
    """Check the layout of a ground truth in COCO form, and return its images and annotations.

    Raises:
        TypeError: It is not a dict.
        ValueError: One of the three lists is missing, or an id occurs twice.
    """
    if not isinstance(annotations, dict):
        raise TypeError(f"{name} must be a COCO dict or its JSON file, got {type(annotations).__name__}.")
    missing = [field for field in ("images", "annotations", "categories") if field not in annotations]
    if missing:
        raise ValueError(f"{name}: the ground truth lacks {missing}; it has {sorted(annotations)}.")
    _require_once((image["id"] for image in annotations["images"]), f"{name}: image id")
    _require_once((row["id"] for row in annotations["annotations"] if "id" in row), f"{name}: annotation id")
    return annotations["images"], annotations["annotations"]


def check_ground_truth(annotations: Any, *, num_keypoints: int, name: str = "annotations") -> dict[str, Any]:
    """Check a ground truth in COCO form, and return a copy with annotation ids counted from 1.

    Args:
        annotations: The COCO dict; it is not changed.
        num_keypoints: K of each annotation.
        name: Its name in errors.
    """
    images, rows = check_coco_layout(annotations, name)
    require_fields(rows, _PERSON_FIELDS, name)
    keypoints = _keypoint_table(rows, num_keypoints, name)
    boxes = number_table([row["bbox"] for row in rows], (4,), rows, f"{name}: bbox")
    areas = number_table([row["area"] for row in rows], (), rows, f"{name}: area")
    _require_none((areas < 0) | (boxes[:, 2:] < 0).any(axis=1), rows, f"{name}: a negative area or box side")
    require_known(rows, "image_id", images, name)
    require_known(rows, "category_id", annotations["categories"], name)
    labeled = (keypoints[:, 2::3] > 0).sum(axis=1).tolist()
    people = [
        {"iscrowd": 0, "num_keypoints": count, **row, "id": number, "keypoints": points}
        for number, (row, points, count) in enumerate(zip(rows, keypoints.tolist(), labeled, strict=True), start=1)
    ]
    return {"images": images, "categories": annotations["categories"], "annotations": people}


def check_results(results: Any, truth: dict[str, Any], *, num_keypoints: int, name: str = "results") -> list[Row]:
    """Check results in COCO form, and return copies with the fields that count and the area of the keypoints' extent.

    Args:
        results: The COCO results; they are not changed.
        truth: The ground truth, see `check_ground_truth`.
        num_keypoints: K of each result.
        name: Their name in errors.
    """
    if not isinstance(results, Sequence) or not all(isinstance(result, dict) for result in results):
        raise TypeError(f"{name} must be a list of COCO result dicts or its JSON file.")
    require_fields(results, _RESULT_FIELDS, name)
    keypoints = _keypoint_table(results, num_keypoints, name)
    scores = number_table([result["score"] for result in results], (), results, f"{name}: score")
    require_known(results, "image_id", truth["images"], name)
    require_known(results, "category_id", truth["categories"], name)
    columns = zip(results, keypoints.tolist(), scores.tolist(), extent_areas(keypoints).tolist(), strict=True)
    return [
        {**{field: row[field] for field in _RESULT_FIELDS}, "id": n, "keypoints": points, "score": score, "area": area}
        for n, (row, points, score, area) in enumerate(columns, start=1)
    ]


def extent_areas(keypoints: np.ndarray) -> np.ndarray:
    """Areas `(N,)` of the boxes around keypoints `(N, 3 K)`, by which the evaluators sort results into sizes."""
    if not len(keypoints):
        return np.zeros(0)
    return np.ptp(keypoints[:, 0::3], axis=1) * np.ptp(keypoints[:, 1::3], axis=1)


def number_table(values: Sequence[Any], shape: tuple[int, ...], rows: Sequence[Row], what: str) -> np.ndarray:
    """Stack finite values of all rows into `(N, *shape)`, or raise a ValueError that names the rows that do not fit."""
    wrong = np.asarray([_shape(value) != shape for value in values], dtype=bool)
    wanted = f"{shape[0]} numbers" if shape else "a number"
    _require_none(wrong, rows, f"{what} must be {wanted}, but it is something else")
    table = np.asarray(values, dtype=np.float64).reshape(len(values), *shape)
    _require_none(_not_finite(table), rows, f"{what} that is NaN or infinite")
    return table


def require_fields(rows: Sequence[Row], fields: Iterable[str], name: str) -> None:
    """Raise a ValueError that names the first row that lacks a field."""
    wanted = set(fields)
    for number, row in enumerate(rows):
        if not wanted <= row.keys():
            missing = sorted(wanted - row.keys())
            raise PlacedError(f"lacks {missing}; it has {sorted(row)}.", (name, _entry(rows, number)), " ")


def require_known(rows: Sequence[Row], field: str, known: Sequence[Row], name: str) -> None:
    """Raise a ValueError that names the images or categories of rows that the ground truth lacks."""
    unknown = sorted({row[field] for row in rows} - {entry["id"] for entry in known}, key=str)
    if unknown:
        raise ValueError(f"{name} refer to {field} {first_of(unknown)}, absent from the ground truth's {len(known)}.")


def _keypoint_table(rows: Sequence[Row], num_keypoints: int, name: str) -> np.ndarray:
    """Stack the finite keypoints of all rows, flat or as K triples, into `(N, 3 K)`."""
    fitting = ((3 * num_keypoints,), (num_keypoints, 3))
    shapes = [_shape(row["keypoints"]) for row in rows]
    wrong = [number for number, shape in enumerate(shapes) if shape not in fitting]
    if wrong:
        found = shapes[wrong[0]] or "lists of unequal length"
        raise ValueError(
            f"{name} must hold 3 x {num_keypoints} = {3 * num_keypoints} keypoint numbers each, flat or as "
            f"{num_keypoints} triples, got {found} in {_entries(rows, wrong)}; pass the `sigmas` of the data's "
            "keypoint schema."
        )
    table = np.asarray([np.ravel(row["keypoints"]) for row in rows], dtype=np.float64)
    table = table.reshape(len(rows), 3 * num_keypoints)
    _require_none(_not_finite(table), rows, f"{name}: keypoints that are NaN or infinite")
    return table


def _not_finite(table: np.ndarray) -> npt.NDArray[np.bool_]:
    return ~np.isfinite(table).all(axis=tuple(range(1, table.ndim)))


def _shape(value: Any) -> tuple[int, ...] | None:
    """Shape of nested lists; None where their lengths differ."""
    try:
        return np.shape(value)
    except ValueError:
        return None


def _require_once(ids: Iterable[Hashable], what: str) -> None:
    repeated = [key for key, times in Counter(ids).items() if times > 1]
    if repeated:
        raise ValueError(f"{what} {first_of(repeated)} occurs more than once: expected each once. Renumber them.")


def _require_none(wrong: np.ndarray, rows: Sequence[Row], complaint: str) -> None:
    if wrong.any():
        raise ValueError(f"{complaint}, in {_entries(rows, np.flatnonzero(wrong))}.")


def _entries(rows: Sequence[Row], numbers: Sequence[int] | np.ndarray) -> str:
    return first_of([_entry(rows, int(number)) for number in numbers])


def _entry(rows: Sequence[Row], number: int) -> str:
    """Name a row by its number from 0 and, where known, its id or its image."""
    for field in ("id", "image_id"):
        if field in rows[number]:
            return f"entry {number} ({field} {rows[number][field]})"
    return f"entry {number}"
