"""Masked-image pre-training of a backbone (MAE paper; ViTPose paper, section 3.3): its model, data and evaluation."""

import logging
from collections.abc import Callable, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vitpose.modeling.configuration_vitpose_mim import ViTPoseMaskedImageModelingConfig
from vitpose.modeling.modeling_vitpose_mim import ViTPoseForMaskedImageModeling
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..config.recipe import Recipe
from ..engine.model_building import build_pretraining_model
from ..engine.run_parts import RunParts
from ..samples.crops import materialize_crops
from ..samples.loaders import EpochSampler, build_sampler, evaluation_people, loading, training_people
from ..samples.mixture import MixedDataset
from ..samples.picture import PictureDataset
from .masked_image_outputs import PretrainingEvaluation, write_pretraining_outputs

logger = logging.getLogger(__name__)

MASK_SEED = 20_000_003  # of the masks in evaluation, the same at each


def masked_image_losses(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The objective of the training loop: (B,) the loss of each crop."""
    return model(batch["pixel_values"], noise=batch["noise"]).crop_losses


@dataclass(kw_only=True)
class ReconstructionEvaluator:
    """Measures the loss on crops that are not trained on, with masks that are the same at each evaluation.

    Args:
        accelerator: Of the run.
        dataset: The crops.
        loader: Of these, prepared.
    """

    accelerator: Accelerator
    dataset: PictureDataset
    loader: DataLoader

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> PretrainingEvaluation:
        """Evaluate a prepared model; every process takes part."""
        was_training = model.training
        model.eval()
        losses = []
        for batch in self.loader:
            batch = materialize_crops(batch, self.dataset.settings)
            losses.append(self.accelerator.gather_for_metrics(masked_image_losses(model, batch)))
        model.train(was_training)
        return PretrainingEvaluation(metrics={"reconstruction_loss": torch.cat(losses).mean().item()})


def masked_image_parts(
    recipe: Recipe, accelerator: Accelerator, write_card: Callable[..., Path] | None
) -> RunParts[ViTPoseForMaskedImageModeling, PretrainingEvaluation]:
    """The parts of a pre-training run.

    Args:
        recipe: Of the run.
        accelerator: Of the run.
        write_card: Writes the model card, with the arguments of `vitpose.write_pretraining_card`; None for no card.
    """
    model = build_pretraining_model(recipe)
    loader, sampler = _training_loader(recipe, accelerator, model.config)
    evaluators = {
        name: _evaluator(part, accelerator, model.config)
        for name, part in zip(recipe.part_names, recipe.parts, strict=True)
    }
    datasets = [evaluator.dataset for evaluator in evaluators.values()]
    assert isinstance(loader.dataset, Sized)
    counts = len(loader.dataset), recipe.dataset.crops, sum(map(len, datasets))
    logger.info("%d crops of %s to train on, %d to evaluate", *counts)
    return RunParts(
        model=model,
        num_layers=len(model.backbone.encoder.layer),
        objective=masked_image_losses,
        loader=loader,
        sampler=sampler,
        evaluators=evaluators,
        write_outputs=partial(
            write_pretraining_outputs,
            recipe=recipe,
            datasets=datasets,
            device=accelerator.device,
            write_card=write_card,
        ),
    )


def _training_loader(
    recipe: Recipe, accelerator: Accelerator, config: ViTPoseMaskedImageModelingConfig
) -> tuple[DataLoader, EpochSampler]:
    """The loader of crops, not yet prepared, and the sampler below it; of a mixture each dataset comes at its rate."""
    parts = [
        _dataset(part, config, training_people(part), augment=recipe.augmentation.augment, seed=recipe.run.seed)
        for part in recipe.parts
    ]
    sampler = build_sampler(recipe, accelerator, [len(part) for part in parts])
    dataset = MixedDataset(parts) if recipe.dataset.mixture else parts[0]
    settings = loading(recipe, accelerator, dataset)
    return DataLoader(dataset, batch_size=recipe.optimization.batch_size, sampler=sampler, **settings), sampler


def _evaluator(
    recipe: Recipe, accelerator: Accelerator, config: ViTPoseMaskedImageModelingConfig
) -> ReconstructionEvaluator:
    """Of one dataset."""
    held_out = _dataset(recipe, config, evaluation_people(recipe).people, augment=False, seed=MASK_SEED)
    loader = DataLoader(
        held_out, batch_size=recipe.evaluation.eval_batch_size, **loading(recipe, accelerator, held_out)
    )
    return ReconstructionEvaluator(accelerator=accelerator, dataset=held_out, loader=accelerator.prepare(loader))


def _dataset(
    recipe: Recipe, config: ViTPoseMaskedImageModelingConfig, rows: Any, *, augment: bool, seed: int
) -> PictureDataset:
    return PictureDataset(
        rows,
        crops=recipe.dataset.crops,
        settings=ProcessorSettings(crop_size=config.image_size),
        num_patches=config.num_patches,
        augment=augment,
        flip_probability=recipe.augmentation.flip_probability,
        seed=seed,
        cut=False,
    )
