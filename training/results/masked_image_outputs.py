"""What a pre-training run leaves in its folder: model, processor, loss, pictures and card."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vitpose.base.files import whole_file
from vitpose.modeling.modeling_vitpose_mim import ViTPoseForMaskedImageModeling
from vitpose.processing.drawing import contact_sheet
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor

from ..engine.trainer import Trainer
from ..evaluation.evaluator import joined_metrics
from ..pictures.curves import save_curves
from ..samples.collate import CropCollator
from ..samples.picture import PictureDataset
from .masked_image import ReconstructionEvaluator
from .run_words import command_words, dataset_words, run_cost, training_words
from .save_model import save_into

logger = logging.getLogger(__name__)

PICTURED_CROPS = 8
COLUMNS = ("crop", "what the encoder saw", "reconstructed")


def write_pretraining_outputs(
    trainer: Trainer,
    evaluations: Mapping[str, Any],
    weights: dict[str, Tensor],
    write_card: Callable[..., Path] | None,
) -> None:
    """Write the folder of a finished run; called by the main process.

    Args:
        trainer: Of the run.
        evaluations: A `PretrainingEvaluation` of each dataset, by name.
        weights: The final weights, whole.
        write_card: Writes the model card, with the arguments of `vitpose.write_pretraining_card`; None for no card.
    """
    recipe, output = trainer.recipe, Path(trainer.recipe.run.output_dir)
    metrics = joined_metrics(evaluations)
    model = _model_with(weights, trainer)
    processor = ViTPoseImageProcessor.from_settings(trainer.settings)
    save_into(output, model.save_pretrained, processor.save_pretrained)
    with whole_file(output / "metrics.json") as path:
        settings = {"crops": recipe.dataset.crops, "data": dataset_words(recipe)}
        path.write_text(json.dumps({**metrics, "settings": settings}, indent=2), encoding="utf-8")
    save_curves(trainer.log.path, output / "curves.png")
    datasets = [cast(ReconstructionEvaluator, evaluator).dataset for evaluator in trainer.evaluators.values()]
    draw_reconstructions(model, datasets, output / "reconstructions.png")
    if write_card is not None:
        card = write_card(
            output,
            model_config=trainer.config,
            metrics=metrics,
            dataset_name=dataset_words(recipe),
            trained_on=training_words(recipe),
            recipe=asdict(recipe),
            command=command_words(),
            cost=run_cost(trainer),
        )
        logger.info("card     %s", card)
    for part, evaluation in zip(recipe.parts, evaluations.values(), strict=True):
        logger.info("reconstruction loss %.4f on %s", evaluation.metrics["reconstruction_loss"], dataset_words(part))
    logger.info("model    %s\npicture  %s", output, output / "reconstructions.png")


def _model_with(weights: dict[str, Tensor], trainer: Trainer) -> ViTPoseForMaskedImageModeling:
    """A model of its own: where the weights are sharded, the main process could not run the trainer's by itself."""
    with torch.device("meta"):
        model = ViTPoseForMaskedImageModeling(cast(Any, trainer.config))
    model.load_state_dict(weights, assign=True)
    return model.to(trainer.accelerator.device)


@torch.no_grad()
def draw_reconstructions(model: ViTPoseForMaskedImageModeling, datasets: Sequence[PictureDataset], path: Path) -> None:
    """Draw crops, evenly spread over each dataset, as they are, without their hidden patches, and reconstructed."""
    shares = [len(share) for share in np.array_split(range(PICTURED_CROPS), len(datasets))]
    samples = [sample for dataset, share in zip(datasets, shares, strict=True) for sample in _spread(dataset, share)]
    batch = CropCollator(reader=datasets[0].read_crops, on_device=False)(samples)
    crops, noise = batch["pixel_values"], batch["noise"]
    was_training = model.training
    model.eval()
    found = model.reconstruct(crops.to(model.device), noise=noise.to(model.device))
    model.train(was_training)
    columns = [_pictures(datasets[0], pixels) for pixels in (crops, found.masked, found.reconstructed)]
    tiles = [picture for row in zip(*columns, strict=True) for picture in row]
    height, width = datasets[0].settings.crop_size
    scale = max(1, round(192 / height))
    sheet = contact_sheet(
        tiles, columns=2 * len(COLUMNS), captions=list(COLUMNS) * len(samples), tile=(scale * height, scale * width)
    )
    with whole_file(path) as file:
        sheet.save(file)


def _spread(dataset: PictureDataset, count: int) -> list[dict[str, Any]]:
    """So many samples, evenly spread; at least one, and no more than there are."""
    count = min(max(count, 1), len(dataset))
    return [dataset[place] for place in torch.linspace(0, len(dataset) - 1, count).round().long().tolist()]


def _pictures(dataset: PictureDataset, pixels: Tensor) -> list[Image.Image]:
    return [Image.fromarray(picture) for picture in dataset.pictures(pixels)]
