"""The words of a run's card: data, command, cost."""

import os
import platform
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from vitpose.base.machine import usable_cores
from vitpose.base.published import ANY, repository_of

from ..config.parsing import RECIPES
from ..config.recipe import FIELDS, Recipe


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
    return "the tiny checkpoint that ships with vitpose" if source == "tiny" else repository_of(source, ANY) or source


def limits_words(recipe: Recipe) -> list[str]:
    """What the card says of a model that has seen no photograph."""
    if any(part.dataset.data != "synthetic" for part in recipe.parts):
        return []
    return ["It has seen generated people only: it is made for trying the tools, and fails on many photographs."]


def command_words() -> str:
    """The command that repeats this run wherever vitpose is installed, without `--resume`."""
    arguments = [argument for argument in _run_arguments() if argument != "--resume"]
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if _is_launched_by_configuration():
        return shlex.join(["accelerate", "launch", "-m", "vitpose", "train", *arguments])
    several = ["--num-processes", str(processes)] if processes > 1 else []
    return shlex.join(["vitpose", "train", *several, *arguments])


def _run_arguments() -> list[str]:
    """The recipe and its fields on the command line; a recipe that ships is called by its name."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["train"]:
        arguments = arguments[1:]
    for place, argument in enumerate(arguments):
        if argument.replace("_", "-").startswith("--num-processes"):
            arguments = arguments[:place] + arguments[place + (1 if "=" in argument else 2) :]
            break
    if arguments and Path(arguments[0]).resolve().parent == RECIPES.resolve():
        arguments = [Path(arguments[0]).name, *arguments[1:]]
    return arguments


def _is_launched_by_configuration() -> bool:
    """Whether processes share the weights or are on several machines, which an accelerate configuration says."""
    machines = int(os.environ.get("GROUP_WORLD_SIZE", "1"))
    return machines > 1 or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def next_steps(recipe: Recipe, output: Path, *, several_datasets: bool) -> dict[str, str]:
    """What to do with the folder of a finished run: commands by purpose.

    Args:
        recipe: Of the run.
        output: The folder.
        several_datasets: Whether the model has a head for each of several datasets.
    """
    folder = str(output)
    publish = _words("publish", folder, "--repo", f"YOUR_NAME/{output.resolve().name}")
    if recipe.run.task == "masked_image_modeling":
        preset = _flags(recipe, ("model.preset", "model.image_height", "model.image_width"))
        fine_tune = _words("train", *preset, "--init_from", folder, "--output_dir", f"{folder}_pose")
        return {"go on": fine_tune, "publish": publish}
    if recipe.run.task == "knowledge_token":
        teacher = ("--teacher", folder, "--output_dir", f"{folder}_student")
        return {"go on": _words("train", "--distillation", "token", *teacher)}
    dataset = ("--dataset", recipe.keypoint_schemas[0].name) if several_datasets else ()
    steps = {"look": _words("predict", "photo.jpg", "--model", folder, *dataset)}
    data = _evaluation_data(recipe)
    if data is not None:
        steps["evaluate"] = _words("evaluate", *data, "--model", folder)
    return {**steps, "publish": publish}


def _evaluation_data(recipe: Recipe) -> list[str] | None:
    """The data of a run as `vitpose evaluate` takes it; None for a mixture that no recipe file names."""
    if not recipe.dataset.mixture:
        names = ("data", "data_dir", "schema", "eval_split", "eval_boxes", "eval_people", "style")
        return _flags(recipe, [f"dataset.{name}" for name in names])
    file = _run_arguments()[:1]
    return file if file and not file[0].startswith("-") else None


def _flags(recipe: Recipe, names: Iterable[str]) -> list[str]:
    """Fields by full name that are not at their default, as arguments."""
    infos = [(FIELDS.by_name[name], recipe.value_of(FIELDS.by_name[name])) for name in names]
    chosen = [(info, "null" if value is None else str(value)) for info, value in infos if value != info.default]
    return [part for info, value in chosen for part in (f"--{info.name}", value)]


def _words(*words: str) -> str:
    return shlex.join(["vitpose", *words])


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
