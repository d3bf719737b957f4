"""`vitpose evaluate`: flags and fields, one and several processes, ensembles, the folder, and mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from PIL import Image
from scipy.io import loadmat, savemat
from torch.utils.data import DataLoader

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation, get_keypoint_schema
from vitpose.data import to_coco_annotations
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor
from vitpose.processing.prediction_vitpose import PosePredictor
from vitpose.processing.processor_settings_vitpose import ProcessorSettings
from vitpose.training.config.recipe import FIELDS, Recipe
from vitpose.training.evaluation.evaluator import head_index
from vitpose.training.evaluation.predict import _in_order, predict_people
from vitpose.training.evaluation.saved import evaluate_model
from vitpose.training.samples.pose import PoseDataset
from vitpose.training.synthetic.people import SyntheticPeople
from vitpose_cli import main as cli
from vitpose_cli.evaluate import evaluation_recipe

COCO = get_keypoint_schema("coco")
BACKBONE = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
FEW = ("--eval_people", "7", "--num_workers", "0", "--batch-size", "2")


def small_model(seed: int, datasets: list[str] | None = None, **backbone) -> ViTPoseForPoseEstimation:
    torch.manual_seed(seed)
    sizes = {**BACKBONE, **backbone}
    model = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", datasets=datasets or ["coco"], **sizes))
    with torch.no_grad():
        for parameter in model.parameters():  # heatmaps with high and different peaks
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """Folders of small models: two alike, one of other crops, one of other keypoints, one of several datasets."""
    folder = tmp_path_factory.mktemp("models")
    made = {
        "one": small_model(0),
        "two": small_model(1),
        "larger": small_model(2, image_size=(96, 64)),
        "mpii": small_model(3, ["mpii"]),
        "several": small_model(4, ["aic", "coco"], num_experts=1),
    }
    for name, model in made.items():
        model.save_pretrained(folder / name)
        height, width = model.config.image_size
        ViTPoseImageProcessor(size={"height": height, "width": width}).save_pretrained(folder / name)
    return {name: str(folder / name) for name in made}


@pytest.fixture(scope="module")
def coco(tmp_path_factory) -> Path:
    """Five generated people as a COCO folder."""
    root = tmp_path_factory.mktemp("coco")
    generated = SyntheticPeople(num_people=5, seed=5, style="studio")
    people = [generated[index] for index in range(len(generated))]
    content = to_coco_annotations(people, COCO)
    (root / "annotations").mkdir()
    (root / "val2017").mkdir()
    for image, person in zip(content["images"], people, strict=True):
        image["file_name"] = f"{image['id']}.png"
        Image.Image.save(person["image"], root / "val2017" / image["file_name"])
    (root / "annotations" / "person_keypoints_val2017.json").write_text(json.dumps(content))
    boxes = [{"image_id": p["image_id"], "category_id": 1, "bbox": list(p["bbox"]), "score": 0.9} for p in people[1:]]
    (root / "boxes.json").write_text(json.dumps(boxes))
    return root


def evaluate(*arguments: object) -> int:
    AcceleratorState._reset_state()
    PartialState._reset_state()
    return cli.main(["evaluate", *map(str, arguments)])


def recipe_of(*arguments: str) -> Recipe:
    return evaluation_recipe(cli.parse(["evaluate", *arguments]))


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ("", {"data": "synthetic", "eval_people": 200, "flip_test": True}),
        (
            "--dataset mpii --data data/mpii",
            {"data": "mpii", "data_dir": "data/mpii", "eval_split": "val", "eval_boxes": None, "eval_people": None},
        ),
        (
            "--dataset coco --data coco --split val2017 --boxes published --no-flip-test --batch-size 8",
            {"eval_split": "val2017", "eval_boxes": "published", "flip_test": False, "eval_batch_size": 8},
        ),
        ("--dataset coco --data coco --eval_people 9 --flip-test", {"eval_people": 9, "flip_test": True}),
        ("coco_base.yaml --data_dir coco --eval_boxes b.json", {"data": "coco", "eval_boxes": "b.json"}),
        ("coco_base.yaml --dataset aic --data aic", {"data": "aic", "data_dir": "aic"}),
        ("multi_base.yaml --dataset aic --data aic", {"data": "aic", "mixture": []}),
        ("--data people --data_dir mine", {"data": "people", "data_dir": "mine"}),
    ],
)
def test_flags_are_fields_of_a_recipe(arguments, fields):
    recipe = recipe_of(*arguments.split())
    assert {name: recipe.value_of(FIELDS.find(name, "The test")) for name in fields} == fields


@pytest.fixture(scope="module")
def alone(models, tmp_path_factory) -> Path:
    """The folder of an evaluation by one process of one thread."""
    out = tmp_path_factory.mktemp("alone") / "out"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert evaluate("--model", models["one"], "--out", out, *FEW) == 0
    torch.set_num_threads(threads)
    return out


def assert_same_files(folder: Path, other: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["metrics.json", "report.png", "results.json"]
    assert [name for name in names if (folder / name).read_bytes() != (other / name).read_bytes()] == []


def test_the_folder_says_how_good_and_where_it_fails(alone):
    metrics = json.loads((alone / "metrics.json").read_text())
    assert next(iter(metrics)) == "AP"
    assert list(metrics["by_keypoint"]) == list(COCO.keypoints)
    assert set(metrics["keypoint_errors"]) == {"good", "jitter", "inversion", "swap", "miss"}
    assert metrics["people_found"] + metrics["people_missed"] == 7
    assert metrics["settings"]["box_padding"] == 1.25
    results = json.loads((alone / "results.json").read_text())
    assert len({result["image_id"] for result in results}) == 7
    with Image.open(alone / "report.png") as picture:
        assert picture.width > 1900 and picture.height > 1000


def test_twice_in_a_row_gives_the_same_files(models, alone, tmp_path):
    assert evaluate("--model", models["one"], "--out", tmp_path / "again", *FEW) == 0
    assert_same_files(alone, tmp_path / "again")


def test_two_processes_give_the_same_files_as_one(models, alone, tmp_path):
    """Seven people in batches of two: four batches, the last of one person, two for each process."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    command = [*launch, "-m", "vitpose", "evaluate"]
    arguments = ["--model", models["one"], "--out", str(tmp_path / "two"), *FEW]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("left_wrist") == 1  # one of them speaks
    assert_same_files(alone, tmp_path / "two")


