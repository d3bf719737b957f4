"""Initial weights: a foreign checkpoint computes, block by block, what the model it came from computes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import Dinov2Config, Dinov2Model, ViTMAEConfig, ViTMAEForPreTraining, ViTMAEModel

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation
from vitpose.modeling.convert.checkpoint_files import read_checkpoint
from vitpose.modeling.convert.equivalents import pad_patch_kernel
from vitpose.modeling.convert.layouts import PATCH_KERNEL, POSITIONS
from vitpose.modeling.convert.pretrained_backbones import load_pretrained_backbone
from vitpose.modeling.positions_vitpose import resize_positions

WIDTH, HEADS, BLOCKS = 32, 2, 2
GRID = (4, 3)
TOKENS = torch.randn(2, 12, WIDTH, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def model() -> ViTPoseForPoseEstimation:
    size = {"hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "num_attention_heads": HEADS, "image_size": (64, 48)}
    torch.manual_seed(0)
    return ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("small", decoder="simple", **size)).eval()


def _mae_config() -> ViTMAEConfig:
    decoder = {f"decoder_{name}": value for name, value in {"hidden_size": 16, "num_hidden_layers": 1}.items()}
    return ViTMAEConfig(
        **{**decoder, "decoder_num_attention_heads": 2, "decoder_intermediate_size": 32},
        **{"hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "num_attention_heads": HEADS},
        **{"intermediate_size": 4 * WIDTH, "image_size": 80, "patch_size": 16},
    )


def _dinov2_config() -> Dinov2Config:
    return Dinov2Config(
        **{"hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "num_attention_heads": HEADS},
        **{"image_size": 70, "patch_size": 14, "layerscale_value": 0.5},
    )


def _blocks(foreign: torch.nn.Module) -> torch.nn.ModuleList:
    """The transformer blocks of a foreign model, wherever it keeps them: the longest list of modules."""
    return max((m for m in foreign.modules() if isinstance(m, torch.nn.ModuleList)), key=len)


@torch.no_grad()
def _assert_same_blocks(model: ViTPoseForPoseEstimation, foreign: torch.nn.Module) -> None:
    for ours, theirs in zip(model.backbone.encoder.layer, _blocks(foreign), strict=True):
        expected = theirs(TOKENS)
        expected = expected[0] if isinstance(expected, tuple) else expected
        assert (expected - TOKENS).abs().mean() > 0.05, "a block that does nothing would agree by itself"
        torch.testing.assert_close(ours(TOKENS, GRID)[0], expected, rtol=0, atol=1e-5)


def _authors_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A MAE state dict of transformers' file names under the names that MAE's authors publish."""
    renamed = {"cls_token": state["embeddings.cls_token"], "pos_embed": state["embeddings.position_embeddings"]}
    for kind in ("weight", "bias"):
        renamed[f"patch_embed.proj.{kind}"] = state[f"embeddings.patch_embeddings.projection.{kind}"]
        renamed[f"norm.{kind}"] = state[f"layernorm.{kind}"]
        for index in range(BLOCKS):
            ours, theirs = f"encoder.layer.{index}", f"blocks.{index}"
            parts = [state[f"{ours}.attention.attention.{name}.{kind}"] for name in ("query", "key", "value")]
            renamed[f"{theirs}.attn.qkv.{kind}"] = torch.cat(parts)
            renamed[f"{theirs}.attn.proj.{kind}"] = state[f"{ours}.attention.output.dense.{kind}"]
            renamed[f"{theirs}.norm1.{kind}"] = state[f"{ours}.layernorm_before.{kind}"]
            renamed[f"{theirs}.norm2.{kind}"] = state[f"{ours}.layernorm_after.{kind}"]
            renamed[f"{theirs}.mlp.fc1.{kind}"] = state[f"{ours}.intermediate.dense.{kind}"]
            renamed[f"{theirs}.mlp.fc2.{kind}"] = state[f"{ours}.output.dense.{kind}"]
    return renamed


def _save_as_folder(foreign: torch.nn.Module, folder: Path) -> Path:
    foreign.save_pretrained(folder)
    return folder


def _save_as_authors(foreign: torch.nn.Module, folder: Path) -> Path:
    foreign.save_pretrained(folder)
    torch.save({"model": _authors_names(load_file(folder / "model.safetensors"))}, folder / "mae.pth")
    return folder / "mae.pth"


