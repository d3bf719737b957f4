"""Publishing through huggingface_hub's real client, to a stand-in for the Hub on loopback."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from hub_stand_in import TOKEN
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage.data import astronaut
from transformers import VitPoseForPoseEstimation

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation, ViTPoseImageProcessor, cli, publish, write_model_card

REPO = "ada/my-pose"
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of huggingface_hub itself


def paths(hub, revision: str = "main", repo_id: str = REPO) -> set[str]:
    commit = hub.head(repo_id, revision)
    return {*commit.files, *commit.lfs}


def card(hub, revision: str = "main") -> str:
    return hub.head(REPO, revision).files["README.md"].decode()


def change_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})


# ------------------------------------------------------------------------------------------------ what is published


def test_a_folder_becomes_a_repository_in_one_commit(hub, checkpoint):
    (checkpoint / "log.jsonl").write_text("{}")
    (checkpoint / "metrics.json").write_text("{}")
    (checkpoint / "checkpoints").mkdir()
    (checkpoint / "checkpoints" / "optimizer.bin").touch()
    publication = publish(checkpoint, REPO)
    assert len(hub.committed) == 1
    assert {"config.json", "preprocessor_config.json", "model.safetensors", "README.md", "metrics.json"} <= paths(hub)
    assert paths(hub) - {".gitattributes"} == publication.files.keys()
    assert publication.left_out == ["checkpoints/", "log.jsonl"]
    assert publication.url == f"{hub.endpoint}/{REPO}/commit/{hub.head(REPO).oid}"
    assert not hub.repos[REPO].private
    assert f'checkpoint = "{REPO}"' in card(hub) and "Nothing has been measured" in card(hub)


def test_the_card_of_a_run_keeps_its_figures_and_shows_its_picture(hub, checkpoint):
    Image.new("RGB", (8, 8)).save(checkpoint / "predictions.png")
    Image.new("RGB", (8, 8)).save(checkpoint / "example_beach.jpg")
    config = ViTPoseConfig.from_pretrained(checkpoint)
    write_model_card(checkpoint, model_config=config, metrics={"AP": 0.5}, dataset_name="my people")
    publish(checkpoint, REPO)
    metadata = ModelCard(card(hub)).data.to_dict()
    assert metadata["model-index"][0]["name"] == "my-pose"
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.5
    example = {"src": f"{hub.endpoint}/{REPO}/resolve/main/example_beach.jpg", "example_title": "example_beach"}
    assert metadata["widget"] == [example]
    assert {"predictions.png", "example_beach.jpg"} <= paths(hub)


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
    by_hand = card(hub).replace("## Citation", "## Thanks\n\nTo all.\n\n## Citation")
    hub.head(REPO).files["README.md"] = by_hand.encode()
    change_weights(checkpoint)
    publish(checkpoint, REPO)
    assert "## Thanks\n\nTo all.\n\n## Citation" in card(hub)


def test_shards_replace_a_single_file_and_load(hub, checkpoint, tmp_path):
    """Through the same endpoint, in a process without vitpose: both classes, the pipeline, the endpoint."""
    publish(checkpoint, REPO)
    publish(checkpoint, REPO, max_shard_size="40KB")
    weights = {path for path in paths(hub) if "safetensors" in path}
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
    assert "config.json" in paths(hub, "next") and "config.json" not in paths(hub)
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


def test_a_model_of_transformers_own_gets_the_code_that_it_lacks(hub, checkpoint):
    stock = VitPoseForPoseEstimation.from_pretrained(checkpoint)
    for file in checkpoint.glob("*.py"):
        file.unlink()
    stock.config.auto_map = None
    stock.save_pretrained(checkpoint)
    publish(checkpoint, REPO)
    assert {"modeling_vitpose.py", "keypoint_detection_pipeline.py", "config.json"} <= paths(hub)
    config = json.loads(hub.head(REPO).files["config.json"])
    assert {"auto_map", "custom_pipelines"} <= config.keys() and config["model_type"] == "vitpose"


def test_transformers_push_to_hub_and_then_ours(hub, checkpoint):
    """transformers' own leaves an empty form as a card; ours replaces it."""
    model, processor = (kind.from_pretrained(checkpoint) for kind in (ViTPoseForPoseEstimation, ViTPoseImageProcessor))
    model.push_to_hub(REPO)
    processor.push_to_hub(REPO)
    assert {"model.safetensors", "modeling_vitpose.py", "preprocessor_config.json", "README.md"} <= paths(hub)
    assert "automatically generated" in card(hub)
    publish(checkpoint, REPO)
    assert "automatically generated" not in card(hub) and "## Limits and biases" in card(hub)


