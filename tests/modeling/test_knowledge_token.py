"""The knowledge token: beside the patch tokens in every block, in no heatmap, saved with the model."""

from pathlib import Path

import pytest
import torch

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation
from vitpose.training.engine.optimizer import has_weight_decay

Model = ViTPoseForPoseEstimation


@torch.no_grad()
@pytest.mark.parametrize("width", [48, 24])
def test_the_token_takes_part_in_attention_and_falls_away(width: int, small_model, random_crops) -> None:
    model = small_model("base", decoder="simple", knowledge_token_size=width)
    crops = random_crops(model)
    output = model(crops, output_hidden_states=True)
    knowledge = model.backbone.embeddings.knowledge
    assert [state.shape[1] for state in output.hidden_states] == [13] * 3
    expected = knowledge.token if width == 48 else knowledge.token @ knowledge.projection.weight.T
    if width != 48:
        expected = expected + knowledge.projection.bias
    torch.testing.assert_close(output.hidden_states[0][:, 12:], expected.expand(2, 1, 48))
    assert output.heatmaps.shape == (2, 17, 16, 12)
    knowledge.token.neg_()
    assert (model(crops).heatmaps - output.heatmaps).abs().max() > 1e-3


@torch.no_grad()
def test_the_token_is_saved_and_loaded(small_model, random_crops, tmp_path: Path) -> None:
    model = small_model("base", decoder="simple", knowledge_token_size=24)
    model.save_pretrained(tmp_path)
    loaded = Model.from_pretrained(tmp_path)
    assert torch.equal(loaded.backbone.embeddings.knowledge.token, model.backbone.embeddings.knowledge.token)
    crops = random_crops(model)
    # not bit for bit: weights at another place in memory may take another kernel
    torch.testing.assert_close(loaded(crops).heatmaps, model(crops).heatmaps)


def test_a_frozen_token_still_lets_its_projection_learn(small_model, random_crops) -> None:
    model = small_model("base", decoder="simple", knowledge_token_size=24)
    knowledge = model.backbone.embeddings.knowledge
    knowledge.token.requires_grad_(False)
    labels = torch.zeros(2, 17, 16, 12)
    model(random_crops(model), labels=labels).loss.backward()
    assert knowledge.token.grad is None
    assert knowledge.projection.weight.grad.abs().max() > 0


def test_a_token_of_the_models_width_needs_no_projection(small_model) -> None:
    names = [name for name in small_model("base", knowledge_token_size=48).state_dict() if "knowledge" in name]
    assert names == ["backbone.embeddings.knowledge.token"]


def test_tokens_and_tables_have_no_weight_decay(small_config) -> None:
    config = small_config("base", decoder="simple", attention_kind="window", window_size=(2, 2))
    names = dict(Model(config).named_parameters())
    names.update(Model(small_config("base", decoder="simple", knowledge_token_size=24)).named_parameters())
    free = {name for name, parameter in names.items() if parameter.ndim > 1 and not has_weight_decay(name, parameter)}
    assert free == {
        "backbone.embeddings.position_embeddings",
        "backbone.embeddings.knowledge.token",
        *(f"backbone.encoder.layer.{i}.attention.attention.rel_pos_{axis}" for i in (0, 1) for axis in "hw"),
    }


@pytest.mark.parametrize("width", [0, -3])
def test_a_token_without_width_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match=f"knowledge_token_size: expected 1 or more, or None, got {width}"):
        ViTPoseConfig.from_preset("base", knowledge_token_size=width)
