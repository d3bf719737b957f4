"""The outputs of a run: model, processor, metrics, pictures and card, each file whole or absent."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from vitpose.base.files import whole_file
from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation
from vitpose.processing.people_vitpose import People
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..config.recipe import Recipe
from ..engine.run_parts import FinishedRun
from ..evaluation.evaluator import Evaluator, joined_metrics
from ..evaluation.files import file_name, write_metrics
from ..evaluation.score import Evaluation
from ..pictures.curves import save_curves
from ..pictures.sheets import predictions_sheet
from ..samples.crops import read_image
from .run_words import base_words, command_words, dataset_words, limits_words, training_words
from .save_model import save_model
from .start_people import StartPeople, read_start

logger = logging.getLogger(__name__)


PICTURED_PEOPLE = 8


def write_outputs(
    finished: FinishedRun[ViTPoseForPoseEstimation, Evaluation],
    *,
    recipe: Recipe,
    settings: ProcessorSettings,
    evaluators: Mapping[str, Evaluator],
    write_card: Callable[..., Path] | None,
) -> None:
    """Write the folder of a finished run; called by the main process.

    Of a mixture, `results.json` and `predictions.png` carry the dataset's name too: `results_coco.json`.

    Args:
        finished: The run.
        recipe: Of the run.
        settings: Of the processor that it trains with.
        evaluators: Of the run, by dataset.
        write_card: Writes the model card, with the arguments of `vitpose.write_model_card`; None for no card.
    """
    output, evaluations = Path(recipe.run.output_dir), finished.evaluations
    save_model(finished.model, output, finished.weights, settings)
    write_metrics(output, evaluations)
    save_curves(finished.log, output / "curves.png")
    start, pictures = read_start(output, evaluations), []
    for name, evaluation in evaluations.items():
        pictures.append(output / file_name("predictions.png", name, evaluations))
        draw_predictions(evaluators[name], evaluation, pictures[-1], start.get(name))
    if write_card is not None:
        card = write_card(
            output,
            model_config=finished.model.config,
            metrics=_card_metrics(evaluations),
            dataset_name=dataset_words(recipe),
            recipe=asdict(recipe),
            command=command_words(),
            cost=finished.cost,
            seed=recipe.run.seed,
            trained_on=training_words(recipe),
            settings=next(iter(evaluations.values())).measured,
            base_model=base_words(recipe),
            picture=pictures[0].name,
            limits=limits_words(recipe),
        )
        logger.info("card     %s", card)
    for part, evaluation in zip(recipe.parts, evaluations.values(), strict=True):
        name, value = evaluation.primary
        logger.info("%s %.4f on %s", name, value, dataset_words(part))
    logger.info("model    %s\npicture  %s", output, " ".join(map(str, pictures)))


def _card_metrics(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    metrics = joined_metrics(evaluations)
    return {name: value for name, value in metrics.items() if not name.endswith("people_excluded")}


def draw_predictions(
    evaluator: Evaluator, evaluation: Evaluation, path: Path, start: StartPeople | None = None
) -> None:
    """Draw people from the worst to the best of the evaluation, evenly spread, beside their annotation.

    Args:
        evaluator: Has the photos.
        evaluation: Of the trained model.
        path: Picture to write.
        start: The same people before the run, drawn between the two; None draws no third picture.
    """
    source = evaluator.source
    chosen = _pictured(evaluation, start)
    rows = [source.people[index] for index in chosen]
    pixels = [
        read_image(row["image"], row=index, size=(row["width"], row["height"]))
        for row, index in zip(rows, chosen, strict=True)
    ]
    found = [(evaluation.people[[index]], float(evaluation.similarity[index])) for index in chosen]
    before = (
        None if start is None else [start.person(index, after) for index, (after, _) in zip(chosen, found, strict=True)]
    )
    sheet = predictions_sheet(
        [Image.fromarray(image.permute(1, 2, 0).round().byte().numpy()) for image in pixels],
        [person for person, _ in found],
        targets=[People.annotated(np.array([row["keypoints"]]), evaluator.schema) for row in rows]
        if source.annotated_boxes
        else None,
        before=None if before is None else [person for person, _ in before],
        captions=[_similarity_words("predicted" if before is None else "after", own) for _, own in found],
        before_captions=None if before is None else [_similarity_words("before", own) for _, own in before],
        columns=2,
    )
    with whole_file(path) as file:
        sheet.save(file)


def _pictured(evaluation: Evaluation, start: StartPeople | None) -> list[int]:
    """Rows from the worst to the best, evenly spread; of those that are known from before the run, if any are."""
    known = np.arange(len(evaluation.people)) if start is None else start.rows
    ranking = known[np.argsort(np.nan_to_num(evaluation.similarity[known]), kind="stable")]
    chosen = np.linspace(0, len(ranking) - 1, min(PICTURED_PEOPLE, len(ranking))).round().astype(int)
    return [int(row) for row in ranking[chosen]]


def _similarity_words(name: str, similarity: float) -> str:
    return name if np.isnan(similarity) else f"{name}, OKS {similarity:.2f}"
