"""A whole run: from a recipe to a folder that is ready for the Hub."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import ProjectConfiguration
from torch.profiler import record_function
from transformers import PreTrainedModel

from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation

from .config.recipe import Recipe
from .engine.checkpoints import list_checkpoints
from .engine.compilation import check_not_compiled, compile_blocks
from .engine.optimizer import make_optimizer
from .engine.profiling import profile_steps, synchronized_parts
from .engine.run_log import LOG_FILE, RunLog
from .engine.run_parts import E, FinishedRun, M, RunParts
from .engine.sharding import autocast_forward, check_sharded, sharding_plugin
from .engine.trainer import Trainer
from .engine.weight_average import WeightAverage
from .results.best_model import BEST_FOLDER, log_best
from .results.masked_image import masked_image_parts
from .results.pose import pose_parts
from .results.run_words import next_steps, run_cost

logger = logging.getLogger(__name__)


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
    accelerator = _make_accelerator(recipe)
    output.mkdir(parents=True, exist_ok=True)
    if recipe.run.report_to and not recipe.run.profile:
        _start_tracker(accelerator, recipe)
    if recipe.run.task == "masked_image_modeling":
        _run(recipe, accelerator, masked_image_parts(recipe, accelerator, write_card))
    else:
        _run(recipe, accelerator, pose_parts(recipe, accelerator, write_card))
    accelerator.end_training()
    return output


def _make_accelerator(recipe: Recipe) -> Accelerator:
    accelerator = Accelerator(
        mixed_precision=recipe.optimization.mixed_precision,
        log_with=recipe.run.report_to,
        project_config=ProjectConfiguration(project_dir=recipe.run.output_dir),
        # the host need not wait for copies from pinned memory, which a loader has where there is CUDA
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=False, non_blocking=torch.cuda.is_available()),
        fsdp_plugin=sharding_plugin(recipe),
    )
    _check_processes(accelerator)
    check_sharded(accelerator)
    check_not_compiled(accelerator)
    return accelerator


def _run(recipe: Recipe, accelerator: Accelerator, parts: RunParts[M, E]) -> None:
    """Train and write, or profile, what a task brings."""
    output = Path(recipe.run.output_dir)
    trainer = build_trainer(recipe, accelerator, parts)
    if recipe.run.profile:
        profile_steps(trainer, output)
        return
    if recipe.run.resume:
        trainer.resume()
    if accelerator.is_main_process:
        _warn_of_long_warmup(recipe, trainer.total_steps)
    evaluations = trainer.train()
    weights = accelerator.get_state_dict(trainer.result)  # from every process, should each hold a part
    if accelerator.is_main_process:
        people = trainer.progress.epoch * parts.sampler.epoch_length
        parts.write_outputs(
            FinishedRun(
                model=accelerator.unwrap_model(trainer.result),
                weights=weights,
                evaluations=evaluations,
                cost=run_cost(accelerator, seconds=trainer.progress.seconds, people=people),
                log=trainer.log.path,
            )
        )
        log_best(output)
        several = len(recipe.keypoint_schemas) > 1
        for purpose, command in next_steps(recipe, output, several_datasets=several).items():
            logger.info("%-9s%s", purpose, command)


def build_trainer(recipe: Recipe, accelerator: Accelerator, parts: RunParts[M, E]) -> Trainer[E]:
    """Prepare the parts of a run, with their optimizer, for training."""
    model, optimization = parts.model, recipe.optimization
    _log_size(model, accelerator)
    if optimization.gradient_checkpointing:
        newer = "activation_checkpointing_enable"  # the name in newer releases, which warn of the other
        getattr(model, newer if hasattr(model, newer) else "gradient_checkpointing_enable")()
    optimizer = make_optimizer(model, num_layers=parts.num_layers, recipe=recipe)
    autocast_forward(model, accelerator)
    if optimization.torch_compile:
        compile_blocks(model)
    prepared, optimizer, loader = accelerator.prepare(model, optimizer, parts.loader)
    average = None
    if optimization.ema_decay:
        average = WeightAverage(accelerator.unwrap_model(prepared), decay=optimization.ema_decay)
    return Trainer(
        accelerator=accelerator,
        model=prepared,
        objective=parts.objective,
        optimizer=optimizer,
        loader=loader,
        sampler=parts.sampler,
        recipe=recipe,
        log=RunLog(path=Path(recipe.run.output_dir) / LOG_FILE, accelerator=accelerator),
        evaluators=parts.evaluators,
        average=average,
        on_start=parts.on_start,
        on_evaluation=parts.on_evaluation,
        part=synchronized_parts(accelerator.device) if recipe.run.profile else record_function,
    )


def _log_size(model: PreTrainedModel, accelerator: Accelerator) -> None:
    if isinstance(model, ViTPoseForPoseEstimation) and not all(own.requires_grad for own in model.parameters()):
        for part, size in model.trainable_parameters().items():
            logger.info("%s: %.2f of %.2f M parameters trained", part, size.trainable / 1e6, size.total / 1e6)
    where = f"{accelerator.num_processes} x {accelerator.device.type}"
    logger.info("%.1f M parameters on %s", model.num_parameters() / 1e6, where)


def _check_processes(accelerator: Accelerator) -> None:
    """Raise if several processes were launched that would each train alone, into the same folder."""
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != accelerator.num_processes:
        raise ValueError(
            f"{launched} processes were launched, and accelerate joins {accelerator.num_processes}. Launch them with: "
            f"vitpose train --num-processes {launched}"
        )


def _start_tracker(accelerator: Accelerator, recipe: Recipe) -> None:
    if not accelerator.log_with:  # accelerate passes over what it cannot import
        raise ValueError(f"report_to: {recipe.run.report_to} is not installed. Install it, or leave report_to out.")
    accelerator.init_trackers("vitpose", config={key: str(value) for key, value in recipe.values().items()})


def _warn_of_long_warmup(recipe: Recipe, steps: int) -> None:
    warmup = recipe.optimization.warmup_steps
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
    log, written = output / LOG_FILE, any(output.glob("model*.safetensors"))
    if (log.exists() and written) or (output / BEST_FOLDER).exists() or list_checkpoints(output / "checkpoints"):
        raise FileExistsError(
            f"{output} already holds a run. Go on with --resume, choose another --output_dir, or delete the folder."
        )
    if log.exists():
        logger.warning("%s: a run was cut off here before its first checkpoint. It begins anew.", output)
        log.unlink()