def _save_as_state_dict(foreign: torch.nn.Module, folder: Path) -> Path:
    torch.save(foreign.state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


def _renamed(state: dict[str, torch.Tensor], renamings: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
    for before, after in renamings:
        state = {name.replace(before, after): value for name, value in state.items()}
    return state


TO_MMPRETRAIN = [
    ("blocks.", "layers."),
    (".norm", ".ln"),
    ("norm.", "ln1."),
    ("patch_embed.proj", "patch_embed.projection"),
]
TO_MMPRETRAIN += [("mlp.fc1", "ffn.layers.0.0"), ("mlp.fc2", "ffn.layers.1")]


def _save_as_mmpretrain(foreign: torch.nn.Module, folder: Path) -> Path:
    """As mmpretrain saves its MAE: the backbone beside a neck with the decoder, which is left out."""
    foreign.save_pretrained(folder)
    weights = _renamed(_authors_names(load_file(folder / "model.safetensors")), TO_MMPRETRAIN)
    weights = {f"backbone.{name}": value for name, value in weights.items()}
    weights["neck.decoder_blocks.0.ln1.weight"] = torch.zeros(16)
    torch.save({"meta": {}, "state_dict": weights}, folder / "mae.pth")
    return folder / "mae.pth"


def _save_as_dinov2s_authors(foreign: torch.nn.Module, folder: Path) -> Path:
    """As timm too, with register tokens among the rows of the position table."""
    foreign.save_pretrained(folder)
    state = load_file(folder / "model.safetensors")
    as_mae = [
        (".norm1.", ".layernorm_before."),
        (".norm2.", ".layernorm_after."),
        (".mlp.fc1.", ".intermediate.dense."),
    ]
    weights = _authors_names(_renamed(state, [*as_mae, (".mlp.fc2.", ".output.dense.")]))
    for index in range(BLOCKS):
        for number in (1, 2):
            scale = state[f"encoder.layer.{index}.layer_scale{number}.lambda1"]
            weights[f"blocks.{index}.ls{number}.gamma"] = scale
    class_row, patches = weights["pos_embed"].split([1, 25], dim=1)
    weights["pos_embed"] = torch.cat([class_row, torch.ones(1, 4, WIDTH), patches], dim=1)
    weights |= {"reg_token": torch.zeros(1, 4, WIDTH), "mask_token": torch.zeros(1, WIDTH)}
    torch.save(weights, folder / "dinov2.pth")
    return folder / "dinov2.pth"


FORMATS = [
    ("an encoder saved by transformers", ViTMAEModel, _mae_config, _save_as_folder),
    ("with MAE's decoder", ViTMAEForPreTraining, _mae_config, _save_as_folder),
    ("the file of MAE's authors", ViTMAEModel, _mae_config, _save_as_authors),
    ("mmpretrain's MAE", ViTMAEModel, _mae_config, _save_as_mmpretrain),
    ("the file of DINOv2's authors", Dinov2Model, _dinov2_config, _save_as_dinov2s_authors),
    ("the state dict of a module", ViTMAEModel, _mae_config, _save_as_state_dict),
    ("DINOv2 saved by transformers", Dinov2Model, _dinov2_config, _save_as_folder),
    ("the state dict of a DINOv2 module", Dinov2Model, _dinov2_config, _save_as_state_dict),
]


@pytest.mark.parametrize(("why", "kind", "config", "save"), FORMATS, ids=[row[0] for row in FORMATS])
def test_blocks_compute_what_they_were_trained_to(why, kind, config, save, model, randomise, tmp_path: Path) -> None:
    foreign = kind(config()).eval()
    randomise(foreign)
    head = {name: value.clone() for name, value in model.head.state_dict().items()}
    load_pretrained_backbone(model, save(foreign, tmp_path))

    _assert_same_blocks(model, foreign)
    with torch.no_grad():
        layernorm = next(m for name, m in foreign.named_modules() if name.removeprefix("vit.") == "layernorm")
        torch.testing.assert_close(model.backbone.layernorm(TOKENS), layernorm(TOKENS), rtol=0, atol=1e-5)
        positions = next(v for name, v in foreign.state_dict().items() if name.endswith(POSITIONS))
        expected = resize_positions(positions, from_grid=(5, 5), to_grid=GRID)
        torch.testing.assert_close(model.backbone.embeddings.position_embeddings, expected)
    torch.testing.assert_close(model.head.state_dict(), head)


@torch.no_grad()
def test_padded_kernels_see_the_same_pixels(model, randomise, tmp_path: Path) -> None:
    """A 14 x 14 kernel zero-padded to 16 x 16 looks at the middle of each patch."""
    foreign = Dinov2Model(_dinov2_config()).eval()
    randomise(foreign)
    load_pretrained_backbone(model, _save_as_folder(foreign, tmp_path))
    crops = torch.randn(1, 3, 64, 48)
    tokens = model.backbone.embeddings.patch_embeddings(crops).unflatten(1, GRID)
    # our grid starts 2 pixels outside the image, the kernel's content one further in: patch (1, 2) starts at (15, 31)
    patch = crops[:, :, 15:29, 31:45]
    expected = foreign.embeddings.patch_embeddings.projection(patch).flatten()
    torch.testing.assert_close(tokens[0, 1, 2], expected, rtol=0, atol=1e-5)


def test_a_real_dinov2_file_starts_vitpose_small(shared_weights: Path) -> None:
    path = shared_weights / "dinov2_vits14_fp16.safetensors"
    weights = {key: value.float() for key, value in load_file(path).items()}
    model = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("small", num_attention_heads=6)).eval()
    load_pretrained_backbone(model, path)

    tokens = torch.randn(1, 10, 384, generator=torch.Generator().manual_seed(0))
    for index in (0, 11):
        expected = _dinov2_block(weights, f"encoder.layer.{index}.", tokens)
        with torch.no_grad():
            torch.testing.assert_close(
                model.backbone.encoder.layer[index](tokens, (5, 2))[0], expected, rtol=1e-4, atol=1e-4
            )


def _dinov2_block(weights: dict[str, torch.Tensor], prefix: str, tokens: torch.Tensor) -> torch.Tensor:
    """One DINOv2 block after its formula, LayerScale kept apart; six heads."""

    def linear(name: str, values: torch.Tensor) -> torch.Tensor:
        return values @ weights[f"{prefix}{name}.weight"].T + weights[f"{prefix}{name}.bias"]

    def norm(name: str, values: torch.Tensor) -> torch.Tensor:
        values = (values - values.mean(-1, keepdim=True)) / (values.var(-1, keepdim=True, correction=0) + 1e-12).sqrt()
        return values * weights[f"{prefix}{name}.weight"] + weights[f"{prefix}{name}.bias"]

    normed = norm("norm1", tokens)
    query, key, value = (
        linear(f"attention.attention.{name}", normed).unflatten(-1, (6, 64)).transpose(1, 2)
        for name in ("query", "key", "value")
    )
    context = ((query @ key.transpose(2, 3) / 8).softmax(-1) @ value).transpose(1, 2).flatten(2)
    tokens = tokens + linear("attention.output.dense", context) * weights[f"{prefix}layer_scale1.lambda1"]
    hidden = F.gelu(linear("mlp.fc1", norm("norm2", tokens)))
    return tokens + linear("mlp.fc2", hidden) * weights[f"{prefix}layer_scale2.lambda1"]


def test_positions_are_resized_bicubic_and_row_0_is_kept() -> None:
    table = torch.randn(1, 1 + 9, 2)
    resized = resize_positions(table, from_grid=(3, 3), to_grid=(5, 4))
    assert torch.equal(resized[:, 0], table[:, 0])
    for channel in range(2):
        square = table[0, 1:, channel].view(1, 1, 3, 3)
        expected = F.interpolate(square, size=(5, 4), mode="bicubic", align_corners=False).flatten()
        torch.testing.assert_close(resized[0, 1:, channel], expected)


def test_a_table_without_a_class_row_gets_zeros_for_it(model, weights, tmp_path: Path) -> None:
    table = torch.randn(1, 25, WIDTH)
    save_file({**weights, POSITIONS: table}, tmp_path / "model.safetensors")
    load_pretrained_backbone(model, tmp_path)
    ours = model.backbone.embeddings.position_embeddings
    assert ours[:, 0].abs().max() == 0
    whole = torch.cat([torch.zeros(1, 1, WIDTH), table], dim=1)
    torch.testing.assert_close(ours, resize_positions(whole, from_grid=(5, 5), to_grid=GRID))


def test_positions_of_the_same_grid_pass_unchanged() -> None:
    table = torch.randn(1, 1 + 9, 2)
    torch.testing.assert_close(resize_positions(table, from_grid=(3, 3), to_grid=(3, 3)), table)


def test_kernels_are_padded_on_all_sides() -> None:
    kernel = pad_patch_kernel(torch.ones(1, 3, 2, 4), (4, 8))
    assert kernel[0, 0].tolist() == [[0] * 8, [0, 0, 1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1, 0, 0], [0] * 8]


@pytest.mark.parametrize("size", [(15, 16), (12, 12)])
def test_kernels_that_cannot_be_padded_evenly_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"patch kernel of \(14, 14\) pixels cannot be padded evenly"):
        pad_patch_kernel(torch.ones(1, 3, 14, 14), size)


