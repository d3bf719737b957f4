"""From a recipe to a model: whose weights it starts from, what may differ, and what is frozen."""

import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from transformers import VitPoseBackbone

from vitpose import ViTPoseBackbone, ViTPoseConfig, ViTPoseForPoseEstimation, get_keypoint_schema
from vitpose.modeling.positions_vitpose import resize_positions
from vitpose.training.engine.model_building import build_model
from vitpose.training.results.pose import pose_parts
from vitpose.training.session import build_trainer

POSITIONS = "backbone.embeddings.position_embeddings"


@pytest.fixture
def saved(make_recipe, tmp_path: Path) -> ViTPoseForPoseEstimation:
    model = build_model(make_recipe())
    model.save_pretrained(tmp_path / "saved")
    return model


def test_a_run_starts_from_a_saved_model(make_recipe, saved, tmp_path: Path) -> None:
    model = build_model(make_recipe(init_from=str(tmp_path / "saved"), seed=7))
    torch.testing.assert_close(model.state_dict(), saved.state_dict(), rtol=0, atol=0)


def test_a_run_at_another_resolution_resizes_the_position_table(make_recipe, saved, tmp_path: Path) -> None:
    model = build_model(make_recipe(init_from=str(tmp_path / "saved"), image_height=96, image_width=64))
    assert model.config.image_size == (96, 64)
    weights, before = model.state_dict(), saved.state_dict()
    expected = resize_positions(before.pop(POSITIONS), from_grid=(8, 6), to_grid=(12, 8))
    torch.testing.assert_close(weights.pop(POSITIONS), expected)
    torch.testing.assert_close(weights, before, rtol=0, atol=0)
    assert model(torch.zeros(1, 3, 96, 64)).heatmaps.shape == (1, 17, 48, 32)


