"""Small models with large outputs: every preset at a sixteenth of its width, two blocks, a grid of 4 x 3 patches."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation
from vitpose.modeling.configuration_vitpose import PRESETS


def _small_config(preset: str = "base", **options: Any) -> ViTPoseConfig:
    patch = PRESETS[preset].get("patch_size", (16, 16))[0]
    heads = PRESETS[preset]["num_attention_heads"]
    width = PRESETS[preset]["hidden_size"] // 16
    small = {
        "hidden_size": width,
        "num_attention_heads": heads if width % heads == 0 else heads // 2,  # giant: 88 channels
        "num_hidden_layers": 2,
        "image_size": (4 * patch, 3 * patch),
    }
    return ViTPoseConfig.from_preset(preset, **{**small, **options})


@torch.no_grad()
def _randomise(model: nn.Module, seed: int = 0) -> None:
    """Random weights everywhere, batch statistics too, so that heatmaps are of order 1 and no parameter is neutral."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            value.copy_(0.5 + noise.square())
        elif value.ndim > 1:
            value.copy_(noise / math.sqrt(value[0].numel()) if "position" not in name else noise)
        elif value.is_floating_point():
            value.copy_(("norm" in name and name.endswith("weight")) + 0.2 * noise)
        else:
            value.zero_()  # batches counted


def _small_model(preset: str = "base", **options: Any) -> ViTPoseForPoseEstimation:
    attention = options.pop("attn_implementation", "sdpa")
    config = _small_config(preset, **options)
    config._attn_implementation = attention
    with torch.device("meta"):  # no time for an initialisation that is overwritten
        model = ViTPoseForPoseEstimation(config)
    _randomise(model.to_empty(device="cpu"))
    return model.eval()


def _random_crops(model: ViTPoseForPoseEstimation, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, *model.config.image_size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def small_config() -> Callable[..., ViTPoseConfig]:
    """`small_config(preset, **options of from_preset)`."""
    return _small_config


@pytest.fixture(scope="session")
def small_model() -> Callable[..., ViTPoseForPoseEstimation]:
    """`small_model(preset, attn_implementation=..., **options of from_preset)`, randomised, in evaluation mode."""
    return _small_model


@pytest.fixture(scope="session")
def randomise() -> Callable[..., None]:
    """`randomise(model, seed)` in place."""
    return _randomise


@pytest.fixture(scope="session")
def random_crops() -> Callable[..., torch.Tensor]:
    """`random_crops(model, batch)` of the model's image size."""
    return _random_crops
