"""A card carries the measured figures, valid metadata, and snippets that run as they stand."""

import json
import math
import os
import re
import subprocess
import sys

import pytest
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from skimage import data

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation, ViTPoseImageProcessor, write_model_card

ARGUMENTS = {
    "metrics": {"AP": 0.83612, "APm": -1.0, "AR": 0.868, "PCK": math.nan},
    "dataset_name": "200 generated people (seed 7)",
    "recipe": {"preset": "tiny", "betas": (0.9, 0.999), "data_dir": None},
    "command": "accelerate launch training/run.py --epochs 3",
    "cost": {"hardware": "2 CPU cores", "seconds": 251.3, "images_per_s": 47.12},
    "seed": 3,
    "picture": None,
}


@pytest.fixture(scope="module")
def config():
    return ViTPoseConfig.from_preset("tiny", image_size=(64, 48), patch_size=8)


@pytest.fixture
def write(tmp_path, config):
    """Write a card with some arguments changed; gives its text."""

    def write_card(**changes):
        return write_model_card(tmp_path / "my-pose", **({"model_config": config} | ARGUMENTS | changes)).read_text()

    return write_card


def test_metadata_holds_the_measured_figures_and_their_settings(write):
    card = ModelCard(
        write(settings={"boxes": "annotated", "split": "val", "flip test": True}, dataset_id="someone/people")
    )
    metadata = card.data.to_dict()
    assert (metadata["library_name"], metadata["pipeline_tag"]) == ("transformers", "keypoint-detection")
    assert metadata["license"] == "apache-2.0" and metadata["datasets"] == ["someone/people"]
    assert metadata["tags"] == ["vitpose", "pose-estimation", "coco"] and metadata["metrics"] == ["ap", "ar"]
    (result,) = metadata["model-index"][0]["results"]
    assert metadata["model-index"][0]["name"] == "my-pose"
    assert result["dataset"] == {"name": "200 generated people (seed 7)", "type": "someone/people", "split": "val"}
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [("ap", 0.8361), ("ar", 0.868)]
    assert result["metrics"][0]["args"] == {"boxes": "annotated", "split": "val", "flip test": True}


MEASURED = {
    **{"AP": 0.7123, "AP50": 0.9012, "AP75": 0.7501, "APm": 0.6804, "APl": 0.7613},
    **{"AR": 0.7705, "AR50": 0.9306, "AR75": 0.8107, "ARm": 0.7208, "ARl": 0.8309},
    **{"AP_easy": 0.791, "AP_medium": 0.681, "AP_hard": 0.512, "PCKh": 0.913, "PCK": 0.814},
    **{"PCK_box": 0.855, "AUC": 0.666, "EPE": 5.317, "coco/AP": 0.4444},
}
PRINTED = {
    **{"AP": "AP (OKS 0.50:0.95)", "AP50": "AP (OKS 0.50)", "AP75": "AP (OKS 0.75)"},
    **{"APm": "AP, medium", "APl": "AP, large", "AR": "AR (OKS 0.50:0.95)", "AR50": "AR (OKS 0.50)"},
    **{"AR75": "AR (OKS 0.75)", "ARm": "AR, medium", "ARl": "AR, large", "AP_easy": "AP, easy"},
    **{"AP_medium": "AP, medium", "AP_hard": "AP, hard", "PCKh": "PCKh@0.5", "PCK": "PCK@0.2 of the torso"},
    **{"PCK_box": "PCK@0.2 of the box", "AUC": "AUC, 0 to 30 pixels", "EPE": "EPE in pixels", "coco/AP": "coco/AP"},
}


def test_a_card_prints_the_figures_of_metrics_json_and_no_others(write, tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps(MEASURED))
    text = write(metrics=json.loads((tmp_path / "metrics.json").read_text()))
    results = text[text.index("## Results") : text.index("## Training")]
    rows = re.findall(r"^\| ([^|]+) \| (-?[\d.]+) \|$", results, re.MULTILINE)
    assert rows == [(PRINTED[name], f"{value:.3f}") for name, value in MEASURED.items()]
    (index,) = ModelCard(text).data.to_dict()["model-index"][0]["results"]
    listed = [(metric["type"], metric["name"], metric["value"]) for metric in index["metrics"]]
    assert listed == [(name.lower(), PRINTED[name], value) for name, value in MEASURED.items()]


def test_text_states_command_cost_seed_recipe_and_limits(write):
    text = write(limits=["Trained on generated people."], settings={"flip test": True})
    for piece in [
        "```bash\naccelerate launch training/run.py --epochs 3\n```",
        "Seed 3, 4.2 minutes on 2 CPU cores, 47.1 images/s:",
        "| AP (OKS 0.50:0.95) | 0.836 |\n| AR (OKS 0.50:0.95) | 0.868 |\n\n",
        "(flip test: yes)",
        "- Trained on generated people.\n\n## Citation",
        "64 x 48 pixels",
    ]:
        assert piece in text
    assert "medium" not in text and "nan" not in text and "{{" not in text and "\n\n\n" not in text
    recipe = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    assert recipe == {"preset": "tiny", "betas": [0.9, 0.999], "data_dir": None}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(59, "59 seconds on"), (61, "1.0 minutes on"), (3590, "59.8 minutes on"), (3610, "1.0 hours on")],
)
def test_a_run_s_time_is_in_the_unit_that_fits(seconds, text, write):
    assert f"Seed 3, {text} 2 CPU cores" in write(cost={"hardware": "2 CPU cores", "seconds": seconds})


