"""The words of a run's card: data, command, cost."""

import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from vitpose.base.machine import usable_cores

from ..config.recipe import Recipe


def dataset_words(recipe: Recipe) -> str:
    """The evaluation data of a run, in words."""
    return "; ".join(_people_words(part, part.dataset.eval_people, part.dataset.eval_split) for part in recipe.parts)


def training_words(recipe: Recipe) -> str:
    """The training data of a run, in words."""
    return "; ".join(_people_words(part, part.dataset.train_people, part.dataset.train_split) for part in recipe.parts)


def _people_words(recipe: Recipe, people: int | None, split: str) -> str:
    if recipe.dataset.data == "synthetic":
        return f"{people} generated people, style {recipe.dataset.style}"
    count = "" if people is None else f"first {people} people of "
    return f"{count}{Path(str(recipe.dataset.data_dir)).name} {split}"


def base_words(recipe: Recipe) -> str | None:
    """The source of the initial weights, in words; None for random ones."""
    source = recipe.transfer.init_from
    if source == "none":
        return None
    return "the tiny checkpoint that ships with vitpose" if source == "tiny" else source


def limits_words(recipe: Recipe) -> list[str]:
    """What the card says of a model that has seen no photograph."""
    if any(part.dataset.data != "synthetic" for part in recipe.parts):
        return []
    return ["It has seen generated people only: it is made for trying the tools, and fails on many photographs."]


def command_words() -> str:
    """The command that repeats this run, without `--resume`."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    if os.path.basename(sys.argv[0]) == "vitpose":
        return shlex.join(["vitpose", *arguments])
    script = os.path.relpath(sys.argv[0]) if os.path.exists(sys.argv[0]) else sys.argv[0]
    return shlex.join(["accelerate", "launch", script, *arguments])


def run_cost(accelerator: Accelerator, *, seconds: float, people: int) -> dict[str, Any]:
    """Hardware, wall-clock seconds and people a second of a run.

    Args:
        accelerator: Of the run.
        seconds: Wall-clock time spent.
        people: Samples trained on, counted in each epoch.
    """
    device, processes = accelerator.device, accelerator.num_processes
    if device.type == "cuda":
        hardware = f"{processes} x {torch.cuda.get_device_name(device)}"
    elif device.type != "cpu":
        hardware = f"{processes} x {device.type}"
    else:
        cores = usable_cores()
        hardware = f"{cores} CPU core{'s' if cores > 1 else ''} ({platform.machine()})"
    return {
        "hardware": hardware,
        "seconds": round(seconds),
        "images_per_s": round(people / seconds, 1),
    }
