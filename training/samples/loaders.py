"""The data of a recipe: whom it trains and evaluates on, in which order, and the loaders of their crops."""

import signal
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from datasets import Dataset
from torch.utils.data import DataLoader, Sampler, default_collate

from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..config.recipe import Recipe
from ..data.columns import to_coco_annotations
from ..data.loading import read_dataset, read_ground_truth, refuse_one_file
from ..data.stored import read_people
from ..synthetic.people import SyntheticPeople
from ..synthetic.styles import Style
from .crops import CropCollator
from .mixture import MixedDataset, collate_mixed
from .picture import PictureDataset
from .pose import Augmentation, PoseDataset

# Generated people to evaluate on come from a seed of their own, which data_seed is not allowed to be.
EVALUATION_SEED = 20_000_003


@dataclass(kw_only=True)
class EvaluationPeople:
    """People to predict and the annotations to score them against.

    Args:
        people: Rows to crop; `box_score` in them where boxes come from a detector.
        annotations: COCO ground truth, or the path of its file.
        annotated_boxes: Whether the boxes are the annotated ones, so that row i has its own keypoints.
    """

    people: Any
    annotations: dict[str, Any] | str
    annotated_boxes: bool = True


def training_people(recipe: Recipe) -> Any:
    """Rows to train on, in the columns of the readers."""
    chosen = recipe.dataset
    if chosen.data == "synthetic":
        if chosen.data_seed == EVALUATION_SEED:
            raise ValueError(f"data_seed {EVALUATION_SEED} makes the people that evaluation uses: choose another seed.")
        return _generate(chosen.train_people, chosen.data_seed, chosen.style)
    refuse_one_file(chosen.data, chosen.data_dir, chosen.train_split, chosen.eval_split)
    return _read(recipe, chosen.train_split, chosen.train_people)


def evaluation_people(recipe: Recipe) -> EvaluationPeople:
    """Rows to evaluate on and their ground truth.

    Annotated boxes are scored against the people read; detector boxes against everyone in the split, so that who was
    not detected counts.
    """
    chosen, schema = recipe.dataset, recipe.keypoint_schema
    if chosen.data == "synthetic":
        people = _generate(chosen.eval_people, EVALUATION_SEED, chosen.style)
        rows = [people[index] for index in range(len(people))]  # drawn once, then read at every evaluation
        return EvaluationPeople(people=rows, annotations=to_coco_annotations(rows, schema))
    if chosen.eval_boxes is None:
        found = _read(recipe, chosen.eval_split, chosen.eval_people)
        return EvaluationPeople(people=found, annotations=to_coco_annotations(found, schema))
    name, folder, split = chosen.data, chosen.data_dir, chosen.eval_split
    assert folder is not None  # a recipe of people that are not generated says where they are
    detected = read_dataset(name, folder, split=split, schema=schema, boxes=chosen.eval_boxes)
    truth = read_ground_truth(name, folder, split=split, schema=schema)
    return EvaluationPeople(people=detected, annotations=truth, annotated_boxes=False)


def _generate(count: int | None, seed: int, style: Style) -> SyntheticPeople:
    assert count is not None  # a recipe of generated people has their number
    return SyntheticPeople(num_people=count, seed=seed, style=style)


def _read(recipe: Recipe, split: str, count: int | None) -> Dataset:
    """The first people of a split, all of them where `count` is None."""
    chosen, schema = recipe.dataset, recipe.keypoint_schema
    assert chosen.data_dir is not None  # a recipe of people that are not generated says where they are
    if chosen.data == "people":
        people = read_people(chosen.data_dir, schema=schema, split=split)
    else:
        people = read_dataset(chosen.data, chosen.data_dir, split=split, schema=schema)
    return people if count is None else people.select(range(min(count, len(people))))


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

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        # Without the spawn key this would be the stream of the epoch's sample 0, see rng_for.
        entropy = np.random.SeedSequence((self.seed, self.epoch), spawn_key=(0,))
        order = self._order(np.random.default_rng(entropy))
        filled = np.resize(np.arange(len(order)), self.epoch_length)  # repeats from the beginning
        return zip(repeat(self.epoch), order[filled][self._start :].tolist(), strict=False)

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