@pytest.mark.parametrize("decoder", ["classic", "simple"])
def test_a_card_names_the_decoder(decoder, write):
    text = write(model_config=ViTPoseConfig.from_preset("tiny", decoder=decoder))
    assert f"with the {decoder} decoder" in text


@pytest.mark.parametrize(
    ("sentence", "base_model", "metadata", "text"),
    [
        ("a Hub id is linked", "owner/vit-s", "owner/vit-s", "[owner/vit-s](https://huggingface.co/owner/vit-s)"),
        ("words stay words", "random weights", None, "Starts from random weights."),
        ("a file is no Hub id", "./weights/dino.safetensors", None, "Starts from ./weights/dino.safetensors."),
    ],
)
def test_base_model(sentence, base_model, metadata, text, write):
    card = write(base_model=base_model)
    assert ModelCard(card).data.get("base_model") == metadata
    assert ModelCard(card).data.get("base_model_relation") == ("finetune" if metadata else None)
    assert text in card


def test_pictures_are_shown_where_they_are(write, tmp_path):
    assert ".png)" not in write()
    for name in ("predictions.png", "curves.png"):
        (tmp_path / "my-pose" / name).touch()
    text = write(picture="predictions.png")
    assert "](predictions.png)" in text and "](curves.png)" in text


def test_the_card_replaces_an_older_one_whole(write, tmp_path):
    write()
    text = write(seed=5)
    assert "Seed 5" in text and os.listdir(tmp_path / "my-pose") == ["README.md"]


BAD_ARGUMENTS = [
    ("figures of nothing", {"dataset_name": None}, ValueError, "dataset_name: expected a description"),
    ("nothing measured", {"metrics": {"AP": -1.0}}, ValueError, "at least one defined value"),
    ("a cost without hardware", {"cost": {"seconds": 3}}, ValueError, r"lacks \['hardware'\]"),
    ("a picture that is not there", {"picture": "predictions.png"}, FileNotFoundError, "write the picture first"),
]


@pytest.mark.parametrize(
    ("sentence", "changes", "error", "message"), BAD_ARGUMENTS, ids=[row[0] for row in BAD_ARGUMENTS]
)
def test_bad_arguments_are_named(sentence, changes, error, message, write):
    with pytest.raises(error, match=message):
        write(**changes)


KINDS = [
    ("what stock computes loads in four ways", "stock", {}, 4),
    ("several heads need the code in the folder", "heads", {"datasets": ["coco", "mpii"]}, 3),
    ("so does window attention", "windows", {"attention_kind": "window", "window_size": 2}, 3),
]
WITHOUT_VITPOSE = """
import json, sys
sys.modules["vitpose"] = None  # as if it were not installed
for snippet in json.load(sys.stdin):
    exec(snippet, {})
"""


def test_snippets_run_as_they_stand(tmp_path, monkeypatch):
    """The last two of each card run with vitpose, and the others in a process that cannot import it.

    A folder that comes without its pipeline needs vitpose for that one; `test_publishing` runs it without.
    """
    monkeypatch.chdir(tmp_path)
    Image.fromarray(data.astronaut()).save("photo.jpg")
    strangers = []
    for sentence, name, kind, number in KINDS:
        config = ViTPoseConfig.from_preset("tiny", image_size=(64, 48), patch_size=8, **kind)
        ViTPoseForPoseEstimation(config).save_pretrained(name)
        ViTPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(name)
        text = write_model_card(name, model_config=config, picture=None).read_text()
        *others, with_pipeline, ours = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        assert len(others) + 2 == number, sentence
        strangers += others
        exec(with_pipeline, {})
        exec(ours, {})
        assert Image.open("poses.png").size == (512, 512)
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_VITPOSE],
        input=json.dumps(strangers),
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


def test_a_card_without_results_says_so(tmp_path, config):
    text = write_model_card(tmp_path / "my-pose", model_config=config, picture=None).read_text()
    metadata = ModelCard(text).data.to_dict()
    assert "Nothing has been measured for this checkpoint." in text and "model-index" not in metadata
    assert "How it was trained is not recorded here." in text
    assert "None" not in text and "{{" not in text and "\n\n\n" not in text


def test_the_papers_figures_are_labelled_as_theirs(tmp_path):
    base = ViTPoseConfig.from_preset("base", decoder="simple")
    text = write_model_card(tmp_path, **(ARGUMENTS | {"model_config": base})).read_text()
    own, theirs = text.split("these are their figures, not this checkpoint's")
    assert "| AP (OKS 0.50:0.95) | 0.836 |" in own and "75.5" not in own
    assert "| AP | 75.5 % | [ViTPose](https://arxiv.org/abs/2204.12484) |" in theirs
    assert "75.5" not in str(ModelCard(text).data.to_dict())
