"""Runs whose blocks are compiled: the same losses, and weights under the same names."""

import functools

import pytest
import torch
from safetensors.torch import load_file

from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation
from vitpose.training.engine.compilation import compile_blocks
from vitpose.training.session import run_recipe


@pytest.fixture
def compiled_frames(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of operations of each graph that is compiled; graphs are traced, and no code is generated."""
    frames = []

    def backend(graph: torch.fx.GraphModule, inputs: list) -> torch.nn.Module:
        frames.append(len(graph.graph.nodes))
        return graph

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    return frames


@pytest.mark.parametrize("task", ["pose", "masked_image_modeling"])
def test_a_compiled_run_equals_a_plain_one(make_recipe, compiled_frames, read_log, tmp_path, task):
    recipes = [
        make_recipe(task=task, torch_compile=compiles, output_dir=str(tmp_path / str(compiles)), ema_decay=0.9)
        for compiles in (False, True)
    ]
    for recipe in recipes:
        assert not compiled_frames
        run_recipe(recipe)
    assert compiled_frames
    losses = [[line["loss"] for line in read_log(recipe.run.output_dir) if "loss" in line] for recipe in recipes]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    plain, compiled = (load_file(f"{recipe.run.output_dir}/model.safetensors") for recipe in recipes)
    assert plain.keys() == compiled.keys()


def test_blocks_of_every_drop_path_rate_share_a_graph(compiled_frames):
    options = {"num_hidden_layers": 12, "hidden_size": 24, "image_size": (32, 32), "drop_path_rate": 0.3}
    config = ViTPoseConfig.from_preset("tiny", **options)
    model = ViTPoseForPoseEstimation(config).train()
    compile_blocks(model)
    for _ in range(2):
        model(torch.rand(2, 3, 32, 32)).heatmaps.sum().backward()
    assert len(compiled_frames) == 2  # the first block, whose rate is 0, and all others


def test_a_launch_that_compiles_is_refused(make_recipe, monkeypatch):
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "EAGER")
    with pytest.raises(
        ValueError, match="dynamo_backend: expected none, got eager. .* set torch_compile in the recipe"
    ):
        run_recipe(make_recipe())