# ------------------------------------------------------------------------------------------ bad files


@pytest.fixture
def weights(model: ViTPoseForPoseEstimation) -> dict[str, torch.Tensor]:
    """A sound checkpoint, to be spoilt: the backbone's own weights under its own names, on a square grid."""
    state = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    return {**state, POSITIONS: torch.zeros(1, 1 + 25, WIDTH)}


LAYERNORM = "layernorm.weight"
SPOILT = [
    (
        "a key is missing",
        {LAYERNORM: None},
        r"the backbone of transformers' VitPose\. Missing: layernorm\.weight\. Choose",
    ),
    ("the positions are missing", {POSITIONS: None}, r"Missing: embeddings\.position_embeddings\. Choose the preset"),
    ("a key is too many", {"adapter.weight": torch.zeros(1)}, r"VitPose\. No place in the model for: adapter\.weight"),
    ("another width", {LAYERNORM: torch.zeros(8)}, r"Other shapes: layernorm\.weight of \(8,\) for \(32,\)"),
    ("no grid at all", {POSITIONS: torch.zeros(1, 24, WIDTH)}, r"table of 1 \+ n \* n rows, or of a 4 : 3 grid, got"),
    ("larger patches", {PATCH_KERNEL: torch.zeros(WIDTH, 3, 32, 32)}, r"kernel of \(32, 32\) pixels cannot"),
]


