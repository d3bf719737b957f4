"""Configurations: sizes, round trips, and a message for every contradiction."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import VitPoseConfig

from vitpose import ViTPoseBackboneConfig, ViTPoseConfig, get_keypoint_schema
from vitpose.modeling.configuration_vitpose import PRESETS
from vitpose.modeling.keypoint_schemas import schema_from_labels

COCO = get_keypoint_schema("coco")


@pytest.mark.parametrize(
    ("preset", "options", "image_size", "grid_size", "heatmap_size"),
    [
        ("tiny", {}, (128, 96), (16, 12), (64, 48)),
        ("base", {}, (256, 192), (16, 12), (64, 48)),
        ("huge", {"image_size": (384, 288)}, (384, 288), (24, 18), (96, 72)),
        ("small", {"image_size": 224}, (224, 224), (14, 14), (56, 56)),
    ],
)
def test_sizes_are_height_and_width(preset, options, image_size, grid_size, heatmap_size) -> None:
    config = ViTPoseConfig.from_preset(preset, **options)
    assert config.image_size == image_size
    assert config.backbone_config.grid_size == grid_size
    assert config.heatmap_size == heatmap_size


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("decoder", ["classic", "simple"])
def test_saving_and_loading_gives_an_equal_configuration(preset: str, decoder: str, tmp_path: Path) -> None:
    config = ViTPoseConfig.from_preset(preset, decoder=decoder, datasets=["mpii"], layer_norm_eps=1e-6)
    config.save_pretrained(tmp_path)
    loaded = ViTPoseConfig.from_pretrained(tmp_path)
    unlike = {"_name_or_path"}
    assert {k: v for k, v in loaded.to_dict().items() if k not in unlike} == {
        k: v for k, v in config.to_dict().items() if k not in unlike
    }
    assert loaded.get_schema() == get_keypoint_schema("mpii")
    assert isinstance(loaded.backbone_config, ViTPoseBackboneConfig)


def test_the_file_is_one_that_stock_reads(tmp_path: Path) -> None:
    config = ViTPoseConfig.from_preset("small", decoder="simple", num_hidden_layers=3)
    config.architectures = ["ViTPoseForPoseEstimation"]
    config.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["model_type"] == "vitpose"
    assert values["backbone_config"]["model_type"] == "vitpose_backbone"
    assert values["architectures"] == ["VitPoseForPoseEstimation"]
    assert values["keypoint_schemas"] == [COCO.to_dict()]

    stock = VitPoseConfig.from_pretrained(tmp_path)
    assert stock.use_simple_decoder and stock.num_labels == 17
    for name in (
        "image_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "layer_norm_eps",
        "out_indices",
    ):
        assert getattr(stock.backbone_config, name) == getattr(config.backbone_config, name), name


def test_a_backbone_configuration_survives_alone(tmp_path: Path) -> None:
    config = ViTPoseBackboneConfig(num_hidden_layers=4, out_indices=[2, 4], drop_path_rate=0.2)
    config.save_pretrained(tmp_path)
    loaded = ViTPoseBackboneConfig.from_pretrained(tmp_path)
    assert loaded.out_features == ["stage2", "stage4"]
    assert loaded.drop_path_rate == 0.2


def test_schemas_may_be_objects_or_dictionaries() -> None:
    by_name = ViTPoseConfig.from_preset("tiny", datasets=["crowdpose"])
    by_object = ViTPoseConfig.from_preset("tiny", datasets=[get_keypoint_schema("crowdpose")])
    by_dict = ViTPoseConfig(
        backbone_config=by_name.backbone_config, keypoint_schemas=by_name.keypoint_schemas, use_simple_decoder=False
    )
    assert by_name.to_dict() == by_object.to_dict() == by_dict.to_dict()
    assert by_name.num_labels == 14
    assert by_name.label2id["left_shoulder"] == get_keypoint_schema("crowdpose").keypoints.index("left_shoulder")


LABELS = [
    ("COCO's names are COCO", list(COCO.keypoints), "coco", COCO.flip_pairs),
    (
        "so are stock's spellings of them",
        ["Nose", "L_Eye", "R_Eye"] + list(COCO.keypoints[3:]),
        "coco",
        COCO.flip_pairs,
    ),
    (
        "MPII's names are MPII",
        list(get_keypoint_schema("mpii").keypoints),
        "mpii",
        get_keypoint_schema("mpii").flip_pairs,
    ),
    ("other names mirror by left and right", ["tail", "left_horn", "right_horn"], "custom", ((1, 2),)),
    ("a side alone has no mirror", ["left_horn", "tail"], "custom", ()),
    ("mirror pairs need no order", ["R_Horn", "Tail", "L_Horn"], "custom", ((2, 0),)),
]


@pytest.mark.parametrize(("why", "labels", "name", "flip_pairs"), LABELS, ids=[row[0] for row in LABELS])
def test_schema_follows_from_labels(why: str, labels: list[str], name: str, flip_pairs: tuple) -> None:
    schema = schema_from_labels(labels)
    assert (schema.name, schema.flip_pairs) == (name, flip_pairs)
    assert schema.num_keypoints == len(labels)


@pytest.mark.parametrize(
    ("options", "name", "count"),
    [
        ({}, "coco", 17),
        ({"num_labels": 17}, "coco", 17),
        ({"num_labels": 3}, "custom", 3),
        ({"id2label": {"1": "left_horn", "0": "tail"}}, "custom", 2),
    ],
)
def test_schema_where_none_is_given(options: dict[str, Any], name: str, count: int) -> None:
    config = ViTPoseConfig(**options)
    assert (config.get_schema().name, config.num_labels) == (name, count)
    assert list(config.id2label) == list(range(count)) or config.id2label == {1: "left_horn", 0: "tail"}
    assert all(isinstance(index, int) for index in config.label2id.values())


def test_how_a_model_is_quantised_stays_in_its_configuration() -> None:
    quantised = {**ViTPoseConfig().to_dict(), "quantization_config": {"quant_method": "torchao"}}
    assert ViTPoseConfig.from_dict(quantised).quantization_config == {"quant_method": "torchao"}


def _preset(*args: Any, **kwargs: Any) -> Callable[[], ViTPoseConfig]:
    return lambda: ViTPoseConfig.from_preset(*args, **kwargs)


def _config(**kwargs: Any) -> Callable[[], ViTPoseConfig]:
    return lambda: ViTPoseConfig(**kwargs)


MISTAKES = [
    ("an unknown backbone field", _preset("base", drop_path=0.1), "got 'drop_path'. Did you mean 'drop_path_rate'?"),
    (
        "an unknown field",
        _config(use_simple_decodr=True),
        "'use_simple_decodr'. Did you mean 'use_simple_decoder'?",
    ),
    ("a field like no other", _config(zzz=1), ", scale_factor, transformers_version, use_simple_decoder, got 'zzz'."),
    ("an unknown field of a nested backbone", _config(backbone_config={"hidden_sise": 8}), "'hidden_size'?"),
    (
        "an unknown preset",
        _preset("bsae"),
        "tiny, small, base, large, huge, giant, got 'bsae'. Did you mean 'base'?",
    ),
    (
        "an unknown decoder",
        _preset("base", decoder="deconv"),
        "expected one of classic, simple, got 'deconv'.",
    ),
    ("an unknown dataset", _preset("base", datasets=["cocoo"]), "got 'cocoo'. Did you mean 'coco'?"),
    (
        "no dataset",
        _preset("base", datasets=[]),
        "num_experts: expected 1, no experts, or the number of datasets, got 0",
    ),
    ("an image the patches do not cover", _preset("base", image_size=(250, 192)), "Use [256, 192]."),
    ("sizes that are no sizes", _preset("base", image_size=(256, -1)), "expected a positive number of pixels"),
    ("three sizes", _preset("base", image_size=(3, 256, 192)), "number of pixels or (height, width), got (3, 256"),
    ("patches the padding breaks", _preset("tiny", patch_size=4), "patch_size: expected more than 4 pixels"),
    ("heads that do not divide", _preset("small", num_attention_heads=7), "not a multiple of num_attention_heads 7"),
    ("a drop path of one", _preset("small", drop_path_rate=1.0), "expected a rate in [0, 1), got 1.0."),
    ("another upsampling", _config(scale_factor=8), "expected 4, as both decoders upsample fourfold, got 8."),
    ("labels against schema", _config(id2label={0: "a"}, keypoint_schemas=[COCO]), "id2label names 1 keypoints"),
    (
        "labels of as many other keypoints",
        _config(id2label=dict(enumerate(COCO.keypoints)), keypoint_schemas=[get_keypoint_schema("ap10k")]),
        "id2label names 17 keypoints and the schema 'ap10k' 17, not the same ones",
    ),
    ("a count against the schema", _config(num_labels=5, keypoint_schemas=[COCO]), "num_labels: got 5, where 17"),
    ("a schema of unknown shape", _config(keypoint_schemas=[{"name": "x"}]), "missing keys"),
]


@pytest.mark.parametrize(("why", "make", "message"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_mistakes_are_named(why: str, make: Callable[[], ViTPoseConfig], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value)


def test_a_string_of_datasets_is_no_list() -> None:
    with pytest.raises(TypeError, match=r"expected a list of names such as \['coco'\]"):
        ViTPoseConfig.from_preset("base", datasets="coco")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"num_labels": 5, "id2label": {0: "tail"}}, "num_labels: got 5, where 1 keypoints are named"),
        ({"scale_factor": 8}, "scale_factor: expected 4"),
        ({"id2label": {0: "a"}, "keypoint_schemas": [COCO]}, "id2label names 1 keypoints and the schema 'coco' 17"),
    ],
)
def test_what_is_overridden_while_loading_is_checked(override: dict[str, Any], message: str, tmp_path: Path) -> None:
    ViTPoseConfig.from_preset("tiny").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        ViTPoseConfig.from_pretrained(tmp_path, **override)


MPII = get_keypoint_schema("mpii")
OTHER_KEYPOINTS = [
    ("a number", {"num_labels": 2}, "custom", ["keypoint_0", "keypoint_1"]),
    ("the number that it has", {"num_labels": 16}, "mpii", MPII.keypoints),
    ("labels", {"id2label": {"0": "head", "1": "tail"}}, "custom", ["head", "tail"]),
    ("the labels that it has", {"id2label": dict(enumerate(MPII.keypoints))}, "mpii", MPII.keypoints),
    ("a schema", {"keypoint_schemas": [COCO]}, "coco", COCO.keypoints),
]


@pytest.mark.parametrize(("why", "given", "name", "labels"), OTHER_KEYPOINTS, ids=[row[0] for row in OTHER_KEYPOINTS])
def test_keypoints_given_while_loading_replace_those_of_the_file(why, given, name, labels, tmp_path: Path) -> None:
    ViTPoseConfig.from_preset("tiny", datasets=["mpii"]).save_pretrained(tmp_path)
    config = ViTPoseConfig.from_pretrained(tmp_path, **given)
    assert (config.get_schema().name, config.get_schema().keypoints) == (name, tuple(labels))
    assert config.id2label == dict(enumerate(labels))
    assert config.label2id == {label: index for index, label in enumerate(labels)}


def test_labels_of_several_heads_cannot_be_replaced(tmp_path: Path) -> None:
    ViTPoseConfig.from_preset("tiny", datasets=["coco", "mpii"]).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="num_labels: got 2, where 17"):
        ViTPoseConfig.from_pretrained(tmp_path, num_labels=2)


def test_a_folder_of_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match="holds a 'vit' model; expected 'vitpose', .* or 'vitpose_plus'"):
        ViTPoseConfig.from_pretrained(tmp_path)
