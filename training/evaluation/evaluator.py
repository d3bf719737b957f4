"""The evaluation of one dataset in a run: its people, their loader, and the model's head for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.modeling.keypoint_sides import same_keypoints
from vitpose.processing.prediction_vitpose import PosePredictor
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..config.recipe import Recipe
from ..metrics.modules import MetricName
from ..samples.loaders import EvaluationPeople, build_evaluation_loader, evaluation_people
from .by_dataset import check_columns, chosen_metrics
from .measured import Measured
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
        settings: Of the model's processor.
        schema: Their keypoints.
        dataset_index: The model's index of the dataset; None where it has but one.
        metrics: How the dataset is scored, the primary metric first.
    """

    recipe: Recipe
    accelerator: Accelerator
    source: EvaluationPeople
    loader: DataLoader
    settings: ProcessorSettings
    schema: KeypointSchema
    dataset_index: int | None
    metrics: tuple[MetricName, ...]

    @classmethod
    def build(
        cls, recipe: Recipe, accelerator: Accelerator, config: ViTPoseConfig, settings: ProcessorSettings
    ) -> "Evaluator":
        """Read the people of a recipe without a mixture.

        Args:
            recipe: Its data and evaluation fields count.
            accelerator: Of the run.
            config: Of the model that is evaluated.
            settings: Of the model's processor.

        Raises:
            ValueError: The model does not predict the keypoints of these people, or they cannot be scored.
        """
        schema, annotated = recipe.keypoint_schema, recipe.dataset.eval_boxes is None
        index = head_index(config, schema)
        metrics = chosen_metrics(recipe.dataset.data, schema, annotated_boxes=annotated)
        source = evaluation_people(recipe)
        check_columns(metrics, source.people)
        loader = build_evaluation_loader(recipe, accelerator, settings, source.people)
        return cls(
            recipe=recipe,
            accelerator=accelerator,
            source=source,
            loader=loader,
            settings=settings,
            schema=schema,
            dataset_index=index,
            metrics=metrics,
        )

    def __call__(self, model: nn.Module | Sequence[nn.Module]) -> Evaluation:
        """Evaluate a prepared model, or several as one; every process takes part."""
        predictor = PosePredictor(
            models=model,
            settings=self.settings,
            schema=self.schema,
            dataset_index=self.dataset_index,
            flip_test=self.recipe.evaluation.flip_test,
            device=self.accelerator.device,
        )
        source = self.source
        people = predict_people(
            predictor, self.loader, accelerator=self.accelerator, detected=not source.annotated_boxes
        )
        return score(
            people,
            source.people,
            source.annotations,
            settings=self.settings,
            annotated_boxes=source.annotated_boxes,
            metrics=self.metrics,
            measured=self.measured(),
        )

    def measured(self) -> dict[str, Any]:
        """How metrics are measured, for `metrics.json`."""
        dataset = self.recipe.dataset
        return {
            "boxes": "annotated" if dataset.eval_boxes is None else Path(dataset.eval_boxes).name,
            "flip_test": self.recipe.evaluation.flip_test,
            "dark_sigma": self.settings.dark_sigma,
            "box_padding": self.settings.padding,
            "split": dataset.eval_split if dataset.data != "synthetic" else "generated, never trained on",
        }


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
    return same_keypoints(own.keypoints, schema.keypoints) or (
        own.name == "custom" and own.num_keypoints == schema.num_keypoints
    )


def joined_metrics(evaluations: Mapping[str, Measured]) -> dict[str, float]:
    """The figures of all datasets, under `dataset/figure` where there are several."""
    if len(evaluations) == 1:
        return next(iter(evaluations.values())).metrics
    return {f"{name}/{key}": value for name, own in evaluations.items() for key, value in own.metrics.items()}
