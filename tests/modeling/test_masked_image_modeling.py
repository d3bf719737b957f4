"""The masked autoencoder: visible patches alone in the encoder, MAE's loss, a backbone that pose models start from."""

import math
import re
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForPreTraining, ViTMAEConfig, ViTMAEForPreTraining

from vitpose import ViTPoseConfig, ViTPoseForMaskedImageModeling, ViTPoseForPoseEstimation
from vitpose import ViTPoseMaskedImageModelingConfig as Config
from vitpose.modeling.convert.pretrained_backbones import load_pretrained_backbone
from vitpose.modeling.modeling_vitpose_mim import patchify, unpatchify

Model = ViTPoseForMaskedImageModeling
SIZES = {"hidden_size": 48, "num_attention_heads": 4, "num_hidden_layers": 2}
DECODER = {"decoder_hidden_size": 32, "decoder_num_hidden_layers": 2, "decoder_num_attention_heads": 2}


def make_model(randomise, image_size: tuple[int, int] = (64, 48), **options: object) -> Model:
    """A small model with weights large enough that none is neutral; the grid is 4 x 3."""
    attention = options.pop("attn_implementation", "sdpa")
    config = Config(backbone_config={"image_size": image_size, **SIZES}, **{**DECODER, **options})
    model = Model._from_config(config, attn_implementation=attention)
    fixed = {name: value.clone() for name, value in model.state_dict().items() if "position" in name}
    randomise(model)
    model.load_state_dict(fixed, strict=False)
    return model.eval()


@pytest.fixture
def model(randomise) -> Model:
    return make_model(randomise)


@pytest.fixture
def crops() -> Tensor:
    return torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def noise() -> Tensor:
    return torch.rand(2, 12, generator=torch.Generator().manual_seed(2))


THEIR_NAMES = [
    (r"^backbone\.layernorm\.", "vit.layernorm."),
    (r"^backbone\.embeddings\.", "vit.embeddings."),
    (r"^backbone\.encoder\.layer\.", "vit.layers."),
    (r"^decoder\.encoder\.layer\.", "decoder.decoder_layers."),
    (r"^decoder\.embed\.", "decoder.decoder_embed."),
    (r"^decoder\.layernorm\.", "decoder.decoder_norm."),
    (r"^decoder\.predict\.", "decoder.decoder_pred."),
    (r"attention\.attention\.(query|key|value)\.", lambda match: f"attention.{match[1][0]}_proj."),
    (r"attention\.output\.dense\.", "attention.o_proj."),
]


def stock_twin(model: Model) -> ViTMAEForPreTraining:
    """Transformers' ViTMAE with the same weights, whose class token nobody attends to."""
    backbone = model.config.backbone_config
    config = ViTMAEConfig(
        **SIZES,
        **DECODER,
        intermediate_size=4 * 48,
        decoder_intermediate_size=4 * 32,
        image_size=backbone.image_size[0],
        norm_pix_loss=True,
        attn_implementation="eager",
    )
    twin = ViTMAEForPreTraining(config).eval()
    weights = {}
    for name, value in model.state_dict().items():
        for pattern, replacement in THEIR_NAMES:
            name = re.sub(pattern, replacement, name)
        weights[name] = value
    positions = weights.pop("decoder.position_embeddings")
    weights["decoder.decoder_pos_embed"] = nn.functional.pad(positions, (0, 0, 1, 0))
    weights["vit.embeddings.cls_token"] = twin.vit.embeddings.cls_token
    twin.load_state_dict(weights)
    for layer in [*twin.vit.layers, *twin.decoder.decoder_layers]:
        layer.register_forward_pre_hook(_without_class_token, with_kwargs=True)
    return twin


def _without_class_token(layer: nn.Module, arguments: tuple, options: dict) -> tuple[tuple, dict]:
    tokens = arguments[0].shape[1]
    unseen = torch.zeros(1, 1, tokens, tokens)
    unseen[..., 0] = -math.inf
    return arguments[:1], {**options, "attention_mask": unseen}


