"""The people a recipe trains and evaluates on, and the ground truth they are scored against."""

from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from ..config.recipe import Recipe
from ..config.sections import DatasetSection
from ..data.columns import to_coco_annotations
from ..data.loading import read_dataset, read_ground_truth
from ..data.stored import read_people
from ..synthetic.people import SyntheticPeople
from ..synthetic.styles import Style

# Generated people to evaluate on come from a seed of their own, which data_seed is not allowed to be.
EVALUATION_SEED = 20_000_003


@dataclass(kw_only=True)
class EvaluationPeople:
    """People to predict and the annotations to score them against.

    Args:
        people: Rows to crop; `box_score` in them where boxes come from a detector.
        annotations: COCO ground truth, or the path of its file.
        annotated_boxes: Whether the boxes are the annotated ones, so that row i has its own keypoints.
    """

    people: Any
    annotations: dict[str, Any] | str
    annotated_boxes: bool = True


def training_people(recipe: Recipe) -> Any:
    """Rows to train on, in the columns of the readers."""
    chosen = recipe.dataset
    if chosen.data == "synthetic":
        if chosen.data_seed == EVALUATION_SEED:
            raise ValueError(f"data_seed {EVALUATION_SEED} makes the people that evaluation uses: choose another seed.")
        return _generate(chosen.train_people, chosen.data_seed, chosen.style)
    return _first(_read(recipe, chosen.train_split), chosen.train_people)


def evaluation_people(recipe: Recipe) -> EvaluationPeople:
    """Rows to evaluate on and their ground truth.

    Annotated boxes are scored against the people read; detector boxes against everyone in the split, so that who was
    not detected counts.
    """
    chosen, schema = recipe.dataset, recipe.keypoint_schema
    if chosen.data == "synthetic":
        people = _generate(chosen.eval_people, EVALUATION_SEED, chosen.style)
        rows = [people[index] for index in range(len(people))]  # drawn once, then read at every evaluation
        return EvaluationPeople(people=rows, annotations=to_coco_annotations(rows, schema))
    if chosen.eval_boxes is None:
        found = _first(_read(recipe, chosen.eval_split), chosen.eval_people)
        return EvaluationPeople(people=found, annotations=to_coco_annotations(found, schema))
    name, folder, split = chosen.data, _folder(chosen), chosen.eval_split
    detected = read_dataset(name, folder, split=split, schema=schema, boxes=chosen.eval_boxes)
    truth = read_ground_truth(name, folder, split=split, schema=schema)
    return EvaluationPeople(people=detected, annotations=truth, annotated_boxes=False)


def _generate(count: int | None, seed: int, style: Style) -> SyntheticPeople:
    assert count is not None  # a recipe of generated people has their number
    return SyntheticPeople(num_people=count, seed=seed, style=style)


def _read(recipe: Recipe, split: str) -> Dataset:
    schema, folder = recipe.keypoint_schema, _folder(recipe.dataset)
    if recipe.dataset.data == "people":
        return read_people(folder, schema=schema, split=split)
    return read_dataset(recipe.dataset.data, folder, split=split, schema=schema)


def _folder(chosen: DatasetSection) -> str:
    assert chosen.data_dir is not None  # a recipe of people that are not generated says where they are
    return chosen.data_dir


def _first(people: Dataset, count: int | None) -> Dataset:
    return people if count is None else people.select(range(min(count, len(people))))
