"""The model card of a training run: a README.md whose figures, command and cost are those of the run."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import PreTrainedConfig

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.training.files import whole_file

TEMPLATE = Path(__file__).with_name("templates") / "model_card.md"
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
    "PCK": "PCK@0.2 of the torso",
}


def write_model_card(
    folder: str | os.PathLike[str],
    *,
    model_config: PreTrainedConfig,
    metrics: Mapping[str, float],
    dataset_name: str,
    recipe: Mapping[str, Any],
    command: str,
    cost: Mapping[str, Any],
    seed: int,
    dataset_id: str | None = None,
    settings: Mapping[str, Any] | None = None,
    limits: Sequence[str] = (),
    base_model: str | None = None,
    picture: str | None = "predictions.png",
    license: str = "apache-2.0",
) -> Path:
    """Write `README.md` into the folder of a saved model and return its path.

    Args:
        folder: the saved model's folder; its name stands for the model in the snippets.
        model_config: `ViTPoseConfig` with one keypoint schema.
        metrics: measured figures, such as those of `coco_keypoint_metrics`; undefined ones (-1, NaN) are left out.
        dataset_name: what the figures were measured on, in words.
        recipe: every choice of the run, written out as YAML.
        command: the command that repeats the run.
        cost: `hardware` in words, `seconds`, and `images_per_s` where it was measured.
        seed: seed of the run.
        dataset_id: Hub id of the training data, None when it is not on the Hub.
        settings: how the figures were measured, such as `{"boxes": "annotated", "flip test": True}`.
        limits: sentences to add to the card's limits.
        base_model: where the weights came from: a Hub id (`owner/name`, also in the metadata) or words.
        picture: file in `folder` with drawn predictions, or None; `curves.png` is shown where the folder has it.
        license: identifier of the weights' licence as the Hub spells it.

    Raises:
        ValueError: nothing was measured, the cost lacks an entry, or the model has several heads.
        FileNotFoundError: `picture` is not in the folder.
    """
    folder, measured, settings = Path(folder).resolve(), _measured(metrics), dict(settings or {})
    results = _eval_results(measured, dataset_name, dataset_id, settings)
    card = ModelCard.from_template(
        _metadata(folder.name, model_config, results, license=license, datasets=dataset_id, base_model=base_model),
        template_str=TEMPLATE.read_text(encoding="utf-8"),
        **_model_words(model_config),
        **_cost_words(cost),
        **_run_words(measured, settings, recipe, base_model),
        **_pictures(folder, picture),
        model_name=folder.name,
        dataset_name=dataset_name,
        command=command.strip(),
        seed=seed,
        limits=list(limits),
    )
    with whole_file(folder / "README.md") as path:
        path.write_text(f"{card}\n", encoding="utf-8")
    return folder / "README.md"


def _metadata(
    name: str, model_config: PreTrainedConfig, results: list[EvalResult], *, base_model: str | None, **fields: Any
) -> ModelCardData:
    return ModelCardData(
        model_name=name,
        library_name="transformers",
        pipeline_tag=TASK,
        tags=["vitpose", "pose-estimation", _schema(model_config).name],
        eval_results=results,
        base_model=base_model if _is_hub_id(base_model) else None,
        **fields,
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
            metric_type=name.lower(),
            metric_name=METRIC_TITLES.get(name, name),
            metric_value=round(value, 4),
            metric_args=settings or None,
        )
        for name, value in measured.items()
    ]


def _measured(metrics: Mapping[str, float]) -> dict[str, float]:
    """The defined figures: COCO's evaluator gives -1 where there was nobody to measure."""
    measured = {name: float(value) for name, value in metrics.items() if math.isfinite(value) and value != -1}
    if not measured:
        raise ValueError(f"a card needs at least one measured figure, got {dict(metrics)}.")
    return measured


def _schema(model_config: PreTrainedConfig) -> KeypointSchema:
    if len(model_config.keypoint_schemas) != 1:
        names = [schema["name"] for schema in model_config.keypoint_schemas]
        raise ValueError(f"the card describes a model with one keypoint schema, got {names}; write one card a head.")
    return KeypointSchema.from_dict(model_config.keypoint_schemas[0])


def _model_words(model_config: PreTrainedConfig) -> dict[str, Any]:
    schema = _schema(model_config)
    (image_height, image_width), (heatmap_height, heatmap_width) = model_config.image_size, model_config.heatmap_size
    return {
        "title": f"ViTPose, {schema.num_keypoints} {schema.name} keypoints",
        "subject": "person" if {"left_shoulder", "right_shoulder"} <= set(schema.keypoints) else "subject",
        "schema": schema,
        "num_keypoints": schema.num_keypoints,
        "backbone": model_config.backbone_config,
        "decoder": "simple" if model_config.use_simple_decoder else "classic",
        "image_height": image_height,
        "image_width": image_width,
        "heatmap_height": heatmap_height,
        "heatmap_width": heatmap_width,
    }


def _cost_words(cost: Mapping[str, Any]) -> dict[str, Any]:
    missing = [key for key in ("hardware", "seconds") if key not in cost]
    if missing:
        raise ValueError(f"cost must hold hardware and seconds, and images_per_s where measured; it lacks {missing}.")
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


def _run_words(
    measured: Mapping[str, float], settings: Mapping[str, Any], recipe: Mapping[str, Any], base_model: str | None
) -> dict[str, Any]:
    plain_recipe = json.loads(json.dumps(dict(recipe), default=str))  # YAML spells tuples and paths as Python objects
    yes_no = {True: "yes", False: "no"}
    return {
        "results": [(METRIC_TITLES.get(name, name), value) for name, value in measured.items()],
        "settings": {name: yes_no[value] if isinstance(value, bool) else value for name, value in settings.items()},
        "recipe": yaml.safe_dump(plain_recipe, sort_keys=False).strip(),
        "base_model": f"[{base_model}](https://huggingface.co/{base_model})" if _is_hub_id(base_model) else base_model,
    }


def _pictures(folder: Path, picture: str | None) -> dict[str, str | None]:
    if picture is not None and not (folder / picture).is_file():
        raise FileNotFoundError(f"{folder / picture} is missing; write the picture first or pass picture=None.")
    return {"picture": picture, "curves": CURVES if (folder / CURVES).is_file() else None}


def _is_hub_id(name: str | None) -> bool:
    """`owner/name` that is no local path; metadata may hold nothing else."""
    return name is not None and bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name)) and not Path(name).exists()
