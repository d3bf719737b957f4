"""Differences between an exported model and the model in torch, and their bounds."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor
from vitpose.processing.people_forms_vitpose import CONFIDENCE_THRESHOLD
from vitpose.processing.prediction_vitpose import decode
from vitpose.training.synthetic.people import SyntheticPeople

from .runtimes import Runtime

Precision = Literal["fp32", "fp16"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The largest differences between two models on the same crops.

    Args:
        heatmaps: Of a heatmap's value; the peak value of a confident keypoint of a trained model is about 1.
        keypoints: Of a keypoint's position on generated people, in heatmap pixels, where torch finds one clear peak. Of
            two peaks of about the same value, rounding may take either.
    """

    heatmaps: float
    keypoints: float

    def is_within(self, bound: "Difference") -> bool:
        """True if neither is larger; NaN is."""
        return self.heatmaps <= bound.heatmaps and self.keypoints <= bound.keypoints

    def __str__(self) -> str:
        return f"{self.heatmaps:.2g} of heatmaps, {self.keypoints:.2g} heatmap pixels of keypoints"


BOUNDS: dict[Precision, Difference] = {
    "fp32": Difference(heatmaps=1e-4, keypoints=0.05),
    "fp16": Difference(heatmaps=2e-2, keypoints=0.5),
}


CLEAR_LEAD = 0.1  # share of the peak value by which it leads all that is more than 2 heatmap pixels away


@torch.inference_mode()
def measure_difference(
    model: ViTPoseForPoseEstimation, processor: ViTPoseImageProcessor, runtime: Runtime
) -> Difference:
    """Run a model of one dataset and what it was exported to on noise and on generated people, in batches of 1 and 3.

    Args:
        model: In evaluation mode and float32, on the CPU.
        processor: Cuts the crops and decodes the heatmaps.
        runtime: The exported model.

    Raises:
        ValueError: The model's own heatmaps hold NaN or infinite values.
    """
    height, width = model.config.image_size
    noise = torch.randn(3, 3, height, width, generator=torch.Generator().manual_seed(0))
    people = _crops_of_people(processor, count=3)
    found = [_difference(model, processor, runtime, crops) for crops in (noise[:1], noise, people[:1], people)]
    return Difference(
        # of tensors, whose maximum keeps NaN
        heatmaps=torch.stack([heatmaps for heatmaps, _ in found]).max().item(),
        keypoints=torch.stack([keypoints for _, keypoints in found[2:]]).max().item(),
    )


def _crops_of_people(processor: ViTPoseImageProcessor, *, count: int) -> Tensor:
    rows = SyntheticPeople(num_people=count, seed=0)
    people = [rows[index] for index in range(count)]
    batch = processor.preprocess([person["image"] for person in people], [[person["bbox"]] for person in people])
    return batch["pixel_values"]


def _difference(
    model: ViTPoseForPoseEstimation, processor: ViTPoseImageProcessor, runtime: Runtime, crops: Tensor
) -> tuple[Tensor, Tensor]:
    """Largest differences of heatmaps and of keypoints, scalars, on crops `(B, 3, H, W)`."""
    expected = model(crops).heatmaps  # (B, K, h, w)
    if not expected.isfinite().all():
        raise ValueError("The model's heatmaps hold NaN or infinite values: its weights are broken, train it again.")
    found = torch.from_numpy(runtime(crops.numpy()))
    if found.shape != expected.shape or not found.isfinite().all():
        return torch.tensor(torch.nan), torch.tensor(torch.nan)
    points, scores = decode(expected, processor.settings)  # (B, K, 2), (B, K)
    moved = (decode(found, processor.settings)[0] - points).norm(dim=-1)
    return (found - expected).abs().max(), moved.where(_are_clear(expected, points, scores), 0).max()


def _are_clear(heatmaps: Tensor, points: Tensor, scores: Tensor) -> Tensor:
    """Mask `(B, K)` of keypoints that score above 0.2 and have no second peak in their heatmaps that comes close."""
    columns, rows = torch.arange(heatmaps.shape[-1]), torch.arange(heatmaps.shape[-2])
    near_x = (columns - points[..., :1]).abs() <= 2  # (B, K, w)
    near_y = (rows - points[..., 1:]).abs() <= 2  # (B, K, h)
    near = near_y[..., :, None] & near_x[..., None, :]  # (B, K, h, w)
    rivals = heatmaps.masked_fill(near, -torch.inf).amax(dim=(-2, -1))  # (B, K)
    return (scores > CONFIDENCE_THRESHOLD) & (rivals < (1 - CLEAR_LEAD) * scores)
