"""Batches of crops, cut where it is fastest: by the loader's workers, or on the device that trains.

Cutting takes a third of a worker's time (benchmarks/README.md), and the pixels that crops of a common photo are cut
from are fewer bytes to move than normalized crops are: so where a GPU trains it cuts, and the workers only decode.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from vitpose.processing.geometry_vitpose import sample_ragged
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from .crops import CropReader

Batch = dict[str, Tensor]


@dataclass(kw_only=True)
class CropCollator:
    """Makes batches of samples, as `collate_fn` of a loader.

    Args:
        reader: Of the datasets; it cuts.
        on_device: Leave cutting to [`materialize_crops`], for batches whose regions take no more memory than their
            crops would.
        collate: Makes a batch of everything else.
    """

    reader: CropReader
    on_device: bool
    collate: Callable[[list[Any]], Batch] = default_collate

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> Batch:
        """A batch with `pixel_values` `(num_samples, 3, height, width)`, or what [`materialize_crops`] needs."""
        regions = [sample["region"] for sample in samples]
        batch = self.collate([{name: sample[name] for name in sample if name != "region"} for sample in samples])
        matrices = batch.pop("region_matrix")
        if self.on_device and self._saves_memory(regions):
            return {**batch, **_pack(regions, matrices)}
        return {**batch, "pixel_values": self.reader.cut(regions, matrices)}

    def _saves_memory(self, regions: Sequence[Tensor]) -> bool:
        height, width = self.reader.settings.crop_size
        crops = 3 * height * width * torch.float32.itemsize * len(regions)
        return 0 < sum(region.nbytes for region in regions) <= crops


def _pack(regions: Sequence[Tensor], matrices: Tensor) -> Batch:
    """Regions one after another, for one transfer: all their pixels as rows of red, green, blue."""
    return {
        "region_pixels": torch.cat([region.permute(1, 2, 0).reshape(-1, 3) for region in regions]),
        "region_size": torch.tensor([region.shape[-2:] for region in regions]),
        "region_matrix": matrices.float(),
    }


def materialize_crops(batch: Batch, settings: ProcessorSettings) -> Batch:
    """The batch with its `pixel_values`, cut on the device that it is on unless it has them already."""
    if "pixel_values" in batch:
        return batch
    names = "region_pixels", "region_size", "region_matrix"
    crops = sample_ragged(*(batch[name] for name in names), crop_size=settings.crop_size)  # (n, 3, h, w)
    gain, bias = (values.to(crops.device) for values in settings.normalization)
    rest = {name: batch[name] for name in batch if name not in names}
    return {**rest, "pixel_values": crops.mul_(gain).add_(bias)}
