"""Runs whose weights are sharded over two processes (FSDP2): those of two processes with a whole model on each."""

from collections.abc import Callable
from pathlib import Path

import pytest
from accelerate import Accelerator
from safetensors.torch import load_file

from vitpose.training.config.recipe import Recipe
from vitpose.training.engine.sharding import sharding_plugin
from vitpose.training.session import run_recipe

# Accelerate shards over GPUs alone: it is told here that the processes on the CPU are those of GPUs.
SCRIPT = """
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from vitpose.training.results import masked_image_outputs

outputs.save_curves = masked_image_outputs.save_curves = lambda log, png: None
PartialState(cpu=True)

def run(name, *, sharded, **fields):
    AcceleratorState._reset_state()
    PartialState._shared_state["distributed_type"] = DistributedType["MULTI_GPU" if sharded else "MULTI_CPU"]
    os.environ.update(ACCELERATE_USE_FSDP=str(sharded).lower(), FSDP_VERSION="2")
    os.environ["FSDP_RESHARD_AFTER_FORWARD"] = str("experts" not in name).lower()
    run_recipe(Recipe.from_fields(**{**given["same"], **fields}, output_dir=f"{folder}/{name}"))

for name, fields in given["runs"].items():
    run(f"{name}_whole", sharded=False, **fields)
    run(f"{name}_sharded", sharded=True, **fields)

fields = given["runs"]["plain"]
train_batch, left = Trainer._train_batch, list(range(6))
def interrupted(self, *arguments):
    left.pop()  # IndexError in the 7th batch, in the middle of the second epoch
    return train_batch(self, *arguments)
Trainer._train_batch = interrupted
try:
    run("resumed", sharded=True, **fields)
except IndexError:
    Trainer._train_batch = train_batch
try:
    run("resumed", sharded=False, **fields, resume=True)
except ValueError as error:
    (folder / "refused").write_text(str(error))
run("resumed", sharded=True, **fields, resume=True)
"""
SAME = {
    **{"init_from": "none", "train_people": 14, "batch_size": 2, "num_workers": 0, "log_every": 1, "warmup_steps": 1},
    **{"eval_people": 3, "eval_batch_size": 1, "eval_every": 0},  # one more to predict for the first process
}
RUNS = {
    "plain": {
        **{"epochs": 2, "gradient_accumulation_steps": 2, "max_grad_norm": 0.01, "checkpoint_every": 3},
        **{"decoder": "classic"},  # with running statistics, which each process has of its own batches
    },
    "experts": {"epochs": 1, "freeze": "attention", "mixed_precision": "bf16", "gradient_checkpointing": True},
    "pretrained": {"epochs": 1, "task": "masked_image_modeling"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, write_people: Callable[..., Path], launch_two: Callable) -> Path:
    """Folder with each of `RUNS` on whole models and on sharded ones, and `resumed`, the plain one interrupted."""
    folder = tmp_path_factory.mktemp("sharded")
    people = write_people(folder, schema="mpii", train=6, val=3)
    own = {"data": "people", "data_dir": str(people), "schema": "mpii", "train_people": None, "eval_people": None}
    mixture = {"mixture": [{"data": "synthetic", "train_people": 6, "eval_people": 1}, own]}
    done = launch_two(SCRIPT, folder, same=SAME, runs={**RUNS, "experts": RUNS["experts"] | mixture})
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_losses_and_figures_are_those_of_whole_models(runs, read_log, name):
    ours, theirs = (read_log(runs / f"{name}_{kind}") for kind in ("sharded", "whole"))
    for own, their in zip(ours, theirs, strict=True):
        assert own["step"] == their["step"]
        assert own.get("loss", 0) == pytest.approx(their.get("loss", 0), rel=1e-5)
        assert own.get("eval", {}) == pytest.approx(their.get("eval", {}), rel=1e-5)


@pytest.mark.parametrize("name", RUNS)
def test_the_folder_is_that_of_whole_models(runs, name):
    ours, theirs = (runs / f"{name}_{kind}" for kind in ("sharded", "whole"))
    files = {path.relative_to(theirs) for path in theirs.rglob("*") if path.is_file()}
    files = {path for path in files if path.parts[0] != "checkpoints"}
    assert files == {path for path in files if (ours / path).is_file()}
    for path in (path for path in files if path.name == "config.json"):
        assert (ours / path).read_text() == (theirs / path).read_text()
    for path in (path for path in files if path.suffix == ".safetensors"):
        own, their = load_file(ours / path), load_file(theirs / path)
        assert list(own) == list(their)
        assert max(float((own[key] - their[key]).abs().max()) for key in own) < 1e-6


def test_a_process_holds_half_of_the_weights(runs):
    shards = runs / "plain_sharded" / "checkpoints" / "step-00000004" / "pytorch_model_fsdp_0"
    sizes = [path.stat().st_size for path in shards.glob("*.distcp")]
    assert len(sizes) == 2
    assert min(sizes) > 0.4 * sum(sizes)


def test_a_resumed_run_equals_an_unbroken_one(runs, read_log, assert_same_weights):
    assert_same_weights(runs / "resumed", runs / "plain_sharded")
    losses = [
        [line["loss"] for line in read_log(runs / name) if "loss" in line] for name in ("resumed", "plain_sharded")
    ]
    assert losses[0] == losses[1]


def test_a_sharded_run_is_not_resumed_with_whole_models(runs):
    assert "sharded: True then, False now" in (runs / "refused").read_text()


@pytest.mark.parametrize(
    ("launched", "fields", "message"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, {}, "DeepSpeed is not supported.*fsdp_reshard_after_forward: false"),
        ({"ACCELERATE_USE_FSDP": "true"}, {}, "fsdp_version: expected 2, got 1.*fsdp2.yaml"),
        ({"FSDP_OFFLOAD_PARAMS": "true"}, {}, "fsdp_offload_params: expected false, got true"),
        ({"FSDP_ACTIVATION_CHECKPOINTING": "true"}, {}, "Set gradient_checkpointing in the recipe"),
        ({}, {"mixed_precision": "fp16"}, "mixed_precision: expected 'no' or 'bf16' for sharded weights, got 'fp16'"),
        ({}, {"ema_decay": 0.9}, "ema_decay: expected 0 for sharded weights"),
    ],
)
def test_what_cannot_be_sharded_is_refused(monkeypatch, launched, fields, message):
    if not any("USE" in name for name in launched):
        launched = {**launched, "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        sharding_plugin(Recipe.from_fields(**fields))


def test_without_gpus_the_launch_is_refused(monkeypatch, make_recipe):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    monkeypatch.setattr(Accelerator, "is_fsdp2", property(lambda self: False))  # also where the test has a GPU
    with pytest.raises(ValueError, match=r"FSDP2 was asked for on 1 x \w+, and accelerate shards over GPUs alone"):
        run_recipe(make_recipe())


def test_a_launch_that_asks_for_nothing_gets_whole_models(monkeypatch):
    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)
    assert sharding_plugin(Recipe()) is None
