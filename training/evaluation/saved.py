"""Evaluation of saved models, without training: one model or an ensemble, its figures, files and picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from vitpose.base.files import whole_file
from vitpose.base.published import resolve_model
from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..config.recipe import Recipe
from ..data.matlab import save_mat
from ..metrics.error_types import ERROR_TYPES
from ..samples.settings import PROCESSOR_FILE, saved_settings
from .analysis import EvaluationAnalysis, analyse
from .evaluator import Evaluator, head_index
from .files import write_metrics
from .report import WORST_PEOPLE, save_report
from .score import Evaluation
from .submission import mpii_predictions

FIGURES, RESULTS, REPORT, MPII_FILE = "metrics.json", "results.json", "report.png", "pred.mat"


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """What an evaluation found.

    Args:
        evaluation: Its figures.
        analysis: What lies behind them.
        title: What was evaluated on what, in words.
    """

    evaluation: Evaluation
    analysis: EvaluationAnalysis
    title: str

    def table(self) -> str:
        """The figures as text, and those of each keypoint."""
        figures = [f"{name:<20}{_number(value):>9}" for name, value in self.evaluation.metrics.items()]
        return "\n".join([self.title, "", *figures, "", *self._keypoint_lines()]) + "\n"

    def _keypoint_lines(self) -> list[str]:
        analysis = self.analysis
        width = 2 + max(map(len, ("all keypoints", *analysis.by_keypoint)))
        types = () if analysis.errors is None else ERROR_TYPES
        lines = [f"{'keypoint':<{width}}{analysis.primary[0]:>8}" + "".join(f"{name:>11}" for name in types)]
        for index, (name, value) in enumerate(analysis.by_keypoint.items()):
            shares = "" if analysis.errors is None else _shares(analysis.errors[index])
            lines.append(f"{name:<{width}}{_number(value):>8}{shares}")
        if analysis.errors is not None:
            lines.append(f"{'all keypoints':<{width}}{'':>8}{_shares(analysis.errors.sum(axis=0))}")
            people = (analysis.found or 0) + (analysis.missed or 0)
            lines.append(f"{analysis.found} of {people} annotated people found")
        return lines


def evaluate_model(model_source: str, recipe: Recipe, *, ensemble: Sequence[str] = ()) -> Evaluation:
    """Evaluate a saved model on the evaluation people of a recipe.

    Args:
        model_source: As for [`resolve_model`].
        recipe: Its data and evaluation fields count; it has no mixture.
        ensemble: More models, whose heatmaps are averaged with the first one's.

    Raises:
        ValueError: The models do not predict the keypoints of the data, or do not fit together.
    """
    _, evaluation = _evaluate([model_source, *ensemble], recipe, _accelerator(recipe))
    return evaluation


def report_model(
    model_source: str, recipe: Recipe, *, ensemble: Sequence[str] = (), out: Path | None = None
) -> ModelReport | None:
    """Evaluate a saved model as [`evaluate_model`] does, and say where it fails.

    Args:
        model_source: As for [`evaluate_model`].
        recipe: As for [`evaluate_model`].
        ensemble: As for [`evaluate_model`].
        out: Folder for `metrics.json`, `results.json` in the benchmark's form, `report.png`, and of MPII `pred.mat`;
            nothing is written without it.

    Returns:
        The report in the main process, None in the others.

    Raises:
        FileExistsError: The folder holds an evaluation already.
    """
    accelerator = _accelerator(recipe)
    if out is not None and accelerator.is_main_process:
        _check_folder(out)
    sources = [model_source, *ensemble]
    evaluator, evaluation = _evaluate(sources, recipe, accelerator)
    if not accelerator.is_main_process:
        return None
    analysis = analyse(evaluator, evaluation, worst=WORST_PEOPLE)
    report = ModelReport(evaluation=evaluation, analysis=analysis, title=_title(sources, evaluator))
    if out is not None:
        _write(out, report, evaluator, num_models=len(sources))
    return report


def _accelerator(recipe: Recipe) -> Accelerator:
    return Accelerator(mixed_precision=recipe.optimization.mixed_precision)


def _evaluate(sources: Sequence[str], recipe: Recipe, accelerator: Accelerator) -> tuple[Evaluator, Evaluation]:
    if recipe.dataset.mixture:
        names = ", ".join(recipe.part_names)
        raise ValueError(f"The recipe mixes {names}: evaluate one dataset at a time, --dataset NAME --data DIR.")
    if accelerator.is_fsdp2:
        raise ValueError("An evaluation has the whole model in each process: launch it without FSDP.")
    places = [resolve_model(source) for source in sources]
    models = [ViTPoseForPoseEstimation.from_pretrained(place, dtype=torch.float32) for place in places]
    if len(models) > 1:
        models = [_of_one_dataset(model, recipe.keypoint_schema) for model in models]
        _check_together([model.config for model in models], sources)
    settings = _common_settings(sources, places, models, recipe)
    evaluator = Evaluator.build(recipe, accelerator, models[0].config, settings)
    return evaluator, evaluator([accelerator.prepare_model(model, evaluation_mode=True) for model in models])


def _common_settings(
    sources: Sequence[str], places: Sequence[str], models: Sequence[ViTPoseForPoseEstimation], recipe: Recipe
) -> ProcessorSettings:
    """The settings of the processors beside the models, which must agree with each other and with the recipe."""
    found = [saved_settings(place, model.config) for place, model in zip(places, models, strict=True)]
    for source, settings in zip(sources[1:], found[1:], strict=True):
        if settings != found[0]:
            raise ValueError(
                f"Models of an ensemble must have processors of the same settings: {sources[0]} has {found[0]}, "
                f"{source} has {settings}."
            )
    wanted = recipe.evaluation.dark_sigma
    if wanted is not None and wanted != found[0].dark_sigma:
        raise ValueError(
            f"dark_sigma: expected {found[0].dark_sigma}, as {sources[0]}/{PROCESSOR_FILE} says, got {wanted}. Leave "
            "it out, or save the processor with the other value: what the model is evaluated with, its users get."
        )
    return found[0]


def _of_one_dataset(model: ViTPoseForPoseEstimation, schema: KeypointSchema) -> ViTPoseForPoseEstimation:
    """The model with the one head that predicts these keypoints: heads of an ensemble may be in different places."""
    index = head_index(model.config, schema)
    return model if index is None else model.fold_experts(index)


def _check_together(configs: Sequence[ViTPoseConfig], sources: Sequence[str]) -> None:
    sizes = [(config.image_size, config.heatmap_size) for config in configs]
    different = [place for place, size in enumerate(sizes) if size != sizes[0]]
    if different:
        place = different[0]
        raise ValueError(
            f"Models of an ensemble must have crops and heatmaps of one size: {sources[0]} has {sizes[0][0]} and "
            f"{sizes[0][1]}, {sources[place]} has {sizes[place][0]} and {sizes[place][1]}."
        )


def _check_folder(out: Path) -> None:
    found = [name for name in (FIGURES, RESULTS, REPORT, MPII_FILE) if (out / name).exists()]
    if found:
        raise FileExistsError(f"{out} has {', '.join(found)} already: choose another folder, or delete them.")


def _write(out: Path, report: ModelReport, evaluator: Evaluator, *, num_models: int) -> None:
    data, evaluation = evaluator.recipe.dataset.data, report.evaluation
    details = {**report.analysis.to_dict(), "num_models": num_models}
    save_report(out / REPORT, evaluator, report.analysis, title=report.title)
    write_metrics(out, {data: evaluation}, details)
    if evaluator.metrics[0] == "pckh":
        keypoints = mpii_predictions(evaluation.people.keypoints_xy.numpy(), evaluator.source.people)
        with whole_file(out / MPII_FILE) as path:
            save_mat(path, {"preds": keypoints})


def _title(sources: Sequence[str], evaluator: Evaluator) -> str:
    recipe, people = evaluator.recipe, len(evaluator.source.people)
    boxes = evaluator.measured()["boxes"]
    data = (
        "generated people"
        if recipe.dataset.data == "synthetic"
        else f"{recipe.dataset.data} {recipe.dataset.eval_split}"
    )
    flip = "flip test" if recipe.evaluation.flip_test else "no flip test"
    models = " + ".join(Path(source).name for source in sources)
    return f"{models} on {data}: {people} boxes ({boxes}), {flip}"


def _number(value: float | None) -> str:
    if value is None or value != value or value == -1:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _shares(counts: Any) -> str:
    total = max(1, counts.sum())
    return "".join(f"{count / total:>11.1%}" for count in counts)
