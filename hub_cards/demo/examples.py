"""Photos and a clip for the demo to start from, which need no download."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import matplotlib
from PIL import Image

from vitpose.training.synthetic.people import SyntheticPeople
from vitpose.training.synthetic.styles import Style

from .boxes import Box

SEEDS: dict[int, Style] = {1: "studio", 2: "street", 3: "studio", 7: "street"}
CLIP_SEED = 2
CLIP_SECONDS, CLIP_RATE = 3, 10
SWAY = 0.12  # how far the camera of the clip moves, of the width


@dataclass(frozen=True, kw_only=True)
class Example:
    """A photo to start from.

    Args:
        path: Its file.
        boxes: Its people; None leaves them to be found.
    """

    path: Path
    boxes: tuple[Box, ...] | None = None


def photograph() -> Example | None:
    """A photograph in the public domain (Grace Hopper, by the US Navy), which comes with Matplotlib."""
    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return Example(path=path) if path.is_file() else None  # some distributions leave it out


def write_examples(folder: Path) -> list[Example]:
    """Write pictures of generated people; the first shows two."""
    items = [SyntheticPeople(num_people=1, seed=seed, style=style)[0] for seed, style in SEEDS.items()]
    photos: list[tuple[Image.Image, tuple[Box, ...]]] = [(item["image"], (tuple(item["bbox"]),)) for item in items]
    photos.insert(0, _side_by_side(*photos[:2]))
    examples = []
    for number, (image, boxes) in enumerate(photos, start=1):
        path = folder / f"example{number}.png"
        image.save(path)
        examples.append(Example(path=path, boxes=boxes))
    return examples


def _side_by_side(
    left: tuple[Image.Image, tuple[Box, ...]], right: tuple[Image.Image, tuple[Box, ...]]
) -> tuple[Image.Image, tuple[Box, ...]]:
    """Join two photos of one person each, scaled to the same height."""
    scale = left[0].height / right[0].height
    other = right[0].resize((round(right[0].width * scale), left[0].height))
    joined = Image.new("RGB", (left[0].width + other.width, left[0].height))
    joined.paste(left[0], (0, 0))
    joined.paste(other, (left[0].width, 0))
    x, y, width, height = (round(value * scale, 1) for value in right[1][0])
    return joined, (*left[1], (x + left[0].width, y, width, height))


def write_clip(path: Path) -> Path:
    """Write a clip of a generated person, seen by a camera that sways.

    Raises:
        ModuleNotFoundError: The extra `video` is not installed.
    """
    from vitpose.video.writer import VideoWriter

    image = SyntheticPeople(num_people=1, seed=CLIP_SEED)[0]["image"]
    margin = round(SWAY * image.width)
    num_frames = CLIP_SECONDS * CLIP_RATE
    with VideoWriter(path, frame_rate=Fraction(CLIP_RATE), time_base=Fraction(1, CLIP_RATE)) as writer:
        for number in range(num_frames):
            left = round(margin * (1 + math.sin(2 * math.pi * number / num_frames)) / 2)
            view = image.crop((left, 0, left + image.width - margin, image.height))
            writer.write(view.resize((2 * view.width, 2 * view.height), Image.Resampling.LANCZOS), number / CLIP_RATE)
    return path
