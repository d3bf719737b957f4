"""ViTPose++: experts and heads by dataset index, any mix in a batch, folding to and starting from dense models."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForPoseEstimation, VitPoseConfig, VitPoseForPoseEstimation

from vitpose import ViTPoseBackbone, ViTPoseConfig, ViTPoseForPoseEstimation
from vitpose.modeling.configuration_vitpose import RELEASED_DATASETS
from vitpose.modeling.loss_vitpose import heatmap_loss

Model = ViTPoseForPoseEstimation

EXPERT_KINDS = ("partially_shared", "independent", "independent_and_shared")
DECODERS = ("classic", "simple")
DATASETS = ["coco", "aic", "mpii"]  # 17, 14 and 16 keypoints
MIXED = torch.tensor([2, 0, 1, 1, 0])


@pytest.fixture(scope="module", params=EXPERT_KINDS)
def model(request: pytest.FixtureRequest, small_model) -> Model:
    return small_model("base", decoder="simple", datasets=DATASETS, expert_kind=request.param)


@pytest.fixture(scope="module")
def crops(model: Model, random_crops) -> torch.Tensor:
    return random_crops(model, len(MIXED))


def _one_by_one(model: Model, crops: torch.Tensor, indices: torch.Tensor) -> list[torch.Tensor]:
    """Heatmaps (K_d, h, w) of each crop, asked for alone."""
    pairs = zip(crops, indices.tolist(), strict=True)
    return [model(crop[None], dataset_index=index).heatmaps[0] for crop, index in pairs]


# ------------------------------------------------------------------------------------- mixed batches


@torch.no_grad()
def test_each_crop_of_a_mixed_batch_goes_its_own_way(model: Model, crops: torch.Tensor) -> None:
    output = model(crops, dataset_index=MIXED)
    assert output.heatmaps.shape[1] == 17
    assert output.keypoint_mask.sum(dim=1).tolist() == [16, 17, 14, 14, 17]
    for row, expected in enumerate(_one_by_one(model, crops, MIXED)):
        real = output.keypoint_mask[row]
        assert real.tolist() == sorted(real.tolist(), reverse=True)  # the first channels are the real ones
        torch.testing.assert_close(output.heatmaps[row, real], expected, rtol=0, atol=1e-5)
        assert (output.heatmaps[row, ~real] == 0).all()


@torch.no_grad()
def test_heatmaps_have_the_largest_number_of_keypoints_present(model: Model, crops: torch.Tensor) -> None:
    assert model(crops[:2], dataset_index=torch.tensor([1, 2])).heatmaps.shape[1] == 16
    assert model(crops[:2], dataset_index=torch.tensor([1, 1])).heatmaps.shape[1] == 14
    assert model(crops[:2], dataset_index=1).keypoint_mask.all()


@torch.no_grad()
def test_an_expert_that_nobody_asks_for_is_not_computed(model: Model, crops: torch.Tensor) -> None:
    spoilt = copy.deepcopy(model)
    for name, parameter in spoilt.named_parameters():
        if name.endswith((".1.weight", ".1.bias")) and ".mlp." in name:
            parameter.fill_(torch.nan)
    for index in (2, torch.tensor([2, 0, 2, 0, 0])):
        expected = model(crops, dataset_index=index).heatmaps
        # not bit for bit: weights at another place in memory may take another kernel
        torch.testing.assert_close(spoilt(crops, dataset_index=index).heatmaps, expected)
    assert spoilt(crops, dataset_index=1).heatmaps.isnan().all()


@torch.no_grad()
def test_samples_of_one_dataset_pass_as_an_int_or_a_tensor(model: Model, crops: torch.Tensor) -> None:
    expected = model(crops, dataset_index=2).heatmaps
    for index in (torch.tensor(2), torch.full((5,), 2), torch.full((5,), 2, dtype=torch.int32)):
        torch.testing.assert_close(model(crops, dataset_index=index).heatmaps, expected, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("decoder", DECODERS)
def test_heads_without_experts(decoder: str, small_model, random_crops) -> None:
    model = small_model("base", decoder=decoder, datasets=DATASETS, num_experts=1)
    assert not [name for name in model.state_dict() if "experts" in name]
    crops = random_crops(model, 5)
    heatmaps = model(crops, dataset_index=MIXED).heatmaps
    for row, expected in enumerate(_one_by_one(model, crops, MIXED)):
        torch.testing.assert_close(heatmaps[row, : len(expected)], expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_backbone_alone_takes_the_index(small_config, randomise, random_crops) -> None:
    backbone = ViTPoseBackbone(small_config("base", datasets=DATASETS).backbone_config).eval()
    randomise(backbone)
    crops = torch.randn(3, 3, 64, 48)
    maps = backbone(crops, dataset_index=torch.tensor([0, 1, 2])).feature_maps[-1]
    for index in range(3):
        alone = backbone(crops[index : index + 1], dataset_index=index).feature_maps[-1][0]
        torch.testing.assert_close(maps[index], alone, rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------ training


def _targets(model: Model, indices: torch.Tensor) -> dict[str, torch.Tensor]:
    counts = [model.config.get_schema(index).num_keypoints for index in indices.tolist()]
    generator = torch.Generator().manual_seed(3)
    shape = len(counts), max(counts)
    real = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
    return {
        "labels": torch.rand(*shape, *model.config.heatmap_size, generator=generator) * real[..., None, None],
        "label_weights": torch.rand(shape, generator=generator) * real,
    }


def _gradients(model: Model) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}


def test_a_mixed_batch_learns_what_its_parts_would(model: Model, crops: torch.Tensor) -> None:
    """Loss and gradients are those of each dataset's own batch, added up by their shares."""
    targets = _targets(model, MIXED)
    model.zero_grad()
    loss = model(crops, dataset_index=MIXED, **targets).loss
    loss.backward()
    mixed = _gradients(model)
    total, summed = 0.0, {name: torch.zeros_like(value) for name, value in mixed.items()}
    for index in range(3):
        rows, keypoints = index == MIXED, model.config.get_schema(index).num_keypoints
        own = {name: value[rows, :keypoints] for name, value in targets.items()}
        model.zero_grad()
        part = model(crops[rows], dataset_index=index, **own).loss
        part.backward()
        share = float(rows.float().mean())
        total += share * part.item()
        for name, value in _gradients(model).items():
            summed[name] += share * value
    assert loss.item() == pytest.approx(total, rel=1e-5)
    torch.testing.assert_close(mixed, summed, rtol=1e-4, atol=1e-6)
    unmoved = [name for name, value in mixed.items() if not value.abs().max() > 1e-8 and "key.bias" not in name]
    assert not unmoved


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("indices", [[1, 1], [1, 2], [2, 2]])
def test_labels_filled_up_to_the_largest_dataset_change_no_loss(model, crops, indices, training) -> None:
    """Batches of whatever datasets then have one shape, which a trainer joins without filling up by itself."""
    index = torch.tensor(indices)
    targets = _targets(model, index)
    missing = 17 - targets["labels"].shape[1]
    wide = {
        "labels": torch.nn.functional.pad(targets["labels"], (0, 0, 0, 0, 0, missing)),
        "label_weights": torch.nn.functional.pad(targets["label_weights"], (0, missing), value=1.0),
    }
    model.train(training)
    found = []
    for own in (targets, wide):
        torch.manual_seed(0)  # of drop path
        found.append(model(crops[:2], dataset_index=index, **own))
    model.eval()
    narrow, output = found
    assert output.loss.item() == pytest.approx(narrow.loss.item(), rel=1e-6)
    assert output.heatmaps.shape == wide["labels"].shape
    assert output.keypoint_mask.sum(dim=1).tolist() == [[17, 14, 16][own] for own in indices]
    assert torch.equal(output.heatmaps[:, : 17 - missing], narrow.heatmaps)
    assert not output.heatmaps[~output.keypoint_mask].any()


