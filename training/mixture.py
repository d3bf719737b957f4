"""People of several datasets in one epoch, each at its rate; a sample says which dataset it is of."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, default_collate

from .picture_dataset import PictureDataset
from .pose_dataset import EpochSampler, PoseDataset

_PER_KEYPOINT = ("keypoints_crop", "visibility")


class MixedDataset(Dataset):
    """Several datasets as one: their samples, with their `part`, the place of the dataset in the mixture, and the
    `dataset_index` of the expert and head they train, where they train one.

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
        self.read_crops = self.parts[0].read_crops  # crops of all are alike

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


class MixtureSampler(EpochSampler):
    """The shuffled order of an epoch of several datasets, from (seed, epoch) alone.

    A rate of 1 draws each person of a dataset once an epoch, 2.5 twice and half of them a third time, 0.1 a tenth of
    them; which ones changes from epoch to epoch. Further arguments as [`EpochSampler`].

    Args:
        counts: How many people each dataset has.
        rates: How often an epoch draws each person of it.
    """

    def __init__(self, counts: Sequence[int], rates: Sequence[float], *, seed: int, multiple: int = 1) -> None:
        self._draws = [max(1, round(count * rate)) for count, rate in zip(counts, rates, strict=True)]
        self._counts = list(counts)
        super().__init__(sum(self._draws), seed=seed, multiple=multiple)

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        """Pairs (part, index) `(num_samples, 2)`; indices beyond the count are repeated people."""
        pairs = []
        for part, (count, draws) in enumerate(zip(self._counts, self._draws, strict=True)):
            whole, rest = divmod(draws, count)
            last = whole * count + rng.permutation(count)[:rest]  # in the pass that is not complete
            indices = np.concatenate([np.arange(whole * count), last])
            pairs.append(np.stack([np.full(draws, part), indices], axis=1))
        return rng.permutation(np.concatenate(pairs))


def collate_mixed(samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """A batch of samples with different numbers of keypoints: missing ones are filled up as not labelled."""
    largest = max(len(sample["visibility"]) for sample in samples)
    padded = [
        {name: _pad(value, largest) if name in _PER_KEYPOINT else value for name, value in sample.items()}
        for sample in samples
    ]
    return default_collate(padded)


def _pad(values: Tensor, length: int) -> Tensor:
    """(k,) or (k, 2) with zeros behind, to a length."""
    missing = length - len(values)
    return F.pad(values, (0, missing) if values.ndim == 1 else (0, 0, 0, missing))


def joint_weight_table(joint_weights: Sequence[Sequence[float]]) -> Tensor:
    """Weights of the keypoints of each dataset, (D, K), zero beyond its own."""
    largest = max(map(len, joint_weights))
    return torch.stack([_pad(torch.tensor(weights), largest) for weights in joint_weights])
