"""The parts of a run that learns poses: model, data, objective, evaluators, best model and outputs."""

import logging
from collections.abc import Callable, Sized
from dataclasses import replace
from functools import partial
from pathlib import Path

from accelerate import Accelerator

from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation

from ..config.recipe import Recipe
from ..engine.distillation import build_objective, load_teacher
from ..engine.model_building import build_model
from ..engine.run_parts import RunParts
from ..evaluation.evaluator import Evaluator
from ..evaluation.score import Evaluation
from ..samples.loaders import build_training_loader
from ..samples.settings import training_settings
from .best_model import BestModel
from .run_outputs import write_outputs
from .start_people import save_start

logger = logging.getLogger(__name__)


def pose_parts(
    recipe: Recipe, accelerator: Accelerator, write_card: Callable[..., Path] | None
) -> RunParts[ViTPoseForPoseEstimation, Evaluation]:
    """The parts of a run that learns poses, or a knowledge token in a model of poses.

    Args:
        recipe: Of the run.
        accelerator: Of the run.
        write_card: Writes the model card, with the arguments of `vitpose.write_model_card`; None for no card.
    """
    teacher = load_teacher(recipe)
    model = build_model(recipe, teacher)
    settings = training_settings(recipe, model.config)
    loader, sampler = build_training_loader(recipe, accelerator, model.config, settings)
    evaluators = {
        name: Evaluator.build(part, accelerator, model.config, replace(settings, padding=part.box_padding))
        for name, part in zip(recipe.part_names, recipe.parts, strict=True)
    }
    assert isinstance(loader.dataset, Sized)
    to_evaluate = sum(len(evaluator.source.people) for evaluator in evaluators.values())
    logger.info("%d people to train on, %d to evaluate", len(loader.dataset), to_evaluate)
    best = BestModel(recipe=recipe, settings=settings, accelerator=accelerator)
    return RunParts(
        model=model,
        num_layers=len(model.backbone.encoder.layer),
        objective=build_objective(recipe, model.config, settings, teacher, accelerator.device),
        loader=loader,
        sampler=sampler,
        evaluators=evaluators,
        on_start=partial(save_start, folder=Path(recipe.run.output_dir)),
        on_evaluation=best if recipe.run.keep_best else None,
        write_outputs=partial(
            write_outputs, recipe=recipe, settings=settings, evaluators=evaluators, write_card=write_card
        ),
    )
