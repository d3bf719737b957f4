"""Crops of annotated people: read as the parts of photos that they show, cut where it is fastest.

The loader's workers cut, or the device that trains: cutting takes a third of a worker's time (docs/benchmarks.md),
and the pixels that crops of a common photo are cut from are fewer bytes to move than normalized crops are. So where a
GPU trains it cuts, and the workers only decode.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import default_collate

from vitpose.processing.geometry_vitpose import covering_regions, sample_crops, sample_ragged
from vitpose.processing.images_vitpose import rgb_region, upright_pil
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..data.images import DAMAGE, ImageReadError, place_of_image

Batch = dict[str, Tensor]

_STORED = datasets.Image()  # opens bytes or path, and turns the photo as its EXIF data says


def read_crops(
    rows: Sequence[Mapping[str, Any]],
    numbers: Sequence[int],
    matrices: Tensor,
    settings: ProcessorSettings,
    *,
    cut: bool,
) -> list[dict[str, Tensor]]:
    """Read what the samples of a dataset hold of the pictures, one crop from each row's image.

    Args:
        rows: With the columns of `vitpose.training.data.columns`.
        numbers: Of these rows in the data, for messages.
        matrices: `(num_rows, 2, 3)` from crop to image pixels, float64.
        settings: Of the processor that the model is trained with.
        cut: Whether to cut the crops out.

    Returns:
        Of each row `pixel_values`, float32 `(3, height, width)`, normalized. Without `cut` what [`CropCollator`] needs:
        `region` `(3, region_height, region_width)`, uint8, or float32 where the file has more than 8 bits, and
        `region_matrix` `(2, 3)`, from crop to region pixels.

    Raises:
        ImageReadError: An image cannot be read; its place is the file and the row.
    """
    sizes = [(row["width"], row["height"]) for row in rows]
    image_sizes = matrices.new_tensor(sizes).flip(-1)  # (n, 2) heights and widths
    covering, _ = covering_regions(matrices, crop_size=settings.crop_size, image_sizes=image_sizes)  # (n, 4)
    regions = [
        read_region(row["image"], row=number, size=size, region=region, do_rescale=settings.do_rescale)
        for row, number, size, region in zip(rows, numbers, sizes, covering.int().tolist(), strict=True)
    ]
    into_regions = torch.cat([matrices[:, :, :2], matrices[:, :, 2:] - covering[:, :2, None]], dim=-1)
    if cut:
        gain, bias = settings.normalization
        crops = sample_crops(regions, into_regions, crop_size=settings.crop_size, gain=gain, bias=bias)
        return [{"pixel_values": crop} for crop in crops]
    return [{"region": region, "region_matrix": own} for region, own in zip(regions, into_regions, strict=True)]


def read_image(image: Any, *, row: int, size: tuple[int, int]) -> Tensor:
    """Decode an image and apply its EXIF orientation, as `datasets` and the image processor do.

    Args:
        image: What `datasets.Image(decode=False)` gives, `{"bytes": ..., "path": ...}` with one of them, or a
            `PIL.Image.Image`.
        row: Row of the data, for messages.
        size: Width and height that the annotation states, to catch photos that are not the annotated ones.

    Returns:
        RGB `(3, height, width)`, uint8, or float32 in 0..255 where the file has more than 8 bits. It may be a view
        whose channels lie innermost in memory.

    Raises:
        ImageReadError: The image is missing, damaged or of another size.
    """
    return read_region(image, row=row, size=size, region=(0, 0, *size))


def read_region(
    image: Any, *, row: int, size: tuple[int, int], region: Sequence[int], do_rescale: bool = True
) -> Tensor:
    """Decode a region of an image; errors as [`read_image`].

    Args:
        image: As for [`read_image`].
        row: As for [`read_image`].
        size: As for [`read_image`].
        region: Left, top, right and bottom (exclusive) in image pixels.
        do_rescale: As of `to_rgb_tensor`.

    Returns:
        The pixels of the region as [`read_image`] has them.
    """
    try:
        if isinstance(image, Mapping):
            upright = _STORED.decode_example({"bytes": image.get("bytes"), "path": image.get("path")})
        elif isinstance(image, Image.Image):
            upright = upright_pil(image)
        else:
            raise ValueError(f"expected a PIL image or a mapping with bytes or path, got {type(image).__name__}")
        pixels = rgb_region(upright, region, do_rescale=do_rescale)
    except DAMAGE as error:
        reason = f"the image cannot be read: {error}. Replace it or remove its people."
        raise ImageReadError(reason, place_of_image(image, row)) from error
    if upright.size != tuple(size):
        raise ImageReadError(
            f"expected {size[0]}x{size[1]} pixels (width x height) as its annotation says, got "
            f"{upright.width}x{upright.height}. Use the annotated image.",
            place_of_image(image, row),
        )
    return pixels


@dataclass(kw_only=True)
class CropCollator:
    """Makes batches of samples, as `collate_fn` of a loader.

    Args:
        settings: Of the datasets' processor.
        on_device: Leave cutting to [`materialize_crops`], for batches whose regions take no more memory than their
            crops would.
        collate: Makes a batch of everything else.
    """

    settings: ProcessorSettings
    on_device: bool
    collate: Callable[[list[Any]], Batch] = default_collate

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> Batch:
        """A batch with `pixel_values` `(num_samples, 3, height, width)`, or what [`materialize_crops`] needs."""
        regions = [sample["region"] for sample in samples]
        batch = self.collate([{name: sample[name] for name in sample if name != "region"} for sample in samples])
        matrices = batch.pop("region_matrix")
        if self.on_device and self._saves_memory(regions):
            return {**batch, **_pack(regions, matrices)}
        gain, bias = self.settings.normalization
        crops = sample_crops(regions, matrices, crop_size=self.settings.crop_size, gain=gain, bias=bias)
        return {**batch, "pixel_values": crops}

    def _saves_memory(self, regions: Sequence[Tensor]) -> bool:
        height, width = self.settings.crop_size
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
