"""Crops of annotated people from the files of their photographs, as normalised pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.utils.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from vitpose.processing.geometry_vitpose import covering_regions, move_origins, sample_crops

from .image_reading import read_region


class CropReader:
    """Reads crops, each from the part of its photograph that it needs; `gain` and `bias` normalise pixels 0..255.

    Args:
        crop_size: Height and width of the crops in pixels.
        image_mean: Mean of each colour channel on a scale of 0 to 1.
        image_std: Standard deviation of each colour channel on a scale of 0 to 1.
    """

    def __init__(
        self,
        crop_size: tuple[int, int],
        *,
        image_mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
        image_std: Sequence[float] = IMAGENET_DEFAULT_STD,
    ) -> None:
        height, width = crop_size
        self.crop_size = height, width
        mean, std = (torch.tensor(values)[:, None, None] for values in (image_mean, image_std))  # (3, 1, 1)
        self.gain, self.bias = 1 / (255 * std), -mean / std

    def __call__(self, rows: Sequence[Mapping[str, Any]], numbers: Sequence[int], matrices: Tensor) -> Tensor:
        """Crop once from each row's image.

        Args:
            rows: With the columns of `vitpose.training.people_columns`.
            numbers: Of these rows in the data, for messages.
            matrices: `(num_rows, 2, 3)` from crop to image pixels, float64.

        Returns:
            float32 `(num_rows, 3, height, width)`, normalised.

        Raises:
            ImageReadError: An image cannot be read; the message names the file and the row.
        """
        sizes = [(row["width"], row["height"]) for row in rows]
        image_sizes = matrices.new_tensor(sizes).flip(-1)  # (n, 2) heights and widths
        regions = covering_regions(matrices, crop_size=self.crop_size, image_sizes=image_sizes).int().tolist()
        parts = [
            read_region(row["image"], row=number, size=size, region=region)
            for row, number, size, region in zip(rows, numbers, sizes, regions, strict=True)
        ]
        images, corners = zip(*parts, strict=True)
        return sample_crops(
            images,
            move_origins(matrices, matrices.new_tensor(corners)),
            crop_size=self.crop_size,
            gain=self.gain,
            bias=self.bias,
        )
