"""Which layout a file has, and what files of other architectures are called."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation, convert_checkpoint

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": (64, 48)}
CROPS = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(2))

# names as the projects write them
OTHERS = [
    ("HRNet", ["backbone.conv1.weight", "backbone.stage2.0.branches.0.0.conv1.weight",
               "keypoint_head.final_layer.bias"]),
    ("HRFormer", ["backbone.stage2.0.branches.0.0.attn.attn.w_msa.qkv.weight",
                  "backbone.stage2.0.fuse_layers.0.1.0.weight"]),
    ("RTMPose", ["backbone.stage1.0.conv.weight", "backbone.stage1.1.main_conv.conv.weight", "head.gau.w"]),
    ("CSPNeXt", ["backbone.stage1.1.main_conv.conv.weight", "backbone.stem.0.conv.weight"]),
    ("Swin", ["patch_embed.proj.weight", "layers.0.blocks.0.norm1.weight", "layers.0.blocks.0.attn.qkv.weight",
              "layers.0.blocks.0.attn.relative_position_bias_table"]),
    ("Swin", ["backbone.patch_embed.projection.weight", "backbone.stages.0.blocks.0.attn.w_msa.qkv.weight"]),
    ("ResNet", ["backbone.layer1.0.conv1.weight", "keypoint_head.deconv_layers.0.weight",
                "keypoint_head.final_layer.bias"]),
    ("ResNet", ["layer4.2.conv3.weight", "fc.weight"]),
    ("YOLO", ["model.0.conv.weight", "model.22.cv4.0.0.conv.weight"]),
    ("ConvNeXt", ["downsample_layers.0.0.weight", "stages.0.0.dwconv.weight"]),
    ("MobileNet", ["backbone.layer1.0.depthwise_conv.conv.weight", "backbone.conv1.conv.weight"]),
]  # fmt: skip


@pytest.mark.parametrize(("title", "names"), OTHERS, ids=[f"{row[0]}-{len(row[1][0])}" for row in OTHERS])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_files_of_other_architectures_are_called_by_their_name(title, names, prefix, tmp_path) -> None:
    torch.save({"state_dict": {f"{prefix}{name}": torch.zeros(4, 4) for name in names}}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=rf"other\.pth: no layout of a plain ViT .* looks like .*{title}.*not a plain"):
        convert_checkpoint(tmp_path / "other.pth")


def test_a_vit_with_other_positions_is_called_so(tmp_path: Path) -> None:
    names = ["cls_token", "patch_embed.proj.weight", "rope_embed.periods", "blocks.0.norm1.weight", "norm.weight"]
    shapes = {"patch_embed.proj.weight": (32, 3, 16, 16), "cls_token": (1, 1, 32)}
    torch.save({name: torch.ones(shapes.get(name, (32,))) for name in names}, tmp_path / "dinov3.pth")
    with pytest.raises(ValueError, match=r"looks like a ViT with rotary positions, such as DINOv3, not a plain ViT"):
        convert_checkpoint(tmp_path / "dinov3.pth")


# ---------------------------------------------------------------------- transformers' own names, bare


@pytest.fixture
def stock(randomise) -> VitPoseForPoseEstimation:
    backbone = VitPoseBackboneConfig(**SIZE, patch_size=[16, 16], out_indices=[2], layer_norm_eps=1e-12)
    model = VitPoseForPoseEstimation(VitPoseConfig(backbone_config=backbone, num_labels=17)).eval()
    randomise(model)
    return model


@torch.no_grad()
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("save", [torch.save, save_file], ids=["pth", "safetensors"])
def test_a_bare_state_dict_of_the_stock_model_gives_its_heatmaps(save, prefix, stock, tmp_path: Path) -> None:
    file = tmp_path / f"weights.{'pth' if save is torch.save else 'safetensors'}"
    save({f"{prefix}{name}": value.contiguous() for name, value in stock.state_dict().items()}, file)
    model = convert_checkpoint(file, num_attention_heads=2)
    expected = stock(CROPS).heatmaps
    assert expected.std() > 0.05
    torch.testing.assert_close(model(CROPS).heatmaps, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_file_of_a_saved_model_takes_the_config_beside_it(tmp_path: Path) -> None:
    config = ViTPoseConfig.from_preset("small", decoder="simple", attention_kind="window", window_size=2, **SIZE)
    model = ViTPoseForPoseEstimation(config).eval()
    model.save_pretrained(tmp_path)
    again = convert_checkpoint(tmp_path / "model.safetensors")
    torch.testing.assert_close(again(CROPS).heatmaps, model(CROPS).heatmaps)


@torch.no_grad()
@pytest.mark.parametrize("experts", [3, 1], ids=["ViTPose++", "multi-task"])
def test_a_bare_state_dict_of_several_datasets_has_all_its_heads(experts: int, tmp_path: Path) -> None:
    datasets = ["coco", "mpii", "aic"]
    config = ViTPoseConfig.from_preset("small", decoder="simple", datasets=datasets, num_experts=experts, **SIZE)
    model = ViTPoseForPoseEstimation(config).eval()
    torch.save({"model": model.state_dict()}, tmp_path / "file.pth")
    again = convert_checkpoint(tmp_path / "file.pth", datasets=datasets, num_attention_heads=2)
    for index in range(3):
        ours, theirs = (one(CROPS, dataset_index=index).heatmaps for one in (again, model))
        torch.testing.assert_close(ours, theirs)
