"""A whole run: the folder it leaves, who can load it, what is said on the terminal, and a kill in its middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from huggingface_hub import ModelCard
from PIL import Image

from vitpose import ViTPoseForPoseEstimation, ViTPoseImageProcessor
from vitpose.processing.heatmaps_vitpose import encode_heatmaps
from vitpose.training import run
from vitpose.training.engine.checkpoints import list_checkpoints

FIELDS = {
    "init_from": "none",
    "image_height": "64",
    "image_width": "48",
    "train_people": "24",
    "eval_people": "8",
    "batch_size": "8",
    "num_workers": "0",
    "warmup_steps": "2",
}
METRICS = {"AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"}


def arguments(output: Path, **changes: object) -> list[str]:
    fields = {**FIELDS, "output_dir": output, **changes}
    return [part for name, value in fields.items() for part in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a finished run on 24 generated people."""
    output = tmp_path_factory.mktemp("runs") / "finished"
    assert run.main(arguments(output)) == 0
    AcceleratorState._reset_state()
    PartialState._reset_state()
    return output


def test_the_folder_is_ready_for_the_hub(finished):
    wanted = {"model.safetensors", "config.json", "preprocessor_config.json", "README.md", "metrics.json", "log.jsonl"}
    assert wanted | {"results.json", "curves.png", "predictions.png"} <= {path.name for path in finished.iterdir()}
    assert not list(finished.rglob("*.partial*"))  # nothing half-written stays


def test_the_card_has_the_measured_figures(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics.keys() >= METRICS
    card = ModelCard.load(finished / "README.md")
    in_card = {result.metric_type: result.metric_value for result in card.data.eval_results}
    measured = {name: value for name, value in metrics.items() if isinstance(value, float) and value != -1}
    assert in_card == {name.lower(): round(value, 4) for name, value in measured.items()}
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "keypoint-detection"


@pytest.mark.parametrize("name", ["curves.png", "predictions.png"])
def test_the_pictures_open(finished, name):
    with Image.open(finished / name) as picture:
        picture.load()
        assert min(picture.size) > 100


def test_the_results_are_those_of_everybody_evaluated(finished):
    results = json.loads((finished / "results.json").read_text())
    assert len(results) == int(FIELDS["eval_people"])
    assert all(len(result["keypoints"]) == 51 for result in results)


STOCK = """
import sys
sys.modules["vitpose"] = None  # importing it fails from here on
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForPoseEstimation
folder, given, out = sys.argv[1:]
model = AutoModelForPoseEstimation.from_pretrained(folder).eval()
processor = AutoImageProcessor.from_pretrained(folder)
given = torch.load(given)
crops = processor(Image.fromarray(given["photo"].numpy()), boxes=given["boxes"], return_tensors="pt")["pixel_values"]
with torch.no_grad():
    heatmaps = model(given["noise"]).heatmaps
outputs = type("Outputs", (), {"heatmaps": given["peaks"]})
people = processor.post_process_pose_estimation(outputs, boxes=given["boxes"])[0]
keypoints = torch.stack([person["keypoints"] for person in people])
found = {"crops": crops, "heatmaps": heatmaps, "keypoints": keypoints, "class": type(model).__module__}
torch.save(found, out)
"""


def test_transformers_alone_loads_the_folder_and_agrees(finished, tmp_path):
    astronaut = torch.from_numpy(pytest.importorskip("skimage.data").astronaut())
    boxes = [[[40.0, 30.0, 200.0, 300.0], [150.0, 20.0, 300.0, 460.0]]]
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 3, 64, 48, generator=generator)
    inside = 8 + 30 * torch.rand(2, 17, 2, generator=generator)  # crop pixels
    peaks, _ = encode_heatmaps(inside, torch.ones(2, 17), crop_size=(64, 48), heatmap_size=(32, 24))
    torch.save({"photo": astronaut, "boxes": boxes, "noise": noise, "peaks": peaks}, tmp_path / "given.pt")
    command = [sys.executable, "-c", STOCK, finished, tmp_path / "given.pt", tmp_path / "stock.pt"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    stock = torch.load(tmp_path / "stock.pt")
    assert stock["class"].startswith("transformers.models.vitpose")

    model = ViTPoseForPoseEstimation.from_pretrained(finished).eval()
    with torch.no_grad():
        assert (model(noise).heatmaps - stock["heatmaps"]).abs().max() <= 1e-5
    processor = ViTPoseImageProcessor.from_pretrained(finished)
    crops = processor(Image.fromarray(astronaut.numpy()), boxes=boxes, return_tensors="pt")["pixel_values"]
    assert (crops - stock["crops"]).abs().max() * 255 * 0.229 <= 1.01  # grey levels, of which stock keeps whole ones
    people = processor.post_process_pose_estimation(type("Outputs", (), {"heatmaps": peaks}), boxes=boxes)[0]
    keypoints = torch.stack([person["keypoints"] for person in people])
    assert (keypoints - stock["keypoints"]).abs().max() <= 0.01  # image pixels


def test_the_terminal_shows_counts_loss_and_where_things_are(tmp_path, capfd, caplog):
    with caplog.at_level("INFO", logger="vitpose"):
        assert run.main(arguments(tmp_path / "run", train_people=8, eval_people=4)) == 0
    shown = capfd.readouterr().err
    assert "people/s" in shown
    assert "loss=" in shown
    assert "Writing model shards" not in shown
    said = caplog.text
    assert "8 people to train on, 4 to evaluate" in said
    assert "after epoch 1, step 1: AP " in said
    for name in ("run", "run/README.md", "run/predictions.png"):
        assert f"{tmp_path}/{name}\n" in said
    assert "Saving current state" not in said  # what accelerate says of its own files


def test_a_folder_that_holds_a_run_is_left_alone(finished, capsys):
    before = (finished / "log.jsonl").read_bytes()
    assert run.main(arguments(finished)) == 2
    assert f"error: {finished} already holds a run. Go on with --resume, choose another" in capsys.readouterr().err
    assert (finished / "log.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resume": "true"}, "error: Nothing to resume: "),  # no run there
        (
            {"leraning_rate": "1"},
            "error: The command line, field: expected a known name, got 'leraning_rate'. Did you mean",
        ),
        ({"data": "coco", "data_dir": "nowhere"}, "error: There is no data folder nowhere. Check data_dir."),
        ({"data": "coco"}, "error: dataset.data_dir: expected where the data is"),
        ({"num_attention_heads": "5"}, "error: hidden_size 192 is not a multiple of num_attention_heads 5."),
        ({"image_height": "60"}, "error: image_size [60, 48] is not a multiple of patch_size [8, 8]"),
        ({"init_from": "nowhere/at-all"}, "error: "),  # transformers says what it looked for
    ],
)
def test_a_mistake_ends_with_its_message(tmp_path, capsys, changes, message):
    assert run.main(arguments(tmp_path / "run", **changes)) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


