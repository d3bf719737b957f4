"""Folders that other programs and people wrote into: every way to read a model takes them and keeps their entries."""

import copy
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoBackbone,
    AutoConfig,
    AutoModel,
    AutoModelForPoseEstimation,
    AutoModelForPreTraining,
    VitPoseForPoseEstimation,
    pipeline,
)

from vitpose import (
    ExportedModel,
    ViTPoseBackbone,
    ViTPoseBackboneConfig,
    ViTPoseConfig,
    ViTPoseForMaskedImageModeling,
    ViTPoseForPoseEstimation,
    ViTPoseImageProcessor,
    ViTPoseMaskedImageModelingConfig,
    export_model,
)
from vitpose.hub_cards.endpoint.handler import EndpointHandler
from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose_cli import main as cli

SMALL = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
KINDS = {"stock": {"datasets": ["coco"]}, "own": {"datasets": ["mpii", "coco"]}}

# What stands in config.json beside what a model has, and who writes such things.
TOP: dict[str, dict[str, Any]] = {
    "Trainer with gradient checkpointing": {"use_cache": False},
    "a person's note": {"remark by the lab": "third attempt, läuft", "temperature of the room": 21.5},
    "a table of a program": {"finetuning": {"lr": 5e-4, "data": ["a", "b"], "resumed": None}},
    "nothing": {"pooling": None, "frozen": False, "tags": []},
    "a later version of vitpose": {"heatmap_loss": {"kind": "ohkm", "topk": 8}, "vitpose_version": "9.1"},
    "a version of transformers before 5": {
        **{"backbone": None, "backbone_kwargs": None, "use_pretrained_backbone": False, "use_timm_backbone": False},
        **{"torch_dtype": "float32", "tie_word_embeddings": True, "pruned_heads": {}, "top_k": 50, "max_length": 20},
    },
    "names of ours for something else": {"grid_size": [1, 2], "is_stock": "yes", "num_datasets": 9},
    "names of transformers for something else": {"decoder": "classic", "loss_type": "mse"},
    "an adapter": {"base_model_name_or_path": "somebody/model", "peft": {"peft_type": "LORA", "r": 8}},
    "a size that is known already": {"image_size": [64, 48], "hidden_size": 32},
}
NESTED: dict[str, dict[str, Any]] = {
    "Trainer": {"use_cache": False},
    "the width of the hidden layer, as other models have it": {"intermediate_size": 128},
    "names of ours for something else": {"stride": 4, "patch_padding": [0, 0]},
    "a later version": {"register_tokens": 4, "rope": {"base": 100.0}},
    "labels of nobody": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}},
}
ALL_TOP = {name: value for row in TOP.values() for name, value in row.items()}
ALL_NESTED = {name: value for row in NESTED.values() for name, value in row.items()}


def _save(folder: Path, kind: str) -> ViTPoseForPoseEstimation:
    torch.manual_seed(0)
    model = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", **SMALL, **KINDS[kind])).eval()
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim > 1:
                value.normal_(std=2 / value[0].numel() ** 0.5)
    model.save_pretrained(folder)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)
    return model


def _write_keys(folder: Path, top: Mapping[str, Any], nested: Mapping[str, Any]) -> None:
    values = json.loads((folder / "config.json").read_text())
    values |= top
    values["backbone_config"] |= nested
    (folder / "config.json").write_text(json.dumps(values))


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> dict[str, Path]:
    """A folder of each kind, as we write it, and the heatmaps of a batch."""
    folders = {}
    for kind in KINDS:
        folders[kind] = tmp_path_factory.mktemp(kind)
        with torch.no_grad():
            heatmaps = _heatmaps(_save(folders[kind], kind))
        torch.save(heatmaps, folders[kind] / "heatmaps.pt")
    return folders


def _crops() -> torch.Tensor:
    return torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def _heatmaps(model: torch.nn.Module) -> torch.Tensor:
    several = getattr(model.config, "num_datasets", 1) > 1
    return model.eval()(_crops(), **({"dataset_index": 1} if several else {})).heatmaps


def _from_pipeline(folder: Path) -> torch.nn.Module:
    pipe = pipeline("keypoint-detection", model=str(folder), device="cpu", dataset="coco")
    (person,) = pipe(Image.new("RGB", (60, 80)))
    assert len(person["keypoints"]) == 17
    return pipe.model


