"""Boxes and keypoints in every form a user has them, brought to checked float64 tensors, one per image.

Every mistake is named with the image and the person it belongs to. Boxes are ``[x, y, width, height]`` in image pixels.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from vitpose.base.errors import PlacedError

# One entry an image; lists, arrays and tensors all serve.
Boxes: TypeAlias = Sequence[Any] | np.ndarray | Tensor
Keypoints: TypeAlias = Sequence[Any] | np.ndarray | Tensor


def parse_boxes(boxes: Boxes, *, num_images: int | None = None) -> list[Tensor]:
    """One float64 tensor `(num_people, 4)` an image; `num_people` may be 0.

    Args:
        boxes: For each image a list of boxes ``[x, y, width, height]``.
        num_images: How many images there are, where that is known.
    """
    _check_outer(boxes, "boxes", num_images)
    return [parse_image_boxes(entry, index) for index, entry in enumerate(boxes)]


def parse_image_boxes(boxes: Any, image_index: int = 0) -> Tensor:
    """The boxes of one image, float64 `(num_people, 4)`, from a list of ``[x, y, width, height]``.

    Raises:
        ValueError: They are no such list; the message calls the list `boxes[image_index]`.
    """
    place = ("boxes", image_index)
    table = _numbers(boxes, place)
    if table.numel() == 0 and table.ndim <= 2:
        return table.new_zeros((0, 4))
    if table.ndim == 1:
        raise PlacedError(
            f"must be a list of boxes [x, y, width, height], got a single row of {len(table)} numbers: "
            f"boxes are nested as images -> people -> 4 numbers, so wrap it once more.",
            place,
            " ",
        )
    if table.ndim != 2 or table.shape[1] != 4:
        raise PlacedError(
            f"must be rows of 4 numbers [x, y, width, height], got shape {tuple(table.shape)}"
            + (": leave scores and labels out." if table.shape[-1:] > (4,) else "."),
            place,
            " ",
        )
    bad = (~table.isfinite()).any(-1) | (table[:, 2:] <= 0).any(-1)  # (n,)
    if bad.any():
        person = int(bad.nonzero()[0])
        raise PlacedError(
            f"must be finite [x, y, width, height] with width and height above 0, got {table[person].tolist()}.",
            (*place, person),
            " ",
        )
    return table


def _check_outer(values: Any, name: str, num_images: int | None) -> None:
    if not isinstance(values, (list, tuple, np.ndarray, Tensor)):
        raise TypeError(f"{name} must be a list with one entry an image, got {type(values).__name__}.")
    if num_images is not None and len(values) != num_images:
        raise ValueError(
            f"{name} must have one entry an image: got {len(values)} entries for {num_images} images. "
            f"An image without people takes an empty list; a single image takes {name}=[entry]."
        )


def _numbers(entry: Any, place: tuple[str, int]) -> Tensor:
    try:
        if isinstance(entry, Tensor):
            return entry.detach().to("cpu", torch.float64)
        return torch.from_numpy(np.array(entry, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise PlacedError(f"must hold rows of numbers of equal length: {error}", place, " ") from error


def parse_keypoints(keypoints: Keypoints, *, boxes: list[Tensor]) -> list[Tensor]:
    """One float64 tensor `(num_people, num_keypoints, 3)` an image: x and y in image pixels, COCO's visibility.

    Args:
        keypoints: Images -> people -> keypoints -> ``[x, y, visibility]``.
        boxes: The boxes of the same people, from [`parse_boxes`].
    """
    _check_outer(keypoints, "keypoints", len(boxes))
    tables = [_numbers(entry, ("keypoints", index)) for index, entry in enumerate(keypoints)]
    counts = {table.shape[1] for table in tables if table.ndim == 3}
    if len(counts) > 1:
        raise ValueError(f"keypoints must have one count for all people of a batch, got {sorted(counts)}.")
    num_keypoints = counts.pop() if counts else 0
    return [
        _check_people(table, box, index, num_keypoints)
        for index, (table, box) in enumerate(zip(tables, boxes, strict=True))
    ]


def _check_people(table: Tensor, boxes: Tensor, image_index: int, num_keypoints: int) -> Tensor:
    if table.numel() == 0 and len(boxes) == 0:
        return table.new_zeros((0, num_keypoints, 3))
    if table.ndim != 3 or table.shape[2] != 3 or len(table) != len(boxes):
        raise ValueError(
            f"keypoints[{image_index}] must have shape (people, keypoints, 3) with [x, y, visibility], one entry for "
            f"each of its {len(boxes)} boxes, got shape {tuple(table.shape)}."
        )
    visibility = table[..., 2]
    broken = ~table.isfinite().all(-1) & ~(visibility == 0) | ~(visibility >= 0)  # (n, k)
    if broken.any():
        person, keypoint = broken.nonzero()[0].tolist()
        raise ValueError(
            f"keypoints[{image_index}][{person}][{keypoint}] must be finite [x, y, visibility] with visibility 0 (not "
            f"labelled), 1 (hidden) or 2 (visible), got {table[person, keypoint].tolist()}."
        )
    return table
