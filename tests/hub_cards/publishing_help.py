"""Small saved models to publish."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation, ViTPoseImageProcessor

REPO = "ada/my-pose"
SMALL = {
    "image_size": (64, 48),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "decoder": "simple",
}


def save_model(folder: Path) -> Path:
    """A small model with random weights and its processor."""
    torch.manual_seed(0)
    ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", **SMALL)).save_pretrained(folder)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)
    return folder


def change_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})
