"""Checkpoints pass between vitpose and transformers' own VitPose both ways, with and without vitpose installed."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoBackbone,
    AutoConfig,
    AutoModel,
    AutoModelForPoseEstimation,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_POSE_ESTIMATION_MAPPING_NAMES

from vitpose import (
    ViTPoseBackbone,
    ViTPoseBackboneConfig,
    ViTPoseConfig,
    ViTPoseForPoseEstimation,
    ViTPoseImageProcessor,
    get_keypoint_schema,
)
from vitpose.modeling.configuration_vitpose import PRESETS

COCO = get_keypoint_schema("coco")
DECODERS = ("classic", "simple")
# STOCK.md's measurements of transformers' classes, millions of parameters of the classic and the simple decoder
PARAMETERS = {"small": (24.29, 21.72), "base": (89.99, 85.91), "large": (308.5, 303.5), "huge": (637.2, 631.1)}


def _stock_twin(model: ViTPoseForPoseEstimation) -> VitPoseForPoseEstimation:
    """Transformers' class with the very weights of `model`."""
    with torch.device("meta"):
        stock = VitPoseForPoseEstimation(VitPoseConfig.from_dict(model.config.to_dict()))
    stock.load_state_dict(model.state_dict(), assign=True)
    return stock.eval()


def _assert_equal_heatmaps(ours: torch.nn.Module, stock: torch.nn.Module, crops: torch.Tensor) -> None:
    with torch.no_grad():
        expected = stock(crops).heatmaps
        assert expected.std() > 0.1, "heatmaps this small would agree by themselves"
        torch.testing.assert_close(ours(crops).heatmaps, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "giant"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_heatmaps_equal_stock(preset: str, decoder: str, small_model, random_crops) -> None:
    model = small_model(preset, decoder=decoder)
    _assert_equal_heatmaps(model, _stock_twin(model), random_crops(model))


def test_heatmaps_equal_stock_at_real_size(small_model, random_crops) -> None:
    """ViTPose-S; `benchmarks/forward.py --parity` compares every size and decoder."""
    model = small_model("small", hidden_size=384, num_hidden_layers=12, image_size=(256, 192))
    _assert_equal_heatmaps(model, _stock_twin(model), random_crops(model, 1))


def test_flipped_heatmaps_equal_stock(small_model, random_crops) -> None:
    model = small_model("base")
    crops, pairs = random_crops(model), torch.tensor(COCO.flip_pairs)
    with torch.no_grad():
        expected = _stock_twin(model)(crops, flip_pairs=pairs).heatmaps
        torch.testing.assert_close(model(crops, flip_pairs=pairs).heatmaps, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("preset", PARAMETERS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_parameter_counts_are_stock_s(preset: str, decoder: str) -> None:
    with torch.device("meta"):
        model = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset(preset, decoder=decoder))
    expected = PARAMETERS[preset][DECODERS.index(decoder)]
    digits = len(str(expected).partition(".")[2])
    assert round(model.num_parameters() / 1e6, digits) == expected


# ---------------------------------------------------------------------- C1: our class reads what stock has saved


def _save_stock(folder: Path, randomise: Callable[..., None], **labels: Any) -> VitPoseForPoseEstimation:
    backbone = VitPoseBackboneConfig(
        image_size=[64, 48], hidden_size=48, num_hidden_layers=2, num_attention_heads=4, out_indices=[2]
    )
    stock = VitPoseForPoseEstimation(VitPoseConfig(backbone_config=backbone, **labels))
    randomise(stock)
    stock.eval().save_pretrained(folder)
    return stock


STOCK_LABELS = [
    ("names as in the released checkpoints", {0: "Nose", 1: "L_Eye", 2: "R_Eye"}, "coco"),
    ("plain names", {}, "coco"),
    ("names of nothing known", {0: "snout"}, "custom"),
]


@pytest.mark.parametrize(("why", "renamed", "schema"), STOCK_LABELS, ids=[row[0] for row in STOCK_LABELS])
def test_reads_what_stock_saved(why, renamed, schema, tmp_path, randomise, random_crops) -> None:
    labels = {**dict(enumerate(COCO.keypoints)), **renamed}
    stock = _save_stock(tmp_path, randomise, id2label=labels)
    model = ViTPoseForPoseEstimation.from_pretrained(tmp_path)
    assert model.config.get_schema().name == schema
    assert model.config.get_schema().flip_pairs == COCO.flip_pairs
    assert model.config.id2label == dict(enumerate(model.config.get_schema().keypoints))
    _assert_equal_heatmaps(model, stock, random_crops(model))


def test_reads_the_inert_entries_of_older_stock_configs(tmp_path, randomise, random_crops) -> None:
    stock = _save_stock(tmp_path, randomise, id2label=dict(enumerate(COCO.keypoints)))
    values = json.loads((tmp_path / "config.json").read_text())
    values |= {"backbone": None, "backbone_kwargs": None, "use_timm_backbone": False, "use_pretrained_backbone": False}
    values |= {"edges": [[15, 13], [13, 11]], "torch_dtype": "float32", "transformers_version": "4.48.0"}
    values["backbone_config"] |= {"part_features": 0, "torch_dtype": "float32", "model_type": "vitpose_backbone"}
    (tmp_path / "config.json").write_text(json.dumps(values))
    model = ViTPoseForPoseEstimation.from_pretrained(tmp_path)
    _assert_equal_heatmaps(model, stock, random_crops(model))


def test_configurations_of_stock_build_our_model(tmp_path, randomise, random_crops) -> None:
    """AutoConfig gives transformers' own for a folder in its format."""
    stock = _save_stock(tmp_path, randomise, id2label=dict(enumerate(COCO.keypoints)))
    config = AutoConfig.from_pretrained(tmp_path)
    model = ViTPoseForPoseEstimation.from_pretrained(tmp_path, config=config)
    _assert_equal_heatmaps(model, stock, random_crops(model))
    assert ViTPoseForPoseEstimation(config).state_dict().keys() == model.state_dict().keys()
    own = ViTPoseConfig(backbone_config=config.backbone_config).backbone_config
    assert isinstance(own, ViTPoseBackboneConfig) and own.hidden_size == 48


@pytest.mark.parametrize("auto", [AutoModel, ViTPoseForPoseEstimation])
def test_other_labels_while_loading_start_a_new_head(auto: Any, small_model, tmp_path) -> None:
    small_model("base", decoder="simple").save_pretrained(tmp_path)
    labels = {0: "tail", 1: "left_horn", 2: "right_horn"}
    model = auto.from_pretrained(tmp_path, id2label=labels, ignore_mismatched_sizes=True)
    assert len(model.head.conv.weight) == 3
    assert model.config.get_schema().keypoints == tuple(labels.values())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_labels", 5, "id2label names 5 keypoints and the schema 'coco' 17"),
        ("id2label", {0: "tail"}, "id2label names 1 keypoints and the schema 'coco' 17"),
        ("label2id", {"tail": 0}, "id2label names 1 keypoints and the schema 'coco' 17"),
    ],
)
def test_labels_cannot_be_changed_against_the_schema(name: str, value: Any, message: str, small_config) -> None:
    config = small_config("base")
    with pytest.raises(ValueError, match=message):
        setattr(config, name, value)
    assert config.id2label == dict(enumerate(COCO.keypoints))


