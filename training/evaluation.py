"""Evaluation of a model on annotated people: flip test, decoding, rescoring, and the dataset's own metrics.

Every process predicts its share, and all of them score the whole. Keypoints go back to image pixels before anything is
measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object, send_to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.geometry_vitpose import box_to_center_and_size, transform_points
from vitpose.processing.heatmaps_vitpose import decode_heatmaps
from vitpose.processing.prediction_vitpose import predict_heatmaps

from .dataset_metrics import Scored, chosen_metrics, column, measure
from .metric_modules import MetricName
from .oks import oks_matrix, oks_nms, rescore
from .pose_dataset import PoseDataset
from .region_batches import crops_of

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
    return transform_points(keypoints_heatmap * keypoints_heatmap.new_tensor(steps), matrices)


def predict_people(
    model: nn.Module | Sequence[nn.Module],
    loader: DataLoader,
    *,
    accelerator: Accelerator,
    schema: KeypointSchema,
    flip_test: bool,
    dark_sigma: float,
    dataset_index: int | None = None,
) -> Predictions:
    """Predict every person of the loader's dataset once, whatever the number of processes.

    Args:
        model: The prepared model, or several whose heatmaps are averaged; they are set to evaluation mode and back.
        loader: Yields this process's share of the batches of `PoseDataset`, see `build_evaluation_loader`.
        schema: Its flip pairs are used by the flip test.
        flip_test: Whether to average with the mirrored crops.
        dark_sigma: Blur before decoding, heatmap pixels.
        dataset_index: Whose keypoints to predict, where the model has several datasets.

    Raises:
        RuntimeError: The processes together did not predict every person exactly once.
    """
    given = [model] if isinstance(model, nn.Module) else list(model)
    models = [accelerator.unwrap_model(each) for each in given]  # shares may differ in length: no process waits
    share_buffers(models, accelerator)
    were_training = [each.training for each in models]
    dataset = cast(PoseDataset, loader.dataset)
    batches = []
    flip_index = schema.flip_index if flip_test else None
    predict = partial(predict_heatmaps, models, dataset_index=dataset_index, flip_index=flip_index)
    idle_turns = _idle_turns(loader, accelerator)
    for each in models:
        each.eval()
    for batch in tqdm(loader, desc="evaluate", disable=not accelerator.is_local_main_process, leave=False):
        batch = crops_of(send_to_device(batch, accelerator.device), dataset.read_crops)
        crops = batch["pixel_values"]
        heatmaps = predict(crops).float()
        points, scores = decode_heatmaps(heatmaps, blur_sigma=dark_sigma)
        points = heatmap_to_image(
            points, batch["matrix"], crop_size=tuple(crops.shape[-2:]), heatmap_size=tuple(heatmaps.shape[-2:])
        )
        batches.append(tuple(values.cpu().numpy() for values in (batch["index"], points, scores)))
    for _ in range(idle_turns):
        predict(torch.zeros(1, 3, *dataset.crop_size, device=accelerator.device))
    for each, was_training in zip(models, were_training, strict=True):
        each.train(was_training)
    return _in_order(gather_object(batches), count=len(dataset))


def _idle_turns(loader: DataLoader, accelerator: Accelerator) -> int:
    """How often this process runs a sharded model only because others, with more batches, cannot without it."""
    return max(gather_object([len(loader)])) - len(loader) if accelerator.is_fsdp2 else 0


def share_buffers(models: Sequence[nn.Module], accelerator: Accelerator) -> None:
    """Give all processes the running statistics of the first: in training each has those of its own batches."""
    if accelerator.num_processes > 1:
        for buffer in (buffer for model in models for buffer in model.buffers()):
            broadcast(buffer)


def _in_order(batches: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], *, count: int) -> Predictions:
    """The batches (indices, keypoints, scores) of all processes in the order of the people."""
    indices, points, scores = (np.concatenate(values) for values in zip(*batches, strict=True))
    times = np.bincount(indices, minlength=count)
    if len(times) != count or (times != 1).any():
        missing, repeated = np.flatnonzero(times == 0).tolist(), np.flatnonzero(times > 1).tolist()
        raise RuntimeError(
            f"Expected each of {count} people to be predicted once, got {len(indices)} predictions: people {missing} "
            f"were not predicted, people {repeated} more than once. Every process must see its own share of the data."
        )
    order = np.argsort(indices)
    return Predictions(keypoints=points[order], scores=scores[order])


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
