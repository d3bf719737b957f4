"""Names of models: published ones, folders, files, and repositories of the Hub with and without a revision."""

import json
from pathlib import Path

import pytest

from vitpose import TINY_CHECKPOINT
from vitpose.base.published import DETECTORS, MODELS, repository_of, resolve_model
from vitpose.processing.detection_vitpose import DETECTOR, as_detector


def test_everybody_may_use_the_published_weights_for_everything() -> None:
    for published in (*MODELS.values(), *DETECTORS.values()):
        assert published.license == "apache-2.0"


def test_tiny_is_inside_the_package_whatever_lies_beside(tmp_path, monkeypatch) -> None:
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_model("tiny") == TINY_CHECKPOINT
    assert resolve_model("./tiny") == "./tiny"


def test_a_folder_or_file_that_is_there_is_meant_even_with_an_at_sign(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ada/pose@3", "run@night"):
        Path(name).mkdir(parents=True)
        assert resolve_model(name) == name and repository_of(name) is None
    Path("a.pth").touch()
    assert resolve_model("a.pth") == "a.pth"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("bse", ValueError, r"model: expected one of tiny, small, base, large, huge, got 'bse'. Did you mean 'base'\?"),
        ("hg", ValueError, "give a folder, or the OWNER/NAME of a repository on the Hub"),
        ("base@", ValueError, "expected a branch, tag or commit behind the @"),
        ("tiny@main", ValueError, "tiny is inside the package and has no revisions. Leave @main out."),
        ("runs/night/1", FileNotFoundError, "There is no folder or file runs/night/1. Check the path."),
        ("./base", FileNotFoundError, "There is no folder or file ./base. Check the path."),
        ("../pose@v1", FileNotFoundError, "There is no folder or file ../pose@v1."),
        ("ada/pose.pth", FileNotFoundError, "There is no file ada/pose.pth. Check the path."),
    ],
)
def test_names_of_nothing_are_refused_without_asking_the_hub(name, error, message) -> None:
    with pytest.raises(error, match=message):
        resolve_model(name)


def test_the_names_of_detectors_are_their_own() -> None:
    with pytest.raises(ValueError, match="expected one of light, accurate, got 'base'"):
        as_detector("base")
    with pytest.raises(ValueError, match="got 'accurat'. Did you mean 'accurate'"):
        as_detector("accurat")


def test_the_repository_that_a_name_means() -> None:
    assert repository_of("base") == repository_of("base@v1") == "usyd-community/vitpose-plus-base"
    assert repository_of("light", DETECTOR) == "ustc-community/dfine-small-obj2coco"
    assert repository_of("ada/pose@refs/pr/1") == "ada/pose"
    assert repository_of("tiny") is None and repository_of("none") is None


@pytest.mark.parametrize("model_type", ["d_fine", "bert"])
def test_a_folder_of_another_kind_is_refused(tmp_path, model_type) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(ValueError, match=f"of type {model_type!r}, expected a pose model, such as tiny, small, base"):
        resolve_model(str(tmp_path))


def test_a_folder_that_does_not_say_its_kind_is_left_to_who_reads_it(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert resolve_model(str(tmp_path)) == str(tmp_path)


def test_a_pose_model_or_a_classifier_is_no_detector(tmp_path) -> None:
    with pytest.raises(ValueError, match="of type 'vitpose', expected an object detector, such as light, accurate"):
        as_detector(TINY_CHECKPOINT)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "resnet"}))
    with pytest.raises(ValueError, match="is a model of type 'resnet', expected an object detector"):
        as_detector(tmp_path)
