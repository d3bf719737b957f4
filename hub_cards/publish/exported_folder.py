"""The files of an exported model's folder that are published, and checks that they are complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vitpose.base.files import read_json
from vitpose.export.model import ExportedModel, ViTPoseExportedConfig
from vitpose.export.runtimes import COMPANIONS, FILES

from .checkpoint_folder import companions, refuse_pickles
from .remote_code import CONFIG, PROCESSOR


def is_exported(folder: Path) -> bool:
    """True for a folder that `vitpose export` wrote, complete or not."""
    if (folder / CONFIG).is_file():
        return read_json(folder / CONFIG).get("model_type") == ViTPoseExportedConfig.model_type
    return any((folder / name).is_file() for name in FILES.values())


def exported_files(folder: Path) -> dict[str, Path]:
    """List what is published: path in the repository -> file; the card only if there is one.

    Raises:
        FileNotFoundError: A file is missing that an exported model cannot do without.
        ValueError: The config was not written by `vitpose export`, or there are pickled weights.
    """
    _require(folder, CONFIG, PROCESSOR)
    kind = _format(folder)
    refuse_pickles(folder, known=COMPANIONS.values())
    _require(folder, FILES[kind])
    if kind == "openvino":
        _require(folder, COMPANIONS[kind])
    names = [CONFIG, PROCESSOR, FILES[kind]]
    names += [COMPANIONS[kind]] if (folder / COMPANIONS[kind]).is_file() else []
    return {name: folder / name for name in [*names, *companions(folder)]}


def check_runs(folder: Path, *, force: bool) -> None:
    """Run the exported model once.

    Args:
        folder: Of an exported model.
        force: Let NaN and infinite values pass.

    Raises:
        ModuleNotFoundError: Its runtime is not installed.
        ValueError: The file cannot be read, does not match the config, or gives NaN or infinite values.
    """
    model = ExportedModel.from_pretrained(folder)
    model.open_runtime()
    config = model.config
    expected = (1, config.get_schema().num_keypoints, *config.heatmap_size)
    try:
        heatmaps = model(torch.zeros(1, 3, *config.image_size)).heatmaps
    except Exception as error:  # each runtime has its own kinds, which share no other base
        raise ValueError(f"{folder} does not run: {error}. Export the model again, to a folder of its own.") from error
    if heatmaps.shape != expected:
        raise ValueError(
            f"{folder}: expected heatmaps of shape {expected} by its {CONFIG}, got {tuple(heatmaps.shape)}: export the "
            "model again, to a folder of its own."
        )
    if not (force or heatmaps.isfinite().all()):
        raise ValueError(
            f"{folder}: its heatmaps hold NaN or infinite values. Export a model without such weights, or pass --force "
            "(force=True) if this is intended."
        )


def _format(folder: Path) -> Any:
    exported = read_json(folder / CONFIG).get("exported")
    kind = exported.get("format") if isinstance(exported, dict) else None
    is_complete = isinstance(exported, dict) and {"file", "precision", "difference"} <= exported.keys()
    if kind not in FILES or not is_complete:
        raise ValueError(
            f"{folder / CONFIG}, exported: expected format, file, precision and difference, got {exported!r}. Export "
            "it again."
        )
    return kind


def _require(folder: Path, *names: str) -> None:
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} lacks {name}: the export is incomplete. Run vitpose export again.")
