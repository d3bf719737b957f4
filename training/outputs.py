"""What a run leaves in its folder: model, processor, figures, pictures and card, each file whole or absent."""

import json
import logging
import os
import platform
import shlex
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vitpose import write_model_card
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor

from .evaluation import Evaluation
from .files import whole_file
from .image_reading import read_image
from .machine import usable_cores
from .recipe import Recipe
from .report import save_curves, save_predictions
from .trainer import Trainer

logger = logging.getLogger(__name__)

PICTURED_PEOPLE = 8


def write_outputs(trainer: Trainer, evaluation: Evaluation) -> None:
    """Write the folder of a finished run; called by the main process."""
    recipe, output = trainer.recipe, Path(trainer.recipe.output_dir)
    _save_model(trainer, output)
    write_figures(output, evaluation, recipe)
    save_curves(trainer.log.path, output / "curves.png")
    draw_predictions(trainer, evaluation, output / "predictions.png")
    write_model_card(
        output,
        model_config=trainer.config,
        metrics={name: value for name, value in evaluation.metrics.items() if name != "PCK_people_excluded"},
        dataset_name=dataset_words(recipe),
        recipe=asdict(recipe),
        command=_command(),
        cost=_cost(trainer),
        seed=recipe.seed,
        trained_on=training_words(recipe),
        settings=evaluation_settings(recipe),
        base_model=base_words(recipe),
        limits=_limits(recipe),
    )
    name, value = evaluation.main
    logger.info("%s %.4f on %s", name, value, dataset_words(recipe))
    logger.info("model    %s\ncard     %s\npicture  %s", output, output / "README.md", output / "predictions.png")


def write_figures(folder: Path, evaluation: Evaluation, recipe: Recipe) -> None:
    """Write `metrics.json` (figures and how they were measured) and `results.json` (COCO's results form)."""
    with whole_file(folder / "metrics.json") as path:
        figures = {**evaluation.metrics, "settings": evaluation_settings(recipe)}
        path.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    with whole_file(folder / "results.json") as path:
        path.write_text(json.dumps(evaluation.results), encoding="utf-8")


def evaluation_settings(recipe: Recipe) -> dict[str, Any]:
    """How the figures of a run are measured."""
    return {
        "boxes": "annotated" if recipe.eval_boxes is None else Path(recipe.eval_boxes).name,
        "flip_test": recipe.flip_test,
        "dark_sigma": recipe.dark_sigma,
        "split": recipe.eval_split if recipe.data != "synthetic" else "generated, never trained on",
    }


def dataset_words(recipe: Recipe) -> str:
    """What a run is evaluated on, in words."""
    return _people_words(recipe, recipe.eval_people, recipe.eval_split)


def training_words(recipe: Recipe) -> str:
    """What a run is trained on, in words."""
    return _people_words(recipe, recipe.train_people, recipe.train_split)


def _people_words(recipe: Recipe, people: int | None, split: str) -> str:
    if recipe.data == "synthetic":
        return f"{people} generated people, style {recipe.style}"
    count = "" if people is None else f"first {people} people of "
    return f"{count}{Path(str(recipe.data_dir)).name} {split}"


def base_words(recipe: Recipe) -> str | None:
    """Where the weights came from, in words; None for random ones."""
    if recipe.init_from == "none":
        return None
    return "the tiny checkpoint that ships with vitpose" if recipe.init_from == "tiny" else recipe.init_from


def _limits(recipe: Recipe) -> list[str]:
    if recipe.data != "synthetic":
        return []
    return ["It has seen generated people only: it is made for trying the tools, and fails on many photographs."]


def draw_predictions(trainer: Trainer, evaluation: Evaluation, path: Path) -> None:
    """Draw people from the worst to the best of the evaluation, evenly spread, beside their annotation."""
    source, schema = trainer.evaluation_people, trainer.config.get_schema()
    similarity, predictions = evaluation.similarity, evaluation.predictions
    ranking = np.argsort(np.nan_to_num(similarity), kind="stable")
    chosen = ranking[np.linspace(0, len(ranking) - 1, min(PICTURED_PEOPLE, len(ranking))).round().astype(int)]
    rows = [source.people[int(index)] for index in chosen]
    pixels = [
        read_image(row["image"], row=int(index), size=(row["width"], row["height"]))
        for row, index in zip(rows, chosen, strict=True)
    ]
    save_predictions(
        path,
        [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in pixels],
        [[{"keypoints": predictions.keypoints[i], "scores": predictions.scores[i]}] for i in chosen],
        schema,
        targets=[np.array(row["keypoints"])[None] for row in rows] if source.annotated_boxes else None,
        captions=None if np.isnan(similarity[chosen]).any() else [f"OKS {similarity[i]:.2f}" for i in chosen],
        columns=2,
    )


def _save_model(trainer: Trainer, output: Path) -> None:
    """Save model and processor beside and move them into place, file by file, the weights last."""
    recipe, config = trainer.recipe, trainer.config
    partial = output / ".model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    trainer.accelerator.unwrap_model(trainer.model).save_pretrained(partial)
    height, width = config.image_size
    processor = ViTPoseImageProcessor(
        size={"height": height, "width": width},
        dark_sigma=recipe.dark_sigma,
        heatmap_stride=height // config.heatmap_size[0],
    )
    processor.save_pretrained(partial)
    for file in sorted(partial.iterdir(), key=lambda file: file.suffix == ".safetensors"):
        file.replace(output / file.name)
    partial.rmdir()


def _command() -> str:
    script = os.path.relpath(sys.argv[0]) if os.path.exists(sys.argv[0]) else sys.argv[0]
    return shlex.join(["accelerate", "launch", script, *sys.argv[1:]])


def _cost(trainer: Trainer) -> dict[str, Any]:
    """Hardware, wall-clock seconds and people a second of a run."""
    device = trainer.accelerator.device
    processes = trainer.accelerator.num_processes
    if device.type == "cuda":
        hardware = f"{processes} x {torch.cuda.get_device_name(device)}"
    else:
        cores = usable_cores()
        hardware = f"{cores} CPU core{'s' if cores > 1 else ''} ({platform.machine()})"
    seconds = trainer.progress.seconds
    people = trainer.recipe.epochs * trainer.sampler.epoch_length
    return {
        "hardware": hardware,
        "seconds": round(seconds),
        "images_per_s": round(people / seconds, 1),
    }
