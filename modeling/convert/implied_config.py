"""The configuration that the shapes of a pose model's tensors imply.

Width, depth, patch, decoder, experts and the channels of the heads are in the tensors. What their channels mean, how
many heads an attention has, and the resolution where the position table leaves it open, are not.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..configuration_vitpose import PRESETS, RELEASED_DATASETS, ViTPoseBackboneConfig, ViTPoseConfig
from ..keypoint_schemas import KeypointSchema, get_keypoint_schema, schema_from_labels
from .equivalents import implied_grid
from .layouts import PATCH_KERNEL, POSITIONS
from .names import StateDict, numbers

logger = logging.getLogger(__name__)

RELEASED_LAYER_NORM_EPS = 1e-6

_POSITIONS, _KERNEL = f"backbone.{POSITIONS}", f"backbone.{PATCH_KERNEL}"
_EXPERT = "backbone.encoder.layer.0.mlp.experts.0.weight"


def implied_config(
    weights: StateDict,
    *,
    schemas: Sequence[KeypointSchema],
    image_size: tuple[int, int],
    heads: dict[str, Any],
    layer_norm_eps: float = RELEASED_LAYER_NORM_EPS,
) -> ViTPoseConfig:
    """The configuration of a pose model.

    Args:
        weights: The tensors under our names.
        schemas: Of each head.
        image_size: (height, width) of the crops in pixels.
        heads: What `published_heads` gives.
        layer_norm_eps: Epsilon of the layer norms, which no file says.

    Raises:
        ValueError: The numbers of experts and heads contradict each other.
    """
    kernel = weights[_KERNEL]
    experts = numbers(r"\.mlp\.experts\.(\d+)\.weight$", weights)
    if experts and len(schemas) not in (1, len(experts)):
        raise ValueError(
            f"the file has {len(experts)} experts and {len(schemas)} heads: expected one head, or one for each expert."
        )
    part: dict[str, Any] = {"part_features": len(weights[_EXPERT])} if _EXPERT in weights else {}
    return ViTPoseConfig(
        backbone_config=ViTPoseBackboneConfig(
            image_size=image_size,
            patch_size=tuple(kernel.shape[-2:]),
            hidden_size=len(kernel),
            layer_norm_eps=layer_norm_eps,
            num_experts=max(1, len(experts)),
            **part,
            **block_sizes(weights, len(kernel)),
            **heads,
        ),
        use_simple_decoder=not any(".deconv1." in name for name in weights),
        keypoint_schemas=[schema.to_dict() for schema in schemas],
    )


def block_sizes(weights: StateDict, width: int) -> dict[str, Any]:
    """Depth, feed-forward ratio and biases of the blocks, for a backbone's config."""
    hidden = next((len(value) for name, value in weights.items() if name.endswith(".mlp.fc1.weight")), 4 * width)
    return {
        "num_hidden_layers": len(numbers(r"(?:^|backbone\.)encoder\.layer\.(\d+)\.", weights)),
        "mlp_ratio": hidden / width if hidden % width else hidden // width,
        "qkv_bias": any(name.endswith(".attention.attention.query.bias") for name in weights),
    }


def published_heads(width: int, num_attention_heads: int | None, *, default: int | None = None) -> dict[str, Any]:
    """Number of heads and drop-path rate of a width: as published, or for other widths as in the argument.

    Raises:
        ValueError: The width was never published, and there is neither the argument nor a default.
    """
    sizes = {preset["hidden_size"]: preset for name, preset in PRESETS.items() if name != "tiny"}
    num_attention_heads = num_attention_heads or sizes.get(width, {}).get("num_attention_heads", default)
    if num_attention_heads is None:
        raise ValueError(
            f"num_attention_heads: a width of {width} channels is none of the published sizes "
            f"({', '.join(map(str, sizes))}), and the tensors do not say it; say how many heads each attention has."
        )
    return {
        "num_attention_heads": num_attention_heads,
        "drop_path_rate": sizes.get(width, {}).get("drop_path_rate", 0.0),
    }


def implied_image_size(weights: StateDict) -> tuple[int, int]:
    """(height, width) in pixels of crops whose grid of patches is 4 : 3."""
    num_patches, patch = weights[_POSITIONS].shape[1] - 1, weights[_KERNEL].shape[-2:]
    grid = implied_grid(num_patches)
    if grid is None:
        raise ValueError(
            f"image_size: {num_patches} patches make no 4 : 3 grid; say the (height, width) of the crops in pixels."
        )
    return grid[0] * patch[0], grid[1] * patch[1]


def essential_names(weights: StateDict) -> list[str]:
    """Names of the tensors that say the sizes: positions, patch kernel, the last bias of each head."""
    return [_POSITIONS, _KERNEL, *_last_biases(weights)]


def provisional_config(weights: StateDict) -> ViTPoseConfig:
    """A configuration of the right names and shapes, with anything for what the tensors do not say."""
    schemas = [
        replace(schema_from_labels([f"keypoint_{index}" for index in range(len(weights[bias]))]), name=bias)
        for bias in _last_biases(weights)
    ]
    height, width = weights[_KERNEL].shape[-2:]
    return implied_config(
        weights,
        schemas=schemas,
        image_size=((weights[_POSITIONS].shape[1] - 1) * height, width),
        heads=published_heads(len(weights[_KERNEL]), None, default=1),
    )


def _last_biases(weights: StateDict) -> list[str]:
    """Name of the last bias of each head, which has an entry for each of its keypoints."""
    further = sorted(numbers(r"^heads\.(\d+)\.", weights))
    return [f"heads.{number}.conv.bias" for number in further] or ["head.conv.bias"]


def head_schemas(
    weights: StateDict, datasets: Sequence[str | KeypointSchema] | None, noted: KeypointSchema | None = None
) -> list[KeypointSchema]:
    """The schema of each head: as asked for, else as the file notes it, else COCO's, or those of the ViTPose++ release.

    Raises:
        ValueError: The datasets are not known, or do not fit the channels. A first head has as many as keypoints, the
            further heads of the ViTPose++ release may have more.
    """
    channels = [len(weights[name]) for name in _last_biases(weights)]
    if datasets is None:
        datasets = _usual_datasets(channels, noted, has_experts=_EXPERT in weights)
    schemas = [get_keypoint_schema(item) if isinstance(item, str) else item for item in datasets]
    wanted = [schema.num_keypoints for schema in schemas]
    fits = len(channels) == len(wanted) and all(
        have == want or (index > 0 and have > want)
        for index, (have, want) in enumerate(zip(channels, wanted, strict=True))
    )
    if not fits:
        asked = ", ".join(f"{schema.name} ({schema.num_keypoints})" for schema in schemas)
        raise ValueError(f"datasets: got {asked} keypoints, the file has heads of {channels} channels, in order.")
    return schemas


def _usual_datasets(
    channels: list[int], noted: KeypointSchema | None, *, has_experts: bool
) -> Sequence[str | KeypointSchema]:
    if noted is not None:
        if channels == [noted.num_keypoints]:
            return [noted]
        logger.warning(
            "The file notes %d keypoints (%s) and has heads of %s channels: the note is not used.",
            noted.num_keypoints,
            noted.name,
            channels,
        )
    if has_experts and len(channels) == len(RELEASED_DATASETS):
        return RELEASED_DATASETS
    if channels == [17]:
        return ["coco"]
    raise ValueError(
        f"datasets: the file has heads of {channels} channels; name the dataset of each, in order, or give its "
        "keypoint schema (on the command line --datasets NAME... or --schema FILE...)."
    )
