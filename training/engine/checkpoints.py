"""Checkpoints of a run: written beside and renamed, so that the newest folder in place is always whole."""

import json
import math
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ..config.recipe import FIELDS, Recipe
from .weight_average import WeightAverage

PROGRESS_FILE = "progress.json"


@dataclass(kw_only=True)
class Progress:
    """The progress of a run.

    Args:
        epoch: The current epoch, from 0.
        samples: Samples of that epoch that every process together has trained on.
        step: Optimizer steps taken since the start.
        seconds: Wall-clock time spent, over all parts of the run.
        best_merit: The highest merit of its evaluations, of those after an epoch; None before the first.
        stale_evaluations: Evaluations since that one.
    """

    epoch: int = 0
    samples: int = 0
    step: int = 0
    seconds: float = 0.0
    best_merit: float | None = None
    stale_evaluations: int = 0

    def note_merit(self, merit: float) -> None:
        """Count an evaluation; only a higher merit is an improvement, and a value that is no number never is."""
        if merit > (-math.inf if self.best_merit is None else self.best_merit):
            self.best_merit, self.stale_evaluations = merit, 0
        else:
            self.stale_evaluations += 1


def save_checkpoint(
    accelerator: Accelerator,
    folder: Path,
    progress: Progress,
    recipe: Recipe,
    average: WeightAverage | None = None,
) -> Path:
    """Write model, optimizer, average and progress to `folder/step-N`; called by every process."""
    target = folder / f"step-{progress.step:08d}"
    partial = target.with_name(f".{target.name}.partial")
    if accelerator.is_main_process:
        _tidy(folder)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial), safe_serialization=True)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        state = {"progress": asdict(progress), "recipe": asdict(recipe), **_layout(accelerator)}
        if average is not None:
            average.save(partial)
        (partial / PROGRESS_FILE).write_text(json.dumps(state, indent=2), encoding="utf-8")
        if target.exists():
            target.rename(target.with_name(f".{target.name}.old"))
        partial.rename(target)
        _tidy(folder)
        _rotate(folder, keep=recipe.run.keep_checkpoints)
    accelerator.wait_for_everyone()
    return target


def list_checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8}", path.name))


def load_checkpoint(
    accelerator: Accelerator, folder: Path, recipe: Recipe, average: WeightAverage | None = None
) -> Progress:
    """Bring model, optimizer and average to the newest checkpoint of a run.

    Raises:
        FileNotFoundError: There is no checkpoint to go on from.
        ValueError: The recipe or the number of processes differs in a way that changes the result.
    """
    if accelerator.is_main_process:
        _tidy(folder)
    accelerator.wait_for_everyone()
    checkpoints = list_checkpoints(folder)
    if not checkpoints:
        raise FileNotFoundError(f"Nothing to resume: {folder} holds no checkpoint. Leave --resume out to start.")
    state = json.loads((checkpoints[-1] / PROGRESS_FILE).read_text(encoding="utf-8"))
    _check_same_run(state, recipe, _layout(accelerator), checkpoints[-1])
    accelerator.load_state(str(checkpoints[-1]))
    if average is not None:
        average.load(checkpoints[-1])
    return Progress(**state["progress"])


def _layout(accelerator: Accelerator) -> dict[str, Any]:
    """Number of processes of a run, and whether its weights are sharded over them."""
    return {"processes": accelerator.num_processes, "sharded": accelerator.is_fsdp2}


def _check_same_run(state: dict[str, Any], recipe: Recipe, layout: dict[str, Any], checkpoint: Path) -> None:
    then = Recipe.from_fields(**state["recipe"]).values()
    layout_then = {"processes": state["processes"], "sharded": state.get("sharded", False)}
    fixed = [
        (full, then[full], now) for full, now in recipe.values().items() if not FIELDS.by_name[full].rules.resumable
    ]
    pairs = fixed + [(name, layout_then[name], now) for name, now in layout.items()]
    changed = [f"{name}: {before!r} then, {now!r} now" for name, before, now in pairs if before != now]
    if changed:
        raise ValueError(
            f"The recipe contradicts the checkpoint {checkpoint}: {'; '.join(changed)}. Resume with the same values, "
            "or start a new run in another output_dir."
        )


def _tidy(folder: Path) -> None:
    """Delete what is not whole, and bring a checkpoint back that a killed run was about to replace."""
    for old in folder.glob(".step-*.old"):
        replaced = folder / old.name.removeprefix(".").removesuffix(".old")
        old.rename(old.with_suffix(".partial") if replaced.exists() else replaced)
    for partial in folder.glob(".step-*.partial"):
        shutil.rmtree(partial)


def _rotate(folder: Path, *, keep: int) -> None:
    for checkpoint in list_checkpoints(folder)[:-keep]:
        checkpoint.rename(checkpoint.with_name(f".{checkpoint.name}.partial"))  # at once, so that none is half there
    _tidy(folder)
