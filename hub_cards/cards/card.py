"""The model card of a checkpoint: a README.md with measured metrics, command and cost."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from vitpose.base.files import whole_file
from vitpose.modeling.configuration_vitpose import ViTPoseConfig

from .model_context import model_context, model_schemas
from .user_edits import CardParts, keep_user_edits

logger = logging.getLogger(__name__)

TEMPLATE = Path(__file__).with_name("templates") / "model_card.md"
CARD = "README.md"
TASK = "keypoint-detection"
CURVES = "curves.png"

METRIC_TITLES = {
    "AP": "AP (OKS 0.50:0.95)",
    "AP50": "AP (OKS 0.50)",
    "AP75": "AP (OKS 0.75)",
    "APm": "AP, medium",
    "APl": "AP, large",
    "AR": "AR (OKS 0.50:0.95)",
    "AR50": "AR (OKS 0.50)",
    "AR75": "AR (OKS 0.75)",
    "ARm": "AR, medium",
    "ARl": "AR, large",
    "AP_easy": "AP, easy",
    "AP_medium": "AP, medium",
    "AP_hard": "AP, hard",
    "PCKh": "PCKh@0.5",
    "PCK": "PCK@0.2 of the torso",
    "PCK_box": "PCK@0.2 of the box",
    "AUC": "AUC, 0 to 30 pixels",
    "EPE": "EPE in pixels",
}


def write_model_card(
    folder: str | os.PathLike[str],
    *,
    model_config: ViTPoseConfig,
    metrics: Mapping[str, float] | None = None,
    dataset_name: str | None = None,
    recipe: Mapping[str, Any] | None = None,
    command: str | None = None,
    cost: Mapping[str, Any] | None = None,
    seed: int | None = None,
    trained_on: str | None = None,
    dataset_id: str | None = None,
    settings: Mapping[str, Any] | None = None,
    limits: Sequence[str] = (),
    base_model: str | None = None,
    picture: str | None = "predictions.png",
    license: str = "apache-2.0",
) -> Path:
    """Write `README.md` into the folder of a saved model and return its path.

    User edits of an earlier card in the folder are kept; a warning names them.

    Args:
        folder: The saved model's folder; its name stands for the model in the snippets.
        model_config: `ViTPoseConfig`.
        metrics: Measured metrics, such as those of `coco_keypoint_metrics`; undefined ones (-1, NaN) are skipped. None
            if nothing was measured: the card says so.
        dataset_name: Description of the evaluation data; goes with `metrics`.
        recipe: All fields of the recipe, printed as YAML.
        command: Command that repeats the run.
        cost: `hardware` as text, `seconds`, and `images_per_s` where it was measured.
        seed: Seed of the run.
        trained_on: Description of the training data.
        dataset_id: Hub id of the training data; None if it is not on the Hub.
        settings: Evaluation settings, such as `{"boxes": "annotated", "flip test": True}`.
        limits: Sentences to add to the card's limits.
        base_model: Source of the initial weights: a Hub id (`owner/name`, also in the metadata) or a description.
        picture: File in `folder` with drawn predictions, or None; `curves.png` is shown where the folder has it.
        license: Identifier of the weights' licence as the Hub spells it.

    Raises:
        ValueError: No metric is defined, `dataset_name` is missing, or the cost lacks an entry.
        FileNotFoundError: `picture` is not in the folder.
    """
    folder, measured, settings = Path(folder).resolve(), _measured(metrics, dataset_name), dict(settings or {})
    results = _eval_results(measured, str(dataset_name), dataset_id, settings)
    card = ModelCard.from_template(
        _metadata(folder.name, model_config, results, license=license, dataset_id=dataset_id, base_model=base_model),
        template_str=TEMPLATE.read_text(encoding="utf-8"),
        **model_context(model_config),
        **cost_context(cost),
        **_run_context(measured, settings, recipe=recipe, base_model=base_model, command=command, limits=limits),
        **_pictures(folder, picture),
        model_name=folder.name,
        dataset_name=dataset_name,
        trained_on=trained_on,
        seed=seed,
    )
    return write_card(folder / CARD, CardParts.parse(str(card)).seal().render())


def write_card(path: Path, text: str) -> Path:
    """Write a sealed card; user edits of the one before are kept, with a warning that names them."""
    kept: list[str] = []
    if path.exists():
        text, kept = keep_user_edits(text, path.read_text(encoding="utf-8"))
    if kept:
        logger.warning("%s: user edits kept: %s", path, ", ".join(kept))
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def _metadata(
    name: str,
    model_config: ViTPoseConfig,
    results: list[EvalResult],
    *,
    license: str,
    dataset_id: str | None,
    base_model: str | None,
) -> ModelCardData:
    base_id = base_model if is_hub_id(base_model) else None
    return ModelCardData(
        model_name=name if results else None,
        library_name="transformers",
        pipeline_tag=TASK,
        license=license,
        tags=["vitpose", "pose-estimation", *(schema.name for schema in model_schemas(model_config))],
        datasets=None if dataset_id is None else [dataset_id],
        metrics=[result.metric_type for result in results] or None,
        base_model=base_id,
        base_model_relation=None if base_id is None else "finetune",
        eval_results=results or None,
    )


def _eval_results(
    measured: Mapping[str, float], dataset_name: str, dataset_id: str | None, settings: dict[str, Any]
) -> list[EvalResult]:
    """Entries of the model index; the Hub asks for a dataset type even where the data is not on the Hub."""
    dataset_type = dataset_id or re.sub(r"[^a-z0-9]+", "-", dataset_name.lower()).strip("-")
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=dataset_type,
            dataset_name=dataset_name,
            dataset_split=settings.get("split"),
            metric_type=name.lower(),
            metric_name=METRIC_TITLES.get(name, name),
            metric_value=round(value, 4),
            metric_args=settings or None,
        )
        for name, value in measured.items()
    ]


def _measured(metrics: Mapping[str, float] | None, dataset_name: str | None) -> dict[str, float]:
    """The defined metrics: COCO's evaluator gives -1 where there was nobody to measure."""
    if metrics is None:
        return {}
    measured = {name: float(value) for name, value in metrics.items() if math.isfinite(value) and value != -1}
    if not measured:
        raise ValueError(
            f"metrics: expected at least one defined value, got {dict(metrics)}. Pass None for a card without results."
        )
    if dataset_name is None:
        raise ValueError("dataset_name: expected a description of the evaluation data, as there are metrics, got None.")
    return measured


