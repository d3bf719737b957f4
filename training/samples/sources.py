"""The people a recipe trains and evaluates on, and the ground truth they are scored against."""

from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from ..config.recipe import Recipe
from ..data.columns import to_coco_annotations
from ..data.loading import read_dataset, read_ground_truth
from ..data.stored import read_people
from ..synthetic.people import SyntheticPeople

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
    if recipe.dataset.data == "synthetic":
        if recipe.dataset.data_seed == EVALUATION_SEED:
            raise ValueError(f"data_seed {EVALUATION_SEED} makes the people that evaluation uses: choose another seed.")
        return SyntheticPeople(
            num_people=recipe.dataset.train_people, seed=recipe.dataset.data_seed, style=recipe.dataset.style
        )
    people = _read(recipe, recipe.dataset.train_split)
    return _first(people, recipe.dataset.train_people)


def evaluation_people(recipe: Recipe) -> EvaluationPeople:
    """Rows to evaluate on and their ground truth.

    Annotated boxes are scored against the people read; detector boxes against everyone in the split, so that who was
    not detected counts.
    """
    schema = recipe.keypoint_schema
    if recipe.dataset.data == "synthetic":
        people = SyntheticPeople(
            num_people=recipe.dataset.eval_people, seed=EVALUATION_SEED, style=recipe.dataset.style
        )
        rows = [people[index] for index in range(len(people))]  # drawn once, then read at every evaluation
        return EvaluationPeople(people=rows, annotations=to_coco_annotations(rows, schema))
    if recipe.dataset.eval_boxes is None:
        people = _first(_read(recipe, recipe.dataset.eval_split), recipe.dataset.eval_people)
        return EvaluationPeople(people=people, annotations=to_coco_annotations(people, schema))
    name, folder, split = recipe.dataset.data, recipe.dataset.data_dir, recipe.dataset.eval_split
    people = read_dataset(name, folder, split=split, schema=schema, boxes=recipe.dataset.eval_boxes)
    truth = read_ground_truth(name, folder, split=split, schema=schema)
    return EvaluationPeople(people=people, annotations=truth, annotated_boxes=False)


def _read(recipe: Recipe, split: str) -> Dataset:
    if recipe.dataset.data == "people":
        return read_people(recipe.dataset.data_dir, schema=recipe.keypoint_schema, split=split)
    return read_dataset(recipe.dataset.data, recipe.dataset.data_dir, split=split, schema=recipe.keypoint_schema)


def _first(people: Dataset, count: int | None) -> Dataset:
    return people if count is None else people.select(range(min(count, len(people))))
