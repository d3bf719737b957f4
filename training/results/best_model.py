"""The best model of a run so far, by the primary metric of its evaluations: a folder that is ready to be published."""

import json
import logging
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

from vitpose.base.files import whole_file
from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..config.recipe import Recipe
from ..engine.checkpoints import Progress
from ..evaluation.files import measured_metrics
from ..evaluation.measured import mean_merit
from ..evaluation.score import Evaluation
from .run_words import dataset_words
from .save_model import save_model

logger = logging.getLogger(__name__)

BEST_FOLDER = "best"


@dataclass(kw_only=True)
class BestModel:
    """Keeps the model in `output_dir/best` if it is better than the one there; of equal ones the earlier stays.

    The folder holds model, processor and `metrics.json`, which a resumed run compares with. It is written before the
    checkpoint of the same step: a run that is killed in between evaluates once more, and comes to the same metrics.
    A model that was measured on other people or in another way is no rival: it moves aside.

    Args:
        recipe: Of the run.
        settings: Of the processor that it trains with.
        accelerator: Of the run.
    """

    recipe: Recipe
    settings: ProcessorSettings
    accelerator: Accelerator

    def __call__(self, model: nn.Module, progress: Progress, evaluations: Mapping[str, Evaluation]) -> None:
        """Compare a prepared model by its evaluations; every process calls it, as each may hold a part of the weights.

        Args:
            model: The prepared model that was evaluated.
            progress: When.
            evaluations: By dataset.
        """
        weights = self.accelerator.get_state_dict(model)
        if not self.accelerator.is_main_process:
            return
        folder = Path(self.recipe.run.output_dir) / BEST_FOLDER
        _finish_replacement(folder)
        place = {"main": mean_merit(evaluations), "step": progress.step, "epoch": progress.epoch}
        measured = measured_metrics(evaluations, {**place, "dataset": dataset_words(self.recipe)})
        if folder.exists():
            _move_aside_if_measured_otherwise(folder, measured)
        if place["main"] > best_metric(folder):  # never of one that is not a number
            _replace(folder, partial(self._write, self.accelerator.unwrap_model(model), weights, measured))

    def _write(
        self, model: ViTPoseForPoseEstimation, weights: dict[str, Tensor], measured: Mapping[str, Any], folder: Path
    ) -> None:
        save_model(model, folder, weights, self.settings)
        with whole_file(folder / "metrics.json") as path:
            path.write_text(json.dumps(measured, indent=2), encoding="utf-8")


def _finish_replacement(folder: Path) -> None:
    """Bring the earlier model back where a kill came between the two renames of `_replace`."""
    old = folder.with_name(f".{folder.name}.old")
    if old.exists() and not folder.exists():
        old.rename(folder)


def _replace(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a folder beside the one there, and then put it in its place."""
    beside, old = (folder.with_name(f".{folder.name}.{state}") for state in ("partial", "old"))
    shutil.rmtree(beside, ignore_errors=True)
    write(beside)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    beside.rename(folder)
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


def best_metric(folder: Path) -> float:
    """The primary metric of the model kept in a folder; minus infinity where there is none."""
    metrics = folder / "metrics.json"
    return json.loads(metrics.read_text(encoding="utf-8"))["main"] if metrics.exists() else -math.inf


def log_best(output: Path) -> None:
    """Say where the best model of a finished run is."""
    folder = output / BEST_FOLDER
    if not folder.exists():
        return  # no evaluation gave a number
    best = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    logger.info("best     %s, %.4f after epoch %d, step %d", folder, best["main"], best["epoch"], best["step"])
