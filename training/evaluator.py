"""The evaluation of one dataset in a run: its people, their loader, and the model's head for them."""

from collections.abc import Mapping
from dataclasses import dataclass

from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.keypoint_schemas import KeypointSchema

from .assembly import build_evaluation_loader, dataset_index
from .evaluation import Evaluation, predict_people, score
from .recipe import Recipe
from .sources import EvaluationPeople, evaluation_people


@dataclass(kw_only=True)
class Evaluator:
    """Predicts and scores the people of one dataset.

    Args:
        recipe: Its data and evaluation fields count; it has no mixture.
        accelerator: Of the run.
        source: The people and their ground truth.
        loader: Prepared.
        schema: Their keypoints.
        dataset_index: The model's index of the dataset; None where it has but one.
    """

    recipe: Recipe
    accelerator: Accelerator
    source: EvaluationPeople
    loader: DataLoader
    schema: KeypointSchema
    dataset_index: int | None

    @classmethod
    def build(cls, recipe: Recipe, accelerator: Accelerator, config: ViTPoseConfig) -> "Evaluator":
        """Read the people of a recipe without a mixture.

        Raises:
            ValueError: The model does not predict the keypoints of these people.
        """
        schema = recipe.keypoint_schema
        several = config.num_datasets > 1
        if not several and config.get_schema().num_keypoints != schema.num_keypoints:
            theirs = config.get_schema()
            raise ValueError(
                f"The model predicts {theirs.num_keypoints} keypoints ({theirs.name}), the data has "
                f"{schema.num_keypoints} ({schema.name}): evaluate it on data of its own keypoints."
            )
        index = dataset_index(recipe, config) if several else None
        source = evaluation_people(recipe)
        loader = accelerator.prepare(build_evaluation_loader(recipe, accelerator, config, source.people))
        return cls(
            recipe=recipe, accelerator=accelerator, source=source, loader=loader, schema=schema, dataset_index=index
        )

    def __call__(self, model: nn.Module) -> Evaluation:
        """Evaluate a prepared model; every process takes part."""
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
            predictions, source.people, source.annotations, schema=self.schema, annotated_boxes=source.annotated_boxes
        )


def joined_metrics(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    """The figures of all datasets, under `dataset/figure` where there are several."""
    if len(evaluations) == 1:
        return next(iter(evaluations.values())).metrics
    return {f"{name}/{key}": value for name, own in evaluations.items() for key, value in own.metrics.items()}
