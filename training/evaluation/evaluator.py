"""The evaluation of one dataset in a run: its people, their loader, and the model's head for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.keypoint_schemas import KeypointSchema

from ..config.recipe import Recipe
from ..metrics.modules import MetricName
from ..samples.loaders import build_evaluation_loader
from ..samples.pose import PoseDataset
from ..samples.sources import EvaluationPeople, evaluation_people
from .by_dataset import check_columns, chosen_metrics
from .predict import predict_people
from .score import Evaluation, score


@dataclass(kw_only=True)
class Evaluator:
    """Predicts and scores the people of one dataset.

    Args:
        recipe: Its data and evaluation fields count; it has no mixture.
        accelerator: Of the run.
        source: The people and their ground truth.
        loader: Of this process's share of the people.
        schema: Their keypoints.
        dataset_index: The model's index of the dataset; None where it has but one.
        metrics: How the dataset is scored, the main metric first.
    """

    recipe: Recipe
    accelerator: Accelerator
    source: EvaluationPeople
    loader: DataLoader
    schema: KeypointSchema
    dataset_index: int | None
    metrics: tuple[MetricName, ...]

    @classmethod
    def build(cls, recipe: Recipe, accelerator: Accelerator, config: ViTPoseConfig) -> "Evaluator":
        """Read the people of a recipe without a mixture.

        Raises:
            ValueError: The model does not predict the keypoints of these people, or they cannot be scored.
        """
        schema, annotated = recipe.keypoint_schema, recipe.eval_boxes is None
        index = head_index(config, schema)
        metrics = chosen_metrics(recipe.data, schema, annotated_boxes=annotated)
        source = evaluation_people(recipe)
        check_columns(metrics, source.people)
        loader = build_evaluation_loader(recipe, accelerator, config, source.people)
        return cls(
            recipe=recipe,
            accelerator=accelerator,
            source=source,
            loader=loader,
            schema=schema,
            dataset_index=index,
            metrics=metrics,
        )

    def __call__(self, model: nn.Module | Sequence[nn.Module]) -> Evaluation:
        """Evaluate a prepared model, or several as one; every process takes part."""
        predictions = predict_people(
            model,
            self.loader,
            accelerator=self.accelerator,
            schema=self.schema,
            flip_test=self.recipe.flip_test,
            dark_sigma=self.recipe.dark_sigma,
            dataset_index=self.dataset_index,
        )
        source = self.source
        return score(
            predictions,
            source.people,
            source.annotations,
            schema=self.schema,
            annotated_boxes=source.annotated_boxes,
            metrics=self.metrics,
            crop_size=cast(PoseDataset, self.loader.dataset).crop_size,
            padding=self.recipe.box_padding,
        )


def head_index(config: ViTPoseConfig, schema: KeypointSchema) -> int | None:
    """The index of the model's head for these keypoints, by the schema's name, else by equal keypoints; None for one.

    Raises:
        ValueError: No head predicts them.
    """
    several = config.num_datasets > 1
    names = (config.dataset_names or []) if several else [config.get_schema().name]
    by_name = [index for index, name in enumerate(names) if name == schema.name]
    for index in (*by_name, *range(len(names))):
        if _same_keypoints(config.get_schema(index), schema):
            return index if several else None
    theirs = [config.get_schema(index) for index in range(len(config.keypoint_schemas))]
    have = ", ".join(f"{own.num_keypoints} keypoints ({own.name})" for own in theirs)
    raise ValueError(
        f"The model predicts {have}, the data has {schema.num_keypoints} ({schema.name}): evaluate it on data of its "
        "own keypoints."
    )


def _same_keypoints(own: KeypointSchema, schema: KeypointSchema) -> bool:
    """Checkpoints that do not name their keypoints ("custom") are taken at their number."""
    return own.keypoints == schema.keypoints or (own.name == "custom" and own.num_keypoints == schema.num_keypoints)


def joined_metrics(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    """The figures of all datasets, under `dataset/figure` where there are several."""
    if len(evaluations) == 1:
        return next(iter(evaluations.values())).metrics
    return {f"{name}/{key}": value for name, own in evaluations.items() for key, value in own.metrics.items()}
