"""Evaluation of a model on annotated people: flip test, decoding, rescoring, and the dataset's own metrics.

Every process predicts its share, and all of them score the whole. Keypoints go back to image pixels before anything is
measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.geometry_vitpose import box_to_center_and_size

from ..metrics.modules import MetricName
from ..metrics.oks import oks_matrix, oks_nms, rescore
from .by_dataset import Scored, chosen_metrics, column, measure
from .predict import Predictions

PERSON_CATEGORY = 1


NMS_OKS = 0.9  # released configs


def to_coco_results(
    predictions: Predictions,
    people: Sequence[Mapping[str, Any]],
    *,
    schema: KeypointSchema,
    annotated_boxes: bool = False,
    crop_size: tuple[int, int] = (256, 192),
    padding: float = 1.25,
) -> list[dict[str, Any]]:
    """COCO result dicts, rescored, and where boxes come from a detector thinned by OKS-NMS (released configs).

    Args:
        predictions: Keypoints and scores, one row a person.
        people: The people in the same order, with `image_id`, `bbox` [x, y, w, h], and `box_score` where a detector
            found them. Animals have their `category_id`.
        schema: The keypoints.
        annotated_boxes: Whether the boxes are those of the annotation, each of which counts as score 1.
        crop_size: Height and width of the crops in pixels; their shape and `padding`, the factor on the boxes' sides,
            give the area that OKS-NMS measures by.
    """
    detected = not annotated_boxes and any("box_score" in person for person in people)
    box_scores = np.array([person.get("box_score", 1.0) if detected else 1.0 for person in people], dtype=np.float64)
    scores = rescore(box_scores, predictions.scores)
    results = [
        {
            "image_id": int(person["image_id"]),
            "category_id": int(person.get("category_id", PERSON_CATEGORY)),
            "bbox": [float(value) for value in person["bbox"]],
            "keypoints": np.concatenate([points, heights[:, None]], axis=1).round(3).flatten().tolist(),
            "score": round(float(score), 6),
        }
        for person, points, heights, score in zip(
            people, predictions.keypoints, predictions.scores, scores, strict=True
        )
    ]
    if detected and schema.sigmas is not None:
        boxes = torch.tensor([result["bbox"] for result in results], dtype=torch.float64)  # (n, 4)
        _, sizes = box_to_center_and_size(boxes, crop_size=crop_size, padding=padding)
        return _suppress(results, schema, areas=sizes.prod(-1).tolist())
    return results


def _suppress(results: list[dict[str, Any]], schema: KeypointSchema, *, areas: Sequence[float]) -> list[dict[str, Any]]:
    """Drop a result that repeats a better one of its image; what is left comes image by image, best first."""
    points = np.array([result["keypoints"] for result in results]).reshape(len(results), -1, 3)[..., :2]
    scores = [result["score"] for result in results]
    images = [result["image_id"] for result in results]
    kept = oks_nms(points, scores, areas, sigmas=schema.sigmas, threshold=NMS_OKS, image_ids=images)
    return [results[index] for index in kept]


@dataclass(kw_only=True)
class Evaluation:
    """Measured figures, and what they were measured on.

    Args:
        metrics: Figures by name, the dataset's main one first.
        results: COCO result dicts.
        predictions: One row a person, in the order of the people.
        similarity: (N,) OKS of each person with its own annotation, NaN where nothing is labelled, boxes come from a
            detector or the schema has no sigmas.
    """

    metrics: dict[str, float]
    results: list[dict[str, Any]] = field(repr=False)
    predictions: Predictions = field(repr=False)
    similarity: np.ndarray = field(repr=False)

    @property
    def main(self) -> tuple[str, float]:
        """The figure that the dataset is known by, such as AP or PCKh, and its name first."""
        return next(iter(self.metrics.items()))


def score(
    predictions: Predictions,
    people: Sequence[Mapping[str, Any]],
    annotations: dict[str, Any] | str,
    *,
    schema: KeypointSchema,
    annotated_boxes: bool = True,
    metrics: Sequence[MetricName] | None = None,
    crop_size: tuple[int, int] = (256, 192),
    padding: float = 1.25,
) -> Evaluation:
    """Score predictions against COCO ground truth, and against each person's own where boxes are the annotated ones.

    Args:
        metrics: Which, see `chosen_metrics`; those that the keypoints allow if not given.
        crop_size, padding: Of the crops, as for [`to_coco_results`].
    """
    results = to_coco_results(
        predictions, people, schema=schema, annotated_boxes=annotated_boxes, crop_size=crop_size, padding=padding
    )
    scored = Scored(
        points=predictions.keypoints, people=people, results=results, annotations=annotations, schema=schema
    )
    metrics = metrics or chosen_metrics("people", schema, annotated_boxes=annotated_boxes)
    similarity = np.full(len(people), np.nan)
    if annotated_boxes and schema.sigmas is not None:
        similarity = _own_similarity(predictions, scored.targets, people, schema)
    return Evaluation(metrics=measure(metrics, scored), results=results, predictions=predictions, similarity=similarity)


def _own_similarity(
    predictions: Predictions, targets: np.ndarray, people: Sequence[Mapping[str, Any]], schema: KeypointSchema
) -> np.ndarray:
    """(N,) OKS of each person with its own annotation, in blocks that keep the pairwise tables small."""
    areas = np.array(column(people, "area"), dtype=np.float64)
    blocks = np.array_split(np.arange(len(people)), max(1, len(people) // 64))
    diagonals = [
        np.diag(oks_matrix(predictions.keypoints[block], targets[block], areas[block], sigmas=schema.sigmas))
        for block in blocks
    ]
    return np.concatenate(diagonals)
