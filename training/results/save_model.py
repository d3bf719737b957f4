"""Model and processor of a run, written beside and moved into place."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor
from vitpose.processing.processor_settings_vitpose import ProcessorSettings


def save_model(
    model: ViTPoseForPoseEstimation, output: Path, weights: dict[str, Tensor], settings: ProcessorSettings
) -> None:
    """Save model, with these weights, and processor into a folder, made as needed.

    Not their pipeline: where a config names code for it, transformers asks for `trust_remote_code` even where vitpose
    is installed. Publishing adds it, for those who have transformers alone.

    Args:
        model: The model, which may hold a part of its weights only.
        output: The folder.
        weights: The weights, whole.
        settings: Of the processor.
    """
    processor = ViTPoseImageProcessor.from_settings(settings)
    save_into(output, lambda folder: model.save_pretrained(folder, state_dict=weights), processor.save_pretrained)


def save_into(output: Path, *saves: Callable[[Path], Any]) -> None:
    """Have files written beside and move them into place one by one, the weights last."""
    partial = output / ".model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for save in saves:
        save(partial)
    for file in sorted(partial.iterdir(), key=lambda file: file.suffix == ".safetensors"):
        file.replace(output / file.name)
    partial.rmdir()
