"""What every model promises, whatever its size, decoder and attention: one contract, inherited by each combination."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

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


DECODERS = ("classic", "simple")
# A compiled graph depends on the decoder and the attention, not on widths: one size will do for what is slow to check.
TRACED_KINDS = [Kind("base", decoder, attention) for decoder in DECODERS for attention in ("eager", "sdpa")]
KINDS = TRACED_KINDS + [Kind(preset, decoder, "sdpa") for preset in PRESETS if preset != "base" for decoder in DECODERS]


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def model(kind: Kind, small_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setattr(decoders_vitpose, "DECONVOLUTION_CHANNELS", 32)  # for speed
    return small_model(kind.preset, decoder=kind.decoder, attn_implementation=kind.attention)


@pytest.fixture
def crops(model: Model, random_crops: Callable[..., torch.Tensor]) -> torch.Tensor:
    return random_crops(model)


def _targets(model: Model, batch: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {
        "labels": torch.rand(batch, 17, *model.config.heatmap_size, generator=generator),
        "label_weights": torch.rand(batch, 17, generator=generator),
    }


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
        assert output.heatmaps.shape == (2, 17, *model.config.heatmap_size) == (2, 17, 16, 12)
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
        assert torch.equal(loaded(crops).heatmaps, model(crops).heatmaps)

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
            kind.preset, decoder=kind.decoder, attn_implementation=kind.attention, drop_path_rate=0.0
        )
        assert torch.equal(model(crops).heatmaps, never_drops(crops).heatmaps)

    @torch.no_grad()
    def test_attention_kinds_agree(self, model: Model, crops: torch.Tensor, kind: Kind) -> None:
        heatmaps = model(crops).heatmaps
        model.set_attn_implementation({"eager": "sdpa", "sdpa": "eager"}[kind.attention])
        torch.testing.assert_close(model(crops).heatmaps, heatmaps, rtol=0, atol=1e-5)

    @torch.no_grad()
    def test_bfloat16_is_finite_and_near(self, model: Model, crops: torch.Tensor) -> None:
        exact = model(crops).heatmaps
        heatmaps = model.to(torch.bfloat16)(crops.bfloat16()).heatmaps
        assert heatmaps.dtype == torch.bfloat16
        torch.testing.assert_close(heatmaps.float(), exact, rtol=0, atol=0.05 * float(exact.abs().max()))

    @torch.no_grad()
    def test_hidden_states_and_attentions_on_request(self, model: Model, crops: torch.Tensor) -> None:
        output = model(crops, output_hidden_states=True, output_attentions=True)
        backbone = model.config.backbone_config
        tokens = (2, 12, backbone.hidden_size)
        assert [tuple(state.shape) for state in output.hidden_states] == [tokens] * 3
        assert [tuple(weights.shape) for weights in output.attentions] == [
            (2, backbone.num_attention_heads, 12, 12)
        ] * 2
        for weights in output.attentions:
            torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
        torch.testing.assert_close(output.heatmaps, model(crops).heatmaps, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", TRACED_KINDS, indirect=True, ids="-".join)
class TestTracedModels:
    @torch.no_grad()
    def test_compiles_into_one_graph(self, model: Model, crops: torch.Tensor) -> None:
        torch._dynamo.reset()
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(crops, dataset_index=0).heatmaps, model(crops).heatmaps, rtol=0, atol=1e-5)

    @torch.no_grad()
    def test_exports_with_any_batch(self, model: Model, crops: torch.Tensor, random_crops) -> None:
        batch = torch.export.Dim("batch", min=1, max=64)
        exported = torch.export.export(model, (crops,), dynamic_shapes={"pixel_values": {0: batch}}).module()
        more = random_crops(model, 5)
        torch.testing.assert_close(exported(more).heatmaps, model(more).heatmaps, rtol=0, atol=1e-5)

    def test_training_after_inference_export_and_meta(self, model: Model, crops: torch.Tensor) -> None:
        """Nothing of an earlier forward is kept that a later one could trip over."""
        with torch.inference_mode():
            model(crops)
        torch.export.export(model, (crops,))
        with torch.device("meta"):
            Model(model.config)(crops.to("meta"))
        loss, _ = _train_once(model, crops)
        assert torch.isfinite(loss)
