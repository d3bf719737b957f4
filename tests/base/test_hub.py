"""Models of the Hub are fetched once: what is asked for, what is kept, and what is said where something goes wrong."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
from transformers import VitPoseForPoseEstimation

from vitpose import ViTPoseForPoseEstimation
from vitpose.base.published import MODELS, resolve_model
from vitpose.processing.detection_vitpose import DETECTOR

BASE = MODELS["base"].repo
WAYS_OUT = ("HF_HOME", f"hf download {BASE}", "--model tiny")


def _offline(monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def _is_one_sentence(error: Exception) -> bool:
    return "\n" not in str(error) and str(error).endswith(".")


def test_it_is_fetched_once_and_then_only_asked_after(published, stock_pose) -> None:
    folder = Path(resolve_model("base"))
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        assert (folder / name).read_bytes() == (stock_pose / name).read_bytes()
    assert published.asked_for(BASE).count("GET model.safetensors") == 1
    published.requests.clear()
    assert resolve_model("base") == resolve_model(BASE) == str(folder)
    assert published.asked_for(BASE) == ["HEAD config.json"] * 2


def test_without_a_network_what_was_fetched_is_there_and_nobody_is_asked(published, monkeypatch) -> None:
    folder = resolve_model("base")
    published.requests.clear()
    _offline(monkeypatch)
    assert resolve_model("base") == folder
    assert published.requests == []


@pytest.mark.parametrize("how", [401, 404, 500, 503, "before"])
def test_a_hub_in_trouble_does_not_matter_once_it_is_fetched(published, how) -> None:
    folder = resolve_model("base")
    published.fail("HEAD", "", how, times=100)
    published.fail("GET", "", how, times=100)
    assert resolve_model("base") == folder


def test_a_branch_that_moves_on_is_fetched_anew_and_a_commit_stays(published, stock_pose, tmp_path) -> None:
    first = Path(resolve_model("base"))
    newer = Path(shutil.copytree(stock_pose, tmp_path / "newer"))
    VitPoseForPoseEstimation.from_pretrained(newer).half().save_pretrained(newer)
    published.add_folder(BASE, newer)
    second = Path(resolve_model("base"))
    assert second.name == published.head(BASE).oid != first.name
    assert (second / "model.safetensors").read_bytes() == (newer / "model.safetensors").read_bytes()
    assert resolve_model(f"base@{first.name}") == resolve_model(f"{BASE}@{first.name}") == str(first)


def test_a_tag_and_a_pull_request_are_revisions(published) -> None:
    repo = published.repos[BASE]
    repo.tags["v1"] = published.head(BASE).oid
    repo.branches["refs/pr/1"] = repo.branches["main"][:]
    assert resolve_model("base@v1") == resolve_model("base@refs/pr/1") == resolve_model("base")


def test_a_revision_that_is_not_there(published) -> None:
    with pytest.raises(ValueError, match=f"{BASE} has no revision 'v9'.*lists branches and tags") as caught:
        resolve_model("base@v9")
    assert _is_one_sentence(caught.value)


@pytest.mark.parametrize(("how", "why"), [(401, "answers 401"), (403, "answers 403"), (500, "500"), (503, "503")])
def test_a_hub_in_trouble_is_told_with_the_ways_out(published, how, why) -> None:
    published.fail("HEAD", "config", how, times=100)
    with pytest.raises(OSError, match=why) as caught:
        resolve_model("base")
    assert all(way in str(caught.value) for way in WAYS_OUT) and _is_one_sentence(caught.value)
    assert len(published.requests) <= 2, "the Hub's client would go on trying for half a minute"


def test_a_model_that_is_not_on_the_hub(hub) -> None:
    with pytest.raises(OSError, match="has no such model, or keeps it private .*hf auth login") as caught:
        resolve_model("base")
    assert all(way in str(caught.value) for way in WAYS_OUT) and _is_one_sentence(caught.value)


def test_a_model_whose_terms_are_to_be_accepted(published) -> None:
    published.fail("HEAD", "config", "403 GatedRepo", times=2)
    with pytest.raises(ValueError, match=f"accepts its terms: do so at {published.endpoint}/{BASE}, then `hf auth"):
        resolve_model("base")


def test_what_hf_download_fetched_is_there_without_a_network(published, monkeypatch) -> None:
    folder = huggingface_hub.snapshot_download(BASE)
    published.requests.clear()
    _offline(monkeypatch)
    assert resolve_model("base") == folder
    assert published.requests == []


def test_no_network_and_nothing_fetched(published, monkeypatch) -> None:
    _offline(monkeypatch)
    with pytest.raises(OSError, match="may not be asked, as HF_HUB_OFFLINE is set") as caught:
        resolve_model("base")
    assert all(way in str(caught.value) for way in WAYS_OUT) and _is_one_sentence(caught.value)
    with pytest.raises(OSError, match="hf download ada/pose --revision v2`"):
        resolve_model("ada/pose@v2")
    with pytest.raises(OSError, match="dfine-small-obj2coco`, or do without a detector.*--whole-image"):
        resolve_model("light", DETECTOR)
    published.shutdown()
    published.server_close()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(OSError, match="cannot be reached .*refused") as caught:
        resolve_model("base")
    assert all(way in str(caught.value) for way in WAYS_OUT) and _is_one_sentence(caught.value)


def test_a_connection_that_breaks_goes_on_where_it_stopped(published, stock_pose, monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    published.fail("GET", "model.safetensors", "half")
    folder = Path(resolve_model("base"))
    assert (folder / "model.safetensors").read_bytes() == (stock_pose / "model.safetensors").read_bytes()
    size = (stock_pose / "model.safetensors").stat().st_size
    assert published.ranges == [f"bytes={size // 2 // 1000 * 1000}-"]


def test_what_broke_off_for_good_goes_on_with_the_next_call(published, monkeypatch) -> None:
    published.fail("GET", "model.safetensors", "half", times=100)
    with pytest.raises(OSError, match=f"{BASE} is neither a folder nor wholly in the cache") as caught:
        resolve_model("base")
    assert all(way in str(caught.value) for way in WAYS_OUT) and _is_one_sentence(caught.value)
    _offline(monkeypatch)
    with pytest.raises(OSError, match="nor wholly in the cache"):
        resolve_model("base")  # half a model is none
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    published.faults.clear()
    published.requests.clear()
    ViTPoseForPoseEstimation.from_pretrained(resolve_model("base"))
    fetched = [request for request in published.asked_for(BASE) if request.startswith("GET")]
    assert fetched == ["GET model.safetensors"], "what was whole is not fetched again"


def test_the_kind_is_looked_at_before_weights_are_fetched(published, stock_detector) -> None:
    published.add_folder("ada/detector", stock_detector)
    with pytest.raises(ValueError, match="ada/detector is a model of type 'd_fine', expected a pose model"):
        resolve_model("ada/detector")
    with pytest.raises(ValueError, match=f"{BASE} is a model of type 'vitpose', expected an object detector"):
        resolve_model(BASE, DETECTOR)
    asked = published.asked_for("ada/detector") + published.asked_for(BASE)
    assert {request.split()[1] for request in asked} == {"config.json"}


def test_a_repository_that_is_no_model_of_transformers(hub, caplog) -> None:
    hub.add_repo("ada/weights", **{"pose.pth": b"..."})
    with pytest.raises(ValueError, match="ada/weights has no config.json.*fetch a file of it by hand"):
        resolve_model("ada/weights")
    hub.add_repo("ada/empty", **{"config.json": b'{"model_type": "vitpose"}'})
    with pytest.raises(ValueError, match="ada/empty has no weights that transformers reads"):
        resolve_model("ada/empty")
    assert caplog.text == ""


def test_only_what_the_model_needs_is_fetched(hub, stock_pose, tmp_path) -> None:
    files = {path.name: path.read_bytes() for path in stock_pose.iterdir()}
    other_forms = {"pytorch_model.bin": b"0", "tf_model.h5": b"0", "onnx/model.onnx": b"0", "notes.txt": b"0"}
    hub.add_repo("ada/many-forms", **files, **other_forms)
    folder = Path(resolve_model("ada/many-forms"))
    assert {path.name for path in folder.iterdir()} == files.keys()
    files.pop("model.safetensors")
    hub.add_repo("ada/old-form", **files, **other_forms)
    folder = Path(resolve_model("ada/old-form"))
    assert {path.name for path in folder.iterdir()} == {*files, "pytorch_model.bin"}


def test_a_model_in_several_files_is_whole_with_all_of_them(hub, stock_pose, tmp_path) -> None:
    sharded = Path(shutil.copytree(stock_pose, tmp_path / "sharded"))
    (sharded / "model.safetensors").unlink()
    VitPoseForPoseEstimation.from_pretrained(stock_pose).save_pretrained(sharded, max_shard_size="50KB")
    hub.add_folder("ada/sharded", sharded)
    folder = Path(resolve_model("ada/sharded"))
    parts = set(json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"].values())
    assert len(parts) > 1
    (folder / min(parts)).unlink()
    hub.requests.clear()
    ViTPoseForPoseEstimation.from_pretrained(resolve_model("ada/sharded"))
    assert hub.asked_for("ada/sharded") == ["HEAD config.json"] + [f"HEAD {min(parts)}"]


def test_a_cache_that_cannot_be_written(published, monkeypatch, tmp_path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    with pytest.raises(OSError, match="cannot be kept in HF_HOME .*Not a directory"):
        resolve_model("base")
