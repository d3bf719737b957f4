"""Conversion of checkpoints between formats, behind `vitpose convert`."""

import logging
from pathlib import Path
from typing import Literal

import torch

from vitpose.modeling.convert.conversion import convert_checkpoint, describe, to_authors
from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor

from ..base.files import resolve_model, whole_file, whole_folder

logger = logging.getLogger(__name__)

RELEASED_DARK_SIGMA = 2.0  # heatmap pixels: what OpenCV makes of the kernel of 11 in the released configs

Format = Literal["transformers", "authors"]


def convert(
    source: str,
    out: Path,
    *,
    to: Format = "transformers",
    datasets: list[str] | None = None,
    image_size: tuple[int, int] | None = None,
    num_attention_heads: int | None = None,
    fold: str | None = None,
) -> None:
    """Read a checkpoint of any known format and write it in another.

    Args:
        source: A file or folder, a Hub id, or `tiny` for the checkpoint inside the package; see `convert_checkpoint`,
            which the next arguments go to.
        out: The folder to write, with the model and its image processor; or, in the authors' format, the .pth file.
        to: The format to write.
        datasets: Names of the keypoint schemas of the heads.
        image_size: (height, width) of the crops in pixels.
        num_attention_heads: Heads of each attention.
        fold: Name of a dataset: write the ordinary model that equals a ViTPose++ model for this one.

    Raises:
        FileExistsError: There is something at `out` already.
        ValueError: The source cannot be read as asked, or the format cannot hold it; the message says why.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists already: choose another place, or delete it.")
    model = convert_checkpoint(
        resolve_model(source), datasets=datasets, image_size=image_size, num_attention_heads=num_attention_heads
    )
    if fold is not None:
        model = model.fold_experts(fold)
    if to == "authors":
        with whole_file(out) as path:
            torch.save({"state_dict": to_authors(model)}, path)
    else:
        _save(model, load_processor(resolve_model(source), model), out)
    logger.info("%s: %s", out, describe(model))


def load_processor(source: str, model: ViTPoseForPoseEstimation) -> ViTPoseImageProcessor:
    """Load the processor beside a saved model, else make one that fits and decodes as the released configs do."""
    if not Path(source).exists() or (Path(source) / "preprocessor_config.json").exists():
        return ViTPoseImageProcessor.from_pretrained(source)
    height, width = model.config.image_size
    return ViTPoseImageProcessor(
        size={"height": height, "width": width},
        dark_sigma=RELEASED_DARK_SIGMA,
        heatmap_stride=height // model.config.heatmap_size[0],
    )


def _save(model: ViTPoseForPoseEstimation, processor: ViTPoseImageProcessor, out: Path) -> None:
    with whole_folder(out) as folder:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
