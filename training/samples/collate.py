"""Batches of crops, cut where it is fastest: by the loader's workers, or on the device that trains.

Cutting takes a third of a worker's time (benchmarks/README.md), and the pixels that crops of a common photo are cut
from are fewer bytes to move than normalised crops are: so where a GPU trains it cuts, and the workers only decode.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from .crops import CropReader

# A sample outside by a thousandth of a pixel is inside up to float32's rounding.
_BORDER_TOLERANCE_PX = 1e-3

Batch = dict[str, Tensor]


@dataclass(kw_only=True)
class RegionCollator:
    """Makes batches of samples of datasets with `cut=False`, as `collate_fn` of a loader.

    Args:
        reader: Of the datasets; it cuts.
        on_device: Leave cutting to [`crops_of`], for batches whose regions take no more memory than their crops would.
        collate: Makes a batch of everything else.
    """

    reader: CropReader
    on_device: bool
    collate: Callable[[list[Any]], Batch] = default_collate

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> Batch:
        """A batch with `pixel_values` `(num_samples, 3, height, width)`, or with what [`crops_of`] needs."""
        regions = [sample["region"] for sample in samples]
        batch = self.collate([{name: sample[name] for name in sample if name != "region"} for sample in samples])
        matrices = batch.pop("region_matrix")
        if self.on_device and self._saves_memory(regions):
            return {**batch, **_pack(regions, matrices)}
        return {**batch, "pixel_values": self.reader.cut(regions, matrices)}

    def _saves_memory(self, regions: Sequence[Tensor]) -> bool:
        height, width = self.reader.crop_size
        crops = 3 * height * width * torch.float32.itemsize * len(regions)
        return 0 < sum(region.nbytes for region in regions) <= crops


def _pack(regions: Sequence[Tensor], matrices: Tensor) -> Batch:
    """Regions behind each other, for one transfer: all their pixels as rows of red, green, blue."""
    return {
        "region_pixels": torch.cat([region.permute(1, 2, 0).reshape(-1, 3) for region in regions]),
        "region_size": torch.tensor([region.shape[-2:] for region in regions]),
        "region_matrix": matrices.float(),
    }


def crops_of(batch: Batch, reader: CropReader) -> Batch:
    """The batch with its `pixel_values`, cut on the device that it is on unless it has them already."""
    if "pixel_values" in batch:
        return batch
    names = "region_pixels", "region_size", "region_matrix"
    crops = sample_packed(*(batch[name] for name in names), crop_size=reader.crop_size)  # (n, 3, h, w)
    gain, bias = (values.to(crops.device) for values in (reader.gain, reader.bias))
    rest = {name: batch[name] for name in batch if name not in names}
    return {**rest, "pixel_values": crops.mul_(gain).add_(bias)}


def sample_packed(pixels: Tensor, sizes: Tensor, matrices: Tensor, *, crop_size: tuple[int, int]) -> Tensor:
    """`sample_crops` of regions of different sizes in one go, for devices where every call has its price.

    Args:
        pixels: `(num_pixels, 3)`, those of all regions behind each other, row by row, of any type.
        sizes: `(num_regions, 2)`, heights and widths of the regions in pixels.
        matrices: `(num_regions, 2, 3)` from crop to region pixels, float32.
        crop_size: Height and width of the crops in pixels.

    Returns:
        float32 `(num_regions, 3, height, width)`, unrounded; 0 outside the region.
    """
    height, width = crop_size
    columns = torch.arange(width, device=pixels.device)  # (w,)
    rows = torch.arange(height, device=pixels.device)[:, None]  # (h, 1)
    heights, widths = sizes[:, :, None, None].unbind(1)  # (n, 1, 1)
    starts = (heights * widths).cumsum(0) - heights * widths  # (n, 1, 1) of each region in the pixels

    def neighbours(axis: int, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Along x or y, (n, h, w) each: the pixels before and behind, the way from the first, if inside."""
        by_column, by_row, start = matrices[:, axis, :, None, None].unbind(1)  # (n, 1, 1)
        places = by_column * columns + by_row * rows + start
        last = lengths - 1
        inside = (places >= -_BORDER_TOLERANCE_PX) & (places <= last + _BORDER_TOLERANCE_PX)
        places = places.clamp(min=0).minimum(last)
        before = places.long()
        return before, (before + 1).minimum(last), places - before, inside

    left, right, across, inside_x = neighbours(0, widths)
    top, bottom, down, inside_y = neighbours(1, heights)

    def row_of(y: Tensor) -> Tensor:
        """(n, h, w, 3) between left and right."""
        first = starts + y * widths
        return torch.lerp(pixels[first + left].float(), pixels[first + right].float(), across[..., None])

    crops = torch.lerp(row_of(top), row_of(bottom), down[..., None])
    return (crops * (inside_x & inside_y)[..., None]).permute(0, 3, 1, 2).contiguous()