# ---------------------------------------------------------------------------------------------------- what can go wrong

FAULTS = [
    ("the upload of the weights is cut in the middle", "PUT", "/lfs/", "before"),
    ("the upload of the weights gets no answer", "PUT", "/lfs/", "after"),
    ("the commit is cut in the middle", "POST", "/commit/", "before"),
    ("the commit is made, but its answer is lost", "POST", "/commit/", "after"),
    ("the Hub is busy", "POST", "/commit/", 503),
    ("the check of the card is cut", "POST", "/api/validate-yaml", "before"),
    ("the repository is made, but the answer is lost", "POST", "/api/repos/create", "after"),
    ("the card on the Hub cannot be read at first", "HEAD", "/resolve/", "before"),
    ("the tag is made, but the answer is lost", "POST", "/tag/", "after"),
]


@pytest.mark.parametrize(("why", "method", "path", "how"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_failure_that_passes_is_tried_again_without_duplicates(why, method, path, how, hub, checkpoint):
    hub.fail(method, path, how)
    publish(checkpoint, REPO, tag="v1")
    assert hub.faults[0].times == 0, "it did fail once"
    assert len(hub.repos[REPO].branches["main"]) == 2, "the initial commit and ours"
    assert "model.safetensors" in paths(hub) and hub.repos[REPO].tags == {"v1": hub.head(REPO).oid}


def test_after_a_failure_nothing_is_visible_and_the_next_call_resumes(hub, checkpoint):
    hub.fail("POST", "/commit/", "before", times=99)
    with pytest.raises(ConnectionError, match="cannot be reached.*sends only what is still missing"):
        publish(checkpoint, REPO)
    assert paths(hub) == {".gitattributes"}
    hub.faults.clear()
    publish(checkpoint, REPO)
    assert len(hub.uploads()) == 1, "the weights were there already"


def test_some_shards_up_before_a_failure_are_not_sent_again(hub, checkpoint):
    hub.fail("PUT", "/lfs/[0-7]", "before", times=99)
    with pytest.raises(ConnectionError):
        publish(checkpoint, REPO, max_shard_size="20KB")
    assert paths(hub) == {".gitattributes"}
    there = set(hub.objects)
    assert there, "some of them arrived"
    hub.faults.clear()
    hub.requests.clear()
    publish(checkpoint, REPO, max_shard_size="20KB")
    sent = {path.split("/")[-1] for method, path, _ in hub.requests if method == "PUT"}
    assert sent and not sent & there


def test_a_lost_answer_to_a_pull_request_opens_no_second_one(hub, checkpoint):
    hub.add_repo(REPO)
    hub.fail("POST", "/commit/", "after")
    with pytest.raises(ConnectionError):
        publish(checkpoint, REPO, create_pr=True)
    assert [name for name in hub.repos[REPO].branches if name.startswith("refs/pr/")] == ["refs/pr/1"]


REFUSALS = [
    ("a token that the Hub does not know", ("GET", "/whoami", 401), PermissionError, "does not know the token"),
    ("a token that may not write", ("POST", "/api/repos/create", 403), PermissionError, "may not write to ada/my-pose"),
    ("somebody else commits", ("POST", "/commit/", 412), OSError, "has changed meanwhile.*publish again"),
    ("a conflict", ("POST", "/commit/", 409), OSError, "has changed meanwhile.*publish again"),
    ("an upload is refused", ("PUT", "/lfs/", 400), OSError, "answered 400"),
    ("the Hub stays down", ("GET", "/whoami", 503), OSError, "answered 503"),
]


@pytest.mark.parametrize(("why", "fault", "error", "message"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_a_refusal_of_the_hub_is_told_plainly(why, fault, error, message, hub, checkpoint):
    hub.fail(*fault, times=99)
    with pytest.raises(error, match=f"(?s){message}"):
        publish(checkpoint, REPO)
    assert hub.committed == []


def test_a_change_between_reading_and_committing_is_not_overwritten(hub, checkpoint, monkeypatch):
    publish(checkpoint, REPO)
    change_weights(checkpoint)
    create_commit = huggingface_hub.HfApi.create_commit

    def somebody_first(api, *args, **kwargs):
        hub.repos[REPO].branches["main"].append(hub.repos[REPO].branches["main"][0])
        return create_commit(api, *args, **kwargs)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_commit", somebody_first)
    with pytest.raises(OSError, match="has changed meanwhile"):
        publish(checkpoint, REPO)


def test_the_token_is_in_no_log(hub, checkpoint, caplog, capfd):
    hub.fail("GET", "/whoami", 401)
    with caplog.at_level(logging.DEBUG), pytest.raises(PermissionError) as refusal:
        publish(checkpoint, REPO)
    with caplog.at_level(logging.DEBUG):
        publish(checkpoint, REPO)
    out, err = capfd.readouterr()
    assert TOKEN not in caplog.text + out + err + str(refusal.value)


# ------------------------------------------------------------------------------------------------------------ bad input


def lose(name: str):
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


def card_entry(key: str, value: str):
    """A card of somebody's own with this line in its metadata."""
    lines = "\n".join(f"{name}: {entry}" for name, entry in ({"license": "mit"} | {key: value}).items())
    return write("README.md", f"---\n{lines}\n---\n\n# Mine\n")


def poison(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["backbone.layernorm.weight"][3] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def rename_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["other"] = weights.pop("backbone.layernorm.weight")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def shard(index: object):
    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return spoil


ABSENT = FileNotFoundError
A_SHARD = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
UNREADABLE = "metadata cannot be read"
BAD_FOLDERS = [
    ("no weights", lose("model.safetensors"), ABSENT, "holds no weights"),
    ("a missing shard", shard(A_SHARD), ABSENT, "lacks model-00001-of-00002.safetensors"),
    ("an index that is none", shard([]), ValueError, "no index of shards"),
    ("pickled weights", write("pytorch_model.bin", ""), ValueError, "pytorch_model.bin.*runs the code in it"),
    ("pickled weights of any name", write("best.pth", ""), ValueError, "best.pth"),
    ("weights cut short", write("model.safetensors", "123"), ValueError, "cannot be read as safetensors"),
    ("NaN weights", poison, ValueError, "1 tensors hold NaN or infinite values.*backbone.layernorm.weight.*--force"),
    (
        "weights of another model",
        rename_a_weight,
        ValueError,
        "missing or of another shape.*config and weights together",
    ),
    ("a config that is none", write("config.json", "{"), ValueError, "config.json is not JSON"),
    ("no processor", lose("preprocessor_config.json"), ABSENT, "ViTPoseImageProcessor.save_pretrained"),
    ("no config", lose("config.json"), ABSENT, "lacks config.json"),
    ("code that is not there", lose("loss_vitpose.py"), ABSENT, "lacks loss_vitpose.py"),
    ("a card whose picture is gone", write("README.md", "![x](a.png)"), ABSENT, "shows a.png"),
    ("a card that reaches out of the folder", write("README.md", "![x](../a.png)"), ABSENT, "shows ../a.png"),
    ("a licence that is no word", card_entry("license", "[mit]"), ValueError, "license: expected a word"),
    ("tags that are no words", card_entry("tags", "[1, 2]"), ValueError, "tags: expected a word or a list of words"),
    ("a base model that is no id", card_entry("base_model", "./weights/b"), ValueError, "base_model.*owner/name"),
    ("an unknown relation", card_entry("base_model_relation", "copy"), ValueError, "one of adapter, merge"),
    ("a broken model index", card_entry("model-index", "[{}]"), ValueError, UNREADABLE),
    ("metadata that are no YAML", card_entry("tags", "["), ValueError, UNREADABLE),
    ("a licence that the Hub refuses", card_entry("license", "mine"), ValueError, "Hub refuses the card's metadata"),
]


@pytest.mark.parametrize(("why", "spoil", "error", "message"), BAD_FOLDERS, ids=[row[0] for row in BAD_FOLDERS])
def test_a_folder_that_is_not_fit_is_refused_before_a_repository_is_made(why, spoil, error, message, hub, checkpoint):
    spoil(checkpoint)
    with pytest.raises(error, match=f"(?s){message}"):
        publish(checkpoint, REPO)
    assert hub.repos == {} and hub.objects == {}


BAD_ARGUMENTS = [
    ("a name with a space", {"repo_id": "ada/my pose"}, "name is not valid"),
    ("a name with two slashes", {"repo_id": "models/ada/my-pose"}, "name is not valid"),
    ("a name without an owner", {"repo_id": "my-pose"}, "must be owner/name, got 'my-pose'"),
    ("a size that is none", {"max_shard_size": "big"}, "max_shard_size must be a size"),
    ("a tag on a pull request", {"create_pr": True, "tag": "v1"}, "create_pr excludes tag"),
    ("a pull request on a branch", {"create_pr": True, "revision": "next"}, "create_pr excludes revision"),
    ("a pull request nowhere", {"create_pr": True}, "no repository ada/my-pose to open a pull request in"),
]


@pytest.mark.parametrize(("why", "changes", "message"), BAD_ARGUMENTS, ids=[row[0] for row in BAD_ARGUMENTS])
def test_bad_arguments_are_refused_before_a_repository_is_made(why, changes, message, hub, checkpoint):
    with pytest.raises(ValueError, match=message):
        publish(checkpoint, **{"repo_id": REPO, **changes})
    assert hub.repos == {}


def test_a_tag_that_is_taken_is_refused(hub, checkpoint):
    publish(checkpoint, REPO, tag="v1")
    change_weights(checkpoint)
    with pytest.raises(ValueError, match="has a tag v1 already"):
        publish(checkpoint, REPO, tag="v1")
    assert len(hub.committed) == 1


def test_nan_weights_can_be_forced(hub, checkpoint):
    poison(checkpoint)
    publish(checkpoint, REPO, force=True)
    assert "model.safetensors" in paths(hub)


def test_no_token(hub, checkpoint, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(PermissionError, match="no token.*hf auth login.*HF_TOKEN"):
        publish(checkpoint, REPO)
    assert hub.requests == []


def test_no_network(hub, checkpoint, monkeypatch):
    hub.__exit__()
    with pytest.raises(ConnectionError, match=f"{hub.endpoint} cannot be reached"):
        publish(checkpoint, REPO)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set"):
        publish(checkpoint, REPO)


# ----------------------------------------------------------------------------------------------------- the command line


def test_a_dry_run_lists_files_and_sizes_and_needs_no_network(checkpoint, capsys):
    (checkpoint / "notes.txt").write_text("mine")
    assert cli.main(["publish", str(checkpoint), "--repo", REPO, "--dry-run", "--max-shard-size", "40KB"]) == 0
    out = capsys.readouterr().out
    assert "model-00001-of-0" in out and "README.md" in out and "left out: notes.txt" in out
    assert "would be published to ada/my-pose" in out


def test_the_command_publishes_and_tells_where(hub, checkpoint, capsys):
    assert cli.main(["publish", str(checkpoint), "--repo", REPO, "--private", "--tag", "v1"]) == 0
    assert hub.head(REPO).oid in capsys.readouterr().out
    assert cli.main(["publish", str(checkpoint), "--repo", "my-pose"]) == 2
    assert "must be owner/name" in capsys.readouterr().err
