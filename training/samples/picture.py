"""Samples for masked-image pre-training: crops without keypoints, each with the numbers that choose its mask."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vitpose.processing.geometry_vitpose import box_to_center_and_size, crop_to_image_matrices
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..synthetic.people import SyntheticPeople
from .crops import read_crops
from .pose import rng_for

CropKind = Literal["people", "images"]

# Random resized crops of the MAE paper: share of the area, and aspect ratio over that of the crop.
AREA_SHARES = (0.2, 1.0)
ASPECT_RATIOS = (3 / 4, 4 / 3)


class PictureDataset(Dataset):
    """Crops of people or of whole images, each a pure function of (seed, epoch, index), as is its mask.

    A sample is asked for by a pair (epoch, index), as `EpochSampler` gives them; a plain index means epoch 0. An index
    beyond the crops counts them once more, with another part and mask: so a person can be drawn several times an epoch.

    Args:
        rows: Anything with `len()` and `[index]` whose rows have the columns of `vitpose.training.data.columns`.
        crops: "people", the box of each with the padding of pose crops, or "images", each image once.
        settings: Of the processor that is saved beside the model.
        num_patches: Patches of a crop.
        augment: Random resized crops and mirroring; without, the whole box, or the largest part of the image in the
            crop's proportions.
        flip_probability: Chance of mirroring left and right.
        seed: Seed of crops and masks.
        cut: Whether samples hold crops, or what crops are cut from, for `vitpose.training.samples.crops`.

    Raises:
        ImageReadError: An image cannot be read; the message names the file and the row.
    """

    def __init__(
        self,
        rows: Any,
        *,
        crops: CropKind,
        settings: ProcessorSettings,
        num_patches: int,
        augment: bool,
        flip_probability: float = 0.5,
        seed: int = 0,
        cut: bool = True,
    ) -> None:
        self.rows = rows
        self.crops = crops
        self.settings = settings
        self.num_patches = num_patches
        self.augment = augment
        self.flip_probability = flip_probability
        self.seed = seed
        self.cut = cut
        self._chosen = range(len(rows)) if crops == "people" else one_row_an_image(rows)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        """One crop.

        Returns:
            A dictionary of
            - `pixel_values`: float32 `(3, height, width)`, normalized; without `cut` instead `region` and
              `region_matrix`, as of `PoseDataset`.
            - `noise`: float32 `(num_patches,)`; the patches with the largest numbers are hidden.
            - `index`, `image_id`, `person_id`: int; the person is one of the image's where images are cropped.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[int | tuple[int, int]]) -> list[dict[str, Any]]:
        """Several crops, as a loader asks for a batch: the same samples as one by one, in less time."""
        draws = [key if isinstance(key, tuple) else (0, key) for key in keys]
        indices = [draw % len(self) for _, draw in draws]
        numbers = [int(self._chosen[index]) for index in indices]
        rows = [self.rows[number] for number in numbers]
        rngs = [rng_for(self.seed, *draw) for draw in draws]
        matrices = torch.cat([self._crop_matrix(row, rng) for row, rng in zip(rows, rngs, strict=True)])  # (n, 2, 3)
        pictures = read_crops(rows, numbers, matrices, self.settings, cut=self.cut)
        return [
            {
                **picture,
                "noise": torch.from_numpy(rng.random(self.num_patches, dtype=np.float32)),
                "index": index,
                "image_id": int(row["image_id"]),
                "person_id": int(row["person_id"]),
            }
            for picture, row, index, rng in zip(pictures, rows, indices, rngs, strict=True)
        ]

    def pictures(self, pixel_values: Tensor) -> np.ndarray:
        """(N, 3, H, W) normalized crops as (N, H, W, 3) uint8 pictures."""
        gain, bias = self.settings.normalization
        pixels = (pixel_values.float().cpu() - bias) / gain
        return pixels.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()

    def _crop_matrix(self, row: dict[str, Any], rng: np.random.Generator) -> Tensor:
        """(1, 2, 3) from crop to image pixels."""
        center, size = self._region(row)
        proportions = size.new_tensor(self.settings.crop_size[::-1])  # width, height
        flip = False
        if self.augment:
            center, size = random_resized_crop(center, size, aspect=float(proportions[0] / proportions[1]), rng=rng)
            flip = bool(rng.random() < self.flip_probability)
        else:
            size = proportions * (size / proportions).min()  # a person's box has the crop's proportions already
        return crop_to_image_matrices(
            center[None], size[None], crop_size=self.settings.crop_size, flips=torch.tensor([flip])
        )

    def _region(self, row: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Centre and size (2,) in image pixels of what is cropped from: the padded box of a person, or the image."""
        if self.crops == "images":
            size = torch.tensor([row["width"], row["height"]], dtype=torch.float64) - 1  # from first to last pixel
            return size / 2, size
        box_xywh = torch.as_tensor(np.asarray(row["bbox"], dtype=np.float64))
        centers, sizes = box_to_center_and_size(
            box_xywh[None], crop_size=self.settings.crop_size, padding=self.settings.padding
        )
        return centers[0], sizes[0]


def random_resized_crop(
    center: Tensor, size: Tensor, *, aspect: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A random part of a region: a share of its area, near some width over height, anywhere inside (MAE paper).

    Args:
        center: (2,) of the region, x and y in image pixels.
        size: (2,) of the region, width and height in image pixels.
        aspect: Width over height of the crop in pixels.
        rng: Random numbers of this sample.

    Returns:
        Centre and size of the part; a side that the region is too short for is as long as the region's.
    """
    area = rng.uniform(*AREA_SHARES) * float(size.prod())
    ratio = aspect * float(np.exp(rng.uniform(*np.log(ASPECT_RATIOS))))
    part = size.new_tensor([(area * ratio) ** 0.5, (area / ratio) ** 0.5]).minimum(size)
    return center + size.new_tensor(rng.uniform(-0.5, 0.5, size=2)) * (size - part), part


def one_row_an_image(rows: Any) -> np.ndarray:
    """Indices of rows, one for each image."""
    if isinstance(rows, SyntheticPeople):  # one person each, and drawing them all takes its time
        return np.arange(len(rows))
    image_ids = rows["image_id"] if hasattr(rows, "column_names") else [row["image_id"] for row in rows]
    return np.unique(np.asarray(image_ids), return_index=True)[1]