def test_labels_of_more_keypoints_than_the_largest_dataset_are_refused(model, crops) -> None:
    with pytest.raises(ValueError, match=r"expected heatmaps of shape \(5, 17, .*got \(5, 18"):
        model(crops, dataset_index=MIXED, labels=torch.zeros(5, 18, *model.config.heatmap_size))


def test_the_loss_of_one_dataset_is_the_ordinary_one(model: Model, crops: torch.Tensor) -> None:
    targets = _targets(model, torch.full((5,), 1))
    output = model(crops, dataset_index=1, **targets)
    expected = heatmap_loss(output.heatmaps, **targets)
    torch.testing.assert_close(output.loss, expected)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("index", [0, torch.tensor([0, 0])], ids=["int", "tensor"])
def test_in_training_every_expert_and_head_has_a_gradient(decoder, index, small_model, random_crops) -> None:
    """Distributed training waits for the gradient of every parameter, used or not."""
    model = small_model("base", decoder=decoder, datasets=DATASETS, drop_path_rate=0.0).train()
    crops = random_crops(model)
    model(crops, dataset_index=index, **_targets(model, torch.tensor([0, 0]))).loss.backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert all((p.grad == 0).all() for name, p in model.named_parameters() if "experts.1" in name or "heads.1" in name)


