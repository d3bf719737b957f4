"""Saving a model together with its code, so that it loads where vitpose is not installed."""

import os
import shutil
from typing import Any

from transformers.dynamic_module_utils import get_relative_import_files
from transformers.modeling_utils import PreTrainedModel


def save_with_code(
    model: PreTrainedModel, folder: str | os.PathLike, *, model_file: str, auto_map: dict[str, str], **kwargs: Any
) -> None:
    """Save weights and config, and beside them the module of the model with every sibling that it imports.

    Args:
        model: The model.
        folder: Where to save it.
        model_file: Path of the model's module.
        auto_map: Which class of the saved code each of transformers' Auto classes takes.
        kwargs: Further arguments of `PreTrainedModel.save_pretrained`.

    Raises:
        ValueError: `push_to_hub` is set, which uploads the folder before it is whole.
    """
    if kwargs.get("push_to_hub"):
        raise ValueError(
            "save_pretrained(push_to_hub=True) would upload the folder before the model's code lies in it: use "
            "model.push_to_hub(repo_id)."
        )
    model.config.auto_map = auto_map
    PreTrainedModel.save_pretrained(model, folder, **kwargs)
    if kwargs.get("is_main_process", True):
        for file in (model_file, *get_relative_import_files(model_file)):
            shutil.copyfile(file, os.path.join(folder, os.path.basename(file)))
