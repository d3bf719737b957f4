"""What every model promises, whatever its size, decoder, attention and experts: one contract for each combination."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from vitpose import ViTPoseForPoseEstimation
from vitpose.modeling import decoders_vitpose
from vitpose.modeling.configuration_vitpose import PRESETS

Model = ViTPoseForPoseEstimation


class Kind(NamedTuple):
    preset: str
    decoder: str
    attention: str
    part: str = "plain"


DECODERS = ("classic", "simple")
TWO = ["coco", "mpii"]
Options = dict[str, Any]  # of `from_preset`
# What a model may have beyond the plain one. The grid is 4 x 3, so windows are padded.
EXPERTS: dict[str, Options] = {
    "partially_shared": {"datasets": TWO, "part_features": 16},
    "independent": {"datasets": TWO, "expert_kind": "independent"},
    "independent_and_shared": {"datasets": TWO, "expert_kind": "independent_and_shared"},
    "heads": {"datasets": TWO, "num_experts": 1},
}
WINDOWS: dict[str, Options] = {
    kind: {"attention_kind": kind, "window_size": (2, 2)}
    for kind in ("window", "shifted_window", "pooled_window", "shifted_pooled_window")
}
MANY = {**EXPERTS["partially_shared"], **WINDOWS["shifted_pooled_window"], "window_size": (4, 4)}
PARTS: dict[str, Options] = {
    **EXPERTS,
    **WINDOWS,
    "stride": {"patch_stride": 8},
    "convolution": {"parallel_convolution": True},
    "knowledge": {"knowledge_token_size": 24},
    "many": {**MANY, "parallel_convolution": True, "patch_stride": 8},
}
PAIRS = {f"{a}+{b}": {**EXPERTS[a], **WINDOWS[b]} for a, b in itertools.product(EXPERTS, WINDOWS)}
OPTIONS = {"plain": {}, **PARTS, **PAIRS}
# A compiled graph depends on the decoder and the attention, not on widths: one size will do for what is slow to check.
TRACED_KINDS = [Kind("base", decoder, attention) for decoder in DECODERS for attention in ("eager", "sdpa")]
TRACED_KINDS += [Kind("base", "simple", "sdpa", part) for part in PARTS]
KINDS = [
    *TRACED_KINDS,
    *(Kind(preset, decoder, "sdpa") for preset in PRESETS if preset != "base" for decoder in DECODERS),
    *(Kind("base", "simple", "eager", part) for part in PARTS),
    *(Kind("base", decoder, "sdpa", pair) for pair, decoder in zip(PAIRS, itertools.cycle(DECODERS), strict=False)),
    Kind("base", "classic", "sdpa", "many"),
]


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def model(kind: Kind, small_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setattr(decoders_vitpose, "DECONVOLUTION_CHANNELS", 32)  # for speed
    return small_model(kind.preset, decoder=kind.decoder, attn_implementation=kind.attention, **OPTIONS[kind.part])


@pytest.fixture
def crops(model: Model, random_crops: Callable[..., torch.Tensor]) -> torch.Tensor:
    return random_crops(model)


def _index(model: Model, batch: int = 2) -> dict[str, torch.Tensor]:
    """The argument that says which datasets crops are of, turn by turn; nothing where there is one."""
    return {"dataset_index": torch.arange(batch) % 2} if model.config.num_datasets > 1 else {}


def _targets(model: Model, batch: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {
        **_index(model, batch),
        "labels": torch.rand(batch, 17, *model.config.heatmap_size, generator=generator),
        "label_weights": torch.rand(batch, 17, generator=generator),
    }


def _attention_shape(model: Model) -> tuple[int, ...]:
    """(B, heads, N, N), or with windows (B * windows, heads, n, keys)."""
    config = model.config.backbone_config
    heads, tokens = config.num_attention_heads, math.prod(config.grid_size) + bool(config.knowledge_token_size)
    if config.attention_kind == "full":
        return 2, heads, tokens, tokens
    windows = math.prod(-(-side // size) for side, size in zip(config.grid_size, config.window_size, strict=True))
    inside = math.prod(config.window_size)
    return 2 * windows, heads, inside, inside + windows * ("pooled" in config.attention_kind)


def _train_once(model: Model, crops: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss and gradients of one step in training mode, drop path included, from a fixed seed."""
    model.train().zero_grad()
    torch.manual_seed(0)
    loss = model(crops, **_targets(model)).loss
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("kind", KINDS, indirect=True, ids="-".join)
class TestEveryModel:
    def test_one_heatmap_a_keypoint_at_a_quarter_of_the_patch_size(self, model: Model, crops: torch.Tensor) -> None:
        output = model(crops, **_targets(model))
        rows, columns = model.config.backbone_config.grid_size
        assert output.heatmaps.shape == (2, 17, *model.config.heatmap_size) == (2, 17, 4 * rows, 4 * columns)
        assert output.loss.shape == ()
        assert output.hidden_states is None and output.attentions is None

    @torch.no_grad()
    def test_saving_and_loading_changes_nothing(self, model: Model, crops: torch.Tensor, tmp_path: Path) -> None:
        model.save_pretrained(tmp_path)
        loaded, report = Model.from_pretrained(
            tmp_path, attn_implementation=model.config._attn_implementation, output_loading_info=True
        )
        assert not any(report.values())
        assert loaded.config.label2id == model.config.label2id
        assert loaded.config.keypoint_schemas == model.config.keypoint_schemas
        assert not loaded.training
        # not bit for bit: weights at another place in memory may take another kernel
        torch.testing.assert_close(loaded(crops, **_index(model)).heatmaps, model(crops, **_index(model)).heatmaps)

    def test_gradients_reach_every_parameter(self, model: Model, crops: torch.Tensor) -> None:
        model(crops, **_targets(model)).loss.backward()  # evaluation mode: drop path would leave branches out
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            # softmax does not see what is added to all keys alike: the gradient of a key bias is rounding noise
            assert parameter.grad.abs().max() > 1e-7 or name.endswith("key.bias"), name

    @pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable:FutureWarning")
    def test_gradient_checkpointing_gives_the_same_step(self, model: Model, crops: torch.Tensor) -> None:
        loss, gradients = _train_once(model, crops)
        model.gradient_checkpointing_enable()
        loss_again, gradients_again = _train_once(model, crops)
        torch.testing.assert_close(loss_again, loss)
        torch.testing.assert_close(gradients_again, gradients)

    @torch.no_grad()
    def test_drop_path_acts_in_training_only(self, model: Model, crops: torch.Tensor, kind: Kind, small_model) -> None:
        never_drops = small_model(
            kind.preset,
            **{"decoder": kind.decoder, "attn_implementation": kind.attention, "drop_path_rate": 0.0},
            **OPTIONS[kind.part],
        )
        torch.testing.assert_close(model(crops, **_index(model)).heatmaps, never_drops(crops, **_index(model)).heatmaps)

    @torch.no_grad()
    def test_attention_kinds_agree(self, model: Model, crops: torch.Tensor, kind: Kind) -> None:
        heatmaps = model(crops, **_index(model)).heatmaps
        model.set_attn_implementation({"eager": "sdpa", "sdpa": "eager"}[kind.attention])
        torch.testing.assert_close(model(crops, **_index(model)).heatmaps, heatmaps, rtol=0, atol=1e-5)

    @torch.no_grad()
    def test_bfloat16_is_finite_and_near(self, model: Model, crops: torch.Tensor) -> None:
        exact = model(crops, **_index(model)).heatmaps
        heatmaps = model.to(torch.bfloat16)(crops.bfloat16(), **_index(model)).heatmaps
        assert heatmaps.dtype == torch.bfloat16
        torch.testing.assert_close(heatmaps.float(), exact, rtol=0, atol=0.05 * float(exact.abs().max()))

    @torch.no_grad()
    def test_hidden_states_and_attentions_on_request(self, model: Model, crops: torch.Tensor) -> None:
        output = model(crops, **_index(model), output_hidden_states=True, output_attentions=True)
        backbone = model.config.backbone_config
        tokens = math.prod(backbone.grid_size) + bool(backbone.knowledge_token_size)
        assert [tuple(state.shape) for state in output.hidden_states] == [(2, tokens, backbone.hidden_size)] * 3
        assert [tuple(weights.shape) for weights in output.attentions] == [_attention_shape(model)] * 2
        for weights in output.attentions:
            torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
        torch.testing.assert_close(output.heatmaps, model(crops, **_index(model)).heatmaps, rtol=0, atol=1e-5)

    @torch.no_grad()
    def test_no_crops_give_no_heatmaps(self, model: Model, crops: torch.Tensor) -> None:
        assert model(crops[:0], **_index(model, 0)).heatmaps.shape == (0, 17, *model.config.heatmap_size)

    @torch.no_grad()
    def test_crops_of_another_size_on_request(self, model: Model, crops: torch.Tensor) -> None:
        larger = torch.nn.functional.pad(crops, (0, 16, 0, 32))
        with pytest.raises(ValueError, match="pass interpolate_pos_encoding=True"):
            model(larger, **_index(model))
        rows, columns = model.config.backbone_config.grid_of(larger.shape[-2:])
        heatmaps = model(larger, **_index(model), interpolate_pos_encoding=True).heatmaps
        assert heatmaps.shape == (2, 17, 4 * rows, 4 * columns)
        same = model(crops, **_index(model), interpolate_pos_encoding=True).heatmaps
        assert torch.equal(same, model(crops, **_index(model)).heatmaps)
        model.resize_position_embeddings(tuple(larger.shape[-2:]))
        torch.testing.assert_close(model(larger, **_index(model)).heatmaps, heatmaps, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", TRACED_KINDS, indirect=True, ids="-".join)
class TestTracedModels:
    @torch.no_grad()
    def test_compiles_into_one_graph(self, model: Model, crops: torch.Tensor) -> None:
        torch._dynamo.reset()
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        index = _index(model) or {"dataset_index": 0}
        expected = model(crops, **index).heatmaps
        torch.testing.assert_close(compiled(crops, **index).heatmaps, expected, rtol=0, atol=1e-5)

    @torch.no_grad()
    def test_exports_with_any_batch(self, model: Model, crops: torch.Tensor, random_crops) -> None:
        batch = torch.export.Dim("batch", min=1, max=64)
        index = _index(model)
        shapes = {name: {0: batch} for name in ("pixel_values", *index)}
        exported = torch.export.export(model, (crops,), index, dynamic_shapes=shapes).module()
        more, index = random_crops(model, 5), _index(model, 5)
        torch.testing.assert_close(exported(more, **index).heatmaps, model(more, **index).heatmaps, rtol=0, atol=1e-5)

    def test_training_after_inference_export_and_meta(self, model: Model, crops: torch.Tensor) -> None:
        """Nothing of an earlier forward is kept that a later one could trip over."""
        with torch.inference_mode():
            model(crops, **_index(model))
        torch.export.export(model, (crops,), _index(model))
        if model.config.num_datasets == 1:  # values of an index cannot be checked on the meta device
            with torch.device("meta"):
                Model(model.config)(crops.to("meta"))
        loss, _ = _train_once(model, crops)
        assert torch.isfinite(loss)
