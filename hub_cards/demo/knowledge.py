"""What a model knows, in a few sentences: its keypoints, what it was trained on, and how good it is by its card."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard

from vitpose.base.published import MODELS, TINY, Published
from vitpose.modeling.keypoint_schemas import KeypointSchema

# The six of ViTPose++ ("ViTPose++: Vision Transformer for Generic Body Pose Estimation", arXiv 2212.04246).
PLUS_PLUS = "COCO, AI Challenger, MPII, AP-10K, APT-36K and COCO-WholeBody (ViTPose++)"
GENERATED = "generated people only: for photographs choose a published model, such as base"
_TRAINED_ON = re.compile(r"^Trained on (.+?)\.(?:\s|$)", re.MULTILINE)
_RECIPE_DATA = re.compile(r"^data: (\S+)$", re.MULTILINE)
_SCORES = ("ap", "pckh", "pck")  # the first that a card has is told


def describe_model(name: str, folder: Path, schema: KeypointSchema) -> str:
    """What a model knows, as HTML.

    Args:
        name: As it was asked for; published ones are known by it.
        folder: Where it lies, with its card if it has one.
        schema: The keypoints that were chosen.
    """
    card = _read_card(folder / "README.md")
    published = MODELS.get(name.partition("@")[0])
    title, trained_on = f"<strong>{_escape(name)}</strong>", _trained_on(name, card, published)
    origin = f"Trained on {trained_on}." if trained_on else "Its card does not say what it was trained on."
    score = _score(card, published)
    names = ", ".join(keypoint.replace("_", " ") for keypoint in schema.keypoints)
    more = f"<p>{_escape(score)}</p>" * bool(score) + f"<p>{schema.num_keypoints} keypoints: {_escape(names)}.</p>"
    details = f"<details><summary>More about it</summary>{more}</details>"
    return f"<p>{title} finds {_keypoints(schema)}. {_escape(origin)}</p>{details}"


def _keypoints(schema: KeypointSchema) -> str:
    name = _escape(schema.name)
    if schema.homepage.startswith(("https://", "http://")):
        name = f'<a href="{_escape(schema.homepage)}" target="_blank" rel="noopener">{name}</a>'
    subject = {"person": "a person", "animal": "an animal", "hand": "a hand"}.get(schema.category, schema.category)
    return f"<strong>{schema.num_keypoints} keypoints of {_escape(subject)}</strong>, those of {name}"


def _read_card(path: Path) -> ModelCard | None:
    """A card of whatever quality; None where there is none that can be read."""
    try:
        return ModelCard.load(path, ignore_metadata_errors=True)
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        yaml.YAMLError,
    ):  # other people's cards say anything
        return None


def _trained_on(name: str, card: ModelCard | None, published: Published | None) -> str:
    """The data, in words; nothing where it is not known."""
    if name == TINY:
        return GENERATED
    if published is not None:
        return PLUS_PLUS
    text = "" if card is None else card.text
    if told := _TRAINED_ON.search(text):
        return told[1]
    if (told := _RECIPE_DATA.search(text)) and told[1] == "synthetic":
        return GENERATED
    datasets = [] if card is None else card.data.get("datasets") or []
    named = [datasets] if isinstance(datasets, str) else [str(dataset) for dataset in datasets]
    named = named or ([told[1]] if told else [])
    return ", ".join(named)


def _score(card: ModelCard | None, published: Published | None) -> str:
    """The foremost score and what it was measured on; nothing where none is known."""
    if published is not None:
        return f"AP {published.coco_ap:.1f} on COCO val2017, as published."
    results: list[Any] = [] if card is None else card.data.get("eval_results") or []
    for kind in _SCORES:
        for result in results:
            if result.metric_type == kind and isinstance(result.metric_value, (int, float)):
                title = result.metric_name or kind.upper()
                return f"{title} {result.metric_value:.3g} on {result.dataset_name}, by its card."
    return ""


def _escape(text: str) -> str:
    return html.escape(text)
