"""Saving a model together with its code, so that it loads where vitpose is not installed."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from transformers.dynamic_module_utils import get_relative_import_files
from transformers.modeling_utils import PreTrainedModel


def save_with_code(
    model: PreTrainedModel, folder: str | os.PathLike[str], *, auto_map: dict[str, str], **kwargs: Any
) -> None:
    """Save weights and config, and beside them the code of models and configs.

    Args:
        model: The model.
        folder: Where to save it.
        auto_map: Which class of the saved code each of transformers' Auto classes takes.
        kwargs: Further arguments of `PreTrainedModel.save_pretrained`.

    Raises:
        ValueError: `push_to_hub` is set, which uploads the folder before it is whole.
    """
    if kwargs.get("push_to_hub"):
        raise ValueError(
            "push_to_hub: expected False, as save_pretrained would upload the folder before the model's code lies in "
            "it, got True. Use model.push_to_hub(repo_id)."
        )
    model.config.auto_map = auto_map
    PreTrainedModel.save_pretrained(model, folder, **kwargs)
    if kwargs.get("is_main_process", True):
        write_code(folder, "modeling_vitpose.py")


def write_code(folder: str | os.PathLike[str], name: str) -> None:
    """Write a file of the remote code, and those that it imports, into a folder.

    The package bundles them of its modules; a model that came with its code passes on the files that it came with.

    Args:
        folder: Where to write.
        name: Such as `modeling_vitpose.py`.
    """
    for file, text in _remote_code(name).items():
        Path(folder, file).write_text(text, encoding="utf-8")


def _remote_code(name: str) -> dict[str, str]:
    """File name -> text."""
    if __name__.startswith("vitpose."):
        # by its name, since this module is in the bundle too, where there is no package
        return import_module("vitpose.base.remote_code").remote_code(name)
    first = Path(__file__).with_name(name)
    files = [first, *map(Path, get_relative_import_files(first))]
    return {file.name: file.read_text(encoding="utf-8") for file in files}