@torch.no_grad()
def test_it_agrees_with_transformers_mae(randomise) -> None:
    """On square images, with the class token out of sight, which ViTPose does not have."""
    model = make_model(randomise, image_size=(64, 64))
    twin = stock_twin(model)
    crops = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    noise = torch.rand(2, 16, generator=torch.Generator().manual_seed(4))
    ours, theirs = model(crops, noise=noise), twin(crops, noise=noise)
    assert torch.equal(ours.mask, theirs.mask.bool())
    assert theirs.logits.abs().max() > 0.1
    torch.testing.assert_close(ours.logits, theirs.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.loss, theirs.loss, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_loss_is_that_of_the_hidden_patches_in_their_own_units(model, crops, noise) -> None:
    output = model(crops, noise=noise)
    total, count = 0.0, 0
    for sample in range(2):
        for patch in range(12):
            row, column = divmod(patch, 3)
            pixels = crops[sample, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
            target = ((pixels - pixels.mean()) / (pixels.var() + 1e-6).sqrt()).permute(1, 2, 0).flatten()
            if output.mask[sample, patch]:
                total += float((output.logits[sample, patch] - target).square().mean())
                count += 1
    assert count == 18
    assert float(output.loss) == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize(("mask_ratio", "hidden"), [(0.75, 9), (0.5, 6), (0.9, 11)])
def test_as_many_patches_are_hidden_as_asked_those_with_the_largest_noise(randomise, crops, noise, mask_ratio, hidden):
    mask = make_model(randomise, mask_ratio=mask_ratio)(crops, noise=noise).mask
    assert mask.sum(dim=1).tolist() == [hidden, hidden]
    for sample in range(2):
        assert noise[sample][mask[sample]].min() > noise[sample][~mask[sample]].max()


def test_masks_are_random_where_no_noise_is_given(model, crops) -> None:
    torch.manual_seed(0)
    masks = [model(crops).mask for _ in range(4)]
    assert any(not torch.equal(mask, masks[0]) for mask in masks[1:])


@torch.no_grad()
def test_the_encoder_never_sees_what_is_hidden(model, crops, noise) -> None:
    """No pixel of a hidden patch changes a prediction: patches are cut edge to edge, unlike in the pose model."""
    output = model(crops, noise=noise)
    patches = patchify(crops, (16, 16))
    other = torch.where(output.mask[..., None], 100 + patches, patches)
    changed = model(unpatchify(other, patch_size=(16, 16), grid_size=(4, 3)), noise=noise)
    assert torch.equal(changed.logits, output.logits)


def test_the_encoder_runs_on_visible_patches_alone(model, crops) -> None:
    seen = []
    model.backbone.encoder.layer[0].register_forward_pre_hook(lambda module, given: seen.append(given[0].shape))
    model(crops)
    assert seen == [(2, 3, 48)]


def test_patches_come_back_as_the_image(crops) -> None:
    patches = patchify(crops, (16, 16))
    assert patches.shape == (2, 12, 768)
    assert torch.equal(patches[0, 4].view(16, 16, 3)[5, 7], crops[0, :, 16 + 5, 16 + 7])
    assert torch.equal(unpatchify(patches, patch_size=(16, 16), grid_size=(4, 3)), crops)


def test_gradients_reach_every_trained_parameter(model, crops, noise) -> None:
    model(crops, noise=noise).loss.backward()
    fixed = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert fixed == {"backbone.embeddings.position_embeddings", "decoder.position_embeddings"}
    for name, parameter in model.named_parameters():
        if name not in fixed:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 1e-7 or name.endswith("key.bias"), name


def test_positions_tell_rows_and_columns_of_the_grid_and_stay_fixed_when_loaded(model, tmp_path) -> None:
    table = model.decoder.position_embeddings[0].view(4, 3, 32)
    rows, columns = table.split(16, dim=2)
    assert torch.equal(rows[:, 0], rows[:, 2]) and not torch.equal(rows[0], rows[1])
    assert torch.equal(columns[0], columns[3]) and not torch.equal(columns[:, 0], columns[:, 1])
    model.save_pretrained(tmp_path)
    loaded = Model.from_pretrained(tmp_path)
    fixed = {name for name, parameter in loaded.named_parameters() if not parameter.requires_grad}
    assert fixed == {"backbone.embeddings.position_embeddings", "decoder.position_embeddings"}


@torch.no_grad()
@pytest.mark.parametrize("loader", [Model, AutoModel, AutoModelForPreTraining])
def test_saving_and_loading_changes_nothing(model, crops, noise, tmp_path, loader) -> None:
    model.save_pretrained(tmp_path)
    loaded, report = loader.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is Model and not any(report.values())
    # not bit for bit: weights at another place in memory may take another kernel
    torch.testing.assert_close(loaded(crops, noise=noise).logits, model(crops, noise=noise).logits)


WITHOUT_VITPOSE = """
import sys
sys.modules["vitpose"] = None  # importing it fails from here on
import torch
from transformers import AutoModel
model = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True)
with torch.no_grad():
    print(float(model(torch.ones(2, 3, 64, 48), noise=torch.arange(24.0).view(2, 12)).loss))
"""


@torch.no_grad()
def test_the_folder_loads_where_vitpose_is_not_installed(model, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    command = [sys.executable, "-c", WITHOUT_VITPOSE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    expected = model(torch.ones(2, 3, 64, 48), noise=torch.arange(24.0).view(2, 12)).loss
    assert float(done.stdout.split()[-1]) == pytest.approx(float(expected), rel=1e-5)


@torch.no_grad()
def test_attention_kinds_agree(randomise, crops, noise) -> None:
    eager, fused = (make_model(randomise, attn_implementation=kind) for kind in ("eager", "sdpa"))
    assert {module.config._attn_implementation for module in (eager.backbone, eager.decoder)} == {"eager"}
    torch.testing.assert_close(eager(crops, noise=noise).logits, fused(crops, noise=noise).logits, rtol=0, atol=1e-5)


@torch.no_grad()
def test_bfloat16_is_finite_and_near(model, crops, noise) -> None:
    exact = model(crops, noise=noise)
    output = model.to(torch.bfloat16)(crops.bfloat16(), noise=noise)
    assert output.logits.dtype == torch.bfloat16 and output.loss.dtype == torch.float32
    torch.testing.assert_close(output.loss, exact.loss, rtol=0.05, atol=0)


@torch.no_grad()
def test_it_compiles_into_one_graph_and_exports(model, crops, noise) -> None:
    expected = model(crops, noise=noise).logits
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(crops, noise=noise).logits, expected, rtol=0, atol=1e-5)
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = {"pixel_values": {0: batch}, "noise": {0: batch}}
    exported = torch.export.export(model, (crops,), {"noise": noise}, dynamic_shapes=shapes).module()
    torch.testing.assert_close(exported(crops[:1], noise=noise[:1]).logits, expected[:1], rtol=0, atol=1e-5)


def test_gradient_checkpointing_gives_the_same_gradients(model, crops, noise) -> None:
    gradients = []
    for _ in range(2):
        model.train().zero_grad()
        model(crops, noise=noise).loss.backward()
        gradients.append({name: value.grad.clone() for name, value in model.named_parameters() if value.requires_grad})
        model.gradient_checkpointing_enable()
    torch.testing.assert_close(gradients[1], gradients[0])


@torch.no_grad()
def test_reconstructions_keep_what_was_visible(model, crops, noise) -> None:
    mask = model(crops, noise=noise).mask
    masked, painted = (patchify(picture, (16, 16)) for picture in model.reconstruct(crops, noise=noise))
    patches = patchify(crops, (16, 16))
    assert torch.equal(masked[~mask], patches[~mask]) and masked[mask].abs().max() == 0
    assert torch.equal(painted[~mask], patches[~mask])
    logits = model(crops, noise=noise).logits
    means, deviations = patches.mean(dim=2, keepdim=True), (patches.var(dim=2, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(painted[mask], (logits * deviations + means)[mask])


def test_it_learns_one_picture(crops, noise) -> None:
    torch.manual_seed(0)
    model = Model(Config(backbone_config={"image_size": (64, 48), **SIZES}, **DECODER)).train()
    waves = torch.sin(torch.arange(48) / 5) + torch.cos(torch.arange(64) / 7)[:, None]
    pictures = waves.expand(2, 3, 64, 48)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(40):
        loss = model(pictures, noise=noise).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    assert losses[-1] < 0.3 * losses[0]


# image size of the pose model, options of its backbone
POSE_MODELS = [((64, 48), {}), ((96, 64), {}), ((64, 48), {"knowledge_token_size": 24})]


@pytest.mark.parametrize(("image_size", "options"), POSE_MODELS)
def test_a_pose_model_starts_from_the_encoder(model, tmp_path, image_size, options) -> None:
    model.save_pretrained(tmp_path)
    config = ViTPoseConfig.from_preset("base", image_size=image_size, decoder="simple", **SIZES, **options)
    pose = ViTPoseForPoseEstimation(config)
    load_pretrained_backbone(pose, tmp_path)
    ours, theirs = model.backbone.state_dict(), pose.backbone.state_dict()
    table = theirs.pop("embeddings.position_embeddings")
    different = [name for name in theirs if name in ours and not torch.equal(theirs[name], ours[name])]
    assert different == [] and set(ours) - set(theirs) == {"embeddings.position_embeddings"}
    assert table.shape[1] == 1 + math.prod(config.backbone_config.grid_size)
    if image_size == (64, 48):
        assert torch.equal(table, ours["embeddings.position_embeddings"])


def test_a_pose_model_of_another_depth_is_refused_by_name(model, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    config = ViTPoseConfig.from_preset("base", image_size=(64, 48), **{**SIZES, "num_hidden_layers": 3})
    with pytest.raises(
        ValueError, match=r"prefix 'backbone\.'\. Missing: encoder\.layer\.2\.attention.* Choose the preset"
    ):
        load_pretrained_backbone(ViTPoseForPoseEstimation(config), tmp_path)


REFUSED = [
    (
        {"attention_kind": "window", "window_size": (2, 2)},
        {},
        "attention_kind: expected 'full', as the encoder sees only",
    ),
    ({"parallel_convolution": True}, {}, "parallel_convolution: expected False"),
    ({"num_experts": 2, "part_features": 8}, {}, "num_experts: expected 1"),
    ({"patch_stride": 8}, {}, "patch_stride: expected None"),
    ({"knowledge_token_size": 24}, {}, "knowledge_token_size: expected None"),
    (
        {},
        {"mask_ratio": 1.0},
        "mask_ratio: expected a share that hides some of the 12 patches and leaves some, got 1.0",
    ),
    ({}, {"mask_ratio": 0.01}, "mask_ratio: expected a share that hides some"),
    ({}, {"decoder_hidden_size": 33}, "decoder_hidden_size 33 is not a multiple of decoder_num_attention_heads 2"),
    ({}, {"decoder_depth": 2}, "got 'decoder_depth'"),
]


@pytest.mark.parametrize(("backbone", "options", "message"), REFUSED, ids=[row[2][:30] for row in REFUSED])
def test_what_cannot_be_pre_trained_is_refused(backbone, options, message) -> None:
    with pytest.raises(ValueError) as error:
        Config(backbone_config={"image_size": (64, 48), **SIZES, **backbone}, **{**DECODER, **options})
    assert message in str(error.value)


def test_noise_of_another_shape_is_refused(model, crops) -> None:
    with pytest.raises(ValueError, match=r"noise: expected shape \(2, 12\), \(batch, patches\), got \(2, 13\)"):
        model(crops, noise=torch.rand(2, 13))


def test_presets_have_the_papers_decoder_and_no_stochastic_depth() -> None:
    config = Config.from_preset("base")
    assert config.backbone_config.drop_path_rate == 0
    decoder = config.decoder_config
    assert (decoder.num_hidden_layers, decoder.hidden_size, decoder.num_attention_heads) == (8, 512, 16)
    assert (config.num_patches, config.num_visible) == (192, 48)
    with pytest.raises(ValueError, match="preset: expected one of tiny"):
        Config.from_preset("medium")
