"""The command line as a whole: help, wrong calls, models that are converted and evaluated."""

import json
import subprocess
import sys
from typing import get_args

import pytest
import torch

import vitpose
from vitpose import ViTPoseForPoseEstimation, ViTPoseImageProcessor
from vitpose.base.published import TINY
from vitpose.estimator import DEFAULT_MODEL
from vitpose.processing.drawing import DrawingStyle
from vitpose.processing.keypoint_detection_pipeline import PipelineOptions
from vitpose_cli import main as cli
from vitpose_cli.main import parse
from vitpose_cli.predict import WEAK_MODEL


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["predict", "--whole-image"], "SOURCE"),
        (["predict", "a.jpg", "--whole-image", "--boxes", "b.json"], "not allowed with argument"),
        (["predict", "a.jpg", "--save", "csv,jsno"], "argument --save: expected one of pictures, json, "),
        (["predict", "a.jpg", "--dtype", "half"], "invalid choice: 'half'"),
        (["predict", "a.jpg", "--whole-image", "--modle", "x"], "unrecognized arguments: --modle x"),
        (["pridict"], "There is no command 'pridict'. Did you mean predict?"),
    ],
)
def test_a_wrong_call_ends_with_the_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_saved_model_is_evaluated(model, tmp_path, capsys):
    out = tmp_path / "figures"
    fields = ["--eval_people", "4", "--num_workers", "0", "--no_flip_test"]
    assert cli.main(["evaluate", "--model", model, "--out", str(out), *fields]) == 0
    table = capsys.readouterr().out.splitlines()
    written = json.loads((out / "metrics.json").read_text())
    assert written["settings"]["flip_test"] is False
    assert {"AP", "ARl", "PCK"} <= set(written)
    assert f"{'AP':<20}{written['AP']:>9.4f}" in table
    assert sum(line.startswith("left_wrist") for line in table) == 1


def test_an_unknown_field_of_an_evaluation_is_named(model, capsys):
    assert cli.main(["evaluate", "--model", model, "--eval_peple", "4"]) == 2
    assert "error: The command line, field: expected a known name, got 'eval_peple'. Did you mean 'eval_people'?" in (
        capsys.readouterr().err
    )


def test_it_is_a_command():
    done = subprocess.run([sys.executable, "-m", "vitpose", "--help"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "predict" in done.stdout and "evaluate" in done.stdout


def convert(*arguments: object) -> int:
    return cli.main(["convert", *map(str, arguments)])


def test_a_model_goes_to_the_authors_format_and_back(model, tmp_path):
    assert convert(model, "--to", "authors", "--out", tmp_path / "vitpose.pth") == 0
    back = ("--out", tmp_path / "back", "--num-attention-heads", 2, "--image-size", 64, 48)
    assert convert(tmp_path / "vitpose.pth", *back) == 0
    loaded, original = (ViTPoseForPoseEstimation.from_pretrained(path) for path in (tmp_path / "back", model))
    torch.testing.assert_close(loaded.state_dict(), original.state_dict(), rtol=0, atol=0)
    processor = ViTPoseImageProcessor.from_pretrained(tmp_path / "back")
    assert (processor.size, processor.dark_sigma) == ({"height": 64, "width": 48}, 2.0)
    assert processor.heatmap_stride == 2  # patches of 8 pixels
    assert not [path.name for path in tmp_path.iterdir() if "partial" in path.name]


@pytest.mark.parametrize("name", ["broken.pth", "empty.pth", "broken.safetensors"])
def test_a_broken_checkpoint_is_named(name, model, tmp_path, capsys):
    if name == "broken.pth":
        assert convert(model, "--to", "authors", "--out", tmp_path / name) == 0
    broken = tmp_path / name
    broken.write_bytes(broken.read_bytes()[:-3000] if broken.exists() else b"no tensors" * name.startswith("broken"))
    assert convert(broken, "--out", tmp_path / "back") == 2
    assert f"error: {broken} cannot be read as a checkpoint: " in capsys.readouterr().err


def test_a_model_of_several_datasets_folds_to_one(plus, tmp_path):
    assert convert(plus, "--fold", "mpii", "--out", tmp_path / "mpii") == 0
    folded = ViTPoseForPoseEstimation.from_pretrained(tmp_path / "mpii").eval()
    assert folded.config.dataset_names == ["mpii"] and folded.config.is_stock
    assert ViTPoseImageProcessor.from_pretrained(tmp_path / "mpii").dark_sigma == 1.5
    crops, whole = torch.randn(1, 3, 64, 48), ViTPoseForPoseEstimation.from_pretrained(plus).eval()
    with torch.no_grad():
        torch.testing.assert_close(folded(crops).heatmaps, whole(crops, dataset_index=1).heatmaps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.pth", "--out", "out"], "There is no file absent.pth."),
        (["MODEL", "--out", "."], "exists already: choose another place, or delete it"),
        (["MODEL", "--out", "out", "--fold", "mpii"], "dataset: expected one of coco"),
        (["MODEL", "--out", "out", "--datasets", "coco"], "says what the model is: leave the other arguments out"),
    ],
)
def test_a_conversion_that_cannot_be_is_told_in_a_line(arguments, message, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").touch()
    assert convert(*[model if argument == "MODEL" else argument for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt"}


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"vitpose {vitpose.__version__}\n"


def test_train_takes_a_recipe_as_the_script_does(capsys, tmp_path):
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "--epochs" in shown and "--optimization.epochs" in shown
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "--epohcs", "3", "--output_dir", str(tmp_path)])
    assert end.value.code == 2
    assert "Did you mean 'epochs'?" in capsys.readouterr().err


def test_schema_tells_of_a_side_that_has_no_other(tmp_path, caplog):
    category = {"id": 1, "name": "x", "keypoints": ["nose", "left_eye", "rigth_eye", "left_ear", "right_ear"]}
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"images": [], "annotations": [], "categories": [category]}))
    assert cli.main(["schema", str(file), "--out", str(tmp_path / "schema.json")]) == 0
    assert "LEFT AND RIGHT: of 'x' these have no other side: left_eye. Correct the names in the tool" in caplog.text


def test_predict_has_the_defaults_of_the_library():
    """Which the command writes out, as it may not import the library before it runs."""
    chosen = parse(["predict", "a.jpg"])
    options = PipelineOptions()
    assert chosen.model == DEFAULT_MODEL and WEAK_MODEL == TINY
    assert chosen.detector_threshold == options.detector_threshold
    assert tuple(chosen.detector_labels) == tuple(options.detector_labels)
    assert all(parse(["predict", "a.jpg", "--style", style]) for style in get_args(DrawingStyle))