DOORS: dict[str, Callable[[Path], torch.nn.Module]] = {
    "ViTPoseForPoseEstimation": ViTPoseForPoseEstimation.from_pretrained,
    "ViTPoseConfig": lambda folder: ViTPoseForPoseEstimation.from_pretrained(
        folder, config=ViTPoseConfig.from_pretrained(folder)
    ),
    "AutoConfig": lambda folder: ViTPoseForPoseEstimation.from_pretrained(
        folder, config=ViTPoseConfig.from_dict(AutoConfig.from_pretrained(folder).to_dict())
    ),
    "AutoModel": AutoModel.from_pretrained,
    "AutoModelForPoseEstimation": AutoModelForPoseEstimation.from_pretrained,
    "pipeline": _from_pipeline,
}


ROWS = [*((row, {}) for row in TOP.values()), *(({}, row) for row in NESTED.values())]
CASES = [
    *((door, kind, (ALL_TOP, ALL_NESTED)) for door in DOORS for kind in KINDS),
    *((door, kind, row) for door in ("ViTPoseForPoseEstimation", "AutoModel") for kind in KINDS for row in ROWS),
]


@pytest.mark.parametrize(("door", "kind", "keys"), CASES)
def test_a_model_is_the_same_whatever_else_its_config_says(door, kind, keys, clean, tmp_path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(clean[kind], folder)
    _write_keys(folder, *keys)
    loaded = DOORS[door](folder)
    torch.testing.assert_close(_heatmaps(loaded), torch.load(clean[kind] / "heatmaps.pt"), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_others_wrote_is_kept_and_written_again(kind, clean, tmp_path) -> None:
    folder, again = tmp_path / "model", tmp_path / "again"
    shutil.copytree(clean[kind], folder)
    _write_keys(folder, ALL_TOP, ALL_NESTED)
    model = ViTPoseForPoseEstimation.from_pretrained(folder)
    assert model.config.use_cache is False and model.config.backbone_config.register_tokens == 4
    assert copy.deepcopy(model.config) == model.config
    model.save_pretrained(again)
    saved = json.loads((again / "config.json").read_text())
    of_transformers = {"torch_dtype"}  # which calls it dtype
    assert {name: saved.get(name) for name in ALL_TOP.keys() - of_transformers} == {
        name: value for name, value in ALL_TOP.items() if name not in of_transformers
    }
    labels = {"id2label", "label2id"}
    assert {name: saved["backbone_config"].get(name) for name in ALL_NESTED.keys() - labels} == {
        name: value for name, value in ALL_NESTED.items() if name not in labels
    }
    unlike = {"_name_or_path", "transformers_version"}
    first, second = model.config.to_dict(), ViTPoseConfig.from_pretrained(again).to_dict()
    assert {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)} <= unlike


@pytest.mark.parametrize("saved_by", [ViTPoseForPoseEstimation, VitPoseForPoseEstimation])
@pytest.mark.parametrize("door", DOORS)
def test_what_a_program_sets_on_a_loaded_model_is_read_again(door, saved_by, clean, tmp_path) -> None:
    model = saved_by.from_pretrained(clean["stock"])
    model.config.use_cache = False
    model.config.stage = {"number": 3}
    model.config.backbone_config.stage = None
    model.config.problem_type = "regression"
    model.config.dtype = torch.float32
    model.config.use_return_dict_later = True
    model.save_pretrained(tmp_path)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(tmp_path)
    loaded = DOORS[door](tmp_path)
    assert loaded.config.stage == {"number": 3} and loaded.config.backbone_config.stage is None
    torch.testing.assert_close(_heatmaps(loaded), torch.load(clean["stock"] / "heatmaps.pt"), rtol=0, atol=1e-5)


def test_a_setting_that_somebody_cleared_has_its_default_again(clean, tmp_path) -> None:
    model = ViTPoseForPoseEstimation.from_pretrained(clean["stock"])
    model.config.backbone_config.drop_path_rate = None
    model.config.backbone_config.hidden_dropout_prob = None
    model.config.initializer_range = None
    model.save_pretrained(tmp_path)
    for config in (AutoConfig.from_pretrained(tmp_path), ViTPoseConfig.from_pretrained(tmp_path)):
        assert config.initializer_range == 0.02 and config.backbone_config.hidden_dropout_prob == 0


def test_unknown_keys_are_told_once_by_name_and_common_ones_not_at_all(clean, tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(logging.getLogger("vitpose"), "propagate", True)
    folder = tmp_path / "model"
    shutil.copytree(clean["own"], folder)
    quiet = [TOP["Trainer with gradient checkpointing"], TOP["nothing"], TOP["a version of transformers before 5"]]
    _write_keys(folder, {name: value for row in quiet for name, value in row.items()}, {"intermediate_size": 128})
    for _ in range(2):
        ViTPoseForPoseEstimation.from_pretrained(folder)
    assert "does not know" not in caplog.text
    _write_keys(folder, {"a_remark": 1}, {"another_remark": 2})
    for _ in range(2):
        ViTPoseForPoseEstimation.from_pretrained(folder)
        AutoConfig.from_pretrained(folder)
    told = [record.getMessage() for record in caplog.records if "does not know" in record.getMessage()]
    assert len(told) == 1 and "a_remark, backbone_config.another_remark, which the file sets" in told[0]


# ------------------------------------------------------------------ the commands, and where vitpose is not installed


@pytest.fixture(scope="module")
def crowded(clean, tmp_path_factory) -> dict[str, Path]:
    """The folders with every key of the tables at once."""
    folders = {}
    for kind, folder in clean.items():
        folders[kind] = tmp_path_factory.mktemp("crowded") / kind
        shutil.copytree(folder, folders[kind])
        (folders[kind] / "heatmaps.pt").unlink()
        _write_keys(folders[kind], ALL_TOP, ALL_NESTED)
    return folders


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_evaluated(kind, crowded, tmp_path) -> None:
    data = ("--eval_people", "3", "--num_workers", "0")
    assert cli.main(["evaluate", "--model", str(crowded[kind]), *data, "--out", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_converted(kind, crowded, clean, tmp_path) -> None:
    assert cli.main(["convert", str(crowded[kind]), "--out", str(tmp_path / "out")]) == 0
    converted = ViTPoseForPoseEstimation.from_pretrained(tmp_path / "out")
    assert converted.config.peft == ALL_TOP["peft"]
    torch.testing.assert_close(_heatmaps(converted), torch.load(clean[kind] / "heatmaps.pt"), rtol=0, atol=1e-5)


@pytest.mark.skipif(find_spec("onnxscript") is None, reason='exporting needs packages: pip install "vitpose[onnx]"')
def test_it_is_exported_and_the_export_may_be_written_into_as_well(crowded, clean, tmp_path) -> None:
    export_model(crowded["own"], tmp_path / "onnx", to="onnx", dataset="coco")
    _write_keys(tmp_path / "onnx", {"where": "a phone", "num_patches": 4}, {"where": "its CPU"})
    exported = ExportedModel.from_pretrained(tmp_path / "onnx")
    assert exported.config.where == "a phone" and exported.config.peft == ALL_TOP["peft"]
    expected = torch.load(clean["own"] / "heatmaps.pt")
    torch.testing.assert_close(exported(_crops()).heatmaps, expected, rtol=0, atol=1e-4)
    assert len(_people(pipeline("keypoint-detection", model=str(tmp_path / "onnx")))) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_published(kind, crowded, capsys) -> None:
    assert cli.main(["publish", str(crowded[kind]), "--repo", "ada/my-pose", "--dry-run"]) == 0
    assert "config.json" in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_an_endpoint_serves_it(kind, crowded) -> None:
    request = {"inputs": Image.new("RGB", (60, 80)), "parameters": {"dataset": "coco"}}
    assert len(EndpointHandler(str(crowded[kind]))(request)) == 1


def _people(pipe: Any, **settings: Any) -> list[dict[str, Any]]:
    return pipe(np.zeros((80, 60, 3), dtype=np.uint8), **settings)


STRANGER = """
import sys
sys.modules["vitpose"] = None  # as if it were not installed
import json, torch
from transformers import AutoConfig, AutoModel, AutoModelForPoseEstimation, pipeline

crops = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(1))
found = {}
for kind, folder, heatmaps in json.loads(sys.argv[1]):
    trusted = {} if kind == "stock" else {"trust_remote_code": True}
    several = {} if kind == "stock" else {"dataset_index": 1}
    config = AutoConfig.from_pretrained(folder, **trusted)
    models = {
        "AutoModel": AutoModel.from_pretrained(folder, trust_remote_code=True),
        "AutoModelForPoseEstimation": AutoModelForPoseEstimation.from_pretrained(folder, **trusted),
    }
    models["AutoModel"].save_pretrained(folder + "-again")
    models["again"] = AutoModel.from_pretrained(folder + "-again", trust_remote_code=True)
    with torch.no_grad():
        expected = torch.load(heatmaps)
        found[kind] = {
            name: float((model.eval()(crops, **several).heatmaps - expected).abs().max())
            for name, model in models.items()
        }
    found[kind]["kept"] = [config.peft["r"], models["AutoModel"].config.peft["r"], models["again"].config.peft["r"]]
try:
    type(models["AutoModel"].config)(hiden_size=3)
except ValueError as error:
    found["typo"] = str(error)
print(json.dumps(found))
"""


def test_a_process_without_vitpose_reads_it_as_well(crowded, clean, tmp_path) -> None:
    cases = []
    for kind, folder in crowded.items():
        shutil.copytree(folder, tmp_path / kind)
        cases.append((kind, str(tmp_path / kind), str(clean[kind] / "heatmaps.pt")))
    result = subprocess.run(
        [sys.executable, "-c", STRANGER, json.dumps(cases)],
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    for kind in KINDS:
        assert found[kind].pop("kept") == [8, 8, 8]
        assert max(found[kind].values()) < 1e-5
    assert "got 'hiden_size'" in found["typo"]


# --------------------------------------------------------------------------------------- the other configurations


def test_a_backbone_and_a_masked_image_model_keep_what_others_wrote(tmp_path) -> None:
    backbone = ViTPoseBackbone(ViTPoseBackboneConfig(**SMALL))
    pretrained = ViTPoseForMaskedImageModeling(ViTPoseMaskedImageModelingConfig.from_preset("tiny", **SMALL))
    for model, name in ((backbone, "backbone"), (pretrained, "pretrained")):
        model.config.use_cache = False
        model.config.remark = {"by": "me"}
        model.save_pretrained(tmp_path / name)
        assert json.loads((tmp_path / name / "config.json").read_text())["remark"] == {"by": "me"}
    assert ViTPoseBackbone.from_pretrained(tmp_path / "backbone").config.remark == {"by": "me"}
    assert AutoBackbone.from_config(AutoConfig.from_pretrained(tmp_path / "backbone")).config.remark == {"by": "me"}
    for door in (ViTPoseForMaskedImageModeling, AutoModelForPreTraining, AutoModel):
        assert door.from_pretrained(tmp_path / "pretrained").config.remark == {"by": "me"}


# ------------------------------------------------------------------------------------------------ contradictions


@pytest.mark.parametrize(
    ("nested", "ratio"),
    [
        ({"mlp_ratio": None, "intermediate_size": 64}, 2),
        ({"mlp_ratio": None, "intermediate_size": 80}, 2.5),
        ({"mlp_ratio": 4, "intermediate_size": 64}, 4),  # by which stock, which wrote the ratio, makes the weights
        ({"mlp_ratio": 3.0, "intermediate_size": 96}, 3),
    ],
)
def test_the_width_of_the_hidden_layer_stands_for_a_ratio_that_is_not_said(nested, ratio) -> None:
    config = ViTPoseConfig.from_dict({"backbone_config": {"hidden_size": 32, "num_attention_heads": 2, **nested}})
    assert config.backbone_config.mlp_ratio == ratio and type(config.backbone_config.mlp_ratio) is type(ratio)
    assert config.to_dict()["backbone_config"]["intermediate_size"] == 32 * ratio


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone_config": {"intermediate_size": "wide"}}, "intermediate_size: expected a positive number of chann"),
        ({"backbone_config": {"model_type": "dinov2"}}, "holds a 'dinov2' model; expected 'vitpose_backbone' or"),
        ({"backbone_config": {"hidden_size": 100, "num_attention_heads": 7}}, "not a multiple of num_attention_heads"),
        ({"model_type": "vit"}, "holds a 'vit' model"),
    ],
)
def test_a_file_that_cannot_be_true_is_refused_by_name(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        ViTPoseConfig.from_dict(values)


def test_labels_that_stock_changed_are_the_keypoints(clean, tmp_path) -> None:
    stock = VitPoseForPoseEstimation.from_pretrained(clean["stock"])
    stock.config.id2label = {index: f"point {index}" for index in range(17)}  # and label2id is forgotten
    stock.save_pretrained(tmp_path)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(tmp_path)
    for door in (ViTPoseForPoseEstimation, AutoModel):
        config = door.from_pretrained(tmp_path).config
        assert config.get_schema().keypoints == tuple(f"point {index}" for index in range(17))
        assert config.label2id == {f"point {index}": index for index in range(17)}
        assert config.to_dict()["edges"] == []  # those of the file join other keypoints
    (person,) = _people(pipeline("keypoint-detection", model=str(tmp_path), device="cpu"))
    assert person["keypoints"][3]["label"] == "point 3"


def test_labels_of_several_heads_are_those_of_the_schemas(clean, tmp_path) -> None:
    shutil.copytree(clean["own"], tmp_path / "model")
    _write_keys(tmp_path / "model", {"id2label": {"0": "nose", "1": "tail"}}, {})
    config = ViTPoseForPoseEstimation.from_pretrained(tmp_path / "model").config
    assert config.dataset_names == ["mpii", "coco"] and config.num_labels == 16


def test_names_that_transformers_checks_in_every_config_are_kept_from_it(clean, tmp_path) -> None:
    shutil.copytree(clean["own"], tmp_path / "model")
    heads, layers = {"head_dim": 8, "num_heads": 3, "embed_dim": 5}, {"layer_types": ["conv", "pool", "conv"]}
    _write_keys(tmp_path / "model", heads, layers)
    ViTPoseForPoseEstimation.from_pretrained(tmp_path / "model").save_pretrained(tmp_path / "again")
    values = AutoConfig.from_pretrained(tmp_path / "again").to_dict()
    assert values.items() >= heads.items() and values["backbone_config"].items() >= layers.items()


def test_a_schema_of_a_later_version_keeps_what_it_has_beyond_ours(clean, tmp_path) -> None:
    for kind, folder in clean.items():
        values = json.loads((folder / "config.json").read_text())
        values["keypoint_schemas"][-1]["symmetry"] = {"axis": "sagittal"}
        shutil.copytree(folder, tmp_path / kind)
        (tmp_path / kind / "config.json").write_text(json.dumps(values))
        model = ViTPoseForPoseEstimation.from_pretrained(tmp_path / kind)
        assert model.config.get_schema(len(model.config.keypoint_schemas) - 1) == get_keypoint_schema("coco")
        assert model.config.to_dict()["keypoint_schemas"][-1]["symmetry"] == {"axis": "sagittal"}
        for door in DOORS.values():
            door(tmp_path / kind)


# -------------------------------------------------------------------------------------------- what is typed in code

TYPOS = {
    "ViTPoseConfig": lambda folder: ViTPoseConfig(use_simple_decodr=True),
    "from_preset": lambda folder: ViTPoseConfig.from_preset("tiny", hiden_size=64),
    "from_pretrained": lambda folder: ViTPoseConfig.from_pretrained(folder, use_simple_decodr=True),
    "from_pretrained of a model": lambda folder: ViTPoseForPoseEstimation.from_pretrained(folder, decodr="simple"),
    "AutoModel": lambda folder: AutoModel.from_pretrained(folder, decodr="simple"),
    "the backbone's": lambda folder: ViTPoseForPoseEstimation.from_pretrained(folder, backbone_config={"hidden": 3}),
    "a backbone": lambda folder: ViTPoseBackboneConfig(hiden_size=64),
    "masked images": lambda folder: ViTPoseMaskedImageModelingConfig(mask_rate=0.5),
    "the processor": lambda folder: ViTPoseImageProcessor(dark_sgima=2.0),
    "the processor's folder": lambda folder: ViTPoseImageProcessor.from_pretrained(folder, dark_sgima=2.0),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("typo", TYPOS)
def test_a_keyword_that_is_typed_wrongly_is_an_error(typo, kind, clean) -> None:
    with pytest.raises(
        (ValueError, TypeError),
        match=r"got '(use_simple_decodr|hiden_size|hidden|mask_rate|dark_sgima)"
        r"'|unexpected keyword argument 'decodr'",
    ):
        TYPOS[typo](clean[kind])


def test_fields_may_be_set_anew_while_loading_beside_what_others_wrote(crowded) -> None:
    changed = {"use_cache": True, "backbone_config": {"drop_path_rate": 0.4}}
    config = ViTPoseForPoseEstimation.from_pretrained(crowded["stock"], **changed).config
    assert config.use_cache is True and config.backbone_config.drop_path_rate == 0.4
    assert config.backbone_config.register_tokens == 4
    _, unused = AutoConfig.from_pretrained(crowded["own"], return_unused_kwargs=True, something=1)
    assert unused == {"something": 1}
