"""People of several datasets in one epoch, each at its rate; a sample says which dataset it is of."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, default_collate

from .picture import PictureDataset
from .pose import PoseDataset

_PER_KEYPOINT = ("keypoints_crop", "visibility")


class MixedDataset(Dataset):
    """Several datasets as one.

    Their samples have a `part`, the place of the dataset in the mixture, and the `dataset_index` of the expert and head
    they train, where they train one.

    Args:
        parts: The datasets.
        dataset_indices: For each its index in the model; datasets of the same keypoints may share one. None where no
            keypoints are learned.
    """

    def __init__(
        self, parts: Sequence[PoseDataset | PictureDataset], *, dataset_indices: Sequence[int] | None = None
    ) -> None:
        self.parts = list(parts)
        self.dataset_indices = dataset_indices
        self.settings = self.parts[0].settings  # crops of all are cut alike, once it is known where

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, key: tuple[int, tuple[int, int]]) -> dict[str, Any]:
        """The sample that [`MixtureSampler`] asks for by (epoch, (part, index))."""
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[tuple[int, tuple[int, int]]]) -> list[dict[str, Any]]:
        """Several samples, as a loader asks for a batch: each dataset makes its own of them at once."""
        samples: list[dict[str, Any]] = [{}] * len(keys)
        for part, dataset in enumerate(self.parts):
            places = [place for place, (_, (of, _)) in enumerate(keys) if of == part]
            head = {} if self.dataset_indices is None else {"dataset_index": self.dataset_indices[part]}
            own = dataset.__getitems__([(keys[place][0], keys[place][1][1]) for place in places]) if places else []
            for place, sample in zip(places, own, strict=True):
                samples[place] = {**sample, "part": part, **head}
        return samples


def collate_mixed(samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """A batch of samples with different numbers of keypoints: missing ones are filled up as not labelled."""
    largest = max(len(sample["visibility"]) for sample in samples)
    padded = [
        {name: pad_keypoints(value, largest) if name in _PER_KEYPOINT else value for name, value in sample.items()}
        for sample in samples
    ]
    return default_collate(padded)


def pad_keypoints(values: Tensor, length: int) -> Tensor:
    """Values of keypoints, (k,) or (k, 2), with zeros behind, to a length."""
    missing = length - len(values)
    return F.pad(values, (0, missing) if values.ndim == 1 else (0, 0, 0, missing))


def joint_weight_table(joint_weights: Sequence[Sequence[float]]) -> Tensor:
    """Weights of the keypoints of each dataset, (D, K), zero beyond its own."""
    largest = max(map(len, joint_weights))
    return torch.stack([pad_keypoints(torch.tensor(weights), largest) for weights in joint_weights])