@torch.no_grad()
def test_training_and_evaluation_agree(small_model, random_crops) -> None:
    """All heads on the whole batch, or each on its own samples: the simple decoder has no batch statistics."""
    model = small_model("base", decoder="simple", datasets=DATASETS, drop_path_rate=0.0)
    crops = random_crops(model, 5)
    expected = model(crops, dataset_index=MIXED)
    found = model.train()(crops, dataset_index=MIXED)
    torch.testing.assert_close(found.heatmaps, expected.heatmaps, rtol=0, atol=1e-5)
    assert torch.equal(found.keypoint_mask, expected.keypoint_mask)


# ---------------------------------------------------------------------------- stock, with its experts


@pytest.fixture(scope="module")
def with_experts(small_config, randomise) -> VitPoseForPoseEstimation:
    """Transformers' class with six experts and, as released, COCO's head alone."""
    values = small_config("base", num_experts=6, part_features=12).to_dict()
    assert values["model_type"] == "vitpose"
    stock = VitPoseForPoseEstimation(VitPoseConfig.from_dict(values)).eval()
    randomise(stock)
    return stock


@torch.no_grad()
def test_experts_equal_stock_in_a_batch_of_all_six(with_experts, tmp_path) -> None:
    with_experts.save_pretrained(tmp_path)
    model = Model.from_pretrained(tmp_path)
    assert model.state_dict().keys() == with_experts.state_dict().keys()
    assert model.config.dataset_names == RELEASED_DATASETS
    crops, index = torch.randn(6, 3, *model.config.image_size), torch.tensor([5, 3, 1, 0, 2, 4])
    expected = with_experts(crops, dataset_index=index).heatmaps
    assert expected.std() > 0.1
    torch.testing.assert_close(model(crops, dataset_index=index).heatmaps, expected, rtol=0, atol=1e-5)
    model.save_pretrained(tmp_path / "again")
    again = AutoModelForPoseEstimation.from_pretrained(tmp_path / "again")
    assert type(again) is VitPoseForPoseEstimation
    torch.testing.assert_close(again(crops, dataset_index=index).heatmaps, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_folded_stock_experts_equal_stock(with_experts, tmp_path) -> None:
    with_experts.save_pretrained(tmp_path)
    crops = torch.randn(2, 3, *with_experts.config.backbone_config.image_size)
    for dataset, index in (("coco", 0), (3, 3), (5, 5)):
        folded = Model.from_pretrained(tmp_path).fold_experts(dataset)
        expected = with_experts(crops, dataset_index=torch.tensor([index, index])).heatmaps
        torch.testing.assert_close(folded(crops).heatmaps, expected, rtol=0, atol=1e-5)


def test_a_head_of_one_dataset_finds_no_other_s_keypoints(with_experts, tmp_path) -> None:
    with_experts.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="dataset: expected one of coco or an index from 0 to 5, got 'ap10k'"):
        Model.from_pretrained(tmp_path).fold_experts("ap10k")


# ----------------------------------------------------------------------------------- folding, unfolding


