"""What crops of annotated people are cut from: the parts of their photographs that they show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vitpose.processing.geometry_vitpose import covering_regions, move_origins, sample_crops
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..data.images import read_region


@dataclass(frozen=True, kw_only=True)
class CropReader:
    """Reads the part of each photograph that a crop shows, and cuts crops from such parts.

    Args:
        settings: Of the processor that the model is trained with.
    """

    settings: ProcessorSettings

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
            Of each row `pixel_values`, float32 `(3, height, width)`, normalized. Without `cut` the arguments of
            [`cut`]: `region` `(3, region_height, region_width)`, uint8, or float32 where the file has more than 8 bits,
            and `region_matrix` `(2, 3)`, from crop to region pixels.

        Raises:
            ImageReadError: An image cannot be read; the message names the file and the row.
        """
        sizes = [(row["width"], row["height"]) for row in rows]
        image_sizes = matrices.new_tensor(sizes).flip(-1)  # (n, 2) heights and widths
        covering = covering_regions(matrices, crop_size=self.settings.crop_size, image_sizes=image_sizes)  # (n, 4)
        regions = [
            read_region(row["image"], row=number, size=size, region=region, do_rescale=self.settings.do_rescale)
            for row, number, size, region in zip(rows, numbers, sizes, covering.int().tolist(), strict=True)
        ]
        matrices = move_origins(matrices, covering[:, :2])
        if cut:
            return [{"pixel_values": crop} for crop in self.cut(regions, matrices)]
        return [{"region": region, "region_matrix": own} for region, own in zip(regions, matrices, strict=True)]

    def cut(self, regions: Sequence[Tensor], matrices: Tensor) -> Tensor:
        """Crops `(num_rows, 3, height, width)`, float32, normalized, of regions and the matrices into them."""
        gain, bias = self.settings.normalization
        return sample_crops(regions, matrices, crop_size=self.settings.crop_size, gain=gain, bias=bias)
