"""Samples for training and evaluation: one person, cropped at random, as tensors.

What is random happens to the crop's geometry, before a pixel is read: one affine map samples shift, mirroring, half
body, scale and rotation at once, as in the released training recipe. It is a pure function of (seed, epoch, sample
index).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.geometry_vitpose import (
    crop_matrices,
    invert_matrices,
    transform_points,
)
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..data.keypoint_names import mirror_problem
from .crops import read_crops

logger = logging.getLogger(__name__)

_MIN_HALF_BODY_KEYPOINTS = 3  # a half with fewer labelled keypoints says too little about where the half is
# The released code takes the upper half where a standard normal draw is below 0.5, not a uniform one: in 69 % of them.
_UPPER_BODY_SHARE = NormalDist().cdf(0.5)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far training crops stray from the box. The defaults are those of the released configs for COCO.

    Args:
        shift_probability: Chance of moving the box.
        shift: The move is uniform within plus or minus this fraction of the box's width and height.
        flip_probability: Chance of mirroring left and right.
        half_body_probability: Chance of cropping to the upper or lower body, for people with enough keypoints.
        half_body_above: Only people with more labelled keypoints than this are cropped to a half.
        half_body_padding: Factor on the box around the half's keypoints; it takes the place of the crop's padding.
        scale: Standard deviation of the factor on the crop's sides, whose mean is 1; clipped to `1 - scale` and
            `1 + scale`. 0 keeps the size.
        rotation_probability: Chance of turning the crop.
        rotation: Standard deviation of the angle in degrees, clipped to plus or minus twice as much.

    Raises:
        ValueError: A probability is outside 0..1, another figure is negative or not finite, or `scale` is not below 1.
    """

    shift_probability: float = 0.3
    shift: float = 0.2
    flip_probability: float = 0.5
    half_body_probability: float = 0.3
    half_body_above: int = 8
    half_body_padding: float = 1.5
    scale: float = 0.5
    rotation_probability: float = 0.6
    rotation: float = 40.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"Augmentation.{field.name}: expected a finite number of at least 0, got {value}.")
            if field.name.endswith("probability") and value > 1:
                raise ValueError(f"Augmentation.{field.name}: expected a probability from 0 to 1, got {value}.")
        if self.scale >= 1:
            raise ValueError(f"Augmentation.scale: expected less than 1, else a crop can vanish; got {self.scale}.")
        if self.half_body_padding == 0:
            raise ValueError("Augmentation.half_body_padding: expected more than 0, the factor on the box; got 0.")


class Crop(NamedTuple):
    """Where a crop lies in the image.

    Args:
        box_xywh: `(4,)`, left, top, width, height of what it shows in image pixels, not yet in its aspect ratio.
        padding: Factor on the sides of the box that has it.
        rotation: Degrees, from the image's x axis towards its y axis.
        flip: True mirrors the crop.
    """

    box_xywh: np.ndarray
    padding: float
    rotation: float = 0.0
    flip: bool = False


