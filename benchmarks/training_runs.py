"""What the comparisons of training runs share: generated people, drawn once, and runs that are done once."""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from accelerate.state import AcceleratorState, PartialState
from datasets import Dataset
from tqdm.auto import tqdm

from vitpose import get_keypoint_schema
from vitpose.base.files import whole_file
from vitpose.training.config.checks import check_recipe
from vitpose.training.config.recipe import Recipe
from vitpose.training.data.columns import PEOPLE_FEATURES
from vitpose.training.samples.loaders import EVALUATION_SEED
from vitpose.training.session import run_recipe
from vitpose.training.synthetic.people import SyntheticPeople

TRAINING_SEED = 1
FIGURES = ("AP", "PCK")


def write_people(folder: Path, *, train: int, val: int, careless: bool = False) -> Path:
    """Draw people into Parquet files, which `data: people` reads; a file that is there already stays.

    Drawing a person takes several times as long as reading one, and runs of many epochs see each often.

    Args:
        folder: Of the files.
        train: How many people to train on.
        val: How many to evaluate on, with exact keypoints.
        careless: Annotate those to train on with [`annotate_carelessly`].
    """
    for split, number, seed in (("train", train, TRAINING_SEED), ("val", val, EVALUATION_SEED)):
        file = folder / f"{split}-00000-of-00001.parquet"
        if not file.exists():
            people = list(_people(number, seed))
            if careless and split == "train":
                annotate_carelessly(people)
            with whole_file(file) as partial:
                Dataset.from_list(people, features=PEOPLE_FEATURES).to_parquet(partial)
    return folder


def _people(number: int, seed: int) -> Iterator[dict[str, Any]]:
    for person in tqdm(SyntheticPeople(num_people=number, seed=seed), desc="draw people"):
        photo = io.BytesIO()
        person["image"].save(photo, "JPEG", quality=95)
        yield {**person, "image": {"bytes": photo.getvalue(), "path": None}, "dataset": "coco"}


def annotate_carelessly(people: list[dict[str, Any]]) -> None:
    """Take away half of the labels and move the others as far as COCO's annotators were apart (the scale of OKS)."""
    rng, deviations = np.random.default_rng(TRAINING_SEED), np.array(get_keypoint_schema("coco").sigmas)
    for person in people:
        keypoints = np.array(person["keypoints"])  # (17, 3)
        labelled = np.flatnonzero(keypoints[:, 2])
        kept = rng.permutation(labelled)[: max(1, len(labelled) // 2)]
        moves = rng.normal(size=(17, 2)) * (deviations * np.sqrt(person["area"] / 2))[:, None]  # of each coordinate
        loose = np.zeros_like(keypoints)
        loose[kept] = keypoints[kept]
        loose[kept, :2] += moves[kept]
        person["keypoints"] = loose.tolist()


def trained(recipe: Recipe) -> dict[str, float]:
    """The figures of a run, which is done if its folder does not hold them yet."""
    metrics = Path(recipe.run.output_dir, "metrics.json")
    if not metrics.exists():
        check_recipe(recipe)
        run_recipe(recipe)
        AcceleratorState._reset_state()
        PartialState._reset_state()
    return json.loads(metrics.read_text(encoding="utf-8"))


def training_losses(recipe: Recipe) -> list[tuple[int, float]]:
    """Step and loss of every line of a run's log."""
    lines = Path(recipe.run.output_dir, "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [(line["step"], line["loss"]) for line in map(json.loads, lines) if "loss" in line]


def print_table(name: str, rows: dict[str, Sequence[dict[str, float]]]) -> None:
    """Print a Markdown table of AP and PCK: mean, standard deviation over seeds, and each seed.

    Args:
        name: Of the first column.
        rows: The figures of each seed under the first column's words.
    """
    headings = " | ".join(f"{figure}, mean | deviation | of each seed" for figure in FIGURES)
    print(f"| {name} | {headings} |")
    print("|---|" + "---:|---:|---|" * len(FIGURES))
    for words, runs in rows.items():
        cells = []
        for values in ([run[figure] for run in runs] for figure in FIGURES):
            spread = f"{stdev(values):.3f}" if len(values) > 1 else ""
            cells += [f"{mean(values):.3f}", spread, ", ".join(f"{value:.3f}" for value in values)]
        print(f"| {words} | {' | '.join(cells)} |", flush=True)
