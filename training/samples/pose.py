"""Samples for training and evaluation: one person, cropped, as tensors; and the order in which an epoch visits them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.geometry_vitpose import invert_matrices, transform_points
from vitpose.processing.prediction_vitpose import crop_matrices
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from .augmentation import Augmentation, Crop, rng_for, sample_crop
from .crops import CropReader


class PoseDataset(Dataset):
    """Crops of people, each a pure function of (seed, epoch, index).

    A sample is asked for by a pair (epoch, index), as [`EpochSampler`] gives them; so the epoch reaches every worker
    with the request itself. A plain index means epoch 0. An index beyond the people counts them once more, with another
    augmentation: so a person can be drawn several times in an epoch.

    Args:
        people: Anything with `len()` and `[index]` whose rows have the columns of `vitpose.training.data.stored`.
        schema: The keypoints of these people.
        settings: Of the processor that the model is trained with.
        augmentation: Random changes for training; None crops the box alone, as in evaluation.
        seed: Seed of the augmentation.
        cut: Whether samples hold crops, or what crops are cut from, for `vitpose.training.samples.collate`.

    Raises:
        ValueError: A row has another number of keypoints than the schema.
        ImageReadError: An image cannot be read; the message names the file and the row.
    """

    def __init__(
        self,
        people: Any,
        *,
        schema: KeypointSchema,
        settings: ProcessorSettings,
        augmentation: Augmentation | None,
        seed: int = 0,
        cut: bool = True,
    ) -> None:
        self.people = people
        self.schema = schema
        self.settings = settings
        self.read_crops = CropReader(settings=settings)
        self.augmentation = augmentation
        self.seed = seed
        self.cut = cut

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        """One person.

        Returns:
            A dictionary of
            - `pixel_values`: float32 `(3, height, width)`, normalized; without `cut` instead `region`
              `(3, region_height, region_width)`, pixels 0..255, and `region_matrix` `(2, 3)`, from crop to its pixels.
            - `keypoints_crop`: float32 `(num_keypoints, 2)` in crop pixels, 0 where not labelled. In a mirrored crop
              left and right keypoints have changed places.
            - `visibility`: float32 `(num_keypoints,)`, 0 not labelled, 1 hidden, 2 visible.
            - `matrix`: float32 `(2, 3)`, from crop to image pixels.
            - `index`, `image_id`, `person_id`: int.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[int | tuple[int, int]]) -> list[dict[str, Any]]:
        """Several people, as a loader asks for a batch: the same samples as one by one, in less time."""
        draws = [key if isinstance(key, tuple) else (0, key) for key in keys]
        indices = [draw % len(self.people) for _, draw in draws]
        rows = [self.people[index] for index in indices]
        keypoints = [self._keypoints(row, index) for row, index in zip(rows, indices, strict=True)]  # (k, 3) each
        crops = [self._crop(row, own, *draw) for row, own, draw in zip(rows, keypoints, draws, strict=True)]
        matrices = _crop_matrices(crops, self.settings)  # (n, 2, 3)
        pictures = self.read_crops.samples(rows, indices, matrices, cut=self.cut)
        points = torch.from_numpy(np.stack(keypoints))  # (n, k, 3)
        keypoints_crop, visibility = self._keypoints_in_crops(points, matrices, crops)
        return [
            {
                **picture,
                "keypoints_crop": keypoints_crop[place],
                "visibility": visibility[place],
                "matrix": matrix,
                "index": index,
                "image_id": int(row["image_id"]),
                "person_id": int(row["person_id"]),
            }
            for place, (picture, matrix, row, index) in enumerate(
                zip(pictures, matrices.float(), rows, indices, strict=True)
            )
        ]

    def _keypoints(self, row: dict[str, Any], index: int) -> np.ndarray:
        keypoints = np.asarray(row["keypoints"], dtype=np.float64)
        expected = (self.schema.num_keypoints, 3)
        if keypoints.shape != expected:
            raise ValueError(
                f"Row {index} has keypoints of shape {keypoints.shape}, the schema {self.schema.name!r} "
                f"expects {expected}. Read the data with its own schema."
            )
        return keypoints

    def _crop(self, row: dict[str, Any], keypoints: np.ndarray, epoch: int, index: int) -> Crop:
        box_xywh = np.asarray(row["bbox"], dtype=np.float64)
        if self.augmentation is None:
            return Crop(box_xywh, self.settings.padding)
        return sample_crop(
            self.augmentation,
            box_xywh,
            keypoints,
            schema=self.schema,
            padding=self.settings.padding,
            rng=rng_for(self.seed, epoch, index),
        )

    def _keypoints_in_crops(self, keypoints: Tensor, matrices: Tensor, crops: Sequence[Crop]) -> tuple[Tensor, Tensor]:
        """Places (n, k, 2) in crop pixels and visibility (n, k) of keypoints (n, k, 3) in image pixels."""
        flips = torch.tensor([crop.flip for crop in crops])
        keypoints = torch.where(flips[:, None, None], keypoints[:, list(self.schema.flip_index)], keypoints)
        keypoints_crop = transform_points(keypoints[:, :, :2], invert_matrices(matrices))  # (n, k, 2)
        visibility = keypoints[:, :, 2]
        keypoints_crop = keypoints_crop.masked_fill(visibility[:, :, None] == 0, 0.0)
        return keypoints_crop.float(), visibility.float()


def _crop_matrices(crops: Sequence[Crop], settings: ProcessorSettings) -> Tensor:
    boxes = torch.from_numpy(np.stack([crop.box_xywh for crop in crops]))  # (n, 4)
    return crop_matrices(
        boxes,
        settings,
        padding=boxes.new_tensor([crop.padding for crop in crops])[:, None],  # (n, 1)
        rotations=torch.tensor([crop.rotation for crop in crops], dtype=torch.float64),
        flips=torch.tensor([crop.flip for crop in crops]),
    )
