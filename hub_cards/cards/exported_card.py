"""The card of an exported model: source, difference from PyTorch, and how to run it with and without vitpose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from vitpose.base.published import repository_of, resolve_model
from vitpose.export.model import ViTPoseExportedConfig

from .card import CARD, TASK, write_card
from .model_context import model_context, model_schemas
from .user_edits import CardParts

TEMPLATE = Path(__file__).with_name("templates") / "exported_card.md"
RUNTIMES = {"onnx": ("ONNX Runtime", "onnxruntime"), "openvino": ("OpenVINO", "openvino")}  # name and package


def write_exported_card(
    folder: str | os.PathLike[str],
    *,
    name: str,
    license: str | None = None,
    datasets: list[str] | None = None,
    base_model: str | None = None,
) -> Path:
    """Write `README.md` into the folder of an exported model and return its path.

    User edits of an earlier card in the folder are kept; a warning names them.

    Args:
        folder: With the config.json of the exported model.
        name: Name of the model in the snippets: the folder's, or the repository's id.
        license: Identifier of the weights' licence as the Hub spells it; None where it is not known.
        datasets: Hub ids of the training data.
        base_model: Hub id of the model that was exported; None where it is not on the Hub.
    """
    config = ViTPoseExportedConfig.from_pretrained(folder)
    assert config.exported is not None
    runtime, package = RUNTIMES[config.exported["format"]]
    metadata = ModelCardData(
        library_name=config.exported["format"],
        pipeline_tag=TASK,
        license=license,
        tags=["vitpose", "pose-estimation", *(schema.name for schema in model_schemas(config))],
        datasets=datasets,
        base_model=base_model,
        # the Hub's word for another format of the same weights too; it knows adapter, merge and finetune besides
        base_model_relation=None if base_model is None else "quantized",
    )
    card = ModelCard.from_template(
        metadata,
        template_str=TEMPLATE.read_text(encoding="utf-8"),
        **model_context(config),
        **config.exported,
        model_name=name,
        base_model=base_model,
        runtime=runtime,
        package=package,
    )
    return write_card(Path(folder) / CARD, CardParts.parse(str(card)).seal().render())


def read_source_metadata(source: str) -> dict[str, Any]:
    """Read license, datasets and Hub id of a model, as `write_exported_card` takes them, from its card and its name.

    Args:
        source: As for [`resolve_model`].

    Raises:
        ValueError: The metadata of its card cannot be read.
    """
    path = Path(resolve_model(source)) / CARD
    metadata = CardParts.parse(path.read_text(encoding="utf-8")).metadata if path.is_file() else {}
    known: dict[str, Any] = {key: metadata[key] for key in ("license", "datasets") if key in metadata}
    return {**known, "base_model": repository_of(source)}
