"""Sheets of photos with predicted people, beside the annotated ones where they are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from vitpose.processing.drawing import SHEET_COLOR, contact_sheet, draw_poses
from vitpose.processing.people_forms_vitpose import CONFIDENCE_THRESHOLD
from vitpose.processing.people_vitpose import People

WINDOW_MARGIN = 1.25  # people are shown in a window this much larger than their boxes

Window = tuple[int, int, int, int]  # left, top, right, bottom in image pixels


def predictions_sheet(
    images: Sequence[Image.Image],
    people: Sequence[People],
    targets: Sequence[People] | None = None,
    *,
    before: Sequence[People] | None = None,
    captions: Sequence[str] | None = None,
    before_captions: Sequence[str] | None = None,
    columns: int = 4,
    tile: tuple[int, int] = (320, 240),
    min_score: float = CONFIDENCE_THRESHOLD,
) -> Image.Image:
    """Draw predicted people, each image cut to its labeled people, or the predicted ones where none are labeled.

    Args:
        images: Photos or crops.
        people: For each image its predicted people.
        targets: For each image its labeled people, drawn to the left of the prediction; None draws predictions alone.
        before: For each image its people as they were predicted before, drawn to the left of the prediction.
        captions: One for each image, such as `"predicted, OKS 0.93"`.
        before_captions: The same for `before`.
        columns: Images in a row.
        tile: Height and width in pixels that each picture is brought to.
        min_score: Keypoints with a lower score are not drawn.
    """
    texts = {"captions": captions, "before_captions": before_captions}
    for name, values in {"people": people, "targets": targets, "before": before, **texts}.items():
        if values is not None and len(values) != len(images):
            raise ValueError(f"expected one entry of {name} an image, got {len(values)} for {len(images)} images.")
    tiles, labels = [], []
    for index, image in enumerate(images):
        truth = None if targets is None else targets[index]
        window = _window(image, truth if truth is not None and len(truth) else people[index], tile)
        if truth is not None:
            tiles.append(_drawn_tile(image, truth, window, tile, min_score))
            labels.append("annotated")
        if before is not None:
            tiles.append(_drawn_tile(image, before[index], window, tile, min_score))
            labels.append("before" if before_captions is None else before_captions[index])
        tiles.append(_drawn_tile(image, people[index], window, tile, min_score))
        labels.append("predicted" if captions is None else captions[index])
    tiles_an_image = 1 + (targets is not None) + (before is not None)
    return contact_sheet(tiles, columns=columns * tiles_an_image, captions=labels, tile=tile)


def _window(image: Image.Image, people: People, tile: tuple[int, int]) -> Window:
    """Window around everybody's box in the aspect ratio of the tile; around the image where nobody has one."""
    boxes = people.boxes_xyxy.double().numpy()  # (N, 4)
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).any(axis=1)]
    is_empty = not len(boxes)
    ends = np.array([[0, 0], image.size], dtype=np.float64) if is_empty else boxes.reshape(-1, 2)
    low, high = np.maximum(ends.min(axis=0), 0), np.minimum(ends.max(axis=0), image.size)
    center, sides = (low + high) / 2, np.maximum(high - low, 8) * (1 if is_empty else WINDOW_MARGIN)
    shape = np.array([tile[1], tile[0]], dtype=np.float64)
    size = np.ceil(shape * (sides / shape).max())
    room = np.maximum(np.array(image.size) - size, 0)  # the window moves into the image where it fits
    left, top = np.where(size <= image.size, np.clip(np.floor(center - size / 2), 0, room), np.floor(center - size / 2))
    return int(left), int(top), int(left + size[0]), int(top + size[1])


def _drawn_tile(
    image: Image.Image, people: People, window: Window, tile: tuple[int, int], min_score: float
) -> Image.Image:
    """Cut and resize first, then draw, so that strokes are sharp at any size."""
    size = (tile[1], tile[0])
    origin = np.array(window[:2])
    picture = Image.new("RGB", tuple(np.array(window[2:]) - origin), SHEET_COLOR)
    picture.paste(image.convert("RGB"), (-window[0], -window[1]))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    scale = np.array(size) / (np.array(window[2:]) - origin)
    moved = (people.keypoints_xy.double() - torch.from_numpy(origin) + 0.5) * torch.from_numpy(scale) - 0.5
    return draw_poses(picture, replace(people, keypoints_xy=moved.float()), min_score=min_score)
