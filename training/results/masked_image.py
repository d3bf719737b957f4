"""Masked-image pre-training of a backbone (MAE paper; ViTPose paper, section 3.3): its model, data and measure."""

import logging
from collections.abc import Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vitpose.modeling.configuration_vitpose_mim import ViTPoseMaskedImageModelingConfig
from vitpose.modeling.modeling_vitpose_mim import ViTPoseForMaskedImageModeling
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..config.recipe import Recipe
from ..engine.compilation import compile_blocks
from ..engine.optimizer import make_optimizer
from ..engine.sharding import autocast_forward
from ..engine.trainer import RunLog, Trainer
from ..samples.collate import materialize_crops
from ..samples.loaders import build_sampler, loading
from ..samples.mixture import MixedDataset
from ..samples.picture import PictureDataset
from ..samples.sampler import EpochSampler
from ..samples.sources import evaluation_people, training_people

logger = logging.getLogger(__name__)

MASK_SEED = 20_000_003  # of the masks in evaluation, the same at each


@dataclass(kw_only=True)
class PretrainingEvaluation:
    """What is measured of a masked autoencoder.

    Args:
        metrics: `reconstruction_loss`, the mean squared error of hidden patches in their own units.
    """

    metrics: dict[str, float]


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


def build_pretraining_model(recipe: Recipe) -> ViTPoseForMaskedImageModeling:
    """The model that the recipe describes, with random weights."""
    torch.manual_seed(recipe.run.seed)
    chosen = {
        "num_hidden_layers": recipe.model.num_hidden_layers,
        "num_attention_heads": recipe.model.num_attention_heads,
        "drop_path_rate": recipe.model.drop_path_rate,
        "image_size": (recipe.model.image_height, recipe.model.image_width) if recipe.model.image_height else None,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    return ViTPoseForMaskedImageModeling(ViTPoseMaskedImageModelingConfig.from_preset(recipe.model.preset, **given))


def assemble_pretraining(recipe: Recipe, accelerator: Accelerator, output: Path) -> Trainer:
    """Build and prepare everything a pre-training run needs."""
    model = build_pretraining_model(recipe)
    config = model.config
    if recipe.optimization.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    if recipe.optimization.torch_compile:
        compile_blocks(model)
    optimizer = make_optimizer(model, num_layers=len(model.backbone.encoder.layer), recipe=recipe)
    loader, sampler = _training_loader(recipe, accelerator, config)
    evaluators = {
        name: _evaluator(part, accelerator, config) for name, part in zip(recipe.part_names, recipe.parts, strict=True)
    }
    to_evaluate = sum(len(evaluator.dataset) for evaluator in evaluators.values())
    logger.info(
        "%d crops of %s to train on, %d to evaluate",
        len(cast(Sized, loader.dataset)),
        recipe.dataset.crops,
        to_evaluate,
    )
    autocast_forward(model, accelerator)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    return Trainer(
        accelerator=accelerator,
        model=model,
        objective=masked_image_losses,
        optimizer=optimizer,
        loader=loader,
        sampler=sampler,
        recipe=recipe,
        config=cast(Any, config),  # the trainer hands it on, to the outputs of pre-training alone
        settings=ProcessorSettings(crop_size=config.image_size),
        log=RunLog(path=output / "log.jsonl", accelerator=accelerator),
        evaluators=cast(Any, evaluators),  # whose metrics the trainer logs as those of any other
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
