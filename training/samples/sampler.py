"""The order in which an epoch visits its samples."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """The shuffled order of an epoch, from (seed, epoch) alone; yields pairs (epoch, index) for [`PoseDataset`].

    Args:
        num_samples: Number of samples in an epoch.
        seed: Seed of the order.
        multiple: An epoch is filled up with its own first samples to a multiple of this. With the batch size times
            the number of processes, every process gets full batches, and the same ones after [`skip`].
    """

    def __init__(self, num_samples: int, *, seed: int, multiple: int = 1) -> None:
        if num_samples < 1 or multiple < 1:
            raise ValueError(f"Expected num_samples and multiple of at least 1, got {num_samples} and {multiple}.")
        self.num_samples = num_samples
        self.seed = seed
        self.epoch_length = -(-num_samples // multiple) * multiple  # rounded up
        self.epoch = 0
        self._start = 0

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, to its first sample; being told the present epoch again changes nothing."""
        if epoch != self.epoch:
            self.epoch, self._start = epoch, 0

    def skip(self, num_samples: int) -> None:
        """Start the present epoch after its first `num_samples` samples, without loading them: to resume a run.

        The samples are counted over all processes. The next epoch is whole again.
        """
        if not 0 <= num_samples <= self.epoch_length:
            raise ValueError(f"Cannot skip {num_samples} samples: expected 0 to {self.epoch_length}, a whole epoch.")
        self._start = num_samples

    def __len__(self) -> int:
        return self.epoch_length - self._start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        # Without the spawn key this would be the stream of the epoch's sample 0, see rng_for.
        entropy = np.random.SeedSequence((self.seed, self.epoch), spawn_key=(0,))
        order = self._order(np.random.default_rng(entropy))
        filled = np.resize(np.arange(len(order)), self.epoch_length)  # repeats from the beginning
        for index in order[filled][self._start :].tolist():
            yield self.epoch, index

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        """Indices of an epoch, each sample once."""
        return rng.permutation(self.num_samples)


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
