"""The part of a card template's context that describes the model."""

from __future__ import annotations

from typing import Any

from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.keypoint_schemas import KeypointSchema

from .paper_figures import paper_results

PAPER_NAMES = {1: "[ViTPose](https://arxiv.org/abs/2204.12484)", 2: "[ViTPose++](https://arxiv.org/abs/2212.04246)"}


def model_context(model_config: ViTPoseConfig) -> dict[str, Any]:
    """Values of the template that follow from a `ViTPoseConfig`."""
    schemas = model_schemas(model_config)
    first, several = schemas[0], model_config.num_datasets > 1
    names = model_config.dataset_names
    (image_height, image_width), (heatmap_height, heatmap_width) = model_config.image_size, model_config.heatmap_size
    people = all({"left_shoulder", "right_shoulder"} <= set(schema.keypoints) for schema in schemas)
    return {
        "title": _title(schemas),
        "paper": PAPER_NAMES[2 if several else 1],
        "subject": "person" if people else "subject",
        "schemas": schemas,
        "num_keypoints": first.num_keypoints,
        "several_datasets": several,
        "dataset": next(iter(model_config.named_datasets), 0),
        "datasets_in_order": ", ".join(names or [f"0 to {model_config.num_datasets - 1}"]),
        "stock": model_config.is_stock,
        "paper_results": [result for schema in schemas for result in paper_results(model_config, schema.name)],
        "backbone": model_config.backbone_config,
        "decoder": "simple" if model_config.use_simple_decoder else "classic",
        "image_height": image_height,
        "image_width": image_width,
        "heatmap_height": heatmap_height,
        "heatmap_width": heatmap_width,
    }


def model_schemas(model_config: ViTPoseConfig) -> list[KeypointSchema]:
    """The keypoint schema of each head."""
    return [KeypointSchema.from_dict(schema) for schema in model_config.keypoint_schemas]


def _title(schemas: list[KeypointSchema]) -> str:
    if len(schemas) == 1:
        return f"ViTPose, {schemas[0].num_keypoints} {schemas[0].name} keypoints"
    return f"ViTPose++, keypoints of {', '.join(schema.name for schema in schemas)}"
