"""Model and processor of a run, written beside and moved into place."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor

from ..engine.trainer import Trainer

logger = logging.getLogger(__name__)


def save_model(trainer: Trainer, output: Path, weights: dict[str, Tensor]) -> None:
    """Save model, with these weights, and processor into a folder, made as needed.

    Not their pipeline: where a config names code for it, transformers asks for `trust_remote_code` even where vitpose
    is installed. Publishing adds it, for those who have transformers alone.
    """
    model = trainer.accelerator.unwrap_model(trainer.result)
    processor = ViTPoseImageProcessor.from_settings(trainer.settings)
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
