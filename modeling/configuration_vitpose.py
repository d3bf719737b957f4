"""Configuration of ViTPose models: a plain ViT backbone with a decoder, stock-compatible on disk.

`ViTPoseConfig` writes the very `config.json` that transformers' own `VitPoseConfig` reads, with the keypoint schema
(names, flip pairs, skeleton, OKS sigmas) beside it, so that whatever loads the model knows what it predicts.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import logging

from vitpose.base.names import unknown_name

from .configuration_vitpose_backbone import (
    BACKBONE_MODEL_TYPES,
    STOCK_BACKBONE_MODEL_TYPE,
    ExpertKind,
    ViTPoseBackboneConfig,
    as_backbone_config,
)
from .keypoint_schemas import KeypointSchema, get_keypoint_schema, guess_schema, labels_in_order
from .keypoint_sides import same_keypoints
from .pretrained_config_vitpose import Settled, ViTPosePreTrainedConfig, settled_default

logger = logging.get_logger(__name__)

Preset = Literal["tiny", "small", "base", "large", "huge", "giant"]
Decoder = Literal["classic", "simple"]

# ViTPose paper, table 1, and the released configs. "tiny" is ours, for minutes of work on two CPU cores: half the
# resolution at half the patch, so the same grid, and patches small enough to learn from scratch.
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "image_size": (128, 96),
        "patch_size": (8, 8),
        "hidden_size": 192,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
    },
    "small": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12, "drop_path_rate": 0.1},
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "drop_path_rate": 0.3},
    "large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "drop_path_rate": 0.5},
    "huge": {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "drop_path_rate": 0.55},
    # ViTAE-G at the resolution of its published scores. The sizes of its blocks were never released: these are those of
    # ViT-g/14, which with the convolutions make the published billion of parameters.
    "giant": {
        "image_size": (576, 432),
        "hidden_size": 1408,
        "num_hidden_layers": 40,
        "num_attention_heads": 16,
        "mlp_ratio": 6144 / 1408,
        "parallel_convolution": True,
        "drop_path_rate": 0.55,
    },
}

# Outputs of the feed-forward layer that an expert gives, by width of the backbone (released configs of ViTPose++).
PART_FEATURES = {384: 192, 768: 192, 1024: 256, 1280: 320}
# Index order of the released ViTPose++ checkpoints.
RELEASED_DATASETS = ["coco", "aic", "mpii", "ap10k", "apt36k", "coco_wholebody"]

# What transformers' own class is called on disk; our files carry these names while it computes the same function.
STOCK_MODEL_TYPE = "vitpose"
STOCK_ARCHITECTURE = "VitPoseForPoseEstimation"

_KEYPOINT_FIELDS = ("keypoint_schemas", "num_labels", "id2label", "label2id")


def default_part_features(hidden_size: int) -> int:
    """Default of `part_features`, the outputs of an expert: as released, a quarter for widths that were not."""
    return PART_FEATURES.get(hidden_size, hidden_size // 4)


class ViTPoseConfig(ViTPosePreTrainedConfig):
    """Configuration of `ViTPoseForPoseEstimation`: a backbone, a decoder and the keypoints.

    Args:
        backbone_config: A `ViTPoseBackboneConfig`, the dictionary of one, or transformers' `VitPoseBackboneConfig`;
            ViTPose-B by default.
        initializer_range: Standard deviation of the truncated normal that weights start from.
        scale_factor: Upsampling from the patch grid to the heatmaps; both decoders of the papers have 4.
        use_simple_decoder: The "simple" decoder (upsampling and one convolution) or the "classic" one (two
            deconvolutions), ViTPose paper, section 3.1.
        keypoint_schemas: A `KeypointSchema` (or its dictionary) for each head. Where it is missing, as in stock
            checkpoints, it follows from the names in `id2label`; afterwards `id2label` and `label2id` follow from it.
        edges: Pairs of keypoints to join by a line in a drawing, as stock checkpoints have them beside their names. A
            schema has its own: these are for one that follows from names, and for readers of stock files.

    Raises:
        ValueError: A keyword is unknown, or a value contradicts another.

    Example:
    ```python
    >>> from vitpose import ViTPoseConfig
    >>> config = ViTPoseConfig.from_preset("small", datasets=["coco"], decoder="simple")
    >>> config.image_size, config.heatmap_size, config.num_labels
    ((256, 192), (64, 48), 17)

    ```
    """

    model_type = "vitpose_plus"
    sub_configs = {"backbone_config": ViTPoseBackboneConfig}
    _model_types = (STOCK_MODEL_TYPE, *BACKBONE_MODEL_TYPES)

    backbone_config: Settled[ViTPoseBackboneConfig, dict | PreTrainedConfig | None] = settled_default(None)
    initializer_range: float = 0.02
    scale_factor: int = 4
    use_simple_decoder: bool = True
    keypoint_schemas: Settled[list[dict[str, Any]], list | None] = settled_default(None)
    edges: list[list[int]] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        self._check_keywords(kwargs)
        self.backbone_config = as_backbone_config(self.backbone_config)
        labels, num_labels = vars(self).pop("_labels", None), kwargs.pop("num_labels", None)
        schemas = self.keypoint_schemas
        self.keypoint_schemas = [
            _to_dict(schema)
            for schema in ([guess_schema(labels, num_labels, self.edges)] if schemas is None else schemas)
        ]
        self._check()
        self._take_labels(labels)
        if num_labels not in (None, self.num_labels):
            raise ValueError(
                f"num_labels: got {num_labels}, where {self.num_labels} keypoints are named. Leave it out: it follows "
                "from keypoint_schemas or id2label."
            )
        super().__post_init__(**kwargs)

    @classmethod
    def from_preset(
        cls,
        preset: Preset,
        *,
        datasets: Iterable[str | KeypointSchema] = ("coco",),
        decoder: Decoder = "classic",
        **backbone: Any,
    ) -> "ViTPoseConfig":
        """The configuration of a published size for the keypoints of a dataset.

        Args:
            preset: Size of the backbone, ViTPose paper, table 1.
            datasets: Names of keypoint schemas, or schemas; their order is that of `dataset_index`. Several make a
                ViTPose++ model, with experts and a head for each.
            decoder: Kind of the heads.
            backbone: Fields of `ViTPoseBackboneConfig` to set differently, such as `image_size=(384, 288)`, or
                `num_experts=1` for several heads on a backbone without experts.
        """
        if preset not in PRESETS:
            raise ValueError(unknown_name("preset", preset, PRESETS))
        if decoder not in get_args(Decoder):
            raise ValueError(unknown_name("decoder", decoder, get_args(Decoder)))
        if isinstance(datasets, str):
            raise TypeError(f"datasets: expected a list of names such as [{datasets!r}], got the string {datasets!r}.")
        schemas = [get_keypoint_schema(name) if isinstance(name, str) else name for name in datasets]
        sizes = {**PRESETS[preset], "num_experts": len(schemas), **backbone}
        if sizes["num_experts"] > 1:
            sizes.setdefault("part_features", default_part_features(sizes["hidden_size"]))
        return cls(
            backbone_config=ViTPoseBackboneConfig(**sizes),
            use_simple_decoder=decoder == "simple",
            keypoint_schemas=[schema.to_dict() for schema in schemas],
        )

    if not TYPE_CHECKING:  # fields of transformers' class, and a type checker lets no property override a field

        @property
        def id2label(self) -> dict[int, str]:
            """Names of the first head's keypoints by their index, for readers of transformers' own format."""
            return dict(enumerate(self.keypoint_schemas[0]["keypoints"]))

        @id2label.setter
        def id2label(self, labels: Mapping[Any, str] | None) -> None:
            self._take_labels(labels)

        @property
        def label2id(self) -> dict[str, int]:
            """Indices of the first head's keypoints by their names."""
            return {name: index for index, name in self.id2label.items()}

        @label2id.setter
        def label2id(self, indices: Mapping[str, int] | None) -> None:
            if indices is not None and self.keypoint_schemas is not None:
                self._take_labels({index: name for name, index in indices.items()})

    def _take_labels(self, labels: Mapping[Any, str] | None) -> None:
        """Check labels against the schema; while the configuration is being made, keep them until there is one."""
        if labels is None:
            return
        if self.keypoint_schemas is None:
            vars(self)["_labels"] = labels
            return
        schema = self.get_schema()
        if not same_keypoints(labels_in_order(labels), schema.keypoints):
            raise ValueError(
                f"id2label names {len(labels)} keypoints and the schema {schema.name!r} {schema.num_keypoints}, not "
                "the same ones in the same order: give one of them, or make them agree."
            )

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of a crop in pixels."""
        height, width = self.backbone_config.image_size
        return height, width

    def set_image_size(self, image_size: int | tuple[int, int]) -> None:
        """Set the (height, width) of a crop in pixels, checked as at the start."""
        self.backbone_config.set_image_size(image_size)

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """(height, width) of a heatmap in heatmap pixels."""
        rows, columns = self.backbone_config.grid_size
        return rows * self.scale_factor, columns * self.scale_factor

    @property
    def num_datasets(self) -> int:
        """Number of values of `dataset_index`: of experts or of heads, whichever is larger."""
        return max(self.backbone_config.num_experts, len(self.keypoint_schemas))

    @property
    def dataset_names(self) -> list[str] | None:
        """Names in the order of `dataset_index`; None where a file with experts and one head does not say."""
        if len(self.keypoint_schemas) == self.num_datasets:
            return [schema["name"] for schema in self.keypoint_schemas]
        return RELEASED_DATASETS if self.num_datasets == len(RELEASED_DATASETS) else None

    @property
    def named_datasets(self) -> dict[str, int]:
        """Index by name of the datasets whose keypoints the model predicts.

        A single head on several experts, as in stock checkpoints, predicts the keypoints of its own dataset only. The
        other experts can be chosen by index, as in transformers' own class.
        """
        found = {schema["name"] for schema in self.keypoint_schemas}
        return {name: index for index, name in enumerate(self.dataset_names or []) if name in found}

    @property
    def is_stock(self) -> bool:
        """True if transformers' own VitPose computes the same function."""
        return self.backbone_config.is_stock and len(self.keypoint_schemas) == 1

    @property
    def default_dataset_index(self) -> int | None:
        """What `dataset_index` is where nobody says: that of the only head; None of several, or of unknown data."""
        if self.num_datasets == 1:
            return 0
        return next(iter(self.named_datasets.values()), None) if len(self.keypoint_schemas) == 1 else None

    def dataset_index(self, dataset: str | int | None = None) -> int:
        """The index of a dataset by its name; an index in range passes, and None where there is only one head.

        Raises:
            ValueError: There is no such dataset; or none is named, and there are heads for several, or one whose
                dataset is none of those that the experts are known to be for.
        """
        if dataset is None and self.default_dataset_index is not None:
            return self.default_dataset_index
        if dataset in self.named_datasets:
            return self.named_datasets[dataset]
        if isinstance(dataset, int) and not isinstance(dataset, bool) and 0 <= dataset < self.num_datasets:
            return dataset
        names = f"one of {', '.join(self.named_datasets)} or " if self.named_datasets else ""
        raise ValueError(f"dataset: expected {names}an index from 0 to {self.num_datasets - 1}, got {dataset!r}.")

    def folded(self, dataset_index: int) -> "ViTPoseConfig":
        """The configuration of the model without experts that equals this one for one dataset."""
        config = copy.deepcopy(self)
        backbone = config.backbone_config
        if backbone.num_experts > 1 and backbone.expert_kind == "independent_and_shared":
            backbone.mlp_ratio *= 2  # two layers side by side
        backbone.num_experts = 1
        if len(self.keypoint_schemas) > 1:
            config.edges = None  # they were the first head's
        config.keypoint_schemas = [self.get_schema(dataset_index).to_dict()]
        config._check()
        return config

    def with_experts(
        self, datasets: Iterable[str | KeypointSchema], *, expert_kind: ExpertKind, part_features: int | None
    ) -> "ViTPoseConfig":
        """The configuration of this model with an expert and a head for each of several datasets."""
        schemas = [get_keypoint_schema(name) if isinstance(name, str) else name for name in datasets]
        if self.num_datasets > 1 or len(schemas) < 2:
            raise ValueError(
                f"Experts start from a model of one dataset, for two or more: got a model of {self.num_datasets} and "
                f"{len(schemas)} datasets."
            )
        config = copy.deepcopy(self)
        backbone = config.backbone_config
        backbone.num_experts, backbone.expert_kind = len(schemas), expert_kind
        backbone.part_features = part_features or default_part_features(backbone.hidden_size)
        backbone._check()
        config.edges = None
        config.keypoint_schemas = [schema.to_dict() for schema in schemas]
        config._check()
        return config

    def get_schema(self, dataset_index: int = 0) -> KeypointSchema:
        """The keypoint schema of a dataset; where there is one head, that head's."""
        head = 0 if len(self.keypoint_schemas) == 1 else dataset_index
        return KeypointSchema.from_dict(self.keypoint_schemas[head])

    def to_dict(self) -> dict[str, Any]:
        """The configuration as a dictionary, for transformers' `VitPoseConfig` where that is the same model.

        `keypoint_schemas` stays beside what that class reads.
        """
        values = {**super().to_dict(), "id2label": self.id2label, "label2id": self.label2id}
        beyond = values.pop("_beyond_schemas", {})
        values["keypoint_schemas"] = [
            {**beyond.get(schema["name"], {}), **schema} for schema in values["keypoint_schemas"]
        ]
        if not self.is_stock:
            return values
        if values["edges"] is None:
            values["edges"] = values["keypoint_schemas"][0]["edges"]
        values["model_type"] = STOCK_MODEL_TYPE
        if isinstance(values.get("backbone_config"), dict):
            values["backbone_config"]["model_type"] = STOCK_BACKBONE_MODEL_TYPE
        if values.get("architectures"):
            values["architectures"] = [STOCK_ARCHITECTURE]
        return values

    @classmethod
    def get_config_dict(cls, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """A saved configuration as a dictionary, stock files and backbones included, under our own model type."""
        values, unused = PreTrainedConfig.get_config_dict(*args, **kwargs)
        cls._check_model_type(values, args[0] if args else "This folder")
        return {**_around_backbone(values), "model_type": cls.model_type}, unused

    @classmethod
    def _prepare(cls, values: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """As of its base; other keypoints in the arguments replace all that the file says of the keypoints."""
        values = _around_backbone(values)
        overrides = {name: kwargs.pop(name) for name in _KEYPOINT_FIELDS if kwargs.get(name) is not None}
        if "keypoint_schemas" not in overrides:
            values = _without_contradiction(values)
        if _names_other_keypoints(values, overrides):
            values = {name: value for name, value in values.items() if name not in (*_KEYPOINT_FIELDS, "edges")}
        schemas = [schema for schema in values.get("keypoint_schemas") or () if isinstance(schema, Mapping)]
        beyond = {schema["name"]: found for schema in schemas if (found := _beyond_schema(schema))}
        if beyond:
            values["_beyond_schemas"] = beyond
            known = [{key: schema[key] for key in schema if key not in _beyond_schema(schema)} for schema in schemas]
            values["keypoint_schemas"] = known
        return super()._prepare({**values, **overrides}, kwargs)

    @classmethod
    def _unknown_keys(cls, values: Mapping[str, Any]) -> list[str]:
        in_schemas = [
            f"keypoint_schemas.{schema.get('name')}.{key}"
            for schema in values.get("keypoint_schemas") or ()
            if isinstance(schema, Mapping)
            for key in _beyond_schema(schema)
        ]
        return super()._unknown_keys(_around_backbone(values)) + in_schemas

    def _check(self) -> None:
        names, experts = [schema["name"] for schema in self.keypoint_schemas], self.backbone_config.num_experts
        if len(names) == 0 or (len(names) > 1 and experts not in (1, len(names))):
            raise ValueError(
                f"keypoint_schemas: expected one schema, or one for each of the {experts} experts, got {len(names)}: "
                f"{names}. Set the backbone's num_experts to {len(names)}, or to 1 for heads without experts."
            )
        if len(set(names)) != len(names):
            raise ValueError(f"keypoint_schemas: expected schemas of different names, got {names}.")
        if self.scale_factor != 4:
            raise ValueError(f"scale_factor: expected 4, as both decoders upsample fourfold, got {self.scale_factor}.")


def _to_dict(schema: KeypointSchema | Mapping[str, Any]) -> dict[str, Any]:
    """A schema, checked, as a dictionary."""
    return (schema if isinstance(schema, KeypointSchema) else KeypointSchema.from_dict(schema)).to_dict()


def _beyond_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What a saved schema has beyond the fields of this version."""
    known = {field.name for field in fields(KeypointSchema)}
    return {key: value for key, value in schema.items() if key not in known}


def _around_backbone(values: Mapping[str, Any]) -> dict[str, Any]:
    """The saved configuration of a pose model; of a backbone, that of a pose model on its last stage."""
    if values.get("model_type") not in BACKBONE_MODEL_TYPES:
        return {**values}
    not_its = ("auto_map", "architectures", "dtype", "out_features", "out_indices")
    backbone = {key: value for key, value in values.items() if key not in not_its}
    return {"backbone_config": backbone, "dtype": values.get("dtype")}


def _without_contradiction(values: dict[str, Any]) -> dict[str, Any]:
    """A saved configuration whose labels agree with its schema.

    Programs that know labels alone, as transformers' own class, change them and leave the schema as it was.
    """
    schemas, labels = values.get("keypoint_schemas") or [], values.get("id2label")
    if not (schemas and labels) or same_keypoints(labels_in_order(labels), schemas[0]["keypoints"]):
        return values
    if len(schemas) > 1:
        logger.warning_once("Ignoring config.id2label: it does not match the first of config.keypoint_schemas.")
        return {name: value for name, value in values.items() if name != "id2label"}
    logger.warning_once(
        "Ignoring config.keypoint_schemas: it does not match id2label, which names other keypoints. To load a "
        "model with another schema, use ViTPoseForPoseEstimation.from_pretrained(..., keypoint_schemas=[...])."
    )
    dropped = {"keypoint_schemas", *(["edges"] if values.get("edges") == schemas[0].get("edges") else [])}
    return {name: value for name, value in values.items() if name not in dropped}


def _names_other_keypoints(saved: Mapping[str, Any], overrides: Mapping[str, Any]) -> bool:
    """True if arguments replace the keypoints of a saved configuration; with several heads only schemas do."""
    schemas = saved.get("keypoint_schemas") or []
    if "keypoint_schemas" in overrides or len(schemas) > 1:
        return "keypoint_schemas" in overrides
    names = schemas[0]["keypoints"] if schemas else list((saved.get("id2label") or {}).values())
    if "id2label" in overrides:
        return not same_keypoints(labels_in_order(overrides["id2label"]), names)
    return overrides.get("num_labels") not in (None, len(names))
