"""Partial fine-tuning: what stands still with the attention or the feed-forward layers, and the report."""

import re

import pytest
import torch

from vitpose import ViTPoseForPoseEstimation

Model = ViTPoseForPoseEstimation

# What the released configs freeze, by the names of the parameters.
FROZEN = {
    "attention": r"\.attention\.|layernorm_before",
    "ffn": r"\.mlp\.|layernorm_after|patch_embeddings|position_embeddings",
}


@pytest.fixture(params=sorted(FROZEN))
def part(request: pytest.FixtureRequest) -> str:
    return request.param


def _train_once(model: Model, crops: torch.Tensor) -> None:
    labels = torch.rand(len(crops), 17, *model.config.heatmap_size)
    index = {"dataset_index": torch.arange(len(crops)) % 2} if model.config.num_datasets > 1 else {}
    torch.manual_seed(0)
    model.train()(crops, labels=labels, **index).loss.backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()


@pytest.mark.parametrize(
    "options",
    [{}, {"attention_kind": "shifted_window", "window_size": (2, 2)}, {"datasets": ["coco", "mpii"]}],
    ids=["plain", "windows", "experts"],
)
def test_a_step_changes_what_is_not_frozen(part: str, options: dict, small_model, random_crops) -> None:
    model = small_model("base", decoder="simple", drop_path_rate=0.0, **options)
    before = {name: value.clone() for name, value in model.named_parameters()}
    model.freeze(part)
    _train_once(model, random_crops(model))
    for name, parameter in model.named_parameters():
        stands_still = re.search(FROZEN[part], name) is not None
        assert torch.equal(parameter, before[name]) == (stands_still or name.endswith("key.bias")) or (
            name.endswith("key.bias")  # its gradient is rounding noise
        ), name
        assert parameter.requires_grad is not stands_still, name


def test_drop_path_of_a_frozen_branch_is_off_for_good(part: str, small_model) -> None:
    model = small_model("base", decoder="simple", drop_path_rate=0.5)
    model.freeze(part)
    for mode in (True, False, True):
        model.train(mode)
        layer = model.backbone.encoder.layer[1]
        assert layer.drop_path_attention.training is (mode and part != "attention")
        assert layer.drop_path_mlp.training is (mode and part != "ffn")
        assert layer.attention.training is (mode and part != "attention")
        assert layer.mlp.training is (mode and part != "ffn")
        assert model.head.training is mode


def test_the_report_counts_every_part(part: str, small_model) -> None:
    model = small_model("base", decoder="simple", knowledge_token_size=24, parallel_convolution=True)
    before = model.trainable_parameters()
    assert all(size.trainable == size.total > 0 for size in before.values())
    assert set(before) == {
        *("patch embedding", "position table", "knowledge token", "attention", "feed-forward"),
        *("convolution", "norms", "heads", "total"),
    }
    model.freeze(part)
    after = model.trainable_parameters()
    assert sum(size.total for name, size in after.items() if name != "total") == after["total"].total
    assert after["total"].total == sum(p.numel() for p in model.parameters())
    assert after["total"].trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    still = {name for name, size in after.items() if size.trainable == 0}
    assert still == ({"attention"} if part == "attention" else {"feed-forward", "patch embedding", "position table"})
    assert 0 < after["norms"].trainable < after["norms"].total


def test_an_unknown_part_is_refused(small_model) -> None:
    with pytest.raises(ValueError, match="part: expected one of attention, ffn, got 'mlp'"):
        small_model("base").freeze("mlp")
