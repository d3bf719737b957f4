"""Heatmaps of crops as benchmarks report them: averaged with those of the mirrored crops, and over several models."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .heatmaps_vitpose import flip_heatmaps


@torch.no_grad()
def predict_heatmaps(
    models: nn.Module | Sequence[nn.Module],
    pixel_values: Tensor,
    *,
    dataset_index: int | Tensor | None = None,
    flip_index: Sequence[int] | None = None,
    use_udp: bool = True,
) -> Tensor:
    """Run one model or an ensemble on crops, with or without the flip test.

    Args:
        models: a pose model, or several that predict the same keypoints on heatmaps of one size; they count alike.
        pixel_values: `(num_people, 3, height, width)`, on the models' device and in their type.
        dataset_index: whose keypoints to predict, for models of several datasets: a number, or one a crop.
        flip_index: the schema's `flip_index`, to average with the heatmaps of the mirrored crops; None leaves them out.
        use_udp: False for models that were trained without UDP, whose mirrored maps lie a pixel aside.

    Returns:
        `(num_people, num_keypoints, height, width)`, the models' type, heatmap pixels.

    Raises:
        ValueError: no model at all, or models whose heatmaps differ in shape.
    """
    models = [models] if isinstance(models, nn.Module) else list(models)
    if not models:
        raise ValueError("models must be a pose model or a sequence of them, got an empty one.")
    chosen = {} if dataset_index is None else {"dataset_index": dataset_index}
    total, count = torch.zeros(()), 0
    for model in models:
        maps = [model(pixel_values, **chosen).heatmaps]
        if flip_index is not None:
            mirrored = model(pixel_values.flip(-1), **chosen).heatmaps
            maps.append(flip_heatmaps(mirrored, flip_index, use_udp=use_udp))
        if count and maps[0].shape != total.shape:
            raise ValueError(
                f"models of an ensemble must give heatmaps of one shape, got {tuple(total.shape)} and "
                f"{tuple(maps[0].shape)}: combine models of the same keypoints and crop size."
            )
        total, count = sum(maps, start=total if count else torch.zeros_like(maps[0])), count + len(maps)
    return total / count
