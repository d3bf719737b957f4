"""Conversion of checkpoints between formats, behind `vitpose convert`."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from vitpose.modeling.convert.conversion import convert_checkpoint, describe, to_authors, to_mmpose
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor

from ..base.files import whole_file, whole_folder
from ..base.published import ANY, resolve_model

logger = logging.getLogger(__name__)

RELEASED_DARK_SIGMA = 2.0  # heatmap pixels: what OpenCV makes of the kernel of 11 in the released configs

Format = Literal["transformers", "authors", "mmpose"]


def convert(
    source: str,
    out: Path,
    *,
    to: Format = "transformers",
    datasets: Sequence[str | KeypointSchema] | None = None,
    image_size: tuple[int, int] | None = None,
    num_attention_heads: int | None = None,
    weights: str | None = None,
    fold: str | None = None,
) -> None:
    """Read a checkpoint of any known format and write it in another.

    Args:
        source: A file or folder, a Hub id, or `tiny` for the checkpoint inside the package; see `convert_checkpoint`,
            which the next arguments go to.
        out: The folder to write, with the model and its image processor; or, in the authors' format or that of mmpose
            1.x, the .pth file.
        to: The format to write.
        datasets: Names of the keypoint schemas of the heads, or schemas.
        image_size: (height, width) of the crops in pixels.
        num_attention_heads: Heads of each attention.
        weights: Which weights of a file with several sets.
        fold: Name of a dataset: write the ordinary model that equals a ViTPose++ model for this one.

    Raises:
        FileExistsError: There is something at `out` already.
        ValueError: The source cannot be read as asked, or the format cannot hold it; the message says why.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists already: choose another place, or delete it.")
    model = convert_checkpoint(
        source, datasets=datasets, image_size=image_size, num_attention_heads=num_attention_heads, weights=weights
    )
    if fold is not None:
        model = model.fold_experts(fold)
    if to != "transformers":
        state_dict = to_authors(model) if to == "authors" else to_mmpose(model)
        with whole_file(out) as path:
            torch.save({"state_dict": state_dict}, path)
    else:
        _save(model, load_processor(resolve_model(source, ANY), model), out)
    logger.info("%s: %s", out, describe(model))


def load_processor(source: str, model: ViTPoseForPoseEstimation) -> ViTPoseImageProcessor:
    """Load the processor beside a saved model, else make one that fits and decodes as the released configs do."""
    if not Path(source).exists() or (Path(source) / "preprocessor_config.json").exists():
        return ViTPoseImageProcessor.from_pretrained(source)
    height, width = model.config.image_size
    logger.info(
        "%s says nothing of decoding: dark_sigma is %s, as in the released configs.", source, RELEASED_DARK_SIGMA
    )
    return ViTPoseImageProcessor(
        size={"height": height, "width": width},
        dark_sigma=RELEASED_DARK_SIGMA,
        heatmap_stride=height // model.config.heatmap_size[0],
    )


def _save(model: ViTPoseForPoseEstimation, processor: ViTPoseImageProcessor, out: Path) -> None:
    with whole_folder(out) as folder:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
