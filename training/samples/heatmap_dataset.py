"""Crops of people with the heatmaps to learn, as the model takes them: for transformers' Trainer or any other loop."""

import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from vitpose.base.names import unknown_name
from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.processing.heatmaps_vitpose import encode_heatmaps
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor
from vitpose.processing.prediction_vitpose import check_fits

from .mixture import MixedDataset, pad_keypoints
from .pose import Augmentation, PoseDataset

logger = logging.getLogger(__name__)

_COLUMNS = ("image", "image_id", "person_id", "width", "height", "bbox", "keypoints")  # that a crop is made from


class HeatmapDataset(Dataset):
    """Crops of people and the heatmaps to learn, as the arguments of `ViTPoseForPoseEstimation`.

    Samples of all datasets have one shape, with as many keypoints as the model's largest dataset; zeros, with weight 0,
    stand behind those of a smaller one. So any collator makes batches of them, that of transformers' Trainer too.

    Args:
        people: Rows of one dataset, with the columns of docs/datasets.md, from `read_dataset`, `read_coco`,
            `read_people` or `SyntheticPeople`. For a model of several datasets, a dictionary of them by the names in
            the model's config; the rows follow each other in its order.
        config: The model's: `model.config`.
        processor: Cuts the crops. Save it beside the model.
        augmentation: Random changes of the crop, for training; they follow from (seed, epoch, index) alone, so give
            Trainer an [`EpochCallback`], or call [`set_epoch`]. None cuts out the box as it is, for evaluation.
        seed: Of the augmentation.

    Raises:
        ValueError: The processor does not fit the model, or a dataset is none of the model's, has no people or lacks a
            column.

    Example:
    ```python
    >>> import vitpose
    >>> model = vitpose.ViTPoseForPoseEstimation.from_pretrained(vitpose.TINY_CHECKPOINT)
    >>> processor = vitpose.ViTPoseImageProcessor.from_pretrained(vitpose.TINY_CHECKPOINT)
    >>> people = vitpose.SyntheticPeople(num_people=2, seed=0)
    >>> sample = vitpose.data.HeatmapDataset(people, config=model.config, processor=processor)[0]
    >>> {name: tuple(value.shape) for name, value in sample.items()}
    {'pixel_values': (3, 128, 96), 'labels': (17, 64, 48), 'label_weights': (17,)}

    ```
    """

    def __init__(
        self,
        people: Any,
        *,
        config: ViTPoseConfig,
        processor: ViTPoseImageProcessor,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        check_fits(processor.settings, config, "HeatmapDataset")
        sources = _by_index(people, config)
        self._crops = MixedDataset(
            [
                PoseDataset(
                    rows,
                    schema=config.get_schema(index),
                    settings=processor.settings,
                    augmentation=augmentation,
                    seed=seed,
                )
                for index, rows in sources.items()
            ],
            dataset_indices=list(sources),
        )
        self._augmented = augmentation is not None
        self._ends = list(accumulate(len(rows) for rows in sources.values()))
        self._config = config
        self._num_keypoints = max(len(schema["keypoints"]) for schema in config.keypoint_schemas)
        # in shared memory, where the workers of a loader, which outlive an epoch if asked to, see them change
        self._epoch, self._drawn = torch.zeros(2, dtype=torch.int64).share_memory_().unbind()

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, whose augmentation is its own."""
        self._epoch.fill_(epoch)
        self._drawn.zero_()

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One person.

        Returns:
            A dictionary of
            - `pixel_values`: float32 `(3, height, width)`, normalized.
            - `labels`: float32 `(num_keypoints, heatmap_height, heatmap_width)`, all zero where not labeled.
            - `label_weights`: float32 `(num_keypoints,)`, 1 where labeled and inside the crop, else 0.
            - `dataset_index`: int, of a model of several datasets.

        Raises:
            ImageReadError: An image cannot be read; the message names the file and the row.
            ValueError: A row has another number of keypoints than its dataset.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Several people, as a loader asks for a batch: the same samples as one by one, in less time."""
        self._notice_repetition(len(indices))
        epoch = int(self._epoch)
        crops = self._crops.__getitems__([(epoch, self._place(index)) for index in indices])
        labels, weights = self._targets(crops)
        several = self._config.num_datasets > 1
        return [
            {
                "pixel_values": crop["pixel_values"],
                "labels": own_labels,
                "label_weights": own_weights,
                **({"dataset_index": crop["dataset_index"]} if several else {}),
            }
            for crop, own_labels, own_weights in zip(crops, labels, weights, strict=True)
        ]

    def _notice_repetition(self, num_drawn: int) -> None:
        """Tell, once an epoch, when all people have come twice with the same augmentation."""
        self._drawn += num_drawn
        if self._augmented and 2 * len(self) < int(self._drawn) <= 2 * len(self) + num_drawn:
            logger.warning(
                "HeatmapDataset: people are drawn again and again with the augmentation of epoch %d. Give "
                "Trainer callbacks=[vitpose.data.EpochCallback(dataset)], or call dataset.set_epoch(epoch) before each "
                "epoch.",
                int(self._epoch),
            )

    def _place(self, index: int) -> tuple[int, int]:
        """Which dataset a person is of, and the row there."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"Expected an index below {len(self)}, the number of people, got {index}.")
        index %= len(self)
        part = bisect_right(self._ends, index)
        return part, index - (self._ends[part - 1] if part else 0)

    def _targets(self, crops: Sequence[Mapping[str, Any]]) -> tuple[Tensor, Tensor]:
        """Heatmaps (n, K, h, w) and their weights (n, K)."""
        points, visibility = (
            torch.stack([pad_keypoints(crop[name], self._num_keypoints) for crop in crops])
            for name in ("keypoints_crop", "visibility")
        )
        settings = self._crops.settings
        return encode_heatmaps(
            points,
            visibility,
            crop_size=settings.crop_size,
            heatmap_size=self._config.heatmap_size,
            use_udp=settings.use_udp,
        )


class EpochCallback(TrainerCallback):
    """Tells a dataset the epoch of transformers' Trainer, so that each has its own augmentation, after a resume too.

    Accelerate's loaders tell it only some datasets: not where several processes train, nor in a resumed epoch.

    Args:
        dataset: The dataset that is trained on.
    """

    def __init__(self, dataset: HeatmapDataset) -> None:
        self.dataset = dataset

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the epoch of the dataset."""
        self.dataset.set_epoch(int(state.epoch or 0))


def _by_index(people: Any, config: ViTPoseConfig) -> dict[int, Any]:
    """The rows of each dataset by its index in the model, checked."""
    known = config.named_datasets
    if not isinstance(people, Mapping):
        if len(known) != 1:
            raise ValueError(
                f"people: expected a dictionary of the people of each dataset, by the names {', '.join(known)}, as the "
                f"model has several; got {type(people).__name__}."
            )
        people = {next(iter(known)): people}
    for name, rows in people.items():
        if name not in known:
            raise ValueError(unknown_name("people, dataset", name, known))
        _check_rows(rows, name)
    if not people:
        raise ValueError(f"people: expected those of at least one dataset of {', '.join(known)}, got none.")
    return {known[name]: rows for name, rows in people.items()}


def _check_rows(rows: Any, name: str) -> None:
    if len(rows) == 0:
        raise ValueError(f"people of {name!r}: expected at least one, got none.")
    missing = [column for column in _COLUMNS if column not in rows[0]]
    if missing:
        raise ValueError(
            f"people of {name!r}: expected the columns {', '.join(_COLUMNS)}, got none called {', '.join(missing)}. "
            "vitpose.data.read_people(dataset, schema=...) fills in what follows from the others."
        )