def rng_for(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random numbers of one sample in one epoch: they depend on these three figures and on nothing else.

    So a sample is the same in whatever order, worker or process it is made, and a resumed run repeats an unbroken one.
    """
    return np.random.default_rng((seed, epoch, index))


def sample_crop(
    augmentation: Augmentation,
    box_xywh: np.ndarray,
    keypoints: np.ndarray,
    *,
    schema: KeypointSchema,
    padding: float,
    rng: np.random.Generator,
) -> Crop:
    """Draw a training crop: shift, flip, half body, scale, rotation, in this order (released configs).

    Args:
        augmentation: What may happen, and how often.
        box_xywh: `(4,)`, left, top, width, height in image pixels, float64.
        keypoints: `(num_keypoints, 3)`, x, y in image pixels and visibility, 0 where not labelled, float64.
        schema: Says which keypoints make up the upper and the lower body.
        padding: Factor on the box's sides, except for half bodies.
        rng: Random numbers of this sample, see [`rng_for`].
    """
    if rng.random() < augmentation.shift_probability:
        shift = rng.uniform(-augmentation.shift, augmentation.shift, size=2)
        box_xywh = np.concatenate([box_xywh[:2] + shift * box_xywh[2:], box_xywh[2:]])
    flip = bool(rng.random() < augmentation.flip_probability)
    half = _sample_half_body(augmentation, keypoints, schema, rng)
    if half is not None:
        box_xywh, padding = half, augmentation.half_body_padding
    factor = min(max(rng.normal(1.0, augmentation.scale), 1 - augmentation.scale), 1 + augmentation.scale)
    rotation, limit = 0.0, 2 * augmentation.rotation
    if rng.random() < augmentation.rotation_probability:
        rotation = min(max(rng.normal(0.0, augmentation.rotation), -limit), limit)
    return Crop(box_xywh, padding * factor, rotation, flip)


def _sample_half_body(
    augmentation: Augmentation, keypoints: np.ndarray, schema: KeypointSchema, rng: np.random.Generator
) -> np.ndarray | None:
    """Box `(4,)` as large as the keypoints of one half of the body, or None for the whole person.

    As in the released code its center is the mean of the keypoints, not the middle of their extent, and the upper half
    is drawn more often than the lower one.
    """
    labelled = keypoints[:, 2] > 0
    if labelled.sum() <= augmentation.half_body_above or rng.random() >= augmentation.half_body_probability:
        return None
    halves = [keypoints[list(half)][labelled[list(half)], :2] for half in (schema.upper_body, schema.lower_body)]
    upper_first = rng.random() < _UPPER_BODY_SHARE
    enough = [points for points in (halves if upper_first else halves[::-1]) if len(points) >= _MIN_HALF_BODY_KEYPOINTS]
    if not enough:
        return None
    points = enough[0]  # (n, 2)
    sides = points.max(0) - points.min(0)
    if not sides.any():  # all on one spot: a box without extent cannot be cropped
        return None
    return np.concatenate([points.mean(0) - sides / 2, sides])


def _warn_of_unpaired_keypoints(schema: KeypointSchema) -> None:
    """Say so, loudly, if photos are to be mirrored and keypoints lack the other side that they would have then."""
    problem = mirror_problem(schema)
    if problem is not None:
        logger.warning(
            "LEFT AND RIGHT: training mirrors photos, and %s. The model will confuse left and right ones: correct the "
            "names, or flip_pairs in the schema, or train without mirroring (flip_probability 0, and flip_test false "
            "in evaluation).",
            problem,
        )


class PoseDataset(Dataset):
    """Crops of people, each a pure function of (seed, epoch, index).

    A sample is asked for by a pair (epoch, index), as [`EpochSampler`] gives them; so the epoch reaches every worker
    with the request itself. A plain index means epoch 0. An index beyond the people counts them once more, with another
    augmentation: so a person can be drawn several times in an epoch.

    Args:
        people: Anything with `len()` and `[index]` whose rows have the columns of `vitpose.training.data.stored`.
        schema: The keypoints of these people.
        settings: Of the processor that the model is trained with.
        padding: Factor on the boxes' sides; that of the settings if None.
        augmentation: Random changes for training; None crops the box alone, as in evaluation.
        seed: Seed of the augmentation.
        cut: Whether samples hold crops, or what crops are cut from, for `vitpose.training.samples.crops`.

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
        padding: float | None = None,
        seed: int = 0,
        cut: bool = True,
    ) -> None:
        if augmentation is not None and augmentation.flip_probability:
            _warn_of_unpaired_keypoints(schema)
        self.people = people
        self.schema = schema
        self.settings = settings
        self.padding = settings.padding if padding is None else padding
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
        keypoints = [np.asarray(row["keypoints"], dtype=np.float64) for row in rows]  # (k, 3) each
        expected = (self.schema.num_keypoints, 3)
        for own, index in zip(keypoints, indices, strict=True):
            if own.shape != expected:
                raise ValueError(
                    f"Row {index} has keypoints of shape {own.shape}, the schema {self.schema.name!r} expects "
                    f"{expected}. Read the data with its own schema."
                )
        crops = [self._crop(row, own, *draw) for row, own, draw in zip(rows, keypoints, draws, strict=True)]
        matrices, placed = self._into_crops(crops, torch.from_numpy(np.stack(keypoints)))  # (n, 2, 3), (n, k, 3)
        pictures = read_crops(rows, indices, matrices, self.settings, cut=self.cut)
        return [
            {
                **picture,
                "keypoints_crop": own[:, :2],
                "visibility": own[:, 2],
                "matrix": matrix,
                "index": index,
                "image_id": int(row["image_id"]),
                "person_id": int(row["person_id"]),
            }
            for picture, own, matrix, row, index in zip(
                pictures, placed.float(), matrices.float(), rows, indices, strict=True
            )
        ]

    def _crop(self, row: dict[str, Any], keypoints: np.ndarray, epoch: int, index: int) -> Crop:
        box_xywh = np.asarray(row["bbox"], dtype=np.float64)
        if self.augmentation is None:
            return Crop(box_xywh, self.padding)
        rng = rng_for(self.seed, epoch, index)
        return sample_crop(self.augmentation, box_xywh, keypoints, schema=self.schema, padding=self.padding, rng=rng)

    def _into_crops(self, crops: Sequence[Crop], keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """Matrices (n, 2, 3) from crop to image pixels, and keypoints (n, k, 3), from image to crop pixels."""
        boxes = torch.from_numpy(np.stack([crop.box_xywh for crop in crops]))  # (n, 4)
        flips = torch.tensor([crop.flip for crop in crops])
        matrices = crop_matrices(
            boxes,
            self.settings,
            padding=boxes.new_tensor([crop.padding for crop in crops])[:, None],  # (n, 1)
            rotations=boxes.new_tensor([crop.rotation for crop in crops]),
            flips=flips,
        )
        keypoints = torch.where(flips[:, None, None], keypoints[:, list(self.schema.flip_index)], keypoints)
        points = transform_points(keypoints[:, :, :2], invert_matrices(matrices))  # (n, k, 2)
        visibility = keypoints[:, :, 2:]
        return matrices, torch.cat([points.masked_fill(visibility == 0, 0.0), visibility], dim=-1)
