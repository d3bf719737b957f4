"""The first contact of a new user: one command, weights that are fetched once, nothing to worry about on the screen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_stand_in import HubStandIn

from vitpose import SyntheticPeople
from vitpose.base.published import DETECTORS, MODELS
from vitpose_cli.main import main

Run = Callable[..., subprocess.CompletedProcess[str]]
PYTHON = """
import vitpose
estimator = vitpose.load()
people = estimator("photos/0.jpg")
print(len(people), tuple(people.keypoints_xy.shape), [len(own) for _, own in estimator.stream("photos")])
"""


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two photos, in the working directory."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        SyntheticPeople(num_people=1, seed=number)[0]["image"].save(folder / f"{number}.jpg")
    monkeypatch.chdir(tmp_path)
    return folder


# ---------------------------------------------- processes of their own: libraries read their settings on being imported


@pytest.fixture
def run(published: HubStandIn, photos: Path, tmp_path: Path) -> Run:
    """Runs Python as on a machine that has never fetched anything, and shows all warnings."""
    home = str(tmp_path / "home")
    settings = {"HF_ENDPOINT": published.endpoint, "HF_HOME": home, "HF_HUB_DISABLE_XET": "1"}
    mine = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "default", *arguments]
        return subprocess.run(command, env=mine | settings | more, capture_output=True, text=True, timeout=300)

    return run


def _said(finished: subprocess.CompletedProcess[str]) -> list[str]:
    """What is on the screen at the end, without progress bars."""
    lines = [line.split("\r")[-1].strip() for line in finished.stderr.splitlines()]
    return [line for line in lines if line and not re.search(r"\d+%\|", line)]


def test_one_command_and_the_same_again_without_a_network(run, published, tmp_path) -> None:
    first = run("-m", "vitpose", "predict", "photos", "--out", "first")
    assert first.returncode == 0, first.stderr
    assert _said(first) == [
        *(f"Fetching {repo}, once, into the cache of HF_HOME ({tmp_path / 'home'})" for repo in _defaults()),
        "4 people in 2 of 2 photos: first",
    ]
    assert len(re.findall(r"Fetching \d+ files:   0%", first.stderr)) == 2, "a bar for each download"
    assert [published.asked_for(repo).count("GET model.safetensors") for repo in _defaults()] == [1, 1]
    published.requests.clear()
    second = run("-m", "vitpose", "predict", "photos", "--out", "second", HF_HUB_OFFLINE="1")
    assert second.returncode == 0 and _said(second) == ["4 people in 2 of 2 photos: second"]
    assert published.requests == []


def _defaults() -> list[str]:
    return [MODELS["base"].repo, DETECTORS["accurate"].repo]


def test_three_lines_of_python(run) -> None:
    finished = run("-c", PYTHON)
    assert finished.stdout == "2 (2, 17, 2) [2, 2]\n", finished.stderr
    assert _said(finished) == []


def test_no_network_and_nothing_fetched_is_one_sentence(run) -> None:
    finished = run("-m", "vitpose", "predict", "photos", HF_ENDPOINT="http://127.0.0.1:9")
    assert finished.returncode == 2
    (sentence,) = _said(finished)
    for part in ("error: ", "cannot be reached", "HF_HOME", f"`hf download {MODELS['base'].repo}`", "--model tiny"):
        assert part in sentence


# --------------------------------------------------------------------------------------------------- in this process


@pytest.mark.parametrize("how", [401, 404, 503, "before"])
def test_a_hub_in_trouble_is_one_sentence(published, photos, capsys, how) -> None:
    for method in ("HEAD", "GET"):
        published.fail(method, "", how, times=99)
    assert main(["predict", "photos"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {MODELS['base'].repo} ") and error.count("\n") == 1
    for part in ("HF_HOME", f"`hf download {MODELS['base'].repo}`", "--model tiny"):
        assert part in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", DETECTORS["light"].repo], "is a model of type 'd_fine', expected a pose model, such as"),
        (["--detector", MODELS["small"].repo], "is a model of type 'vitpose', expected an object detector, such as"),
        (["--model", "base@v9"], "has no revision 'v9'"),
        (["--model", "hug"], "Did you mean 'huge'?"),
        (["--detector", "ada/nothing"], "--whole-image"),
    ],
)
def test_another_model_than_is_meant(published, photos, capsys, arguments, message) -> None:
    assert main(["predict", "photos", *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error


def test_the_other_commands_take_the_names_too(published, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--model", "small@main", "--eval_people", "4", "--batch-size", "4"]) == 0
    assert capsys.readouterr().out.startswith("small@main on generated people")
    assert main(["convert", "small", "--out", "folded", "--fold", "coco"]) == 0
    assert main(["evaluate", "--model", "folded", "--eval_people", "4", "--batch-size", "4"]) == 0
