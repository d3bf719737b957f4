"""From a recipe to the objects of a run: model, processor, loaders, optimizer."""

import logging
from collections.abc import Callable, Sequence, Sized
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, default_collate

from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..config.recipe import Recipe
from .augmentation import Augmentation
from .collate import CropCollator
from .mixture import MixedDataset, collate_mixed
from .picture import PictureDataset
from .pose import PoseDataset
from .sampler import EpochSampler, MixtureSampler
from .sources import training_people

logger = logging.getLogger(__name__)


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


def build_sampler(recipe: Recipe, accelerator: Accelerator, counts: Sequence[int]) -> EpochSampler:
    """The order of an epoch of so many samples, of a mixture so many of each dataset, which comes at its rate."""
    together = recipe.optimization.batch_size * accelerator.num_processes
    multiple = together if accelerator.num_processes > 1 else 1
    if recipe.dataset.mixture:
        return MixtureSampler(counts, recipe.rates, seed=recipe.run.seed, multiple=multiple)
    return EpochSampler(counts[0], seed=recipe.run.seed, multiple=multiple)


def _training_dataset(recipe: Recipe, settings: ProcessorSettings) -> PoseDataset:
    augmentation = Augmentation(
        flip_probability=recipe.augmentation.flip_probability,
        half_body_probability=recipe.augmentation.half_body_probability,
        scale=recipe.augmentation.scale_deviation,
        rotation=recipe.augmentation.rotation_deviation,
    )
    return PoseDataset(
        training_people(recipe),
        schema=recipe.keypoint_schema,
        settings=replace(settings, padding=recipe.box_padding),
        augmentation=augmentation if recipe.augmentation.augment else None,
        seed=recipe.run.seed,
        cut=False,
    )


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
        "collate_fn": CropCollator(reader=dataset.read_crops, on_device=on_device, collate=collate),
        "num_workers": recipe.run.num_workers,
        "persistent_workers": False,
        "pin_memory": accelerator.device.type == "cuda",
        # its own generator: building an iterator must not draw from the one that training draws from
        "generator": torch.Generator(),
    }
