"""Publishing through huggingface_hub's real client, to a stand-in for the Hub on loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml
from hub_interface import TOKEN
from huggingface_hub import ModelCard
from PIL import Image
from publishing_help import REPO, change_weights
from skimage.data import astronaut
from transformers import VitPoseForPoseEstimation

from vitpose import (
    ViTPoseConfig,
    ViTPoseForMaskedImageModeling,
    ViTPoseForPoseEstimation,
    ViTPoseImageProcessor,
    ViTPoseMaskedImageModelingConfig,
    publish,
    write_model_card,
)
from vitpose.hub_cards.cards.pretraining_card import write_pretraining_card
from vitpose.hub_cards.publish.benchmark import Benchmark
from vitpose_cli import main as cli

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of huggingface_hub itself


# ------------------------------------------------------------------------------------------------ what is published


def test_a_folder_becomes_a_repository_in_one_commit(hub, checkpoint):
    (checkpoint / "log.jsonl").write_text("{}")
    (checkpoint / "metrics.json").write_text("{}")
    (checkpoint / "checkpoints").mkdir()
    (checkpoint / "checkpoints" / "optimizer.bin").touch()
    publication = publish(checkpoint, REPO)
    assert len(hub.committed) == 1
    assert {"config.json", "preprocessor_config.json", "model.safetensors", "README.md", "metrics.json"} <= hub.paths(
        REPO
    )
    assert hub.paths(REPO) - {".gitattributes"} == publication.files.keys()
    assert publication.left_out == ["checkpoints/", "log.jsonl"]
    assert publication.url == f"{hub.endpoint}/{REPO}/commit/{hub.head(REPO).oid}"
    assert not hub.repos[REPO].private
    assert f'checkpoint = "{REPO}"' in hub.card(REPO) and "Nothing has been measured" in hub.card(REPO)


def test_what_transformers_trainer_keeps_of_a_training_is_left_out(hub, checkpoint):
    kept = ["training_args.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth", "rng_state_11.pth"]
    for name in (*kept, "trainer_state.json"):
        (checkpoint / name).touch()
    publication = publish(checkpoint, REPO)
    assert publication.left_out == sorted([*kept, "trainer_state.json"])
    assert not hub.paths(REPO) & set(kept)


@pytest.fixture
def pretrained(tmp_path) -> Path:
    """Folder of a small masked autoencoder with its processor and its card."""
    folder = tmp_path / "my-mae"
    config = ViTPoseMaskedImageModelingConfig.from_preset("tiny", image_size=(64, 48), num_hidden_layers=1)
    ViTPoseForMaskedImageModeling(config).save_pretrained(folder)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)
    Image.new("RGB", (8, 8)).save(folder / "reconstructions.png")
    facts = {"dataset_name": "my people", "trained_on": "my people", "recipe": {}, "command": "run"}
    figures = {"metrics": {"reconstruction_loss": 0.5}, "cost": {"hardware": "a CPU", "seconds": 1.0}}
    write_pretraining_card(folder, model_config=config, **figures, **facts)
    return folder


def test_a_pretrained_backbone_is_published_with_its_own_code_and_no_pipeline(hub, pretrained):
    publish(pretrained, REPO)
    files = hub.paths(REPO)
    assert {"model.safetensors", "modeling_vitpose.py", "reconstructions.png"} <= files
    assert not {"handler.py", "keypoint_detection_pipeline.py"} & files
    assert f'checkpoint = "{REPO}"' in hub.card(REPO)
    assert type(ViTPoseForMaskedImageModeling.from_pretrained(REPO)) is ViTPoseForMaskedImageModeling


def test_a_pretrained_backbone_needs_its_card(pretrained):
    (pretrained / "README.md").unlink()
    with pytest.raises(FileNotFoundError, match=r"my-mae lacks README.md: publish the folder of the pre-training run"):
        publish(pretrained, REPO, dry_run=True)


def test_the_card_of_a_run_keeps_its_figures_and_shows_its_picture(hub, checkpoint):
    Image.new("RGB", (8, 8)).save(checkpoint / "predictions.png")
    Image.new("RGB", (8, 8)).save(checkpoint / "example_beach.jpg")
    config = ViTPoseConfig.from_pretrained(checkpoint)
    write_model_card(checkpoint, model_config=config, metrics={"AP": 0.5}, dataset_name="my people")
    publish(checkpoint, REPO)
    metadata = ModelCard(hub.card(REPO)).data.to_dict()
    assert metadata["model-index"][0]["name"] == "my-pose"
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.5
    example = {"src": f"{hub.endpoint}/{REPO}/resolve/main/example_beach.jpg", "example_title": "example_beach"}
    assert metadata["widget"] == [example]
    assert {"predictions.png", "example_beach.jpg"} <= hub.paths(REPO)


def test_only_what_changed_is_sent_again(hub, checkpoint):
    publish(checkpoint, REPO)
    first = hub.head(REPO).oid
    publish(checkpoint, REPO)
    assert hub.head(REPO).oid == first, "nothing has changed: no commit"
    (checkpoint / "metrics.json").write_text('{"AP": 0.5}')
    publish(checkpoint, REPO)
    assert hub.committed[1:] == [["metrics.json"]]
    assert len(hub.uploads()) == 1, "the weights went over the line once"


def test_what_was_written_on_the_hub_stays(hub, checkpoint):
    publish(checkpoint, REPO)
    by_hand = hub.card(REPO).replace("## Citation", "## Thanks\n\nTo all.\n\n## Citation")
    hub.head(REPO).files["README.md"] = by_hand.encode()
    change_weights(checkpoint)
    publish(checkpoint, REPO)
    assert "## Thanks\n\nTo all.\n\n## Citation" in hub.card(REPO)


def test_shards_replace_a_single_file_and_load(hub, checkpoint, tmp_path):
    """Through the same endpoint, in a process without vitpose: both classes, the pipeline, the endpoint."""
    publish(checkpoint, REPO)
    publish(checkpoint, REPO, max_shard_size="40KB")
    weights = {path for path in hub.paths(REPO) if "safetensors" in path}
    assert "model.safetensors" not in weights and "model.safetensors.index.json" in weights and len(weights) > 2
    assert len(hub.committed) == 2, "old weights go in the commit that brings the new"
    model = ViTPoseForPoseEstimation.from_pretrained(checkpoint).eval()
    crops = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        torch.save({"crops": crops, "heatmaps": model(crops).heatmaps}, tmp_path / "expected.pt")
    Image.fromarray(astronaut()).save(tmp_path / "photo.jpg")
    found = load_elsewhere(hub, tmp_path)
    assert found == {"AutoModel": True, "AutoModelForPoseEstimation": True, "pipeline": 17, "endpoint": 17}


STRANGER = """
import sys
sys.modules["vitpose"] = None
import json, pathlib, huggingface_hub, torch
from transformers import AutoModel, AutoModelForPoseEstimation, pipeline

