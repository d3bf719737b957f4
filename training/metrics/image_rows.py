"""Poses and people image by image, as the `evaluate` modules take them, to COCO results and ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
from datasets import Value

from vitpose.processing.people_forms_vitpose import PERSON_CATEGORY


def number_lists(depth: int) -> Any:
    """Type of a column whose rows are numbers in lists of this depth; 0: one number."""
    feature: Any = Value("float64")
    for _ in range(depth):
        feature = datasets.List(feature)
    return feature


def image_features(*, person: Sequence[str] = ("area", "iscrowd"), image: Sequence[str] = ()) -> dict[str, Any]:
    """Types of the rows of a module that scores the poses of an image against its people.

    Args:
        person: Columns of each person besides keypoints and bbox, of one number each.
        image: Columns of each image, of one number each.
    """
    poses = {"keypoints": number_lists(3), "score": number_lists(1)}
    people = {"keypoints": number_lists(3), "bbox": number_lists(2)}
    people |= {name: number_lists(1) for name in person} | {name: number_lists(0) for name in image}
    return {"predictions": poses, "references": people}


def coco_of_images(
    predictions: Sequence[Mapping[str, Any]], references: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Convert rows of [`image_features`] to COCO results and ground truth; the image's id is its row, from 0.

    Args:
        predictions: For each image `keypoints` (P, K, 3), x, y, score in image pixels, and `score` (P,).
        references: For each image `keypoints` (M, K, 3), x, y, visibility in image pixels, and columns of M numbers
            or one number for the image.
    """
    results: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    for number, (poses, truth) in enumerate(zip(predictions, references, strict=True)):
        own = {"image_id": number, "category_id": PERSON_CATEGORY}
        results += [own | row for row in _rows(poses, f"predictions of image {number}")]
        people += [own | row for row in _rows(truth, f"references of image {number}")]
        images.append({"id": number} | {key: value for key, value in truth.items() if not _is_column(value)})
    category = {"id": PERSON_CATEGORY, "name": "person"}
    return results, {"images": images, "annotations": people, "categories": [category]}


def _rows(columns: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """Split columns with one entry for each person into one dict for each person."""
    lengths = {key: len(value) for key, value in columns.items() if _is_column(value)}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{where} must have one entry a person in every column, got {lengths}.")
    return [dict(zip(lengths, values, strict=True)) for values in zip(*(columns[key] for key in lengths), strict=True)]


def _is_column(value: Any) -> bool:
    return isinstance(value, list)
