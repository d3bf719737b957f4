"""Predictions of a model for every person of a dataset, by one process or several."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object, send_to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.geometry_vitpose import transform_points
from vitpose.processing.heatmaps_vitpose import decode_heatmaps
from vitpose.processing.prediction_vitpose import predict_heatmaps

from ..samples.collate import crops_of
from ..samples.pose import PoseDataset


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