def test_a_dataset_by_its_name(models, coco, tmp_path, capsys):
    given = ("--dataset", "coco", "--data", coco, "--num_workers", 0)
    assert evaluate("--model", models["one"], *given, "--out", tmp_path / "annotated") == 0
    assert "one on coco val: 5 boxes (annotated), flip test" in capsys.readouterr().out
    assert evaluate("--model", models["one"], *given, "--boxes", coco / "boxes.json", "--out", tmp_path / "found") == 0
    metrics = json.loads((tmp_path / "found" / "metrics.json").read_text())
    assert metrics["people_found"] + metrics["people_missed"] == 5  # one has no box
    assert metrics["settings"]["boxes"] == "boxes.json"


def test_a_model_of_several_datasets_takes_the_head_of_the_dataset(models):
    several = ViTPoseForPoseEstimation.from_pretrained(models["several"])
    assert head_index(several.config, COCO) == 1
    assert head_index(several.config, get_keypoint_schema("ochuman")) == 1  # COCO's keypoints by another name
    recipe = Recipe.from_fields(eval_people=3, num_workers=0)
    whole = evaluate_model(models["several"], recipe)
    assert whole.people.keypoints_xy.shape == (3, 17, 2)


def test_an_ensemble_is_the_mean_of_its_heatmaps(models):
    first, second = (ViTPoseForPoseEstimation.from_pretrained(models[name]).eval() for name in ("one", "two"))

    class Mean(torch.nn.Module):
        def forward(self, crops):
            return type("Output", (), {"heatmaps": (first(crops).heatmaps + second(crops).heatmaps) / 2})

    people = SyntheticPeople(num_people=3, seed=20_000_003, style="studio")  # those of the evaluation
    settings = ProcessorSettings(crop_size=(64, 48))
    loader = DataLoader(PoseDataset(people, schema=COCO, settings=settings, augmentation=None), batch_size=3)
    predictor = PosePredictor(models=Mean(), settings=settings, schema=COCO)
    by_hand = predict_people(predictor, loader, accelerator=Accelerator(cpu=True), detected=False)
    recipe = Recipe.from_fields(eval_people=3, num_workers=0, flip_test=False)
    found = evaluate_model(models["one"], recipe, ensemble=[models["two"]]).people
    np.testing.assert_allclose(found.scores, by_hand.scores, atol=1e-5)
    np.testing.assert_allclose(found.keypoints_xy, by_hand.keypoints_xy, atol=0.05)
    assert not np.allclose(found.scores, evaluate_model(models["one"], recipe).people.scores, atol=1e-3)


