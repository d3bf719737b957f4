"""Scores of predicted people: OKS-NMS where a detector found them, and the dataset's own metrics.

Every process scores the whole. Keypoints are in image pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vitpose.processing.geometry_vitpose import box_to_center_and_size
from vitpose.processing.people_forms_vitpose import PERSON_CATEGORY
from vitpose.processing.people_vitpose import People
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..metrics.modules import MetricName
from ..metrics.oks import oks_matrix, oks_nms
from .by_dataset import Scored, chosen_metrics, column, has_column, measure

NMS_OKS = 0.9  # released configs


@dataclass(kw_only=True)
class Evaluation:
    """Measured metrics, and what they were measured on.

    Args:
        metrics: Values by name, the dataset's primary one first.
        results: COCO result dicts.
        people: One row a person, in the order of the data.
        similarity: `(N,)` OKS of each person with its own annotation, NaN where nothing is labeled, boxes come from a
            detector or the schema has no sigmas.
        measured: How it was measured, for `metrics.json`.
    """

    metrics: dict[str, float]
    results: list[dict[str, Any]] = field(repr=False)
    people: People = field(repr=False)
    similarity: np.ndarray = field(repr=False)
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def primary(self) -> tuple[str, float]:
        """Name and value of the metric that the dataset is known by, such as AP or PCKh."""
        return next(iter(self.metrics.items()))

    @property
    def merit(self) -> float:
        """The primary metric's value: of each of them a higher one is better."""
        return self.primary[1]


def score(
    people: People,
    rows: Sequence[Mapping[str, Any]],
    annotations: dict[str, Any] | str,
    *,
    settings: ProcessorSettings,
    annotated_boxes: bool = True,
    metrics: Sequence[MetricName] | None = None,
    measured: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score people against COCO ground truth, and against each person's own where boxes are the annotated ones.

    Args:
        people: The predictions.
        rows: The same people, in the columns of the readers.
        annotations: COCO ground truth, or the path of its file.
        settings: Of the processor; the area of the crops is what OKS-NMS measures by.
        annotated_boxes: Whether the boxes are those of the annotation.
        metrics: Which, see `chosen_metrics`; those that the keypoints allow if not given.
        measured: How the people were predicted, for `metrics.json`.
    """
    schema = people.schema
    results = to_coco_results(people, rows, settings=settings, annotated_boxes=annotated_boxes)
    points = people.keypoints_xy.numpy()
    scored = Scored(points=points, people=rows, results=results, annotations=annotations, schema=schema)
    similarity = np.full(len(people), np.nan)
    if annotated_boxes and schema.sigmas is not None:
        similarity = _own_similarity(points, scored.targets, rows, schema.sigmas)
    metrics = metrics or chosen_metrics("people", schema, annotated_boxes=annotated_boxes)
    return Evaluation(
        metrics=measure(metrics, scored),
        results=results,
        people=people,
        similarity=similarity,
        measured=dict(measured or {}),
    )


def to_coco_results(
    people: People, rows: Sequence[Mapping[str, Any]], *, settings: ProcessorSettings, annotated_boxes: bool
) -> list[dict[str, Any]]:
    """COCO result dicts; where boxes come from a detector thinned by OKS-NMS, then image by image, best first.

    Args:
        people: The predictions.
        rows: The same people with `image_id`, and animals with their `category_id`.
        settings: Of the processor, whose crops' areas OKS-NMS measures by (released configs).
        annotated_boxes: Whether the boxes are those of the annotation: nobody is there twice.
    """
    image_ids = column(rows, "image_id")
    categories = column(rows, "category_id") if has_column(rows, "category_id") else PERSON_CATEGORY
    results = people.to_coco(image_ids, category_ids=categories)
    sigmas = people.schema.sigmas
    if annotated_boxes or sigmas is None or not results:
        return results
    _, sizes = box_to_center_and_size(
        people.boxes_xywh.double(), crop_size=settings.crop_size, padding=settings.padding
    )
    kept = oks_nms(
        people.keypoints_xy.double().numpy(),
        people.person_scores.tolist(),
        sizes.prod(-1).tolist(),
        sigmas=sigmas,
        threshold=NMS_OKS,
        image_ids=image_ids,
    )
    return [results[index] for index in kept]


def _own_similarity(
    points: np.ndarray, targets: np.ndarray, rows: Sequence[Mapping[str, Any]], sigmas: Sequence[float]
) -> np.ndarray:
    """`(N,)` OKS of each person with its own annotation, in blocks that keep the pairwise tables small."""
    areas = np.array(column(rows, "area"), dtype=np.float64)
    blocks = np.array_split(np.arange(len(points)), max(1, len(points) // 64))
    diagonals = [np.diag(oks_matrix(points[block], targets[block], areas[block], sigmas=sigmas)) for block in blocks]
    return np.concatenate(diagonals)