expected = torch.load("expected.pt")
found = {}
for loader, remote in ((AutoModel, True), (AutoModelForPoseEstimation, False)):
    model = loader.from_pretrained(sys.argv[1], trust_remote_code=remote).eval()
    with torch.no_grad():
        found[loader.__name__] = torch.allclose(model(expected["crops"]).heatmaps, expected["heatmaps"], atol=1e-5)
pipe = pipeline("keypoint-detection", model=sys.argv[1], trust_remote_code=True)
(person,) = pipe("photo.jpg")
folder = pathlib.Path(huggingface_hub.snapshot_download(sys.argv[1]))
sys.path.insert(0, str(folder))
from handler import EndpointHandler

(answer,) = EndpointHandler(str(folder))({"inputs": pathlib.Path("photo.jpg").read_bytes()})
found |= {"pipeline": len(person["keypoints"]), "endpoint": len(answer["keypoints"])}
print(json.dumps(found))
"""


def load_elsewhere(hub, folder: Path) -> dict[str, Any]:
    there = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN}
    run = subprocess.run(
        [sys.executable, "-c", STRANGER, REPO],
        cwd=folder,
        env={**os.environ, **there, "HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_private_branch_tag_and_collection(hub, checkpoint):
    publish(checkpoint, REPO, private=True, revision="next", tag="v1", collection="My poses")
    assert hub.repos[REPO].private
    assert "config.json" in hub.paths(REPO, "next") and "config.json" not in hub.paths(REPO)
    assert hub.repos[REPO].tags == {"v1": hub.head(REPO, "next").oid}
    assert list(hub.collections.values()) == [[REPO]]


def test_a_pull_request(hub, checkpoint):
    publish(checkpoint, REPO)
    change_weights(checkpoint)
    url = publish(checkpoint, REPO, create_pr=True).url
    assert url == f"{hub.endpoint}/{REPO}/discussions/1"
    assert hub.committed[1] == ["model.safetensors"] and len(hub.repos[REPO].branches["main"]) == 2


def test_files_for_an_endpoint_come_along_unless_the_folder_has_its_own(hub, checkpoint):
    (checkpoint / "requirements.txt").write_text("mine")
    publish(checkpoint, REPO)
    files = hub.head(REPO).files
    assert files["requirements.txt"] == b"mine" and b"class EndpointHandler" in files["handler.py"]


def test_a_figure_for_a_benchmark(hub, checkpoint):
    hub.benchmarks.add("org/poses")
    figures = {"AP": 0.5, "AR": None, "settings": {"boxes": "annotated", "flip_test": True}}
    (checkpoint / "metrics.json").write_text(json.dumps(figures))
    publish(checkpoint, REPO, benchmark=Benchmark(dataset_id="org/poses", task_id="val", metric="AP"))
    (entry,) = huggingface_hub.parse_eval_result_entries(
        yaml.safe_load(hub.head(REPO).files[".eval_results/poses_val.yaml"])
    )
    assert (entry.dataset_id, entry.task_id, entry.value) == ("org/poses", "val", 0.5)
    assert entry.notes == "boxes: annotated, flip_test: True"


BAD_BENCHMARKS = [
    ("not measured", "org/poses", "AR", "has no metric AR; it has AP"),
    ("no benchmark", "org/photos", "AP", "org/photos is not a benchmark"),
]


@pytest.mark.parametrize(
    ("why", "dataset", "metric", "message"), BAD_BENCHMARKS, ids=[row[0] for row in BAD_BENCHMARKS]
)
def test_figures_for_benchmarks_that_are_refused(why, dataset, metric, message, hub, checkpoint):
    hub.benchmarks.add("org/poses")
    (checkpoint / "metrics.json").write_text('{"AP": 0.5, "AR": null}')
    with pytest.raises(ValueError, match=message):
        publish(checkpoint, REPO, benchmark=Benchmark(dataset_id=dataset, task_id="val", metric=metric))
    assert hub.repos == {}


def test_a_model_of_transformers_own_gets_the_code_that_it_lacks(hub, checkpoint):
    stock = VitPoseForPoseEstimation.from_pretrained(checkpoint)
    for file in checkpoint.glob("*.py"):
        file.unlink()
    stock.config.auto_map = None
    stock.save_pretrained(checkpoint)
    publish(checkpoint, REPO)
    assert {"modeling_vitpose.py", "keypoint_detection_pipeline.py", "config.json"} <= hub.paths(REPO)
    config = json.loads(hub.head(REPO).files["config.json"])
    assert {"auto_map", "custom_pipelines"} <= config.keys() and config["model_type"] == "vitpose"


def test_few_files_of_code_are_published_and_none_of_an_earlier_vitpose(hub, checkpoint):
    (checkpoint / "attention_vitpose.py").touch()
    (checkpoint / "modeling_vitpose.py").write_text("from .attention_vitpose import nothing\n")
    publish(checkpoint, REPO)
    code = {name for name in hub.paths(REPO) if name.endswith(".py")}
    bundle = {"configuration_vitpose.py", "modeling_vitpose.py", "image_processing_vitpose.py"}
    assert code == {*bundle, "keypoint_detection_pipeline.py", "handler.py"}
    assert b"attention_vitpose import nothing" not in hub.head(REPO).files["modeling_vitpose.py"]


def test_transformers_push_to_hub_and_then_ours(hub, checkpoint):
    """transformers' own leaves an empty form as a card; ours replaces it."""
    model, processor = (kind.from_pretrained(checkpoint) for kind in (ViTPoseForPoseEstimation, ViTPoseImageProcessor))
    model.push_to_hub(REPO)
    processor.push_to_hub(REPO)
    assert {"model.safetensors", "modeling_vitpose.py", "preprocessor_config.json", "README.md"} <= hub.paths(REPO)
    assert "automatically generated" in hub.card(REPO)
    publish(checkpoint, REPO)
    assert "automatically generated" not in hub.card(REPO) and "## Limits and biases" in hub.card(REPO)


# ----------------------------------------------------------------------------------------------------- the command line


def test_a_dry_run_lists_files_and_sizes_and_needs_no_network(checkpoint, capsys):
    (checkpoint / "notes.txt").write_text("mine")
    assert cli.main(["publish", str(checkpoint), "--repo", REPO, "--dry-run", "--max-shard-size", "40KB"]) == 0
    out = capsys.readouterr().out
    assert "model-00001-of-0" in out and "README.md" in out and "left out: notes.txt" in out
    assert "would be published to ada/my-pose" in out


def test_the_command_publishes_and_tells_where(hub, checkpoint, capsys):
    hub.benchmarks.add("org/poses")
    (checkpoint / "metrics.json").write_text('{"AP": 0.5}')
    options = ["--private", "--tag", "v1", "--benchmark", "org/poses", "val", "AP"]
    assert cli.main(["publish", str(checkpoint), "--repo", REPO, *options]) == 0
    assert hub.head(REPO).oid in capsys.readouterr().out and ".eval_results/poses_val.yaml" in hub.paths(REPO)
    assert cli.main(["publish", str(checkpoint), "--repo", "my-pose"]) == 2
    assert "must be owner/name" in capsys.readouterr().err