def test_a_changed_recipe_is_not_resumed(finished, capsys):
    assert run.main([*arguments(finished, resume="true", learning_rate="0.5"), "--weight_decay", "0"]) == 2
    shown = capsys.readouterr().err
    assert "weight_decay: 0.05 then, 0.0 now" in shown
    assert "learning_rate: 0.0003 then, 0.5 now" in shown


def start(checkout: Path, given: list[str]) -> subprocess.Popen:
    command = [sys.executable, checkout / "training" / "run.py", *given]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def wait_for_step(process: subprocess.Popen, log: Path, step: int) -> None:
    """Wait until the log of a run has reached a step."""
    while process.poll() is None and not (log.exists() and f'"step": {step},' in log.read_text()):
        time.sleep(0.002)


def kill_after_step(process: subprocess.Popen, log: Path, step: int) -> None:
    """Kill a run and its workers, as -9 does, as soon as its log has reached a step."""
    wait_for_step(process, log, step)
    os.killpg(process.pid, signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors


def test_a_run_killed_in_mid_epoch_and_resumed_equals_an_unbroken_one(
    checkout, tmp_path, read_log, assert_same_weights: Callable
):
    """Two epochs of twelve steps, a checkpoint every five, killed after the seventh step."""
    changes = {"train_people": 48, "batch_size": 4, "epochs": 2, "checkpoint_every": 5, "log_every": 1}
    changes |= {"num_workers": 2, "drop_path_rate": 0.2, "keep_checkpoints": 3}
    killed, unbroken = tmp_path / "killed", tmp_path / "unbroken"

    kill_after_step(start(checkout, arguments(killed, **changes)), killed / "log.jsonl", 7)
    progress = json.loads((list_checkpoints(killed / "checkpoints")[-1] / "progress.json").read_text())["progress"]
    assert progress["samples"] % 48 != 0  # in the middle of an epoch
    assert not (killed / "model.safetensors").exists()

    resumed = start(checkout, [*arguments(killed, **changes), "--resume"])
    assert run.main(arguments(unbroken, **changes)) == 0
    _, errors = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, errors
    assert_same_weights(killed, unbroken)
    steps = [line["step"] for line in read_log(killed) if "loss" in line]
    assert steps == list(range(1, 25))
    losses = [[line["loss"] for line in read_log(folder) if "loss" in line] for folder in (killed, unbroken)]
    assert losses[0] == losses[1]


def test_a_run_that_is_asked_to_end_saves_itself_and_says_how_to_go_on(
    checkout, tmp_path, assert_same_weights: Callable
):
    changes = {"train_people": 48, "batch_size": 4, "epochs": 2, "log_every": 1, "drop_path_rate": 0.2}
    preempted, unbroken = tmp_path / "preempted", tmp_path / "unbroken"
    process = start(checkout, arguments(preempted, **changes))
    wait_for_step(process, preempted / "log.jsonl", 2)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "Asked to end: saved step" in errors
    assert f"--output_dir {preempted}" in errors and errors.rstrip().endswith("--resume")
    assert not (preempted / "model.safetensors").exists()
    resumed = start(checkout, [*arguments(preempted, **changes), "--resume"])
    assert run.main(arguments(unbroken, **changes)) == 0
    _, errors = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, errors
    assert_same_weights(preempted, unbroken)
