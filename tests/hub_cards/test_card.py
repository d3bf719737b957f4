"""A card carries the measured figures, valid metadata, and snippets that run as they stand."""

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

from vitpose.hub_cards.card import write_model_card
from vitpose.modeling.configuration_vitpose import ViTPoseConfig

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
    card = ModelCard(write(settings={"boxes": "annotated", "flip test": True}, dataset_id="someone/people"))
    metadata = card.data.to_dict()
    assert (metadata["library_name"], metadata["pipeline_tag"]) == ("transformers", "keypoint-detection")
    assert metadata["license"] == "apache-2.0" and metadata["datasets"] == "someone/people"
    assert metadata["tags"] == ["vitpose", "pose-estimation", "coco"]
    (result,) = metadata["model-index"][0]["results"]
    assert metadata["model-index"][0]["name"] == "my-pose"
    assert result["dataset"] == {"name": "200 generated people (seed 7)", "type": "someone/people"}
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [("ap", 0.8361), ("ar", 0.868)]
    assert result["metrics"][0]["args"] == {"boxes": "annotated", "flip test": True}


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
    ("nothing measured", {"metrics": {"AP": -1.0}}, ValueError, "at least one measured figure"),
    ("a cost without hardware", {"cost": {"seconds": 3}}, ValueError, r"lacks \['hardware'\]"),
    ("a picture that is not there", {"picture": "predictions.png"}, FileNotFoundError, "write the picture first"),
]


@pytest.mark.parametrize(
    ("sentence", "changes", "error", "message"), BAD_ARGUMENTS, ids=[row[0] for row in BAD_ARGUMENTS]
)
def test_bad_arguments_are_named(sentence, changes, error, message, write):
    with pytest.raises(error, match=message):
        write(**changes)


def test_snippets_run_as_they_stand(write, config, tmp_path, monkeypatch):
    """The first in a process that cannot import vitpose, the second with it."""
    from vitpose import ViTPoseForPoseEstimation, ViTPoseImageProcessor

    folder = tmp_path / "my-pose"
    ViTPoseForPoseEstimation(config).save_pretrained(folder)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)
    Image.fromarray(data.astronaut()).save(tmp_path / "photo.jpg")
    stock, ours = re.findall(r"```python\n(.*?)```", write(), re.DOTALL)
    without_vitpose = f"import sys\nsys.modules['vitpose'] = None\n{stock}"
    run = subprocess.run([sys.executable, "-c", without_vitpose], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    monkeypatch.chdir(tmp_path)
    exec(ours, {})
    assert Image.open("poses.png").size == (512, 512)
