"""What a pre-training run leaves in its folder: model, processor, loss, pictures and card."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor

from vitpose import write_pretraining_card
from vitpose.modeling.modeling_vitpose_mim import ViTPoseForMaskedImageModeling
from vitpose.processing.drawing import contact_sheet
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor

from .files import whole_file
from .outputs import command_words, dataset_words, run_cost, save_into, training_words
from .picture_dataset import PictureDataset
from .pretraining import ReconstructionEvaluator
from .report import save_curves
from .trainer import Trainer

logger = logging.getLogger(__name__)

PICTURED_CROPS = 8
COLUMNS = ("crop", "what the encoder saw", "reconstructed")


def write_pretraining_outputs(trainer: Trainer, evaluations: Mapping[str, Any]) -> None:
    """Write the folder of a finished run; called by the main process.

    Args:
        trainer: Of the run.
        evaluations: Its one `PretrainingEvaluation`, by name.
    """
    recipe, output = trainer.recipe, Path(trainer.recipe.output_dir)
    ((name, evaluation),) = evaluations.items()
    model = trainer.accelerator.unwrap_model(trainer.result)
    height, width = trainer.config.image_size
    processor = ViTPoseImageProcessor(size={"height": height, "width": width})
    save_into(output, model.save_pretrained, processor.save_pretrained)
    with whole_file(output / "metrics.json") as path:
        settings = {"crops": recipe.crops, "data": dataset_words(recipe)}
        path.write_text(json.dumps({**evaluation.metrics, "settings": settings}, indent=2), encoding="utf-8")
    save_curves(trainer.log.path, output / "curves.png")
    evaluator = cast(ReconstructionEvaluator, trainer.evaluators[name])
    draw_reconstructions(model, evaluator.dataset, output / "reconstructions.png")
    write_pretraining_card(
        output,
        model_config=trainer.config,
        metrics=evaluation.metrics,
        dataset_name=dataset_words(recipe),
        trained_on=training_words(recipe),
        recipe=asdict(recipe),
        command=command_words(),
        cost=run_cost(trainer),
    )
    logger.info("reconstruction loss %.4f on %s", evaluation.metrics["reconstruction_loss"], dataset_words(recipe))
    logger.info("model    %s\ncard     %s\npicture  %s", output, output / "README.md", output / "reconstructions.png")


@torch.no_grad()
def draw_reconstructions(model: ViTPoseForMaskedImageModeling, dataset: PictureDataset, path: Path) -> None:
    """Draw crops, evenly spread over a dataset, as they are, without their hidden patches, and reconstructed."""
    places = torch.linspace(0, len(dataset) - 1, min(PICTURED_CROPS, len(dataset))).round().long().tolist()
    samples = [dataset[place] for place in places]
    crops, noise = (torch.stack([sample[name] for sample in samples]) for name in ("pixel_values", "noise"))
    was_training = model.training
    model.eval()
    found = model.reconstruct(crops.to(model.device), noise=noise.to(model.device))
    model.train(was_training)
    columns = [_pictures(dataset, pixels) for pixels in (crops, found.masked, found.reconstructed)]
    tiles = [picture for row in zip(*columns, strict=True) for picture in row]
    height, width = dataset.crop_size
    scale = max(1, round(192 / height))
    sheet = contact_sheet(
        tiles, columns=2 * len(COLUMNS), captions=list(COLUMNS) * len(samples), tile=(scale * height, scale * width)
    )
    with whole_file(path) as file:
        sheet.save(file)


def _pictures(dataset: PictureDataset, pixels: Tensor) -> list[Image.Image]:
    return [Image.fromarray(picture) for picture in dataset.pictures(pixels)]
