"""Offline checks of a card's metadata: those that the Hub would refuse."""

from __future__ import annotations

from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from .user_edits import CardParts

WORDS = ("license", "license_name", "library_name", "pipeline_tag", "base_model_relation")
LISTS = ("tags", "datasets", "metrics", "language", "base_model")
REPO_IDS = ("datasets", "base_model")
RELATIONS = ("adapter", "merge", "quantized", "finetune")


def check_metadata(text: str) -> None:
    """Raise if the Hub would refuse the metadata of a card.

    Raises:
        ValueError: The YAML cannot be read, or an entry has the wrong type; the message names it.
    """
    metadata = CardParts.parse(text).metadata
    for key in WORDS:
        if key in metadata and not isinstance(metadata[key], str):
            _refuse(key, metadata[key], "a string")
    for key in LISTS:
        if key in metadata and not all(isinstance(entry, str) for entry in _entries(metadata[key])):
            _refuse(key, metadata[key], "a string or a list of strings")
    if metadata.get("base_model_relation", RELATIONS[0]) not in RELATIONS:
        _refuse("base_model_relation", metadata["base_model_relation"], f"one of {', '.join(RELATIONS)}")
    for key in REPO_IDS:
        for entry in _entries(metadata.get(key, [])):
            _check_repo_id(key, entry)


def _check_repo_id(key: str, entry: str) -> None:
    try:
        validate_repo_id(entry)
    except HFValidationError as error:
        raise ValueError(f"The card's metadata, {key}: {error} Write a Hub id, owner/name, or leave it out.") from error


def _entries(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _refuse(key: str, value: Any, expected: str) -> None:
    raise ValueError(f"The card's metadata, {key}: expected {expected}, got {value!r}. Fix it in README.md.")
