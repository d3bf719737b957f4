"""What is not fit to be published is refused with a clear message, before a repository is made."""

import json
from pathlib import Path

import huggingface_hub
import pytest
import torch
from publishing_help import REPO, change_weights
from safetensors.torch import load_file, save_file

from vitpose import publish

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of huggingface_hub itself


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
    ("an index that is none", shard([]), ValueError, "not an index of shards"),
    *(
        (
            f"pickled weights, {suffix}",
            write(f"weights{suffix}", ""),
            ValueError,
            f"weights{suffix}.*runs the code in it",
        )
        for suffix in (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
    ),
    ("pickled weights of any name", write("best.pth", ""), ValueError, "best.pth"),
    ("weights cut short", write("model.safetensors", "123"), ValueError, "cannot be read as safetensors"),
    ("NaN weights", poison, ValueError, "1 tensors hold NaN or infinite values.*backbone.layernorm.weight.*--force"),
    (
        "weights of another model",
        rename_a_weight,
        ValueError,
        "missing or of another shape.*config and weights together",
    ),
    ("a config that is none", write("config.json", "{"), ValueError, "config.json is not valid JSON"),
    ("no processor", lose("preprocessor_config.json"), ABSENT, "ViTPoseImageProcessor.save_pretrained"),
    ("no config", lose("config.json"), ABSENT, "lacks config.json"),
    ("code that is not there", lose("configuration_vitpose.py"), ABSENT, "lacks configuration_vitpose.py"),
    ("a card whose picture is gone", write("README.md", "![x](a.png)"), ABSENT, "shows a.png"),
    ("a card that reaches out of the folder", write("README.md", "![x](../a.png)"), ABSENT, "shows ../a.png"),
    ("a licence that is a list", card_entry("license", "[mit]"), ValueError, "license: expected a string"),
    (
        "tags that are no words",
        card_entry("tags", "[1, 2]"),
        ValueError,
        "tags: expected a string or a list of strings",
    ),
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
    assert "model.safetensors" in hub.paths(REPO)


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