def test_models_of_an_ensemble_may_hold_the_keypoints_in_different_heads(models):
    recipe = Recipe.from_fields(eval_people=2, num_workers=0)
    evaluation = evaluate_model(models["one"], recipe, ensemble=[models["several"]])
    assert evaluation.people.keypoints_xy.shape == (2, 17, 2)


@pytest.mark.parametrize(
    ("sentence", "indices", "message"),
    [
        ("one is missing", [0, 1, 3], r"people \[2\] were not predicted, people \[\] more than once"),
        ("one comes twice", [0, 1, 2, 2, 3], r"people \[\] were not predicted, people \[2\] more than once"),
        ("one too many", [0, 1, 2, 3, 4], "each of 4 people to be predicted once, got 5 predictions"),
    ],
)
def test_every_person_is_predicted_exactly_once(sentence, indices, message):
    batch = (np.array(indices), np.zeros((len(indices), 17, 2)), np.zeros((len(indices), 17)))
    with pytest.raises(RuntimeError, match=message):
        _in_order([batch], count=4)


def test_shares_of_processes_are_put_back_in_order():
    batches = [
        (np.array(own), np.array(own)[:, None, None] * np.ones((1, 17, 2)), np.ones((len(own), 17)))
        for own in ([0, 1], [4], [2, 3])
    ]
    assert _in_order(batches, count=5)[0][:, 0, 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--dataset cocoo --data x", "got 'cocoo'. Did you mean 'coco'?"),
        ("--dataset coco", "error: --dataset coco needs --data, the folder of the dataset."),
        ("--dataset coco --data nowhere", "error: There is no data folder nowhere. Check data_dir."),
        (
            "--dataset coco --data {coco} --split tset",
            "{coco}: expected *.json of COCO keypoints for the split 'tset', found annotations/",
        ),
        ("--dataset mpii --data {coco}", "error: The model predicts 17 keypoints (coco), the data has 16 (mpii)"),
        ("--model {mpii}", "error: The model predicts 16 keypoints (mpii), the data has 17 (coco)"),
        ("--model {several} --dataset mpii --data {coco}", "14 keypoints (aic), 17 keypoints (coco), the data has 16"),
        ("--ensemble {larger}", "Models of an ensemble must have crops and heatmaps of one size"),
        ("--batch-size many", "error: evaluation.eval_batch_size: expected int, got 'many'"),
        ("--boxes b.json", "error: dataset.eval_boxes: expected null, or a named dataset"),
        ("--model {mpii} --dataset mpii --data {coco} --boxes {coco}/boxes.json", "Evaluate with the annotated boxes"),
        ("multi_base.yaml", "error: The recipe mixes coco, aic, mpii: evaluate one dataset at a time, --dataset NAME"),
    ],
)
def test_a_mistake_ends_with_its_message(models, coco, capsys, arguments, message):
    given = [part.format(coco=coco, **models) for part in arguments.split()]
    model = () if "--model" in given else ("--model", models["one"])
    assert evaluate(*given, *model) == 2
    shown = capsys.readouterr().err
    assert message.format(coco=coco) in shown
    assert "Traceback" not in shown


def test_a_folder_that_holds_an_evaluation_is_left_alone(models, alone, capsys):
    before = (alone / "metrics.json").read_bytes()
    assert evaluate("--model", models["one"], "--out", alone, *FEW) == 2
    assert f"error: {alone} has metrics.json, results.json, report.png already" in capsys.readouterr().err
    assert (alone / "metrics.json").read_bytes() == before


def test_real_people_of_mpii_get_the_file_of_the_field(shared_data, models, tmp_path):
    root = tmp_path / "mpii"
    (root / "annotations").mkdir(parents=True)
    (root / "images").symlink_to(shared_data / "samples" / "mpii")
    people = json.loads((shared_data / "samples" / "mpii" / "test_mpii.json").read_text())
    (root / "annotations" / "mpii_val.json").write_text(json.dumps(people))
    head_boxes = np.tile(np.array([[10.0, 10.0], [70.0, 90.0]])[:, :, None], (1, 1, len(people)))
    savemat(root / "annotations" / "mpii_gt_val.mat", {"headboxes_src": head_boxes})
    given = ("--dataset", "mpii", "--data", root, "--num_workers", 0, "--out", tmp_path / "out")
    assert evaluate("--model", models["mpii"], *given) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert 0 <= metrics["PCKh"] <= 1 and "PCKh@0.1" in metrics
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    preds = loadmat(tmp_path / "out" / "pred.mat")["preds"]
    assert preds.shape == (len(people), 16, 2)
    assert preds[0] == pytest.approx(np.reshape(results[0]["keypoints"], (16, 3))[:, :2] + 1, abs=1e-3)
