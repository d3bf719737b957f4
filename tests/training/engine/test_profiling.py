"""`--profile`: a trace and a table of a few steps, and nothing else."""

import json
from pathlib import Path

import pytest

from vitpose.training.engine.profiling import table_of_parts
from vitpose.training.session import run_recipe


def test_a_profile_is_a_trace_and_a_table_and_no_run(make_recipe, caplog):
    recipe = make_recipe(profile=True, train_people=24, batch_size=2, epochs=2, checkpoint_every=1, num_workers=1)
    with caplog.at_level("INFO", logger="vitpose"):
        output = run_recipe(recipe)
    assert [path.name for path in output.iterdir()] == ["trace.json"]
    events = json.loads((output / "trace.json").read_text())["traceEvents"]
    for name, times in (("data", 5), ("forward", 5), ("backward", 5), ("optimizer", 5)):
        assert sum(event.get("name") == name and event.get("ph") == "X" for event in events) == times
    table = dict(line.split()[:2] for line in caplog.text.splitlines() if "%" in line and " ms" in line)
    assert float(table["forward"]) > 0 and float(table["backward"]) > 0
    run_recipe(make_recipe(train_people=4))  # the folder is free for the run itself


def test_a_step_of_several_batches_adds_their_parts(make_recipe):
    recipe = make_recipe(profile=True, train_people=36, batch_size=2, gradient_accumulation_steps=2)
    events = json.loads((run_recipe(recipe) / "trace.json").read_text())["traceEvents"]
    assert sum(event.get("name") == "forward" and event.get("ph") == "X" for event in events) == 10


def test_a_run_too_short_to_be_measured_is_said(make_recipe):
    with pytest.raises(ValueError, match="expected a run of 8 steps or more, 3 to warm up and 5 to measure, got 3"):
        run_recipe(make_recipe(profile=True))


def test_the_table_adds_up():
    seconds = {"step": 0.1, "data": 0.02, "forward": 0.03, "backward": 0.04, "optimizer": 0.005}
    lines = table_of_parts(seconds, images=8).splitlines()
    assert lines[0].split() == ["data", "20.0", "ms", "20.0%"]
    assert lines[4].split() == ["the", "rest", "5.0", "ms", "5.0%"]
    assert lines[-1].startswith("80.0 images/s")


def test_an_earlier_run_stays_as_it_is(make_recipe):
    output = run_recipe(make_recipe())
    before = {path: path.stat().st_mtime_ns for path in Path(output).rglob("*")}
    run_recipe(make_recipe(profile=True, epochs=3))
    after = {path: path.stat().st_mtime_ns for path in Path(output).rglob("*")}
    assert {path: after[path] for path in before if path.is_file()} == {p: t for p, t in before.items() if p.is_file()}