def test_a_sound_file_loads(model, weights, tmp_path: Path) -> None:
    save_file(weights, tmp_path / "model.safetensors")
    load_pretrained_backbone(model, tmp_path)
    torch.testing.assert_close(model.backbone.state_dict()["layernorm.weight"], weights["layernorm.weight"])


@pytest.mark.parametrize(("why", "change", "message"), SPOILT, ids=[row[0] for row in SPOILT])
def test_what_does_not_fit_is_named(why, change, message: str, model, weights, tmp_path: Path) -> None:
    spoilt = {key: value for key, value in {**weights, **change}.items() if value is not None}
    save_file(spoilt, tmp_path / "spoilt.safetensors")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_pretrained_backbone(model, tmp_path / "spoilt.safetensors")
    torch.testing.assert_close(model.state_dict(), before)


def test_another_depth_is_named(model, weights, tmp_path: Path) -> None:
    deeper = {key.replace("layer.1.", "layer.2."): value.clone() for key, value in weights.items() if "layer.1." in key}
    save_file({**weights, **deeper}, tmp_path / "deeper.safetensors")
    with pytest.raises(ValueError, match=r"No place in the model for: encoder\.layer\.2\.attention"):
        load_pretrained_backbone(model, tmp_path / "deeper.safetensors")


@pytest.mark.parametrize("name", ["absent.safetensors", "."])
def test_a_missing_file_is_named(name: str, model, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a .safetensors or .pth file, or a folder with one"):
        load_pretrained_backbone(model, tmp_path / name)


@pytest.mark.parametrize("save", [torch.save, save_file], ids=["pth", "safetensors"])
def test_a_broken_download_is_said_to_be_one(tmp_path, save):
    file = tmp_path / ("half.safetensors" if save is save_file else "half.pth")
    save({"weight": torch.ones(100)}, file)
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(ValueError, match="half.* cannot be read as a checkpoint: .*Get or save it again"):
        read_checkpoint(file)
