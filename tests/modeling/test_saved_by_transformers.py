"""Folders that transformers' own classes wrote, of every release since they exist: read as the newest of them reads it.

`saved_by_transformers/` holds what each release writes into the two JSON files for a small model with the classic
decoder. With the simple one `use_simple_decoder` differs, with experts `num_experts`, and nothing else.
"""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    AutoModel,
    AutoModelForPoseEstimation,
    VitPoseBackbone,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
    pipeline,
)
from transformers.models.vitpose.image_processing_pil_vitpose import VitPoseImageProcessorPil

from vitpose import (
    ViTPoseBackbone,
    ViTPoseBackboneConfig,
    ViTPoseConfig,
    ViTPoseForPoseEstimation,
    ViTPoseImageProcessor,
    export_model,
    get_keypoint_schema,
)
from vitpose.modeling import keypoint_schemas
from vitpose.training.evaluation.evaluator import head_index

COCO = get_keypoint_schema("coco")
FILES = Path(__file__).with_name("saved_by_transformers")
RELEASES = sorted(path.stem for path in FILES.glob("*.json"))
SMALL = {"image_size": [64, 48], "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def _write_folder(folder: Path, release: str, randomise: Any, *, simple: bool = False, experts: int = 1) -> Path:
    """What a release of transformers would have saved, with random weights."""
    files = json.loads((FILES / f"{release}.json").read_text())
    files["config"]["use_simple_decoder"] = simple
    if experts > 1:
        files["config"]["backbone_config"]["num_experts"] = experts
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    stock = VitPoseForPoseEstimation(VitPoseConfig.from_pretrained(folder))
    randomise(stock)
    save_file(stock.state_dict(), folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("kind", [{}, {"simple": True}, {"experts": 6}], ids=["classic", "simple", "experts"])
def test_heatmaps_equal_those_of_transformers(release, kind, randomise, tmp_path) -> None:
    folder = _write_folder(tmp_path, release, randomise, **kind)
    stock = AutoModelForPoseEstimation.from_pretrained(folder).eval()
    crops, pairs = torch.randn(2, 3, 64, 48), torch.tensor(COCO.flip_pairs)
    dataset = {"dataset_index": torch.zeros(2, dtype=torch.long)} if "experts" in kind else {}
    for door in (ViTPoseForPoseEstimation, AutoModel):
        model = door.from_pretrained(folder).eval()
        assert isinstance(model, ViTPoseForPoseEstimation)
        for flip in ({}, {"flip_pairs": pairs}):
            with torch.no_grad():
                expected = stock(crops, **dataset, **flip).heatmaps
                assert expected.std() > 0.1, "heatmaps this small would agree by themselves"
                torch.testing.assert_close(model(crops, **flip).heatmaps, expected, rtol=0, atol=1e-5)
        assert model.config.get_schema() == COCO and model.config.edges == [[15, 13], [13, 11]]


@pytest.mark.parametrize("release", RELEASES)
def test_the_processor_is_that_of_transformers(release, randomise, tmp_path) -> None:
    folder = _write_folder(tmp_path, release, randomise)
    ours, stock = (kind.from_pretrained(folder).to_dict() for kind in (ViTPoseImageProcessor, VitPoseImageProcessorPil))
    assert stock["size"] == {"height": 64, "width": 48}
    assert {name: value for name, value in stock.items() if ours.get(name) != value} in (
        {},
        {"image_processor_type": "VitPoseImageProcessorPil"},
    )


@pytest.mark.parametrize("release", RELEASES)
def test_nothing_in_them_is_unknown(release, randomise, tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(logging.getLogger("vitpose"), "propagate", True)
    folder = _write_folder(tmp_path, release, randomise)
    ViTPoseForPoseEstimation.from_pretrained(folder)
    ViTPoseImageProcessor.from_pretrained(folder)
    files = json.loads((FILES / f"{release}.json").read_text())
    assert ViTPoseConfig._unknown_keys(files["config"]) == [] and "vitpose" not in caplog.text


# ------------------------------------------------------------------------------- six experts, the head of one dataset


@pytest.fixture(scope="module")
def plus(randomise, tmp_path_factory) -> Path:
    """As ViTPose++ is published: experts for six datasets, the head of the first."""
    return _write_folder(tmp_path_factory.mktemp("plus"), RELEASES[0], randomise, experts=6)


def test_the_only_head_is_taken_where_no_dataset_is_named(plus) -> None:
    model = ViTPoseForPoseEstimation.from_pretrained(plus).eval()
    assert model.config.dataset_index() == model.config.dataset_index("coco") == 0
    crops = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        expected = model(crops, dataset_index=0).heatmaps
        torch.testing.assert_close(model(crops).heatmaps, expected, rtol=0, atol=0)
        assert not torch.equal(model(crops, dataset_index=3).heatmaps, expected)
        folded = model.fold_experts(model.config.dataset_index())
        torch.testing.assert_close(folded(crops).heatmaps, expected, rtol=0, atol=1e-5)


def test_every_door_takes_it(plus, tmp_path) -> None:
    pipe = pipeline("keypoint-detection", model=str(plus), device="cpu")
    photo = torch.randint(256, (3, 80, 60), dtype=torch.uint8)
    assert pipe(photo) == pipe(photo, dataset="coco") != pipe(photo, dataset=3)
    assert pipe.schema == COCO
    model = ViTPoseForPoseEstimation.from_pretrained(plus)
    assert head_index(model.config, COCO) == 0
    pytest.importorskip("onnxscript", reason='exporting needs packages of its own: pip install "vitpose[onnx]"')
    export_model(plus, tmp_path / "onnx", to="onnx")
    exported = pipeline("keypoint-detection", model=str(tmp_path / "onnx"))(photo)
    assert exported[0]["keypoints"][0]["x"] == pytest.approx(pipe(photo)[0]["keypoints"][0]["x"], abs=0.1)


@pytest.mark.parametrize(
    ("labels", "experts", "message"),
    [
        (["snout", "tail"], 6, "expected an index from 0 to 5, got None"),
        (list(COCO.keypoints), 3, "expected an index from 0 to 2, got None"),
    ],
)
def test_a_head_of_an_unknown_dataset_asks_for_the_expert(labels, experts, message, tmp_path) -> None:
    backbone = VitPoseBackboneConfig(**SMALL, num_experts=experts, part_features=8)
    stock = VitPoseConfig(backbone_config=backbone, id2label=dict(enumerate(labels)))
    model = ViTPoseForPoseEstimation(stock)
    with pytest.raises(ValueError, match=message):
        model.config.dataset_index()
    with pytest.raises(ValueError, match=rf"dataset_index: expected an int.*{experts} datasets"):
        model(torch.zeros(1, 3, 64, 48))
    model.save_pretrained(tmp_path)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"say which one's keypoints to find: 0 to {experts - 1}"):
        pipeline("keypoint-detection", model=str(tmp_path), device="cpu")(torch.zeros(3, 80, 60, dtype=torch.uint8))


def test_several_heads_still_ask(small_config) -> None:
    config = small_config("base", datasets=["coco", "mpii"])
    assert config.default_dataset_index is None
    with pytest.raises(ValueError, match="expected one of coco, mpii or an index from 0 to 1, got None"):
        config.dataset_index()


# ----------------------------------------------------------------------------------------------- a backbone's folder

BACKBONES = {
    "ours": lambda: ViTPoseBackbone(ViTPoseBackboneConfig(**SMALL, drop_path_rate=0.1)),
    "of an early stage": lambda: ViTPoseBackbone(ViTPoseBackboneConfig(**SMALL, out_indices=[1])),
    "with windows": lambda: ViTPoseBackbone(
        ViTPoseBackboneConfig(**SMALL, attention_kind="shifted_window", window_size=(2, 3))
    ),
    "of transformers": lambda: VitPoseBackbone(VitPoseBackboneConfig(**SMALL, out_indices=[2])),
    "with experts": lambda: VitPoseBackbone(VitPoseBackboneConfig(**SMALL, num_experts=6, part_features=8)),
}


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize(
    ("given", "schema", "count"),
    [
        ({}, "coco", 17),
        ({"num_labels": 5}, "custom", 5),
        ({"keypoint_schemas": [get_keypoint_schema("mpii")], "use_simple_decoder": False}, "mpii", 16),
    ],
)
def test_a_pose_model_starts_from_the_folder_of_a_backbone(kind, given, schema, count, randomise, tmp_path) -> None:
    backbone = BACKBONES[kind]()
    randomise(backbone)
    backbone.save_pretrained(tmp_path)
    model, report = ViTPoseForPoseEstimation.from_pretrained(tmp_path, output_loading_info=True, **given)
    assert report["missing_keys"] == {name for name in model.state_dict() if name.startswith("head.")}
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    for name, value in backbone.state_dict().items():
        torch.testing.assert_close(model.backbone.state_dict()[name], value, rtol=0, atol=0)
    assert (model.config.get_schema().name, len(model.head.conv.weight)) == (schema, count)
    assert model.config.use_simple_decoder == given.get("use_simple_decoder", True)
    assert model.config.backbone_config.out_features == ["stage2"]  # what is decoded is the last stage


def test_such_a_model_is_a_model_as_any_other(randomise, tmp_path) -> None:
    BACKBONES["of transformers"]().save_pretrained(tmp_path / "backbone")
    model = ViTPoseForPoseEstimation.from_pretrained(tmp_path / "backbone")
    randomise(model)
    model.eval().save_pretrained(tmp_path / "pose")
    crops = torch.randn(1, 3, 64, 48)
    with torch.no_grad():
        stock = VitPoseForPoseEstimation.from_pretrained(tmp_path / "pose").eval()
        torch.testing.assert_close(stock(crops).heatmaps, model(crops).heatmaps, rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------- edges

HORNED = ["tail", "left_horn", "right_horn", "back"]
EDGES = [
    ("as stock has them", [[0, 3], [3, 1], (3, 2)], [(0, 3), (3, 1), (3, 2)], None),
    ("none", None, [], None),
    ("an empty list", [], [], None),
    ("from 1, as COCO counts", [[1, 4], [4, 2], [4, 3]], [(0, 3), (3, 1), (3, 2)], "count from 1, as they name keypoi"),
    ("out of range", [[0, 3], [3, 7], [-1, 2]], [(0, 3)], "edges: 2 of 3 are no pairs of two different keypoints"),
    ("of a keypoint to itself", [[0, 0], [0, 3]], [(0, 3)], "edges: 1 of 2 are"),
    ("twice, also the other way round", [[0, 3], [0, 3], [3, 0]], [(0, 3)], "edges: 2 of 3 are"),
    ("by name", [["tail", "back"], [0, 3]], [(0, 3)], "edges: 1 of 2 are"),
    ("of three, and numbers alone", [[0, 1, 2], 5, [0, 3]], [(0, 3)], "edges: 2 of 3 are"),
    ("of numbers that are no indices", [[0.0, 3.0], [True, 3], [0, 3]], [(0, 3)], "edges: 2 of 3 are"),
]


@pytest.mark.parametrize(("why", "edges", "expected", "message"), EDGES, ids=[row[0] for row in EDGES])
def test_edges_of_unknown_keypoints_are_drawn(why, edges, expected, message, tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(logging.getLogger("vitpose"), "propagate", True)
    keypoint_schemas._warn_once.cache_clear()
    extra = {} if edges is None else {"edges": edges}
    labels = {"id2label": dict(enumerate(HORNED)), "label2id": {name: index for index, name in enumerate(HORNED)}}
    stock = VitPoseConfig(backbone_config=VitPoseBackboneConfig(**SMALL, out_indices=[2]), **labels, **extra)
    VitPoseForPoseEstimation(stock).save_pretrained(tmp_path / "stock")
    for door in (ViTPoseForPoseEstimation, AutoModel):
        config = door.from_pretrained(tmp_path / "stock").config
        assert config.get_schema().edges == tuple(expected)
    told = [record.getMessage() for record in caplog.records if "edges" in record.getMessage()]
    assert len(told) == (message is not None) and (message or "") in "".join(told)
    ViTPoseForPoseEstimation.from_pretrained(tmp_path / "stock").save_pretrained(tmp_path / "ours")
    again = VitPoseConfig.from_pretrained(tmp_path / "ours").edges
    assert again == [list(edge) if isinstance(edge, tuple) else edge for edge in edges or []]


def test_known_keypoints_have_the_edges_of_their_dataset(tmp_path, small_config) -> None:
    config = small_config("base", datasets=["ap10k"])
    config.save_pretrained(tmp_path)
    schema = get_keypoint_schema("ap10k")
    assert VitPoseConfig.from_pretrained(tmp_path).edges == [list(edge) for edge in schema.edges]
    other = ViTPoseConfig(id2label=dict(enumerate(schema.keypoints)), edges=[[0, 1]])
    assert other.get_schema() == schema and other.to_dict()["edges"] == [[0, 1]]


def test_other_keypoints_than_the_file_s_have_none_of_its_edges(tmp_path, small_config) -> None:
    small_config("base").save_pretrained(tmp_path)
    config = ViTPoseConfig.from_pretrained(tmp_path, id2label=dict(enumerate(HORNED)))
    assert config.get_schema().edges == () and config.to_dict()["edges"] == []
    dense = small_config("base")
    dense.edges = [[0, 1]]
    several = dense.with_experts(["mpii", "coco"], expert_kind="partially_shared", part_features=None)
    assert several.edges is None
    several.edges = [[0, 1]]
    assert several.folded(1).to_dict()["edges"] == [list(edge) for edge in COCO.edges]
