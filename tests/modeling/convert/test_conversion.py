"""Checkpoints of the authors' release: read, they give what their own formula gives; written, they come back equal.

The tests write tiny files with the keys of the release and compute heatmaps from these very keys, apart from our model.
"""

import logging
import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from transformers import Dinov2Config, Dinov2Model, ViTMAEConfig, ViTMAEModel

from vitpose import KeypointSchema, ViTPoseForPoseEstimation, convert_checkpoint
from vitpose.modeling.configuration_vitpose import RELEASED_DATASETS
from vitpose.modeling.convert.conversion import from_state_dict, to_authors
from vitpose.modeling.keypoint_schemas import schema_from_labels

Model = ViTPoseForPoseEstimation
StateDict = dict[str, torch.Tensor]

WIDTH, HEADS, BLOCKS, PART = 32, 2, 2, 8
COUNTS = {"coco": 17, "aic": 14, "mpii": 16, "ap10k": 17, "apt36k": 17, "coco_wholebody": 133}
CROPS = torch.randn(3, 3, 64, 48, generator=torch.Generator().manual_seed(1))
GIVEN = {"num_attention_heads": HEADS}  # this width was never published


def _authors(
    *, decoder: str = "classic", counts: tuple[int, ...] = (17,), experts: int = 0, positions: int = 12
) -> StateDict:
    """A state dict as the authors' code writes it, with random weights of order 1."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) / max(1, torch.tensor(shape[1:]).prod().item()) ** 0.5

    weights = {
        "backbone.pos_embed": random(1, 1 + positions, WIDTH) * 20,
        "backbone.patch_embed.proj.weight": random(WIDTH, 3, 16, 16),
        "backbone.patch_embed.proj.bias": random(WIDTH),
    }

    def linear(name: str, out: int, inside: int) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = random(out, inside), random(out)

    def norm(name: str, width: int) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = 1 + 0.2 * random(width), 0.2 * random(width)

    for index in range(BLOCKS):
        block = f"backbone.blocks.{index}"
        norm(f"{block}.norm1", WIDTH)
        linear(f"{block}.attn.qkv", 3 * WIDTH, WIDTH)
        linear(f"{block}.attn.proj", WIDTH, WIDTH)
        norm(f"{block}.norm2", WIDTH)
        linear(f"{block}.mlp.fc1", 4 * WIDTH, WIDTH)
        linear(f"{block}.mlp.fc2", WIDTH - (PART if experts else 0), 4 * WIDTH)
        for expert in range(experts):
            linear(f"{block}.mlp.experts.{expert}", PART, 4 * WIDTH)
    norm("backbone.last_norm", WIDTH)
    for number, count in enumerate(counts):
        head = "keypoint_head" if number == 0 else f"associate_keypoint_heads.{number - 1}"
        if decoder == "simple":
            weights[f"{head}.final_layer.weight"] = random(count, WIDTH, 3, 3)
            weights[f"{head}.final_layer.bias"] = random(count)
            continue
        for place, inside in ((0, WIDTH), (3, 256)):
            weights[f"{head}.deconv_layers.{place}.weight"] = random(inside, 256, 4, 4) * 4
            norm(f"{head}.deconv_layers.{place + 1}", 256)
            weights[f"{head}.deconv_layers.{place + 1}.running_mean"] = random(256)
            weights[f"{head}.deconv_layers.{place + 1}.running_var"] = 0.5 + random(256).square()
            weights[f"{head}.deconv_layers.{place + 1}.num_batches_tracked"] = torch.tensor(7)
        weights[f"{head}.final_layer.weight"] = random(count, 256, 1, 1)
        weights[f"{head}.final_layer.bias"] = random(count)
    return weights


def _by_formula(weights: StateDict, crops: torch.Tensor, dataset: int = 0, num_keypoints: int = 17) -> torch.Tensor:
    """Heatmaps after the papers' formulas, from the authors' own keys."""

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-6).sqrt()
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    kernel, bias = weights["backbone.patch_embed.proj.weight"], weights["backbone.patch_embed.proj.bias"]
    grid = F.conv2d(crops, kernel, bias, stride=16, padding=2)
    x = grid.flatten(2).transpose(1, 2)
    x = x + weights["backbone.pos_embed"][:, 1:] + weights["backbone.pos_embed"][:, :1]
    for index in range(BLOCKS):
        block = f"backbone.blocks.{index}"
        qkv = linear(f"{block}.attn.qkv", norm(f"{block}.norm1", x)).unflatten(-1, (3, HEADS, WIDTH // HEADS))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        context = ((q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + linear(f"{block}.attn.proj", context)
        hidden = F.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x)))
        branch = linear(f"{block}.mlp.fc2", hidden)
        if f"{block}.mlp.experts.{dataset}.weight" in weights and branch.shape[-1] < WIDTH:
            branch = torch.cat([branch, linear(f"{block}.mlp.experts.{dataset}", hidden)], dim=-1)
        x = x + branch
    features = norm("backbone.last_norm", x).transpose(1, 2).unflatten(2, grid.shape[-2:])
    head = "keypoint_head" if dataset == 0 else f"associate_keypoint_heads.{dataset - 1}"
    last = weights[f"{head}.final_layer.weight"][:num_keypoints], weights[f"{head}.final_layer.bias"][:num_keypoints]
    if f"{head}.deconv_layers.0.weight" not in weights:
        enlarged = F.interpolate(F.relu(features), scale_factor=4, mode="bilinear", align_corners=False)
        return F.conv2d(enlarged, *last, padding=1)
    for place in (0, 3):
        deconv, bn = weights[f"{head}.deconv_layers.{place}.weight"], f"{head}.deconv_layers.{place + 1}"
        features = F.conv_transpose2d(features, deconv, stride=2, padding=1)
        statistics = weights[f"{bn}.running_mean"], weights[f"{bn}.running_var"]
        features = F.relu(F.batch_norm(features, *statistics, weights[f"{bn}.weight"], weights[f"{bn}.bias"]))
    return F.conv2d(features, *last)


def _assert_equal(heatmaps: torch.Tensor, expected: torch.Tensor) -> None:
    assert expected.std() > 0.05, "heatmaps this small would agree by themselves"
    torch.testing.assert_close(heatmaps, expected, rtol=0, atol=1e-5)


PLUS = {"counts": (17, 133, 133, 133, 133, 133), "experts": 6}


@torch.no_grad()
@pytest.mark.parametrize("decoder", ["classic", "simple"])
def test_a_plain_file_gives_its_own_heatmaps(decoder: str, tmp_path: Path) -> None:
    weights = _authors(decoder=decoder)
    torch.save({"meta": {"epoch": 210}, "state_dict": weights}, tmp_path / "vitpose.pth")
    model = convert_checkpoint(tmp_path / "vitpose.pth", **GIVEN)
    assert (model.config.dataset_names, model.config.image_size) == (["coco"], (64, 48))
    assert model.config.backbone_config.layer_norm_eps == 1e-6  # of the released configs; a file does not say
    assert model.config.use_simple_decoder == (decoder == "simple")
    _assert_equal(model(CROPS).heatmaps, _by_formula(weights, CROPS))


@torch.no_grad()
@pytest.mark.parametrize("decoder", ["classic", "simple"])
def test_vitpose_plus_gives_the_heatmaps_of_all_its_datasets(decoder: str) -> None:
    weights = _authors(decoder=decoder, **PLUS)
    model = from_state_dict(weights, **GIVEN)
    assert model.config.dataset_names == RELEASED_DATASETS == list(COUNTS)
    assert model.config.backbone_config.part_features == PART
    for index, count in enumerate(COUNTS.values()):
        expected = _by_formula(weights, CROPS, dataset=index, num_keypoints=count)
        _assert_equal(model(CROPS, dataset_index=index).heatmaps, expected)
        _assert_equal(model.fold_experts(index)(CROPS).heatmaps, expected)


@torch.no_grad()
def test_a_multi_task_file_has_a_head_for_each_dataset() -> None:
    weights = _authors(decoder="simple", counts=(17, 14, 16))
    weights["backbone.cls_token"] = torch.randn(1, 1, WIDTH)  # of the pre-training, which the release keeps unused
    model = from_state_dict(weights, datasets=["coco", "aic", "mpii"], **GIVEN)
    assert model.config.backbone_config.num_experts == 1
    for index, count in enumerate((17, 14, 16)):
        expected = _by_formula(weights, CROPS, dataset=index, num_keypoints=count)
        _assert_equal(model(CROPS, dataset_index=index).heatmaps, expected)


@torch.no_grad()
@pytest.mark.parametrize("kept", ["experts", "heads", "both"])
def test_a_split_file_leaves_the_others_out_and_says_so(kept: str, caplog: pytest.LogCaptureFixture) -> None:
    """The authors fold the expert of one dataset into fc2, and some files keep keys of the others."""
    plus = _authors(decoder="simple", **PLUS)
    weights = _authors(decoder="simple", counts=(14,))
    left = {name: value for name, value in plus.items() if ".experts." in name and kept != "heads"}
    left |= {name: value for name, value in plus.items() if name.startswith("associate") and kept != "experts"}
    caplog.set_level(logging.INFO, logger="vitpose")
    with pytest.raises(ValueError, match="datasets: the file has heads of "):
        from_state_dict({**weights, **left}, **GIVEN)
    model = from_state_dict({**weights, **left}, datasets=["aic"], **GIVEN)
    assert model.config.backbone_config.num_experts == 1
    _assert_equal(model(CROPS).heatmaps, _by_formula(weights, CROPS, num_keypoints=14))
    assert f"Left out, as this file is of one dataset ({len(left)}): " in caplog.text
    assert all(re.sub(r"\.\d+", ".#", name) in caplog.text for name in left)


@torch.no_grad()
def test_a_split_file_of_17_keypoints_needs_no_argument() -> None:
    plus, weights = _authors(decoder="simple", **PLUS), _authors(decoder="simple")
    left = {name: value for name, value in plus.items() if ".experts." in name or name.startswith("associate")}
    model = from_state_dict({**weights, **left}, **GIVEN)
    assert (model.config.dataset_names, model.config.backbone_config.num_experts) == (["coco"], 1)
    _assert_equal(model(CROPS).heatmaps, _by_formula(weights, CROPS))


def _numbered(count: int) -> KeypointSchema:
    return schema_from_labels([f"point {index}" for index in range(count)])


@torch.no_grad()
@pytest.mark.parametrize("count", [25, 52, 133, 17])
def test_heads_of_other_keypoints_take_a_schema(count: int) -> None:
    weights = _authors(counts=(count,))
    model = from_state_dict(weights, datasets=[_numbered(count)], **GIVEN)
    assert model.config.get_schema() == _numbered(count)
    _assert_equal(model(CROPS).heatmaps, _by_formula(weights, CROPS, num_keypoints=count))


@torch.no_grad()
def test_another_resolution_is_said() -> None:
    weights = _authors(decoder="simple", positions=16)
    crops = torch.randn(1, 3, 64, 64)
    with pytest.raises(ValueError, match="image_size: 16 patches make no 4 : 3 grid"):
        from_state_dict(weights, **GIVEN)
    model = from_state_dict(weights, image_size=(64, 64), **GIVEN)
    _assert_equal(model(crops).heatmaps, _by_formula(weights, crops))


@pytest.mark.parametrize("width", [384, 768, 1024, 1280])
def test_published_sizes_are_known_by_their_width(width: int) -> None:
    weights = {
        **{"backbone.pos_embed": (1, 193, width), "backbone.patch_embed.proj.weight": (width, 3, 16, 16)},
        **{"backbone.blocks.0.mlp.fc2.weight": (width, 4 * width), "keypoint_head.final_layer.bias": (17,)},
    }
    with pytest.raises(ValueError, match=r"Missing: backbone\.blocks\.0\.attn\.proj\.bias, .* and \d+ more"):
        from_state_dict({name: torch.zeros(shape, device="meta") for name, shape in weights.items()})


# --------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("decoder", ["classic", "simple"])
@pytest.mark.parametrize("kind", [{}, PLUS, {"counts": (17, 14, 16)}], ids=["plain", "plus", "multi-task"])
def test_the_authors_format_comes_back_as_it_was(decoder: str, kind: dict) -> None:
    weights = _authors(decoder=decoder, **kind)
    datasets = ["coco", "aic", "mpii"] if len(kind.get("counts", ())) == 3 else None
    again = to_authors(from_state_dict(weights, datasets=datasets, **GIVEN))
    assert again.keys() == weights.keys()
    for name, value in weights.items():
        kept = value.clone()
        if "experts" in kind and name.startswith("associate") and "final_layer" in name:
            kept[list(COUNTS.values())[1 + int(name.split(".")[1])] :] = 0  # channels that are no keypoints
        assert torch.equal(again[name], kept), name


@torch.no_grad()
@pytest.mark.parametrize(
    "options", [{}, {"datasets": ["coco", "mpii"]}, {"datasets": ["coco", "aic"], "num_experts": 1}], ids=str
)
def test_our_models_come_back_from_the_authors_format(options: dict, small_model, random_crops) -> None:
    model = small_model("base", decoder="simple", layer_norm_eps=1e-6, **options)
    again = from_state_dict(to_authors(model), datasets=model.config.dataset_names, num_attention_heads=12)
    crops = random_crops(model)
    for index in range(model.config.num_datasets):
        # not bit for bit: weights at another place in memory may take another kernel
        torch.testing.assert_close(
            again(crops, dataset_index=index).heatmaps, model(crops, dataset_index=index).heatmaps
        )


def test_what_the_authors_code_cannot_hold_is_refused(small_model) -> None:
    for options in ({"patch_stride": 8}, {"knowledge_token_size": 8}, {"parallel_convolution": True}):
        with pytest.raises(ValueError, match="cannot be written in its format"):
            to_authors(small_model("base", decoder="simple", **options))


# -------------------------------------------------------------------------------------- other formats


@torch.no_grad()
def test_transformers_folders_pass(small_model, random_crops, tmp_path: Path) -> None:
    model = small_model("base", decoder="classic")
    model.save_pretrained(tmp_path)
    crops = random_crops(model)
    torch.testing.assert_close(convert_checkpoint(tmp_path).eval()(crops).heatmaps, model(crops).heatmaps)
    with pytest.raises(ValueError, match="says what the model is: leave the other arguments out"):
        convert_checkpoint(tmp_path, datasets=["coco"])


@torch.no_grad()
@pytest.mark.parametrize("datasets", [["mpii"], ["coco", "aic"]])
def test_pretraining_gives_the_backbone_of_a_new_pose_model(datasets: list[str], tmp_path: Path) -> None:
    sizes = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 70, "patch_size": 14}
    foreign = Dinov2Model(Dinov2Config(**sizes)).eval()
    foreign.save_pretrained(tmp_path)
    model = convert_checkpoint(tmp_path / "model.safetensors", datasets=datasets, image_size=(64, 48))
    assert model.config.dataset_names == datasets
    backbone = model.config.backbone_config
    assert (backbone.num_hidden_layers, backbone.num_attention_heads, backbone.hidden_size) == (3, 2, 128)
    assert torch.equal(model.backbone.layernorm.weight, foreign.layernorm.weight)


def test_mae_widths_say_the_number_of_heads(tmp_path: Path) -> None:
    sizes = {"hidden_size": 384, "num_hidden_layers": 1, "num_attention_heads": 12, "intermediate_size": 4 * 384}
    ViTMAEModel(ViTMAEConfig(**sizes, image_size=80)).save_pretrained(tmp_path)
    model = convert_checkpoint(tmp_path / "model.safetensors")
    assert model.config.backbone_config.num_attention_heads == 12
    assert model.config.image_size == (256, 192)


@pytest.mark.parametrize(("width", "told"), [(384, True), (768, False)])
def test_a_width_of_two_numbers_of_heads_is_told(width: int, told: bool, tmp_path: Path, caplog) -> None:
    """ViTPose's own MAE of that width has 12 heads, DeiT, DINO and timm have 6."""
    sizes = {"hidden_size": width, "num_hidden_layers": 1, "num_attention_heads": 6, "intermediate_size": width}
    ViTMAEModel(ViTMAEConfig(**sizes, image_size=80)).save_pretrained(tmp_path)
    assert convert_checkpoint(tmp_path / "model.safetensors").config.backbone_config.mlp_ratio == 1
    assert ("12 attention heads are taken" in caplog.text) == told
    caplog.clear()
    model = convert_checkpoint(tmp_path / "model.safetensors", num_attention_heads=6)
    assert model.config.backbone_config.num_attention_heads == 6
    assert "attention heads are taken" not in caplog.text and "heads start from random weights" in caplog.text


