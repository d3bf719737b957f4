"""The average of the weights: its formula, and that it is what a run evaluates and saves."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from vitpose.training.engine.weight_average import AVERAGE_FILE, WeightAverage
from vitpose.training.session import run_recipe


def test_it_is_the_recursive_mean_of_weights_and_statistics():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = WeightAverage(model, decay=0.7)
    expected = {name: value.double() for name, value in model.state_dict().items()}
    for step in range(1, 30):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        model(torch.randn(5, 3))  # moves the statistics
        average.update(model, step=step)
        kept = min(0.7, (1 + step) / (10 + step))
        expected = {name: kept * expected[name] + (1 - kept) * value for name, value in model.state_dict().items()}
    averages = average.model.state_dict()
    assert averages.pop("1.num_batches_tracked") == 29  # a counter is no mean
    for name, value in averages.items():
        torch.testing.assert_close(value.double(), expected[name], atol=1e-6, rtol=1e-6)


def test_a_run_evaluates_and_saves_the_average(make_recipe, read_weights, read_log, tmp_path):
    fields = {"decoder": "classic", "epochs": 2}
    plain = make_recipe(**fields, output_dir=str(tmp_path / "plain"))
    averaged = make_recipe(**fields, ema_decay=0.9, output_dir=str(tmp_path / "averaged"))
    for recipe in (plain, averaged):
        run_recipe(recipe)
    training = [
        [line["loss"] for line in read_log(recipe.run.output_dir) if "loss" in line] for recipe in (plain, averaged)
    ]
    assert training[0] == training[1]  # watching changes nothing
    checkpoint = max(Path(averaged.run.output_dir, "checkpoints").iterdir())
    last, average = load_file(checkpoint / "model.safetensors"), load_file(checkpoint / AVERAGE_FILE)
    saved = read_weights(averaged.run.output_dir)
    assert [name for name in saved if not torch.equal(saved[name], average[name])] == []
    assert [name for name in saved if torch.equal(saved[name], last[name]) and saved[name].is_floating_point()] == []
    assert not [
        name for name, value in read_weights(plain.run.output_dir).items() if not torch.equal(value, last[name])
    ]
    predictions = [json.loads(Path(recipe.run.output_dir, "results.json").read_text()) for recipe in (plain, averaged)]
    assert len(predictions[0]) == len(predictions[1]) and predictions[0] != predictions[1]


@pytest.mark.parametrize("decay", [1.0, -0.1, 2])
def test_a_decay_outside_its_range_is_refused(make_recipe, decay):
    with pytest.raises(ValueError, match="optimization.ema_decay: expected 0 or more and less than 1, got"):
        make_recipe(ema_decay=decay)