def build_training_loader(
    recipe: Recipe, accelerator: Accelerator, config: ViTPoseConfig, settings: ProcessorSettings
) -> tuple[DataLoader, EpochSampler]:
    """The loader of augmented crops, not yet prepared, and the sampler below it."""
    parts = [_training_dataset(part, settings) for part in recipe.parts]
    sampler = build_sampler(recipe, accelerator, [len(part) for part in parts])
    dataset: PoseDataset | MixedDataset = parts[0]
    if recipe.dataset.mixture:
        dataset = MixedDataset(parts, dataset_indices=[dataset_index(part, config) for part in recipe.parts])
    collate = collate_mixed if recipe.dataset.mixture else default_collate
    common = loading(recipe, accelerator, dataset, collate=collate)
    return DataLoader(dataset, batch_size=recipe.optimization.batch_size, sampler=sampler, **common), sampler


def _training_dataset(recipe: Recipe, settings: ProcessorSettings) -> PoseDataset:
    people, schema, padding = training_people(recipe), recipe.keypoint_schema, recipe.box_padding
    chosen = recipe.augmentation
    augmentation = Augmentation(
        flip_probability=chosen.flip_probability,
        half_body_probability=chosen.half_body_probability,
        scale=chosen.scale_deviation,
        rotation=chosen.rotation_deviation,
    )
    return PoseDataset(
        people,
        schema=schema,
        settings=settings,
        padding=padding,
        augmentation=augmentation if chosen.augment else None,
        seed=recipe.run.seed,
        cut=False,
    )


def build_sampler(recipe: Recipe, accelerator: Accelerator, counts: Sequence[int]) -> EpochSampler:
    """The order of an epoch of so many samples, of a mixture so many of each dataset, which comes at its rate."""
    together = recipe.optimization.batch_size * accelerator.num_processes
    multiple = together if accelerator.num_processes > 1 else 1
    if recipe.dataset.mixture:
        return MixtureSampler(counts, recipe.rates, seed=recipe.run.seed, multiple=multiple)
    return EpochSampler(counts[0], seed=recipe.run.seed, multiple=multiple)


def dataset_index(recipe: Recipe, config: ViTPoseConfig) -> int:
    """The model's index of the recipe's one dataset."""
    if config.num_datasets == 1:
        return 0
    return config.dataset_index(recipe.keypoint_schema.name)


def build_evaluation_loader(
    recipe: Recipe, accelerator: Accelerator, settings: ProcessorSettings, people: Sized
) -> DataLoader:
    """The loader of this process's share of the crops of the boxes alone; it is not to be prepared.

    Batches are those of a single process, dealt out in turn: so a person has the same company, and the same figures to
    the last digit, whatever the number of processes.
    """
    dataset = PoseDataset(
        people,
        schema=recipe.keypoint_schema,
        settings=settings,
        augmentation=None,
        cut=False,
    )
    starts = range(0, len(people), recipe.evaluation.eval_batch_size)
    batches = [list(range(start, min(start + recipe.evaluation.eval_batch_size, len(people)))) for start in starts]
    own = batches[accelerator.process_index :: accelerator.num_processes]
    return DataLoader(dataset, batch_sampler=own, **loading(recipe, accelerator, dataset))


def loading(
    recipe: Recipe,
    accelerator: Accelerator,
    dataset: PoseDataset | PictureDataset | MixedDataset,
    *,
    collate: Callable = default_collate,
) -> dict[str, Any]:
    """What all loaders of a run have in common; the samples of their datasets are not cut yet."""
    on_device = accelerator.device.type != "cpu"
    return {
        "collate_fn": CropCollator(settings=dataset.settings, on_device=on_device, collate=collate),
        "num_workers": recipe.run.num_workers,
        "persistent_workers": False,
        "pin_memory": accelerator.device.type == "cuda",
        # its own generator: building an iterator must not draw from the one that training draws from
        "generator": torch.Generator(),
        "worker_init_fn": _leave_signals_to_the_run,
    }


def _leave_signals_to_the_run(worker: int) -> None:
    """A terminal sends Ctrl-C, and a launcher SIGTERM, to all processes of a group: a run that saves needs its data."""
    for request in (signal.SIGINT, signal.SIGTERM):
        signal.signal(request, signal.SIG_IGN)
