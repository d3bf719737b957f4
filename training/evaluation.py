"""Evaluation of a model on annotated people: flip test, decoding, rescoring, OKS AP and PCK (FACTS of the papers).

Every process predicts its share; the main one scores. Keypoints go back to image pixels before anything is measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.geometry_vitpose import transform_points
from vitpose.processing.heatmaps_vitpose import decode_heatmaps
from vitpose.processing.prediction_vitpose import predict_heatmaps

from .metrics import coco_keypoint_metrics
from .oks import oks_matrix, oks_nms, rescore
from .pck import pck, torso_size

PERSON_CATEGORY = 1
NMS_OKS = 0.9  # released configs


@dataclass(kw_only=True)
class Predictions:
    """What a model says about people, in the order of the dataset.

    Args:
        keypoints: (N, K, 2) float32, image pixels.
        scores: (N, K) float32, heights of the heatmap peaks.
    """

    keypoints: np.ndarray
    scores: np.ndarray


def heatmap_to_image(keypoints_heatmap: Tensor, matrices: Tensor, *, crop_size: tuple, heatmap_size: tuple) -> Tensor:
    """(N, K, 2) keypoints from heatmap pixels to image pixels, through the (N, 2, 3) crop-to-image matrices."""
    steps = [(crop - 1) / (heat - 1) for crop, heat in zip(crop_size[::-1], heatmap_size[::-1], strict=True)]  # x, y
    return transform_points(keypoints_heatmap * keypoints_heatmap.new_tensor(steps), matrices.to(keypoints_heatmap))


def predict_people(
    model: nn.Module,
    loader: DataLoader,
    *,
    accelerator: Accelerator,
    schema: KeypointSchema,
    flip_test: bool,
    dark_sigma: float,
    dataset_index: int | None = None,
) -> Predictions:
    """Predict every person of a prepared loader once, whatever the number of processes.

    Args:
        model: The prepared model; it is set to evaluation mode and back.
        loader: Yields the batches of `PoseDataset`, prepared by the same accelerator.
        schema: Its flip pairs are used by the flip test.
        flip_test: Whether to average with the mirrored crops.
        dark_sigma: Blur before decoding, heatmap pixels.
        dataset_index: Whose keypoints to predict, where the model has several datasets.
    """
    was_training = model.training
    model.eval()
    rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    flip_index = schema.flip_index if flip_test else None
    bar = tqdm(loader, desc="evaluate", disable=not accelerator.is_local_main_process, leave=False)
    for batch in bar:
        crops = batch["pixel_values"]
        heatmaps = predict_heatmaps(model, crops, dataset_index=dataset_index, flip_index=flip_index).float()
        points, scores = decode_heatmaps(heatmaps, blur_sigma=dark_sigma)
        points = heatmap_to_image(
            points, batch["matrix"], crop_size=tuple(crops.shape[-2:]), heatmap_size=tuple(heatmaps.shape[-2:])
        )
        indices, points, scores = accelerator.gather_for_metrics((batch["index"], points, scores))
        rows |= zip(indices.tolist(), zip(points.cpu().numpy(), scores.cpu().numpy(), strict=True), strict=True)
    model.train(was_training)
    ordered = [rows[index] for index in sorted(rows)]
    return Predictions(
        keypoints=np.stack([points for points, _ in ordered]), scores=np.stack([scores for _, scores in ordered])
    )


def to_coco_results(
    predictions: Predictions,
    people: Sequence[Mapping[str, Any]],
    *,
    schema: KeypointSchema,
) -> list[dict[str, Any]]:
    """COCO result dicts, rescored, and where boxes come from a detector thinned by OKS-NMS (released configs).

    Args:
        predictions: Keypoints and scores, one row a person.
        people: The people in the same order, with `image_id`, `bbox` [x, y, w, h], and `box_score` where a detector
            found them; an annotated box counts as score 1. Animals have their `category_id`.
    """
    box_scores = np.array([person.get("box_score", 1.0) for person in people], dtype=np.float64)
    scores = rescore(box_scores, predictions.scores)
    results = [
        {
            "image_id": int(person["image_id"]),
            "category_id": int(person.get("category_id", PERSON_CATEGORY)),
            "bbox": [float(value) for value in person["bbox"]],
            "keypoints": np.concatenate([points, heights[:, None]], axis=1).round(3).flatten().tolist(),
            "score": float(score),
        }
        for person, points, heights, score in zip(
            people, predictions.keypoints, predictions.scores, scores, strict=True
        )
    ]
    if any("box_score" in person for person in people) and schema.sigmas is not None:
        return _suppress(results, schema)
    return results


def _suppress(results: list[dict[str, Any]], schema: KeypointSchema) -> list[dict[str, Any]]:
    """Drop a result that repeats a better one of its image; what is left comes image by image, best first."""
    points = np.array([result["keypoints"] for result in results]).reshape(len(results), -1, 3)[..., :2]
    areas = [result["bbox"][2] * result["bbox"][3] for result in results]
    scores = [result["score"] for result in results]
    images = [result["image_id"] for result in results]
    kept = oks_nms(points, scores, areas, sigmas=schema.sigmas, threshold=NMS_OKS, image_ids=images)
    return [results[index] for index in kept]


@dataclass(kw_only=True)
class Evaluation:
    """Measured figures, and what they were measured on.

    Args:
        metrics: AP ... ARl where the schema has sigmas, PCK@0.2 of the torso where it has shoulders and hips.
        results: COCO result dicts.
        predictions: One row a person, in the order of the people.
        similarity: (N,) OKS of each person, NaN where nothing is labelled or the schema has no sigmas.
    """

    metrics: dict[str, float]
    results: list[dict[str, Any]] = field(repr=False)
    predictions: Predictions = field(repr=False)
    similarity: np.ndarray = field(repr=False)

    @property
    def main(self) -> tuple[str, float]:
        """The figure that ranks checkpoints, and its name: AP, or PCK where there is no AP."""
        name = "AP" if "AP" in self.metrics else "PCK"
        return name, self.metrics[name]


def score(
    predictions: Predictions,
    people: Sequence[Mapping[str, Any]],
    annotations: dict[str, Any] | str,
    *,
    schema: KeypointSchema,
    annotated_boxes: bool = True,
) -> Evaluation:
    """Score predictions against COCO ground truth with pycocotools, and by PCK where boxes are the annotated ones."""
    results = to_coco_results(predictions, people, schema=schema)
    metrics: dict[str, float] = {}
    similarity = np.full(len(people), np.nan)
    if schema.sigmas is not None:
        metrics |= coco_keypoint_metrics(results, annotations, sigmas=schema.sigmas)
    if annotated_boxes:
        targets = np.array([person["keypoints"] for person in people], dtype=np.float64)
        if schema.sigmas is not None:
            similarity = _own_similarity(predictions, targets, people, schema)
        if {"left_hip", "right_hip", "left_shoulder", "right_shoulder"} <= set(schema.keypoints):
            figures = pck(predictions.keypoints, targets, normalizers=torso_size(targets, schema))
            metrics["PCK"] = figures["PCK"]
            metrics["PCK_people_excluded"] = figures["people_excluded"]  # no torso labelled to measure by
    return Evaluation(metrics=metrics, results=results, predictions=predictions, similarity=similarity)


def _own_similarity(
    predictions: Predictions, targets: np.ndarray, people: Sequence[Mapping[str, Any]], schema: KeypointSchema
) -> np.ndarray:
    """(N,) OKS of each person with its own annotation, in blocks that keep the pairwise tables small."""
    areas = np.array([person["area"] for person in people], dtype=np.float64)
    blocks = np.array_split(np.arange(len(people)), max(1, len(people) // 64))
    diagonals = [
        np.diag(oks_matrix(predictions.keypoints[block], targets[block], areas[block], sigmas=schema.sigmas))
        for block in blocks
    ]
    return np.concatenate(diagonals)
