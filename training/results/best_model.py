"""The best model of a run so far, by the main figure of its evaluations: a folder that is ready to be published."""

import json
import logging
import math
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitpose.base.files import whole_file

from ..engine.trainer import Trainer
from ..evaluation.files import measured_metrics
from ..evaluation.score import Evaluation
from .run_words import dataset_words
from .save_model import save_model

logger = logging.getLogger(__name__)

BEST_FOLDER = "best"


def main_figure(evaluations: Mapping[str, Evaluation]) -> float:
    """What models of a run are compared by: the dataset's main figure, of a mixture their mean; higher is better."""
    figures = [evaluation.primary[1] for evaluation in evaluations.values()]
    return sum(figures) / len(figures)


def keep_best(trainer: Trainer, evaluations: Mapping[str, Evaluation]) -> None:
    """Keep the model in `output_dir/best` if it is better than the one there; of equal ones the earlier stays.

    Every process calls it, as each may hold a part of the weights; the main one writes.
    The folder holds model, processor and `metrics.json`, which a resumed run compares with. It is written before the
    checkpoint of the same step: a run that is killed in between evaluates once more, and comes to the same figure.
    A figure that was measured on other people or in another way is no rival: the model it belongs to moves aside.
    """
    weights = trainer.accelerator.get_state_dict(trainer.result)
    if not trainer.accelerator.is_main_process:
        return
    folder = Path(trainer.recipe.run.output_dir) / BEST_FOLDER
    partial, old = (folder.with_name(f".{folder.name}.{state}") for state in ("partial", "old"))
    if old.exists() and not folder.exists():
        old.rename(folder)  # a kill came between the two renames below
    figure = main_figure(evaluations)
    place = {"main": figure, "step": trainer.progress.step, "epoch": trainer.progress.epoch}
    measured = measured_metrics(evaluations, {**place, "dataset": dataset_words(trainer.recipe)})
    if folder.exists():
        _move_aside_if_measured_otherwise(folder, measured)
    if not figure > best_figure(folder):  # nor if it is not a number
        return
    shutil.rmtree(partial, ignore_errors=True)
    save_model(trainer, partial, weights)
    with whole_file(partial / "metrics.json") as path:
        path.write_text(json.dumps(measured, indent=2), encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _move_aside_if_measured_otherwise(folder: Path, measured: Mapping[str, Any]) -> None:
    kept = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    if all(kept.get(name) == measured[name] for name in ("settings", "dataset")):
        return
    aside = folder.with_name(f"{folder.name}-until-step-{kept['step']}")
    logger.warning(
        "%s was measured otherwise (%s, %s): it moves to %s, and the best model is looked for anew.",
        *(folder, kept.get("dataset"), kept["settings"], aside),
    )
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)


def best_figure(folder: Path) -> float:
    """The main figure of the model kept in a folder; minus infinity where there is none."""
    metrics = folder / "metrics.json"
    return json.loads(metrics.read_text(encoding="utf-8"))["main"] if metrics.exists() else -math.inf


def log_best(output: Path) -> None:
    """Say where the best model of a finished run is, and how to publish the run's folder, which has the card."""
    folder = output / BEST_FOLDER
    if not folder.exists():
        return  # no evaluation gave a number
    best = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    logger.info("best     %s, %.4f after epoch %d, step %d", folder, best["main"], best["epoch"], best["step"])
    logger.info("publish  %s", shlex.join(["vitpose", "publish", str(output), "--repo", f"YOUR_NAME/{output.name}"]))