# --------------------------------------------- C2: what we save loads where vitpose is not installed


@pytest.fixture(scope="module")
def folders(tmp_path_factory, small_model, random_crops) -> dict[str, Path]:
    """A saved model of each decoder with its processor and, beside them, crops and the heatmaps to expect."""
    made = {}
    for decoder in DECODERS:
        folder = tmp_path_factory.mktemp(decoder)
        model = small_model("base", decoder=decoder)
        model.save_pretrained(folder)
        height, width = model.config.image_size
        ViTPoseImageProcessor(size={"height": height, "width": width}).save_pretrained(folder)
        with torch.no_grad():
            crops = random_crops(model)
            torch.save({"crops": crops, "heatmaps": model(crops).heatmaps}, folder / "expected.pt")
        made[decoder] = folder
    return made


STRANGER = """
import sys
sys.modules["vitpose"] = None  # as if it were not installed
import json, pathlib, torch
from transformers import AutoImageProcessor, AutoModel, AutoModelForPoseEstimation

def difference(model, expected):
    with torch.no_grad():
        return float((model.eval()(expected["crops"]).heatmaps - expected["heatmaps"]).abs().max())

found = {}
for decoder, folder in json.loads(sys.argv[1]).items():
    expected = torch.load(pathlib.Path(folder) / "expected.pt")
    stock = AutoModelForPoseEstimation.from_pretrained(folder)
    remote = AutoModel.from_pretrained(folder, trust_remote_code=True)
    again = pathlib.Path(folder) / "again"
    remote.save_pretrained(again)
    found[decoder] = {
        "processor": type(AutoImageProcessor.from_pretrained(folder)).__name__,
        "stock": [type(stock).__module__, difference(stock, expected)],
        "remote": [type(remote).__name__, difference(remote, expected)],
        "schema": remote.config.get_schema().name,
        "files again": sorted(path.name for path in again.iterdir()),
        "stock again": difference(AutoModelForPoseEstimation.from_pretrained(again), expected),
        "remote again": difference(AutoModel.from_pretrained(again, trust_remote_code=True), expected),
    }
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def stranger(folders: dict[str, Path], tmp_path_factory) -> dict[str, dict[str, Any]]:
    """What a process without vitpose finds in the folders; it has no network and nobody to answer a prompt."""
    home = tmp_path_factory.mktemp("home")
    result = subprocess.run(
        [sys.executable, "-c", STRANGER, json.dumps({name: str(folder) for name, folder in folders.items()})],
        cwd=home,
        env={**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("decoder", DECODERS)
class TestWithoutVitpose:
    def test_stock_classes_load_it_without_remote_code(self, decoder: str, stranger) -> None:
        module, difference = stranger[decoder]["stock"]
        assert module == "transformers.models.vitpose.modeling_vitpose"
        assert difference <= 1e-5
        assert stranger[decoder]["processor"].startswith("VitPoseImageProcessor")

    def test_remote_code_gives_our_class(self, decoder: str, stranger) -> None:
        name, difference = stranger[decoder]["remote"]
        assert name == "ViTPoseFromStockConfig"
        assert difference <= 1e-6
        assert stranger[decoder]["schema"] == "coco"

    def test_our_class_saves_again(self, decoder: str, stranger) -> None:
        found = stranger[decoder]
        assert {"config.json", "model.safetensors", "modeling_vitpose.py"} <= set(found["files again"])
        assert found["stock again"] <= 1e-5
        assert found["remote again"] <= 1e-6

    def test_every_import_of_the_model_s_code_is_in_the_folder(self, decoder: str, folders) -> None:
        files = {path.stem: path for path in folders[decoder].glob("*.py")}
        assert files.keys() == {"modeling_vitpose", "configuration_vitpose"}
        for path in files.values():
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.level:
                    assert node.level == 1 and node.module in files, f"{path.name}: {ast.unparse(node)}"
                elif isinstance(node, ast.Import | ast.ImportFrom):
                    assert "vitpose" not in ast.unparse(node).split(".")[0].split(), f"{path.name}: {ast.unparse(node)}"

    def test_weights_are_safetensors_with_stock_s_names(self, decoder: str, folders) -> None:
        assert not list(folders[decoder].glob("*.bin"))
        names = load_file(folders[decoder] / "model.safetensors").keys()
        stock = VitPoseForPoseEstimation(VitPoseConfig.from_pretrained(folders[decoder]))
        assert names == stock.state_dict().keys()


# ------------------------------------------------------ C3: with vitpose, the Auto classes know both


@pytest.mark.parametrize("decoder", DECODERS)
def test_auto_classes_load_our_folders_without_remote_code(decoder: str, folders: dict[str, Path]) -> None:
    expected = torch.load(folders[decoder] / "expected.pt")
    model = AutoModel.from_pretrained(folders[decoder])
    assert isinstance(model, ViTPoseForPoseEstimation)
    assert model.config.model_type == "vitpose_plus"
    pose = AutoModelForPoseEstimation.from_pretrained(folders[decoder])
    assert type(pose) is VitPoseForPoseEstimation
    for loaded in (model, pose):
        with torch.no_grad():
            torch.testing.assert_close(loaded(expected["crops"]).heatmaps, expected["heatmaps"], rtol=0, atol=1e-5)


def test_auto_classes_build_from_our_configurations(small_config) -> None:
    config = small_config("base")
    assert type(AutoModel.from_config(config)) is ViTPoseForPoseEstimation
    assert type(AutoModelForPoseEstimation.from_config(config)) is ViTPoseForPoseEstimation
    assert type(AutoBackbone.from_config(config.backbone_config)) is ViTPoseBackbone
    assert type(AutoConfig.for_model("vitpose_plus")) is ViTPoseConfig
    assert type(AutoConfig.for_model("vitpose_plus_backbone")) is ViTPoseBackboneConfig


def test_a_backbone_alone_saves_and_loads(small_config, randomise, tmp_path) -> None:
    backbone = ViTPoseBackbone(small_config("base", out_indices=[1, 2]).backbone_config).eval()
    randomise(backbone)
    backbone.save_pretrained(tmp_path)
    crops = torch.randn(1, 3, 64, 48)
    with torch.no_grad():
        # transformers 5.23's AutoBackbone.from_pretrained takes repositories alone, no folders
        maps = ViTPoseBackbone.from_pretrained(tmp_path)(crops).feature_maps
        assert [tuple(feature.shape) for feature in maps] == [(1, 48, 4, 3)] * 2
        torch.testing.assert_close(maps, backbone(crops).feature_maps, rtol=0, atol=1e-6)


def test_no_entry_of_transformers_is_replaced() -> None:
    assert CONFIG_MAPPING_NAMES["vitpose"] == "VitPoseConfig"
    assert MODEL_FOR_POSE_ESTIMATION_MAPPING_NAMES["vitpose"] == "VitPoseForPoseEstimation"
    assert AutoConfig.for_model("vitpose").__class__ is VitPoseConfig
    stock = VitPoseConfig(backbone_config=VitPoseBackboneConfig(hidden_size=48, num_hidden_layers=1, out_indices=[1]))
    assert type(AutoModelForPoseEstimation.from_config(stock)) is VitPoseForPoseEstimation


def test_pushing_while_saving_is_refused(small_model, tmp_path) -> None:
    with pytest.raises(ValueError, match="Use model.push_to_hub"):
        small_model("base").save_pretrained(tmp_path, push_to_hub=True)
