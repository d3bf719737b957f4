"""`vitpose train`: several processes, recipes by name, Ctrl-C, and the commands that a run ends with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vitpose.training.config.recipe import Recipe
from vitpose.training.results import run_words
from vitpose.training.results.run_words import command_words, next_steps
from vitpose_cli import main as cli

SMALL = {
    "init_from": "none",
    "image_height": 64,
    "image_width": 48,
    "num_hidden_layers": 1,
    "train_people": 48,
    "eval_people": 4,
    "batch_size": 4,
    "num_workers": 1,
    "log_every": 1,
    "warmup_steps": 2,
}


def fields(output: Path, **changes: object) -> list[str]:
    given = {**SMALL, "output_dir": output, **changes}
    return [part for name, value in given.items() for part in (f"--{name}", str(value))]


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """`vitpose train` in a folder, its messages in `shown`, in a process group of its own as a terminal has it."""
    command = [sys.executable, "-m", "vitpose_cli.main", "train", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    with (folder / "shown").open("w") as shown:
        return subprocess.Popen(
            command, stdout=shown, stderr=shown, cwd=folder, env=environment, start_new_session=True
        )


def shown(folder: Path) -> str:
    return (folder / "shown").read_text().replace("\r", "\n")


def interrupt_after_step(process: subprocess.Popen, log: Path, step: int, *, times: int = 1) -> None:
    """Press Ctrl-C, which a terminal sends to the whole group, once the log has reached a step."""
    while process.poll() is None and not (log.exists() and f'"step": {step},' in log.read_text()):
        time.sleep(0.01)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)


@pytest.mark.slow
def test_two_processes_stopped_by_ctrl_c_and_resumed_equal_two_unbroken(tmp_path):
    several = ["lspet_small", "--num-processes", "2"]  # a recipe that ships, by name; the fields below beat it
    given = {"data": "synthetic", "data_dir": "null", "schema": "coco", "num_attention_heads": 12, "epochs": 1}
    stopped = start(tmp_path, *several, *fields(Path("stopped"), **given))
    interrupt_after_step(stopped, tmp_path / "stopped" / "log.jsonl", 2)
    assert stopped.wait(timeout=300) == 0, shown(tmp_path)
    said = shown(tmp_path)
    assert "Saving after this step, and ending; Ctrl-C again stops at once." in said
    assert "Traceback" not in said
    assert "Go on with: vitpose train --num-processes 2 lspet_small " in said.splitlines()[-1]
    assert said.splitlines()[-1].endswith("--resume")
    assert not (tmp_path / "stopped" / "model.safetensors").exists()

    assert start(tmp_path, *several, *fields(Path("stopped"), **given), "--resume").wait(timeout=300) == 0
    assert start(tmp_path, *several, *fields(Path("unbroken"), **given)).wait(timeout=300) == 0, shown(tmp_path)
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("stopped", "unbroken"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    logs = [[json.loads(line) for line in (tmp_path / name / "log.jsonl").open()] for name in ("stopped", "unbroken")]
    assert [[line["step"] for line in log] for log in logs] == [[0, 1, 2, 3, 4, 5, 6, 6]] * 2
    assert [line.get("eval") for line in logs[0]] == [line.get("eval") for line in logs[1]]
    card = (tmp_path / "unbroken" / "README.md").read_text()
    assert "\nvitpose train --num-processes 2 lspet_small --init_from none" in card
    assert "training/run.py" not in card and "training/recipes" not in card


@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_ctrl_c_ends_at_once(tmp_path, processes):
    several = ["--num-processes", str(processes), "--style", "street", "--epochs", "50"]
    process = start(tmp_path, *several, *fields(Path("run")))
    interrupt_after_step(process, tmp_path / "run" / "log.jsonl", 2, times=2)
    assert process.wait(timeout=60) == 130, shown(tmp_path)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_mistake_is_told_once_and_without_a_traceback(tmp_path, processes):
    process = start(tmp_path, "--num-processes", processes, "--leraning_rate", "1")
    assert process.wait(timeout=120) == 2
    (line,) = shown(tmp_path).splitlines()
    assert line.startswith("error: The command line, field: expected a known name, got 'leraning_rate'. Did you mean")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--num-processes", "0"], "--num-processes: expected 1 or more, got 0."),
        (["lspet_smal"], "No recipe lspet_smal. Did you mean lspet_small.yaml? Recipes that ship with vitpose: "),
        (["--patience", "2", "--eval_every", "0"], "evaluation.patience: expected null, since eval_every is 0, got 2."),
    ],
)
def test_what_cannot_be_started_is_told(capsys, given, message):
    try:
        status = cli.main(["train", *given])
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert message in capsys.readouterr().err


def test_the_help_lists_the_fields_and_the_number_of_processes(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "vitpose train [--num-processes N] [RECIPE] [--field value ...]" in said
    assert "--patience" in said and "run.py" not in said


@pytest.mark.parametrize(
    ("argv", "environment", "words"),
    [
        (["/env/bin/vitpose", "train", "tiny", "--resume"], {}, "vitpose train tiny"),
        (["training/run.py", "--epochs", "3"], {}, "vitpose train --epochs 3"),
        (["run.py", str(run_words.RECIPES / "tiny.yaml")], {}, "vitpose train tiny.yaml"),
        (["main.py", "train", "--num-processes", "2", "a.yaml"], {"WORLD_SIZE": "2"}, "{two} a.yaml"),
        (
            ["main.py", "train", "a.yaml", "--num_processes=2", "--seed", "1"],
            {"WORLD_SIZE": "2"},
            "{two} a.yaml --seed 1",
        ),
        (["__main__.py", "train", "a.yaml"], {"WORLD_SIZE": "2"}, "{two} a.yaml"),
        (
            ["__main__.py", "train", "a.yaml"],
            {"WORLD_SIZE": "8", "ACCELERATE_USE_FSDP": "true"},
            "accelerate launch -m vitpose train a.yaml",
        ),
    ],
)
def test_the_command_that_repeats_a_run_works_wherever_vitpose_is_installed(monkeypatch, argv, environment, words):
    monkeypatch.setattr(sys, "argv", argv)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert command_words() == words.format(two="vitpose train --num-processes 2")


@pytest.mark.parametrize(
    ("changes", "several", "commands"),
    [
        (
            {},
            False,
            [
                "vitpose predict photo.jpg --model runs/x",
                "vitpose evaluate --model runs/x",
                "vitpose publish runs/x --repo YOUR_NAME/x",
            ],
        ),
        (
            {"data": "people", "data_dir": "my data", "schema": "lspet", "eval_people": None},
            False,
            [
                "vitpose predict photo.jpg --model runs/x",
                "vitpose evaluate --data people --data_dir 'my data' --schema lspet --eval_people null --model runs/x",
                "vitpose publish runs/x --repo YOUR_NAME/x",
            ],
        ),
        (
            {"mixture": [{"data": "synthetic"}, {"data": "people", "data_dir": "b", "schema": "mpii"}]},
            True,
            [
                "vitpose predict photo.jpg --model runs/x --dataset coco",
                "vitpose publish runs/x --repo YOUR_NAME/x",
            ],
        ),
        (
            {"task": "masked_image_modeling", "init_from": "none", "preset": "small"},
            False,
            [
                "vitpose train --preset small --init_from runs/x --output_dir runs/x_pose",
                "vitpose publish runs/x --repo YOUR_NAME/x",
            ],
        ),
        (
            {"task": "knowledge_token"},
            False,
            ["vitpose train --distillation token --teacher runs/x --output_dir runs/x_student"],
        ),
    ],
    ids=["default", "own people", "mixture", "pre-training", "knowledge token"],
)
def test_the_commands_after_a_run_are_of_what_was_trained(monkeypatch, changes, several, commands):
    monkeypatch.setattr(sys, "argv", ["vitpose", "train"])
    steps = next_steps(Recipe.from_fields(**changes), Path("runs/x"), several_datasets=several)
    assert list(steps.values()) == commands
    for command in commands:  # each is understood by the command line as it is
        words = command.split()[1:]
        cli.parse(words + (["--whole-image"] if words[0] == "predict" else []))