@torch.no_grad()
@pytest.mark.parametrize(("index", "name"), list(enumerate(DATASETS)))
def test_folded_models_are_dense_and_equal(index: int, name: str, model: Model, crops: torch.Tensor, tmp_path) -> None:
    folded = model.fold_experts(name)
    assert folded.config.is_stock and folded.config.num_datasets == 1
    assert folded.config.get_schema().name == name
    assert list(folded.config.id2label.values()) == list(model.config.get_schema(index).keypoints)
    expected = model(crops, dataset_index=index).heatmaps
    torch.testing.assert_close(folded(crops).heatmaps, expected, rtol=0, atol=1e-5)
    folded.save_pretrained(tmp_path)
    stock = AutoModelForPoseEstimation.from_pretrained(tmp_path)
    assert type(stock) is VitPoseForPoseEstimation
    torch.testing.assert_close(stock(crops).heatmaps, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_folded_model_shares_no_memory(model: Model, crops: torch.Tensor) -> None:
    expected = model(crops, dataset_index=0).heatmaps
    for parameter in model.fold_experts("coco").parameters():
        assert parameter.requires_grad
        parameter.zero_()
    assert torch.equal(model(crops, dataset_index=0).heatmaps, expected)


@torch.no_grad()
@pytest.mark.parametrize("kind", EXPERT_KINDS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_from_dense_changes_nothing_at_first(kind: str, decoder: str, small_model, random_crops) -> None:
    dense = small_model("base", decoder=decoder)
    model = Model.from_dense(dense, datasets=["aic", "coco", "mpii"], expert_kind=kind, part_features=12)
    crops = random_crops(dense)
    torch.testing.assert_close(model(crops, dataset_index=1).heatmaps, dense(crops).heatmaps, rtol=0, atol=1e-5)
    for index in (0, 2):
        features = model.backbone(crops, dataset_index=index).feature_maps[-1]
        torch.testing.assert_close(features, dense.backbone(crops).feature_maps[-1], rtol=0, atol=1e-5)
        assert model(crops, dataset_index=index).heatmaps.isfinite().all()
    folded = model.fold_experts("coco")
    torch.testing.assert_close(folded(crops).heatmaps, dense(crops).heatmaps, rtol=0, atol=1e-5)


def test_partially_shared_experts_start_from_the_last_rows(small_model) -> None:
    dense = small_model("base")
    model = Model.from_dense(dense, datasets=["coco", "aic"], part_features=12)
    mlp, source = model.backbone.encoder.layer[1].mlp, dense.backbone.encoder.layer[1].mlp
    assert torch.equal(mlp.fc2.weight, source.fc2.weight[:-12])
    for expert in mlp.experts:
        assert torch.equal(expert.weight, source.fc2.weight[-12:])
        assert torch.equal(expert.bias, source.fc2.bias[-12:])


# -------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize(("preset", "part"), [("small", 192), ("base", 192), ("large", 256), ("huge", 320)])
def test_presets_have_the_released_part_features(preset: str, part: int) -> None:
    config = ViTPoseConfig.from_preset(preset, datasets=RELEASED_DATASETS)
    assert config.backbone_config.num_experts == config.num_datasets == 6
    assert config.backbone_config.part_features == part
    assert [config.get_schema(index).num_keypoints for index in range(6)] == [17, 14, 16, 17, 17, 133]


BAD_CONFIGS = [
    ("fewer experts than heads", {"num_experts": 2}, "expected one schema, or one for each of the 2 experts, got 3"),
    ("no experts at all", {"num_experts": 0}, "num_experts: expected 1, no experts, or the number of datasets, got 0"),
    ("an unknown kind", {"expert_kind": "shared"}, "expert_kind: expected one of partially_shared, independent,"),
    ("experts for everything", {"part_features": 768}, "part_features: expected a number between 0 and hidden_size"),
]


@pytest.mark.parametrize(("why", "options", "message"), BAD_CONFIGS, ids=[row[0] for row in BAD_CONFIGS])
def test_impossible_configurations_are_refused(why, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        ViTPoseConfig.from_preset("base", datasets=DATASETS, **options)


def test_a_dataset_cannot_come_twice() -> None:
    with pytest.raises(ValueError, match=r"expected schemas of different names, got \['coco', 'coco'\]"):
        ViTPoseConfig.from_preset("base", datasets=["coco", "coco"])


BAD_INDICES = [
    ("none given", None, r"expected an int, or a long tensor of shape \(5,\), as this model has 3 datasets .*got None"),
    (
        "beyond the last",
        3,
        r"expected values from 0 to 2, as this model has 3 datasets \(0 coco, 1 aic, 2 mpii\); got 3",
    ),
    ("counted from the end", -1, "expected values from 0 to 2, .* got -1"),
    ("one entry beyond", torch.tensor([0, 1, 2, 3, 0]), "expected values from 0 to 2"),
    ("a fraction", 0.5, ".*one entry per crop; got 0.5"),
    ("of the wrong length", torch.tensor([0, 1]), r"expected an int, or a long tensor of shape \(5,\)"),
]


@pytest.mark.parametrize(("why", "index", "message"), BAD_INDICES, ids=[row[0] for row in BAD_INDICES])
def test_bad_indices_are_refused(why, index, message, model: Model, crops: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="dataset_index: " + message):
        model(crops, dataset_index=index)


@pytest.mark.parametrize("name", ["crowdpose", 3, -1, True])
def test_unknown_datasets_cannot_be_folded(name, model: Model) -> None:
    with pytest.raises(
        ValueError, match=f"dataset: expected one of coco, aic, mpii or an index from 0 to 2, got {name!r}"
    ):
        model.fold_experts(name)


def test_experts_cannot_grow_on_experts(model: Model) -> None:
    with pytest.raises(ValueError, match="start from a model of one dataset, for two or more: got a model of 3 and 2"):
        Model.from_dense(model, datasets=["coco", "aic"])


# -------------------------------------------------------------------------------- saving and loading


STRANGER = """
import sys
sys.modules["vitpose"] = None  # as if it were not installed
import json, torch
from transformers import AutoModel, AutoModelForPoseEstimation
expected = torch.load(sys.argv[1] + "/expected.pt")
found = {}
for auto in (AutoModel, AutoModelForPoseEstimation):
    model = auto.from_pretrained(sys.argv[1], trust_remote_code=True)
    with torch.no_grad():
        heatmaps = model(expected["crops"], dataset_index=expected["index"]).heatmaps
    found[auto.__name__] = float((heatmaps - expected["heatmaps"]).abs().max())
try:
    AutoModelForPoseEstimation.from_pretrained(sys.argv[1], trust_remote_code=False)
except ValueError as error:
    found["without remote code"] = str(error)
print(json.dumps(found))
"""


WINDOWS = {"attention_kind": "shifted_pooled_window", "window_size": (4, 4)}
BEYOND_STOCK = {
    **{kind: {"expert_kind": kind} for kind in EXPERT_KINDS},
    "windows, convolution, stride": {**WINDOWS, "parallel_convolution": True, "patch_stride": 8},
    "knowledge token": {"num_experts": 1, "knowledge_token_size": 24},
}


@pytest.mark.parametrize("options", BEYOND_STOCK.values(), ids=BEYOND_STOCK)
def test_folders_load_with_and_without_vitpose(options: dict, small_model, random_crops, tmp_path: Path) -> None:
    """What transformers' class cannot compute is saved under our own type: stock code refuses it."""
    model = small_model("base", decoder="simple", datasets=DATASETS, **options)
    crops = random_crops(model, 5)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "vitpose_plus"
    with torch.no_grad():
        expected = model(crops, dataset_index=MIXED).heatmaps
        for auto in (AutoModel, AutoModelForPoseEstimation):
            loaded = auto.from_pretrained(tmp_path)
            assert type(loaded) is Model
            torch.testing.assert_close(loaded(crops, dataset_index=MIXED).heatmaps, expected)
    torch.save({"crops": crops, "index": MIXED, "heatmaps": expected}, tmp_path / "expected.pt")
    result = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path)],
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["AutoModel"] <= 1e-6 and found["AutoModelForPoseEstimation"] <= 1e-6
    assert "trust_remote_code=True" in found["without remote code"]


# ---------------------------------------------------------------------------------- compile and export


@torch.no_grad()
@pytest.mark.parametrize("index", [1, MIXED], ids=["int", "tensor"])
def test_compiles_into_one_graph(index, model: Model, crops: torch.Tensor) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")(crops, dataset_index=index)
    expected = model(crops, dataset_index=index)
    torch.testing.assert_close(compiled.heatmaps, expected.heatmaps, rtol=0, atol=1e-5)
    assert torch.equal(compiled.keypoint_mask, expected.keypoint_mask)


@torch.no_grad()
def test_exports_with_any_batch_and_index(model: Model, crops: torch.Tensor, random_crops) -> None:
    batch = torch.export.Dim("batch", min=2, max=64)
    shapes = {"pixel_values": {0: batch}, "dataset_index": {0: batch}}
    exported = torch.export.export(model, (crops,), {"dataset_index": MIXED}, dynamic_shapes=shapes).module()
    more, index = random_crops(model, 7), torch.tensor([1, 2, 0, 2, 1, 0, 0])
    expected = model(more, dataset_index=index).heatmaps
    torch.testing.assert_close(exported(more, dataset_index=index).heatmaps, expected, rtol=0, atol=1e-5)
