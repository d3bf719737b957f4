"""Layer-wise decay and schedules, against the released configs' rules and numbers worked out by hand."""

from types import SimpleNamespace

import pytest
import torch

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation
from vitpose.training.config.recipe import Recipe
from vitpose.training.engine.optimizer import (
    has_weight_decay,
    layer_index,
    learning_rate_factor,
    make_optimizer,
    parameter_groups,
    set_learning_rate,
)

NUM_LAYERS = 2


@pytest.fixture(scope="module", params=["classic", "simple"])
def model(request) -> ViTPoseForPoseEstimation:
    small = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": NUM_LAYERS, "num_attention_heads": 2}
    return ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", decoder=request.param, **small))


def groups_by_name(model: ViTPoseForPoseEstimation, recipe: Recipe) -> dict[str, dict]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, num_layers=NUM_LAYERS, recipe=recipe)
    assert len({id(p) for group in groups for p in group["params"]}) == sum(len(g["params"]) for g in groups)
    return {names[id(parameter)]: group for group in groups for parameter in group["params"]}


@pytest.mark.parametrize(
    ("name", "layer", "decays"),
    [
        # the embeddings are layer 0; the position table is never decayed
        ("backbone.embeddings.position_embeddings", 0, False),
        ("backbone.embeddings.patch_embeddings.projection.weight", 0, True),
        ("backbone.embeddings.patch_embeddings.projection.bias", 0, False),
        # block i is layer i + 1; norms and biases are vectors, without decay
        ("backbone.encoder.layer.0.attention.attention.query.weight", 1, True),
        ("backbone.encoder.layer.0.attention.attention.query.bias", 1, False),
        ("backbone.encoder.layer.0.layernorm_before.weight", 1, False),
        ("backbone.encoder.layer.1.mlp.fc1.weight", 2, True),
        ("backbone.encoder.layer.1.mlp.fc2.bias", 2, False),
        # everything else is the last layer
        ("backbone.layernorm.weight", 3, False),
        ("backbone.layernorm.bias", 3, False),
        ("head.conv.weight", 3, True),
        ("head.conv.bias", 3, False),
    ],
)
def test_the_group_of_a_parameter(model, name, layer, decays):
    assert layer_index(name, NUM_LAYERS) == layer
    assert has_weight_decay(name, dict(model.named_parameters())[name]) is decays


def test_each_parameter_gets_its_layers_rate_and_decay(model):
    recipe = Recipe.from_fields(learning_rate=1e-3, layer_decay=0.5, weight_decay=0.1)
    groups = groups_by_name(model, recipe)
    assert set(groups) == {name for name, _ in model.named_parameters()}
    for name, group in groups.items():
        # four layers: embeddings 1/8, blocks 1/4 and 1/2, the rest 1
        assert group["lr"] == group["peak_lr"] == pytest.approx(1e-3 * 0.5 ** (3 - layer_index(name, NUM_LAYERS)))
        assert group["weight_decay"] == (0.1 if has_weight_decay(name, model.get_parameter(name)) else 0.0)


def test_a_knowledge_token_and_its_projection_learn_at_the_full_rate():
    assert layer_index("backbone.embeddings.knowledge.token", NUM_LAYERS) == NUM_LAYERS + 1
    assert layer_index("backbone.embeddings.knowledge.projection.weight", NUM_LAYERS) == NUM_LAYERS + 1


def test_block_ten_is_not_block_one():
    assert layer_index("backbone.encoder.layer.10.mlp.fc1.weight", 12) == 11


def test_frozen_parameters_are_left_out(model):
    for parameter in model.backbone.embeddings.parameters():
        parameter.requires_grad_(False)
    try:
        named = groups_by_name(model, Recipe())
    finally:
        model.requires_grad_(True)
    assert named and not any(name.startswith("backbone.embeddings.") for name in named)


def test_the_optimizer_is_that_of_the_paper(model):
    optimizer = make_optimizer(model, num_layers=NUM_LAYERS, recipe=Recipe())
    assert type(optimizer) is torch.optim.AdamW
    assert all(group["betas"] == (0.9, 0.999) for group in optimizer.param_groups)


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [
        # ten steps of warm-up from a thousandth: a straight line
        ("step", 0, 0.001),
        ("step", 5, 0.5005),
        ("step", 9, 0.9001),
        ("step", 10, 1.0),
        # 20 steps an epoch, a tenth from epoch 2 and again from epoch 3
        ("step", 39, 1.0),
        ("step", 40, 0.1),
        ("step", 59, 0.1),
        ("step", 60, 0.01),
        ("step", 79, 0.01),
        # half a cosine from the end of the warm-up, step 10, to the last, step 80
        ("cosine", 0, 0.001),
        ("cosine", 10, 1.0),
        ("cosine", 45, 0.5),
        ("cosine", 80, 0.0),
    ],
)
def test_the_learning_rate_of_a_step(schedule, step, factor):
    recipe = Recipe.from_fields(epochs=4, warmup_steps=10, schedule=schedule, decay_epochs=[2, 3])
    assert learning_rate_factor(recipe, 20)(step) == pytest.approx(factor, abs=1e-9)


def test_without_warm_up_the_first_step_has_the_whole_rate():
    assert learning_rate_factor(Recipe.from_fields(warmup_steps=0, decay_epochs=[]), 20)(0) == 1.0


def test_the_factor_keeps_the_ratio_of_the_layers():
    groups = [{"lr": 0.0, "peak_lr": 1e-4}, {"lr": 0.0, "peak_lr": 1e-3}]
    optimizer = SimpleNamespace(param_groups=groups)
    assert set_learning_rate(optimizer, 0.5) == pytest.approx(5e-4)  # that of the last layer
    assert [group["lr"] for group in groups] == pytest.approx([5e-5, 5e-4])
