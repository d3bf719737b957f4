"""Predictions of a model for every person of a dataset, by one process or several."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object, send_to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from vitpose.processing.people_vitpose import People
from vitpose.processing.prediction_vitpose import PosePredictor, locate_keypoints

from ..samples.crops import materialize_crops
from ..samples.pose import PoseDataset
from .by_dataset import column

# Numbers of people, their keypoints (n, K, 2) in image pixels and the keypoints' scores (n, K).
_Located = tuple[np.ndarray, np.ndarray, np.ndarray]


def predict_people(predictor: PosePredictor, loader: DataLoader, *, accelerator: Accelerator, detected: bool) -> People:
    """Predict every person of the loader's dataset once, whatever the number of processes.

    Args:
        predictor: The prepared model, or several whose heatmaps are averaged; they are set to evaluation mode and back.
        loader: Yields this process's share of the batches of `PoseDataset`, see `build_evaluation_loader`.
        accelerator: Of the run.
        detected: Whether a detector found the boxes, whose `box_score` then counts; else each counts as 1.

    Returns:
        The people in the order of the dataset.

    Raises:
        RuntimeError: The processes together did not predict every person exactly once.
    """
    models = [accelerator.unwrap_model(model) for model in _as_list(predictor.models)]  # no process waits for another
    share_buffers(models, accelerator)
    were_training = [model.training for model in models]
    dataset = cast(PoseDataset, loader.dataset)
    idle_turns = _idle_turns(loader, accelerator)
    predictor = replace(predictor, models=models)
    for model in models:
        model.eval()
    located: list[_Located] = []
    for batch in tqdm(loader, desc="evaluate", disable=not accelerator.is_local_main_process, leave=False):
        batch = materialize_crops(send_to_device(batch, accelerator.device), dataset.settings)
        heatmaps = predictor.heatmaps(batch["pixel_values"])
        points, scores = locate_keypoints(heatmaps, batch["matrix"].cpu(), dataset.settings)
        located.append((batch["index"].cpu().numpy(), points.numpy(), scores.numpy()))
    for _ in range(idle_turns):
        predictor.heatmaps(torch.zeros(1, 3, *dataset.settings.crop_size))
    for model, was_training in zip(models, were_training, strict=True):
        model.train(was_training)
    points, scores = _in_order(gather_object(located), count=len(dataset))
    return _people(points, scores, dataset, detected=detected)


def _as_list(models: nn.Module | Sequence[nn.Module]) -> list[nn.Module]:
    return [models] if isinstance(models, nn.Module) else list(models)


def _people(points: Tensor, scores: Tensor, dataset: PoseDataset, *, detected: bool) -> People:
    """The people of a dataset with their keypoints `(N, K, 2)` and scores `(N, K)`."""
    rows, schema = dataset.people, dataset.schema
    box_scores = column(rows, "box_score") if detected else [1.0] * len(rows)
    return People(
        keypoints_xy=points,
        scores=scores,
        boxes_xywh=torch.tensor(column(rows, "bbox"), dtype=torch.float64).reshape(-1, 4),
        box_scores=torch.tensor(box_scores, dtype=torch.float64),
        labels=(schema.category,) * len(rows),
        schema=schema,
    )


def _idle_turns(loader: DataLoader, accelerator: Accelerator) -> int:
    """How often this process runs a sharded model only because others, with more batches, cannot without it."""
    return max(gather_object([len(loader)])) - len(loader) if accelerator.is_fsdp2 else 0


def share_buffers(models: Sequence[nn.Module], accelerator: Accelerator) -> None:
    """Give all processes the running statistics of the first: in training each has those of its own batches."""
    if accelerator.num_processes > 1:
        for buffer in (buffer for model in models for buffer in model.buffers()):
            broadcast(buffer)


def _in_order(batches: Sequence[_Located], *, count: int) -> tuple[Tensor, Tensor]:
    """Keypoints and scores of all processes in the order of the people."""
    indices, points, scores = (np.concatenate(values) for values in zip(*batches, strict=True))
    times = np.bincount(indices, minlength=count)
    if len(times) != count or (times != 1).any():
        missing, repeated = np.flatnonzero(times == 0).tolist(), np.flatnonzero(times > 1).tolist()
        raise RuntimeError(
            f"Expected each of {count} people to be predicted once, got {len(indices)} predictions: people {missing} "
            f"were not predicted, people {repeated} more than once. Every process must see its own share of the data."
        )
    order = np.argsort(indices)
    return torch.from_numpy(points[order]), torch.from_numpy(scores[order])