def cost_context(cost: Mapping[str, Any] | None) -> dict[str, Any]:
    """Values of the template for a run's cost."""
    if cost is None:
        return {"hardware": None}
    missing = [key for key in ("hardware", "seconds") if key not in cost]
    if missing:
        raise ValueError(f"cost: expected hardware, seconds, and images_per_s where measured; it lacks {missing}.")
    rate = cost.get("images_per_s")
    return {
        "hardware": cost["hardware"],
        "duration": _duration(cost["seconds"]),
        "images_per_s": None if rate is None else f"{rate:.3g}",
    }


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:.1f} hours"


def _run_context(
    measured: Mapping[str, float],
    settings: Mapping[str, Any],
    *,
    recipe: Mapping[str, Any] | None,
    base_model: str | None,
    command: str | None,
    limits: Sequence[str],
) -> dict[str, Any]:
    yes_no = {True: "yes", False: "no"}
    return {
        "results": [(METRIC_TITLES.get(name, name), value) for name, value in measured.items()],
        "settings": {name: yes_no[value] if isinstance(value, bool) else value for name, value in settings.items()},
        "recipe": None if recipe is None else _as_yaml(recipe),
        "command": command and command.strip(),
        "limits": list(limits),
        "base_model": f"[{base_model}](https://huggingface.co/{base_model})" if is_hub_id(base_model) else base_model,
    }


def _as_yaml(recipe: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(dict(recipe), default=str))  # YAML spells tuples and paths as Python objects
    return yaml.safe_dump(plain, sort_keys=False).strip()


def _pictures(folder: Path, picture: str | None) -> dict[str, str | None]:
    if picture is not None and not (folder / picture).is_file():
        raise FileNotFoundError(f"{folder / picture} is missing; write the picture first or pass picture=None.")
    return {"picture": picture, "curves": CURVES if (folder / CURVES).is_file() else None}


def is_hub_id(name: str | None) -> bool:
    """`owner/name` that is no local path; metadata may hold nothing else."""
    return name is not None and bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name)) and not Path(name).exists()
