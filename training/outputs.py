"""What a run leaves in its folder: model, processor, figures, pictures and card, each file whole or absent."""

import json
import logging
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vitpose import write_model_card
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor

from .evaluation import Evaluation
from .evaluator import Evaluator, joined_metrics
from .files import whole_file
from .image_reading import read_image
from .machine import usable_cores
from .recipe import Recipe
from .report import save_curves, save_predictions
from .submission import submission
from .trainer import Trainer

logger = logging.getLogger(__name__)

PICTURED_PEOPLE = 8


def write_outputs(trainer: Trainer, evaluations: Mapping[str, Evaluation], weights: dict[str, Tensor]) -> None:
    """Write the folder of a finished run; called by the main process.

    Of a mixture, `results.json` and `predictions.png` carry the dataset's name too: `results_coco.json`.

    Args:
        trainer: Of the run.
        evaluations: Of the final weights, by dataset.
        weights: The final weights, whole.
    """
    recipe, output = trainer.recipe, Path(trainer.recipe.output_dir)
    save_model(trainer, output, weights)
    write_figures(output, evaluations, recipe)
    save_curves(trainer.log.path, output / "curves.png")
    pictures = []
    for name, evaluation in evaluations.items():
        pictures.append(output / _file_name("predictions.png", name, evaluations))
        draw_predictions(trainer.evaluators[name], evaluation, pictures[-1])
    write_model_card(
        output,
        model_config=trainer.config,
        metrics={
            name: value for name, value in joined_metrics(evaluations).items() if not name.endswith("people_excluded")
        },
        dataset_name=dataset_words(recipe),
        recipe=asdict(recipe),
        command=command_words(),
        cost=run_cost(trainer),
        seed=recipe.seed,
        trained_on=training_words(recipe),
        settings=evaluation_settings(recipe),
        base_model=base_words(recipe),
        picture=pictures[0].name,
        limits=_limits(recipe),
    )
    for part, evaluation in zip(recipe.parts, evaluations.values(), strict=True):
        name, value = evaluation.main
        logger.info("%s %.4f on %s", name, value, dataset_words(part))
    shown = " ".join(map(str, pictures))
    logger.info("model    %s\ncard     %s\npicture  %s", output, output / "README.md", shown)


def _file_name(name: str, dataset: str, evaluations: Mapping[str, Evaluation]) -> str:
    """A file's name, with the dataset's in it where there are several."""
    stem, ending = name.split(".")
    return name if len(evaluations) == 1 else f"{stem}_{dataset}.{ending}"


def write_figures(
    folder: Path, evaluations: Mapping[str, Evaluation], recipe: Recipe, details: Mapping[str, Any] | None = None
) -> None:
    """Write `metrics.json` (figures and how they were measured) and `results.json` (the form of the benchmark).

    Args:
        details: More for `metrics.json`.
    """
    with whole_file(folder / "metrics.json") as path:
        path.write_text(json.dumps(measured_figures(evaluations, recipe, details), indent=2), encoding="utf-8")
    for part, (name, evaluation) in zip(recipe.parts, evaluations.items(), strict=True):
        with whole_file(folder / _file_name("results.json", name, evaluations)) as path:
            content = submission(evaluation.results, dataset=part.keypoint_schema.name)
            path.write_text(json.dumps(content), encoding="utf-8")


def measured_figures(
    evaluations: Mapping[str, Evaluation], recipe: Recipe, details: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What `metrics.json` holds: figures, None where one is no number, details, and how the figures were measured."""
    settings = {name: evaluation_settings(part) for name, part in zip(recipe.part_names, recipe.parts, strict=True)}
    own = settings if recipe.mixture else next(iter(settings.values()))
    measured = {name: value if np.isfinite(value) else None for name, value in joined_metrics(evaluations).items()}
    return {**measured, **(details or {}), "settings": own}


def evaluation_settings(recipe: Recipe) -> dict[str, Any]:
    """How the figures of a run are measured."""
    return {
        "boxes": "annotated" if recipe.eval_boxes is None else Path(recipe.eval_boxes).name,
        "flip_test": recipe.flip_test,
        "dark_sigma": recipe.dark_sigma,
        "box_padding": recipe.box_padding,
        "split": recipe.eval_split if recipe.data != "synthetic" else "generated, never trained on",
    }


def dataset_words(recipe: Recipe) -> str:
    """What a run is evaluated on, in words."""
    return "; ".join(_people_words(part, part.eval_people, part.eval_split) for part in recipe.parts)


def training_words(recipe: Recipe) -> str:
    """What a run is trained on, in words."""
    return "; ".join(_people_words(part, part.train_people, part.train_split) for part in recipe.parts)


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
    if any(part.data != "synthetic" for part in recipe.parts):
        return []
    return ["It has seen generated people only: it is made for trying the tools, and fails on many photographs."]


def draw_predictions(evaluator: Evaluator, evaluation: Evaluation, path: Path) -> None:
    """Draw people from the worst to the best of the evaluation, evenly spread, beside their annotation."""
    source, schema = evaluator.source, evaluator.schema
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
        [Image.fromarray(image.permute(1, 2, 0).round().byte().numpy()) for image in pixels],
        [[{"keypoints": predictions.keypoints[i], "scores": predictions.scores[i]}] for i in chosen],
        schema,
        targets=[np.array(row["keypoints"])[None] for row in rows] if source.annotated_boxes else None,
        captions=None if np.isnan(similarity[chosen]).any() else [f"OKS {similarity[i]:.2f}" for i in chosen],
        columns=2,
    )


def save_model(trainer: Trainer, output: Path, weights: dict[str, Tensor]) -> None:
    """Save model, with these weights, and processor into a folder, made as needed.

    Not their pipeline: where a config names code for it, transformers asks for `trust_remote_code` even where vitpose
    is installed. Publishing adds it, for those who have transformers alone.
    """
    recipe, config = trainer.recipe, trainer.config
    model = trainer.accelerator.unwrap_model(trainer.result)
    height, width = config.image_size
    processor = ViTPoseImageProcessor(
        size={"height": height, "width": width},
        dark_sigma=recipe.dark_sigma,
        normalize_factor=200 * 1.25 / recipe.parts[0].box_padding,  # how the stock processor spells a padding
        heatmap_stride=height // config.heatmap_size[0],
    )
    save_into(output, lambda folder: model.save_pretrained(folder, state_dict=weights), processor.save_pretrained)


def save_into(output: Path, *saves: Callable[[Path], Any]) -> None:
    """Have files written beside and move them into place one by one, the weights last."""
    partial = output / ".model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for save in saves:
        save(partial)
    for file in sorted(partial.iterdir(), key=lambda file: file.suffix == ".safetensors"):
        file.replace(output / file.name)
    partial.rmdir()


def command_words() -> str:
    """The command that repeats this run."""
    script = os.path.relpath(sys.argv[0]) if os.path.exists(sys.argv[0]) else sys.argv[0]
    return shlex.join(["accelerate", "launch", script, *sys.argv[1:]])


def run_cost(trainer: Trainer) -> dict[str, Any]:
    """Hardware, wall-clock seconds and people a second of a run."""
    device = trainer.accelerator.device
    processes = trainer.accelerator.num_processes
    if device.type == "cuda":
        hardware = f"{processes} x {torch.cuda.get_device_name(device)}"
    elif device.type != "cpu":
        hardware = f"{processes} x {device.type}"
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