def test_an_unknown_width_of_a_backbone_is_asked_for_last(tmp_path: Path) -> None:
    backbone = {name.removeprefix("backbone."): value for name, value in _authors().items() if "backbone." in name}
    torch.save(backbone, tmp_path / "backbone.pth")
    with pytest.raises(ValueError, match="num_attention_heads: a width of 32 channels"):
        convert_checkpoint(tmp_path / "backbone.pth")
    assert convert_checkpoint(tmp_path / "backbone.pth", **GIVEN).config.image_size == (256, 192)
    del backbone["last_norm.bias"]
    torch.save(backbone, tmp_path / "backbone.pth")
    with pytest.raises(
        ValueError, match=r"recognized as the backbone of the authors' release\. Missing: last_norm\.bias"
    ):
        convert_checkpoint(tmp_path / "backbone.pth")


# -------------------------------------------------------------------------------------------- bad files


def _changed(weights: StateDict, change: dict[str, torch.Tensor | None]) -> StateDict:
    return {name: value for name, value in {**weights, **change}.items() if value is not None}


AUTHORS = r"recognized as the authors' release \(mmpose 0\.x\)\. "
UNKNOWN = {"num_attention_heads": None}  # what a file does not say is no remedy for what it lacks
BAD = [
    ("a missing key", {"backbone.last_norm.bias": None}, UNKNOWN, AUTHORS + r"Missing: backbone\.last_norm\.bias\.$"),
    (
        "a missing qkv",
        {"backbone.blocks.1.attn.qkv.bias": None},
        {},
        r"Missing: backbone\.blocks\.1\.attn\.qkv\.bias\.$",
    ),
    (
        "no patch kernel",
        {"backbone.patch_embed.proj.weight": None},
        UNKNOWN,
        AUTHORS + r"Missing: backbone\.patch_embed",
    ),
    ("no position table", {"backbone.pos_embed": None}, UNKNOWN, AUTHORS + r"Missing: backbone\.pos_embed\.$"),
    ("no head", {"keypoint_head.final_layer.bias": None}, UNKNOWN, r"Missing: keypoint_head\.final_layer\.bias\.$"),
    (
        "an adapter",
        {"backbone.adapter.weight": torch.zeros(1)},
        {},
        r"No place in the model for: backbone\.adapter\.weight",
    ),
    (
        "relative positions",
        {"backbone.blocks.0.attn.rel_pos_h": torch.zeros(1)},
        {},
        "It looks like .*relative positions",
    ),
    ("another shape", {"backbone.last_norm.bias": torch.zeros(9)}, {}, r"last_norm\.bias of \(9,\) for \(32,\)"),
    ("an unknown width", {}, UNKNOWN, "num_attention_heads: a width of 32 channels is none of the published sizes"),
    ("other keypoints", {}, {"datasets": ["mpii"]}, r"got mpii \(16\) keypoints, the file has heads of \[17\]"),
    ("too many datasets", {}, {"datasets": ["coco", "aic"]}, r"the file has heads of \[17\] channels, in order"),
    ("another resolution", {}, {"image_size": (64, 64)}, r"backbone\.pos_embed of \(1, 13, 32\) for \(1, 17, 32\)"),
    (
        "an expert without a head",
        {
            f"backbone.blocks.{index}.mlp.experts.{expert}.{kind}": torch.zeros(8, *size)
            for index in range(BLOCKS)
            for expert in range(3)
            for kind, size in (("weight", (4 * WIDTH,)), ("bias", ()))
        }
        | {f"backbone.blocks.{index}.mlp.fc2.weight": torch.zeros(24, 4 * WIDTH) for index in range(BLOCKS)}
        | {
            f"associate_keypoint_heads.0.final_layer.{kind}": torch.zeros(14, *size)
            for kind, size in (("weight", (WIDTH, 3, 3)), ("bias", ()))
        },
        {"datasets": ["coco", "aic"]},
        "the file has 3 experts and 2 heads: expected one head, or one for each expert",
    ),
    (
        "heads of unknown datasets",
        {"associate_keypoint_heads.0.final_layer.bias": torch.zeros(14)}
        | {"associate_keypoint_heads.0.final_layer.weight": torch.zeros(14, WIDTH, 3, 3)},
        {},
        r"heads of \[17, 14\] channels; name the dataset of each, in order, or give its keypoint schema",
    ),
]


@pytest.mark.parametrize(("why", "change", "options", "message"), BAD, ids=[row[0] for row in BAD])
def test_what_does_not_fit_is_named(why: str, change: dict, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_state_dict(_changed(_authors(decoder="simple"), change), **{**GIVEN, **options})


def test_a_single_name_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(
        TypeError, match=r"datasets: expected a list of names such as \['coco'\], got the string 'coco'"
    ):
        convert_checkpoint(tmp_path, datasets="coco")


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth: no layout of a plain ViT .* names are layer\.weight; the known"):
        convert_checkpoint(tmp_path / "other.pth")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth: expected a state dict, alone or in an entry such as 'model'"):
        convert_checkpoint(tmp_path / "list.pth")
