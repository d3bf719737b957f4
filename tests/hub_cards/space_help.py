"""A model and a video for the demo."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch

from vitpose import SyntheticPeople, ViTPoseConfig, ViTPoseForPoseEstimation, ViTPoseImageProcessor

SMALL = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def save_two_heads(folder: Path) -> str:
    """A small model with random weights for two datasets."""
    torch.manual_seed(0)
    config = ViTPoseConfig.from_preset("tiny", datasets=["coco", "mpii"], decoder="simple", **SMALL)
    ViTPoseForPoseEstimation(config).save_pretrained(folder)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)
    return str(folder)


def write_clip(path: Path, num_frames: int) -> Path:
    """A video of a person who stands still, five frames a second."""
    pytest.importorskip("av", reason="videos come with the video extra")
    pytest.importorskip("trackers", reason="tracking comes with the video extra")
    from vitpose.video.writer import VideoWriter

    image = SyntheticPeople(num_people=1, seed=0)[0]["image"].resize((128, 192))
    with VideoWriter(path, frame_rate=Fraction(5), time_base=Fraction(1, 5)) as writer:
        for index in range(num_frames):
            writer.write(image, index / 5)
    return path
