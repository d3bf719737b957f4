"""Crops of annotated people from the files of their photographs, as normalised pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.utils.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from vitpose.processing.geometry_vitpose import covering_regions, move_origins, sample_crops

from ..data.images import read_region


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

    def samples(
        self, rows: Sequence[Mapping[str, Any]], numbers: Sequence[int], matrices: Tensor, *, cut: bool
    ) -> list[dict[str, Tensor]]:
        """What the samples of a dataset hold of the pictures, one crop from each row's image.

        Args:
            rows: With the columns of `vitpose.training.data.columns`.
            numbers: Of these rows in the data, for messages.
            matrices: `(num_rows, 2, 3)` from crop to image pixels, float64.
            cut: Whether to cut the crops out.

        Returns:
            Of each row `pixel_values`, float32 `(3, height, width)`, normalised. Without `cut` the arguments of
            [`cut`]: `region` `(3, region_height, region_width)`, uint8, or float32 where the file has more than 8 bits,
            and `region_matrix` `(2, 3)`, from crop to region pixels.

        Raises:
            ImageReadError: An image cannot be read; the message names the file and the row.
        """
        regions, matrices = self._read(rows, numbers, matrices)
        if cut:
            return [{"pixel_values": crop} for crop in self.cut(regions, matrices)]
        return [{"region": region, "region_matrix": own} for region, own in zip(regions, matrices, strict=True)]

    def cut(self, regions: Sequence[Tensor], matrices: Tensor) -> Tensor:
        """Crops `(num_rows, 3, height, width)`, float32, normalised, of regions and the matrices into them."""
        return sample_crops(regions, matrices, crop_size=self.crop_size, gain=self.gain, bias=self.bias)

    def _read(
        self, rows: Sequence[Mapping[str, Any]], numbers: Sequence[int], matrices: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        sizes = [(row["width"], row["height"]) for row in rows]
        image_sizes = matrices.new_tensor(sizes).flip(-1)  # (n, 2) heights and widths
        covering = covering_regions(matrices, crop_size=self.crop_size, image_sizes=image_sizes)  # (n, 4)
        regions = [
            read_region(row["image"], row=number, size=size, region=region)
            for row, number, size, region in zip(rows, numbers, sizes, covering.int().tolist(), strict=True)
        ]
        return regions, move_origins(matrices, covering[:, :2])
