"""The card of a pre-trained backbone: a README.md with the metrics, command and cost of the run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from vitpose.modeling.configuration_vitpose_mim import ViTPoseMaskedImageModelingConfig

from .card import CARD, CURVES, cost_context, write_card
from .user_edits import CardParts

TEMPLATE = Path(__file__).with_name("templates") / "pretraining_card.md"
TASK = "image-feature-extraction"


def write_pretraining_card(
    folder: str | os.PathLike[str],
    *,
    model_config: ViTPoseMaskedImageModelingConfig,
    metrics: Mapping[str, float],
    dataset_name: str,
    trained_on: str,
    recipe: Mapping[str, Any],
    command: str,
    cost: Mapping[str, Any],
    license: str = "apache-2.0",
) -> Path:
    """Write `README.md` into the folder of a masked autoencoder and return its path.

    The folder holds `reconstructions.png`, and `curves.png` where it is shown. User edits of an earlier card are
    kept.

    Args:
        folder: The saved model's folder; its name stands for the model in the snippets.
        model_config: `ViTPoseMaskedImageModelingConfig`.
        metrics: `reconstruction_loss`, of several datasets `coco/reconstruction_loss` and so on.
        dataset_name: Description of the evaluation data.
        trained_on: Description of the training data.
        recipe: All fields of the recipe, printed as YAML.
        command: Command that repeats the run.
        cost: `hardware` as text, `seconds`, and `images_per_s` where it was measured.
        license: Identifier of the weights' licence as the Hub spells it.

    Raises:
        FileNotFoundError: `reconstructions.png` is not in the folder.
    """
    folder = Path(folder).resolve()
    if not (folder / "reconstructions.png").is_file():
        raise FileNotFoundError(f"{folder / 'reconstructions.png'} is missing; write the picture before the card.")
    image_height, image_width = model_config.image_size
    losses = _losses(metrics)
    card = ModelCard.from_template(
        _metadata(folder.name, losses, dataset_name, license),
        template_str=TEMPLATE.read_text(encoding="utf-8"),
        **cost_context(cost),
        backbone=model_config.backbone_config,
        mask_ratio=model_config.mask_ratio,
        image_height=image_height,
        image_width=image_width,
        model_name=folder.name,
        losses=losses,
        dataset_name=dataset_name,
        trained_on=trained_on,
        command=command.strip(),
        curves=CURVES if (folder / CURVES).is_file() else None,
        recipe=yaml.safe_dump(json.loads(json.dumps(dict(recipe), default=str)), sort_keys=False).strip(),
    )
    return write_card(folder / CARD, CardParts.parse(str(card)).seal().render())


def _losses(metrics: Mapping[str, float]) -> dict[str, float]:
    """The loss by dataset; of one dataset its name is empty."""
    named = {name.rpartition("/"): value for name, value in metrics.items()}
    return {dataset: value for (dataset, _, metric), value in named.items() if metric == "reconstruction_loss"}


def _metadata(name: str, losses: Mapping[str, float], dataset_name: str, license: str) -> ModelCardData:
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=re.sub(r"[^a-z0-9]+", "-", (dataset or dataset_name).lower()).strip("-"),
            dataset_name=dataset or dataset_name,
            metric_type="reconstruction_loss",
            metric_name="mean squared error of hidden patches",
            metric_value=round(value, 4),
        )
        for dataset, value in losses.items()
    ]
    return ModelCardData(
        model_name=name,
        library_name="transformers",
        pipeline_tag=TASK,
        tags=["vitpose", "masked-autoencoder"],
        eval_results=results,
        license=license,
    )
