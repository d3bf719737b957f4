"""The folder of a pre-training run: model, processor, loss, pictures and card."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vitpose.base.files import whole_file
from vitpose.modeling.configuration_vitpose_mim import ViTPoseMaskedImageModelingConfig
from vitpose.modeling.modeling_vitpose_mim import ViTPoseForMaskedImageModeling
from vitpose.processing.drawing import contact_sheet
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor

from ..config.recipe import Recipe
from ..engine.run_parts import FinishedRun
from ..evaluation.evaluator import joined_metrics
from ..pictures.curves import save_curves
from ..samples.crops import CropCollator
from ..samples.picture import PictureDataset
from .run_words import command_words, dataset_words, training_words
from .save_model import save_into

logger = logging.getLogger(__name__)

PICTURED_CROPS = 8
COLUMNS = ("crop", "what the encoder saw", "reconstructed")


@dataclass(kw_only=True)
class PretrainingEvaluation:
    """The evaluation of a masked autoencoder.

    Args:
        metrics: `reconstruction_loss`, the mean squared error of hidden patches in their own units.
    """

    metrics: dict[str, float]

    @property
    def merit(self) -> float:
        """Higher where the loss is lower."""
        return -self.metrics["reconstruction_loss"]


def write_pretraining_outputs(
    finished: FinishedRun[ViTPoseForMaskedImageModeling, PretrainingEvaluation],
    *,
    recipe: Recipe,
    datasets: Sequence[PictureDataset],
    device: torch.device,
    write_card: Callable[..., Path] | None,
) -> None:
    """Write the folder of a finished run; called by the main process.

    Args:
        finished: The run.
        recipe: Of the run.
        datasets: The crops that are evaluated.
        device: Where pictures are computed.
        write_card: Writes the model card, with the arguments of `vitpose.write_pretraining_card`; None for no card.
    """
    output, config = Path(recipe.run.output_dir), finished.model.config
    metrics = joined_metrics(finished.evaluations)
    model = _whole_model(config, {name: value.to(device) for name, value in finished.weights.items()})
    processor = ViTPoseImageProcessor.from_settings(datasets[0].settings)
    save_into(output, model.save_pretrained, processor.save_pretrained)
    with whole_file(output / "metrics.json") as path:
        settings = {"crops": recipe.dataset.crops, "data": dataset_words(recipe)}
        path.write_text(json.dumps({**metrics, "settings": settings}, indent=2), encoding="utf-8")
    save_curves(finished.log, output / "curves.png")
    draw_reconstructions(model, datasets, output / "reconstructions.png")
    if write_card is not None:
        card = write_card(
            output,
            model_config=config,
            metrics=metrics,
            dataset_name=dataset_words(recipe),
            trained_on=training_words(recipe),
            recipe=asdict(recipe),
            command=command_words(),
            cost=finished.cost,
        )
        logger.info("card     %s", card)
    for part, evaluation in zip(recipe.parts, finished.evaluations.values(), strict=True):
        logger.info("reconstruction loss %.4f on %s", evaluation.metrics["reconstruction_loss"], dataset_words(part))
    logger.info("model    %s\npicture  %s", output, output / "reconstructions.png")


def _whole_model(config: ViTPoseMaskedImageModelingConfig, weights: dict[str, Tensor]) -> ViTPoseForMaskedImageModeling:
    """A model of its own: where the weights are sharded, the main process could not run the trainer's by itself."""
    with torch.device("meta"):
        model = ViTPoseForMaskedImageModeling(config)
    model.load_state_dict(weights, assign=True)
    return model


@torch.no_grad()
def draw_reconstructions(model: ViTPoseForMaskedImageModeling, datasets: Sequence[PictureDataset], path: Path) -> None:
    """Draw crops, evenly spread over each dataset, as they are, without their hidden patches, and reconstructed."""
    shares = [len(share) for share in np.array_split(range(PICTURED_CROPS), len(datasets))]
    samples = [sample for dataset, share in zip(datasets, shares, strict=True) for sample in _spread(dataset, share)]
    batch = CropCollator(settings=datasets[0].settings, on_device=False)(samples)
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
