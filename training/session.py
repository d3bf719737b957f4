"""A whole run: from a recipe to a folder that is ready for the Hub."""

import logging
import os
from collections.abc import Callable, Sized
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import ProjectConfiguration

from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation

from .config.recipe import Recipe
from .engine.checkpoints import list_checkpoints, load_checkpoint
from .engine.compilation import check_not_compiled, compile_blocks
from .engine.distillation import build_objective, load_teacher
from .engine.model_building import build_model
from .engine.optimizer import make_optimizer
from .engine.profiling import profile_run
from .engine.sharding import autocast_forward, check_sharded, sharding_plugin
from .engine.trainer import RunLog, Trainer
from .engine.weight_average import WeightAverage
from .evaluation.evaluator import Evaluator
from .results.best_model import BEST_FOLDER, keep_best, log_best
from .results.masked_image import assemble_pretraining
from .results.masked_image_outputs import write_pretraining_outputs
from .results.run_outputs import write_outputs
from .samples.loaders import build_training_loader
from .samples.settings import training_settings

logger = logging.getLogger(__name__)

LOG_FILE = "log.jsonl"


def run_recipe(recipe: Recipe, *, write_card: Callable[..., Path] | None = None) -> Path:
    """Train, evaluate and save as the recipe says, or profile a few steps alone; returns the output folder.

    The folder holds the model, its processor, `README.md` (the card), `metrics.json`, `curves.png`, `predictions.png`,
    `log.jsonl`, `checkpoints/` and `best/`, the model of the best evaluation.

    Args:
        recipe: What to do.
        write_card: Writes the model card of the folder, with the arguments of `vitpose.write_model_card`, or of
            `vitpose.write_pretraining_card` for masked-image modeling; None for a folder without a card.

    Raises:
        PreemptedError: SIGTERM asked the run to end; it is saved.
        FileExistsError: The output folder already holds a run, and the recipe does not resume it.
        ValueError: Data, recipe and checkpoint do not fit together; the message says how.
    """
    output = Path(recipe.run.output_dir)
    _check_output(output, recipe)
    accelerator = Accelerator(
        mixed_precision=recipe.optimization.mixed_precision,
        log_with=recipe.run.report_to,
        project_config=ProjectConfiguration(project_dir=str(output)),
        # the host need not wait for copies from pinned memory, which a loader has where there is CUDA
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=False, non_blocking=torch.cuda.is_available()),
        fsdp_plugin=sharding_plugin(recipe),
    )
    _check_processes(accelerator)
    check_sharded(accelerator)
    check_not_compiled(accelerator)
    output.mkdir(parents=True, exist_ok=True)
    if recipe.run.report_to and not recipe.run.profile:
        _start_tracker(accelerator, recipe)
    pretrains = recipe.run.task == "masked_image_modeling"
    trainer = (assemble_pretraining if pretrains else assemble)(recipe, accelerator, output)
    if recipe.optimization.ema_decay:
        trainer.average = WeightAverage(accelerator.unwrap_model(trainer.model), decay=recipe.optimization.ema_decay)
    if recipe.run.profile:
        profile_run(trainer)
        accelerator.end_training()
        return output
    if recipe.run.resume:
        trainer.progress = load_checkpoint(accelerator, trainer.checkpoint_folder, recipe, trainer.average)
        trainer.log.forget_after(trainer.progress, epochs=recipe.optimization.epochs)
    _warn_of_long_warmup(trainer)
    with trainer.notice.listen():
        evaluations = trainer.train()
    weights = accelerator.get_state_dict(trainer.result)  # from every process, should each hold a part
    if accelerator.is_main_process:
        (write_pretraining_outputs if pretrains else write_outputs)(trainer, evaluations, weights, write_card)
        log_best(output)
    accelerator.end_training()
    return output


def assemble(recipe: Recipe, accelerator: Accelerator, output: Path) -> Trainer:
    """Build and prepare everything a run needs."""
    teacher = load_teacher(recipe)
    model = build_model(recipe, teacher)
    config = model.config
    if not all(parameter.requires_grad for parameter in model.parameters()):
        _log_trainable(model)
    if recipe.optimization.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    optimizer = make_optimizer(model, num_layers=len(model.backbone.encoder.layer), recipe=recipe)
    settings = training_settings(recipe, config)
    loader, sampler = build_training_loader(recipe, accelerator, config, settings)
    evaluators = {
        name: Evaluator.build(part, accelerator, config, replace(settings, padding=part.box_padding))
        for name, part in zip(recipe.part_names, recipe.parts, strict=True)
    }
    to_evaluate = sum(len(evaluator.source.people) for evaluator in evaluators.values())
    logger.info("%d people to train on, %d to evaluate", len(cast(Sized, loader.dataset)), to_evaluate)
    where = f"{accelerator.num_processes} x {accelerator.device.type}"
    logger.info("%.1f M parameters on %s", model.num_parameters() / 1e6, where)
    autocast_forward(model, accelerator)
    if recipe.optimization.torch_compile:
        compile_blocks(model)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    return Trainer(
        accelerator=accelerator,
        model=model,
        objective=build_objective(recipe, config, settings, teacher, accelerator.device),
        optimizer=optimizer,
        loader=loader,
        sampler=sampler,
        recipe=recipe,
        config=config,
        settings=settings,
        log=RunLog(path=output / LOG_FILE, accelerator=accelerator),
        evaluators=evaluators,
        on_evaluation=keep_best if recipe.run.keep_best else None,
    )


def _check_processes(accelerator: Accelerator) -> None:
    """Raise if several processes were launched that would each train alone, into the same folder."""
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != accelerator.num_processes:
        raise ValueError(
            f"{launched} processes were launched, and accelerate joins {accelerator.num_processes}. Without GPUs, "
            f"launch them with: accelerate launch --cpu --num_processes {launched} training/run.py"
        )


def _start_tracker(accelerator: Accelerator, recipe: Recipe) -> None:
    if not accelerator.log_with:  # accelerate passes over what it cannot import
        raise ValueError(f"report_to: {recipe.run.report_to} is not installed. Install it, or leave report_to out.")
    accelerator.init_trackers("vitpose", config={key: str(value) for key, value in recipe.values().items()})


def _log_trainable(model: ViTPoseForPoseEstimation) -> None:
    for part, size in model.trainable_parameters().items():
        logger.info("%s: %.2f of %.2f M parameters trained", part, size.trainable / 1e6, size.total / 1e6)


def _warn_of_long_warmup(trainer: Trainer) -> None:
    warmup, steps = (
        trainer.recipe.optimization.warmup_steps,
        trainer.recipe.optimization.epochs * trainer.steps_per_epoch,
    )
    if warmup > steps:
        logger.warning(
            "The warm-up of %d steps is longer than the run, %d steps: the learning rate never reaches its peak. "
            "Lower warmup_steps or train longer.",
            *(warmup, steps),
        )


def _check_output(output: Path, recipe: Recipe) -> None:
    """Raise before any work if the folder holds a run that is not to be resumed."""
    if recipe.run.resume or recipe.run.profile or int(os.environ.get("RANK", "0")) > 0:
        return
    if (output / LOG_FILE).exists() or (output / BEST_FOLDER).exists() or list_checkpoints(output / "checkpoints"):
        raise FileExistsError(
            f"{output} already holds a run. Go on with --resume, choose another --output_dir, or delete the folder."
        )
