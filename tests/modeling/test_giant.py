"""ViTPose-G: its size, its convolution branch, and that it can be handled in parts."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation
from vitpose.modeling.configuration_vitpose import Preset
from vitpose.modeling.convolution_vitpose import ViTPoseConvolutionBranch

Model = ViTPoseForPoseEstimation


def _count(preset: Preset, **options) -> int:
    with torch.device("meta"):
        model = Model(ViTPoseConfig.from_preset(preset, **options))
    return sum(parameter.numel() for parameter in model.backbone.parameters())


@pytest.mark.parametrize("image_size", [(576, 432), (256, 192)])
def test_giant_has_the_published_billion_parameters(image_size: tuple[int, int]) -> None:
    assert _count("giant", image_size=image_size) == pytest.approx(1.03e9, rel=0.005)


def test_the_convolution_branch_makes_vit_h_into_vitae_h() -> None:
    """The ViTAE paper: 644 M parameters, where ViT-H has 632 M (288 weights for each channel of a token, a block)."""
    assert _count("huge") == pytest.approx(632e6, rel=0.005)
    assert _count("huge", parallel_convolution=True) == pytest.approx(644e6, rel=0.005)


def test_giant_takes_its_published_resolution() -> None:
    config = ViTPoseConfig.from_preset("giant")
    assert config.image_size == (576, 432) and config.heatmap_size == (144, 108)
    assert config.backbone_config.intermediate_size == 6144
    assert not config.is_stock


@torch.no_grad()
def test_the_branch_is_two_grouped_convolutions_over_the_grid(small_config) -> None:
    config = small_config("giant").backbone_config
    branch = ViTPoseConvolutionBranch(config).eval().double()
    generator = torch.Generator().manual_seed(0)
    for value in branch.parameters():
        value.copy_(torch.randn(value.shape, generator=generator))
    branch.batchnorm.running_mean.copy_(torch.randn(352, generator=generator))
    branch.batchnorm.running_var.copy_(torch.rand(352, generator=generator) + 0.5)
    tokens = torch.randn(1, 12 + 1, 88, generator=generator, dtype=torch.float64)  # a knowledge token after the grid
    result = branch(tokens, (4, 3))

    def convolve(grid: torch.Tensor, weight: torch.Tensor, row: int, column: int) -> torch.Tensor:
        """One output place of a 3x3 convolution with 22 groups, the channels of each group apart."""
        total = torch.zeros(len(weight), dtype=torch.float64)
        each = len(weight) // 22
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                if 0 <= row + dy < 4 and 0 <= column + dx < 3:
                    groups = grid[:, row + dy, column + dx].unflatten(0, (22, -1))
                    taps = weight[:, :, dy + 1, dx + 1].unflatten(0, (22, each))
                    total += torch.einsum("goc,gc->go", taps, groups).flatten()
        return total

    def everywhere(grid: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        rows = [torch.stack([convolve(grid, weight, y, x) for x in range(3)], dim=1) for y in range(4)]
        return torch.stack(rows, dim=1)

    norm = branch.batchnorm
    wide = everywhere(tokens[0, :12].T.unflatten(1, (4, 3)), branch.conv1.weight)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    wide = (wide - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]
    expected = everywhere(wide / (1 + (-wide).exp()), branch.conv2.weight).flatten(1).T
    torch.testing.assert_close(result[0, :12], expected, rtol=0, atol=1e-9)
    assert (result[0, 12] == 0).all()


@torch.no_grad()
def test_a_block_adds_the_branch_to_its_input(small_model) -> None:
    layer = small_model("giant", decoder="simple").backbone.encoder.layer[0]
    tokens = torch.randn(1, 12, 88)
    with_branch, _ = layer(tokens, (4, 3))
    expected = tokens + layer.attention(layer.layernorm_before(tokens), (4, 3))[0] + layer.convolution(tokens, (4, 3))
    expected = expected + layer.mlp(layer.layernorm_after(expected))
    torch.testing.assert_close(with_branch, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_shards_give_the_model_back(small_model, random_crops, tmp_path: Path) -> None:
    model = small_model("giant", decoder="simple")
    model.save_pretrained(tmp_path, max_shard_size="200KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text("utf-8"))
    assert len(set(index["weight_map"].values())) > 2
    crops = random_crops(model)
    # not bit for bit: weights at another place in memory may take another kernel
    torch.testing.assert_close(Model.from_pretrained(tmp_path).eval()(crops).heatmaps, model(crops).heatmaps)


@torch.no_grad()
def test_devices_are_found_by_themselves(small_model, random_crops, tmp_path: Path) -> None:
    model = small_model("giant", decoder="simple")
    model.save_pretrained(tmp_path)
    placed = Model.from_pretrained(tmp_path, device_map="auto").eval()
    crops = random_crops(model)
    torch.testing.assert_close(placed(crops.to(placed.device)).heatmaps.cpu(), model(crops).heatmaps)


def test_blocks_are_never_split_between_devices() -> None:
    assert set(Model._no_split_modules) == {"ViTPoseEmbeddings", "ViTPoseLayer"}
    layer = Model(ViTPoseConfig.from_preset("tiny", decoder="simple")).backbone.encoder.layer[0]
    assert isinstance(layer, nn.Module) and type(layer).__name__ in Model._no_split_modules