@pytest.mark.parametrize("kind", [ViTPoseBackbone, VitPoseBackbone])
@pytest.mark.parametrize("resolution", [(64, 48), (96, 64)])
def test_a_run_starts_from_the_folder_of_a_backbone(kind, resolution, make_recipe, saved, tmp_path: Path) -> None:
    config = saved.config.to_dict()["backbone_config"]
    backbone = kind(kind.config_class.from_dict(config))
    backbone.load_state_dict(saved.backbone.state_dict())
    backbone.save_pretrained(tmp_path / "backbone")
    source = {"init_from": str(tmp_path / "backbone")}
    model = build_model(make_recipe(**source, image_height=resolution[0], image_width=resolution[1]))
    weights, before = model.backbone.state_dict(), saved.backbone.state_dict()
    table = POSITIONS.removeprefix("backbone.")
    grid = (resolution[0] // 8, resolution[1] // 8)
    expected = resize_positions(before.pop(table), from_grid=(8, 6), to_grid=grid)
    torch.testing.assert_close(weights.pop(table), expected)
    torch.testing.assert_close(weights, before, rtol=0, atol=0)


def test_another_architecture_is_refused(make_recipe, saved, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another model than the recipe's: use_simple_decoder True there, False in"):
        build_model(make_recipe(init_from=str(tmp_path / "saved"), decoder="classic"))


def test_weights_that_are_not_there_are_not_looked_for_on_the_hub(make_recipe) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file mae_vit_base.pth"):
        build_model(make_recipe(init_from="mae_vit_base.pth"))


def test_experts_of_another_kind_are_refused(make_recipe, tmp_path: Path) -> None:
    mixture = [{"data": "synthetic"}, {"data": "people", "data_dir": "d", "schema": "mpii"}]
    build_model(make_recipe(mixture=mixture, experts="independent")).save_pretrained(tmp_path / "experts")
    with pytest.raises(ValueError, match="expert_kind independent there, partially_shared in the recipe"):
        build_model(make_recipe(mixture=mixture, experts="partially_shared", init_from=str(tmp_path / "experts")))


def test_a_frozen_part_stays_as_it_is(make_recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = make_recipe(freeze="ffn", learning_rate=0.01, flip_test=False)
    before = build_model(recipe).state_dict()
    caplog.set_level("INFO", logger="vitpose")
    Path(recipe.run.output_dir).mkdir()
    accelerator = Accelerator()
    trainer = build_trainer(recipe, accelerator, pose_parts(recipe, accelerator, write_card=None))
    trainer.train()
    changed = {name for name, value in trainer.model.state_dict().items() if not torch.equal(value, before[name])}
    frozen = ("mlp.", "layernorm_after.", "position_embeddings", "patch_embeddings")
    assert changed and not [name for name in changed if any(part in name for part in frozen)]
    assert {name.split(".")[0] for name in changed} == {"backbone", "head"}
    assert "feed-forward: 0.00 of" in caplog.text and "heads: " in caplog.text


def test_keypoints_of_the_same_name_start_from_the_checkpoint(make_recipe, tmp_path):
    build_model(make_recipe()).save_pretrained(tmp_path / "coco")
    schema = get_keypoint_schema("lspet")
    recipe = make_recipe(init_from=str(tmp_path / "coco"), data="people", data_dir="x", schema="lspet")
    model, old = build_model(recipe), ViTPoseForPoseEstimation.from_pretrained(tmp_path / "coco")
    shared = [
        (place, old.config.get_schema().keypoints.index(name))
        for place, name in enumerate(schema.keypoints)
        if name in old.config.get_schema().keypoints
    ]
    assert len(shared) == 12
    for place, theirs in shared:
        assert torch.equal(model.head.conv.weight[place], old.head.conv.weight[theirs])
    assert not torch.equal(model.head.conv.weight[12], old.head.conv.weight[12])
    ours, theirs = model.backbone.state_dict(), old.backbone.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def spell(schema, tmp_path, *, keypoints):
    """A file of the schema under other names."""
    file = tmp_path / "own.json"
    file.write_text(json.dumps({**schema.to_dict(), "name": "own", "keypoints": keypoints}))
    return str(file)


@pytest.mark.parametrize(
    ("left", "right"),
    [("L_{}", "R_{}"), ("{}_l", "{}_r"), ("l{}", "r{}"), ("{}Left", "{}Right"), ("Left {}", "Right {}")],
)
def test_keypoints_start_from_the_checkpoint_however_they_are_spelled(make_recipe, tmp_path, left, right):
    old = build_model(make_recipe())
    old.save_pretrained(tmp_path / "coco")
    names = [
        left.format(name[5:]) if name.startswith("left_") else right.format(name[6:]) if "_" in name else name
        for name in get_keypoint_schema("coco").keypoints
    ]
    own = spell(get_keypoint_schema("coco"), tmp_path, keypoints=names)
    model = build_model(make_recipe(init_from=str(tmp_path / "coco"), data="people", data_dir="x", schema=own))
    assert model.config.get_schema().keypoints == tuple(names)
    torch.testing.assert_close(model.state_dict(), old.state_dict(), rtol=0, atol=0)


def test_a_run_starts_from_the_part_of_a_larger_model_that_has_its_keypoints(make_recipe, tmp_path):
    config = ViTPoseConfig.from_preset("tiny", datasets=["aic", "coco"], decoder="simple")
    plus = ViTPoseForPoseEstimation(config)
    plus.save_pretrained(tmp_path / "plus")
    model = build_model(make_recipe(init_from=str(tmp_path / "plus")))
    expected = plus.fold_experts("coco").state_dict()
    torch.testing.assert_close(model.state_dict(), expected, rtol=0, atol=0)
    with pytest.raises(ValueError, match="of 2 datasets, the recipe has one, of other keypoints.*convert .* --fold"):
        build_model(make_recipe(init_from=str(tmp_path / "plus"), data="people", data_dir="x", schema="mpii"))


def test_a_run_starts_from_the_only_head_of_a_published_vitpose_plus(make_recipe, tmp_path):
    config = ViTPoseConfig.from_preset("tiny", decoder="simple")
    config.backbone_config.num_experts, config.backbone_config.part_features = 6, 8
    plus = ViTPoseForPoseEstimation(config)
    plus.save_pretrained(tmp_path / "plus")
    model = build_model(make_recipe(init_from=str(tmp_path / "plus"), data="people", data_dir="x", schema="lspet"))
    folded = plus.fold_experts("coco")
    ours, theirs = get_keypoint_schema("lspet").keypoints, get_keypoint_schema("coco").keypoints
    place = ours.index("left_knee")
    assert torch.equal(model.head.conv.weight[place], folded.head.conv.weight[theirs.index("left_knee")])
    torch.testing.assert_close(model.backbone.state_dict(), folded.backbone.state_dict(), rtol=0, atol=0)
