"""Exported models on the Hub: what is published, run through the same endpoint, and what is refused."""

import contextlib
import io
import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image
from publishing_help import REPO
from skimage.data import astronaut
from transformers import pipeline

from vitpose import export_model, get_keypoint_schema, publish
from vitpose_cli import main as cli

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # of huggingface_hub itself
    pytest.mark.skipif(
        any(find_spec(package) is None for package in ("onnx", "onnxscript", "onnxruntime", "openvino")),
        reason='exporting needs packages of its own: pip install "vitpose[onnx,openvino]"',
    ),
]
FILES = {"onnx": {"model.onnx"}, "openvino": {"openvino_model.xml", "openvino_model.bin"}}
BOTH = pytest.mark.parametrize("to", FILES)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def exports(saved_model, tmp_path_factory) -> dict[str, Path]:
    """Folders of a small model in both formats, not to be changed."""
    out = tmp_path_factory.mktemp("exports")
    for to in FILES:
        export_model(saved_model, out / to, to=to)
    return {to: out / to for to in FILES}


@pytest.fixture
def exported(exports, tmp_path) -> dict[str, Path]:
    """The same, to be changed."""
    return {to: Path(shutil.copytree(folder, tmp_path / to)) for to, folder in exports.items()}


@pytest.fixture
def photo(tmp_path, monkeypatch) -> str:
    """A photo in the working folder, as the snippets of a card take it."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(astronaut()).save("photo.jpg")
    return "photo.jpg"


def metadata_of(card: str) -> dict:
    return ModelCard(card).data.to_dict()


@BOTH
def test_an_export_is_published_in_one_commit_and_predicts_the_same_from_there(to, hub, exports, photo):
    publication = publish(exports[to], REPO)
    assert len(hub.committed) == 1
    expected = {"config.json", "preprocessor_config.json", "README.md", *FILES[to]}
    assert hub.paths(REPO) - {".gitattributes"} == publication.files.keys() == expected
    here, there = (pipeline("keypoint-detection", model=str(model)) for model in (exports[to], REPO))
    assert here(photo) == there(photo)


@BOTH
def test_the_snippets_of_the_card_run_as_they_are_written(to, hub, exports, photo):
    """The one without vitpose finds the peaks that the pipeline finds, to a heatmap pixel."""
    publish(exports[to], REPO)
    with_vitpose, alone = PYTHON.findall(hub.card(REPO))
    assert "import vitpose" not in alone and f'checkpoint = "{REPO}"' in alone
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(with_vitpose, {})
        exec(alone, known := {})
    assert "nose" in output.getvalue()
    (person,) = pipeline("keypoint-detection", model=str(exports[to]))(photo)
    pixel = known["extent"] / (np.array(known["heatmaps"].shape[:0:-1]) - 1)  # of a heatmap, in photo pixels
    assert known["heatmaps"].shape[0] == len(person["keypoints"])
    for point, heatmap in zip(person["keypoints"], known["heatmaps"], strict=True):
        row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
        place = known["corner"] + pixel * (column, row)
        assert (np.abs(place - (point["x"], point["y"])) <= 1.01 * pixel).all()
        assert heatmap.max() == pytest.approx(point["score"], abs=0.02)


def test_an_export_of_a_repository_names_it_its_licence_and_how_far_it_is_from_it(hub, checkpoint, tmp_path):
    publish(checkpoint, REPO)
    export_model(REPO, tmp_path / "exported", to="onnx", precision="fp16")
    publish(tmp_path / "exported", f"{REPO}-onnx")
    card = hub.card(f"{REPO}-onnx")
    metadata = metadata_of(card)
    assert {key: metadata[key] for key in ("library_name", "pipeline_tag", "license")} == {
        "library_name": "onnx",
        "pipeline_tag": "keypoint-detection",
        "license": "apache-2.0",
    }
    assert (metadata["base_model"], metadata["base_model_relation"]) == (REPO, "quantized")
    exported = json.loads((tmp_path / "exported" / "config.json").read_text())["exported"]
    assert f"| {exported['difference']['heatmaps']:.2g} | {exported['difference']['keypoints']:.2g} |" in card
    assert "fp16" in card and "they were measured with torch" in card


def test_what_is_not_known_of_the_source_is_not_claimed(hub, exported):
    """No licence, no base model; a folder that lost its card gets the same one again."""
    card = (exported["openvino"] / "README.md").read_text()
    assert not {"license", "base_model"} & metadata_of(card).keys()
    assert "No accuracy has been measured" in card and 'checkpoint = "openvino"' in card
    (exported["openvino"] / "README.md").unlink()
    publish(exported["openvino"], REPO)
    assert metadata_of(hub.card(REPO)) == metadata_of(card)


def test_publishing_again_sends_what_changed_keeps_handwriting_and_drops_old_weights(hub, exported):
    publish(exported["onnx"], REPO)
    first = hub.head(REPO)
    publish(exported["onnx"], REPO)
    assert hub.head(REPO) is first, "nothing has changed: no commit"
    first.files["model.onnx.data"] = b"weights of a larger one"
    first.files["README.md"] = hub.card(REPO).replace("## Citation", "## Thanks\n\nTo all.\n\n## Citation").encode()
    (exported["onnx"] / "metrics.json").write_text('{"AP": 0.5}')
    publish(exported["onnx"], REPO)
    assert "model.onnx.data" not in hub.paths(REPO) and "metrics.json" in hub.paths(REPO)
    assert "To all." in hub.card(REPO) and len(hub.committed) == 2


def test_a_dry_run_lists_the_files_of_an_export(exported, capsys):
    (exported["openvino"] / "notes.txt").write_text("mine")
    assert cli.main(["publish", str(exported["openvino"]), "--repo", REPO, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "openvino_model.bin" in out and "README.md" in out and "left out: notes.txt" in out
    assert "handler.py" not in out, "an endpoint would need the weights in torch"


@pytest.mark.parametrize("first", ["torch", "onnx"])
def test_a_repository_of_another_kind_of_model_is_left_alone(first, hub, checkpoint, exported):
    folders = {"torch": checkpoint, **exported}
    publish(folders.pop(first), REPO)
    before = hub.head(REPO)
    for kind, folder in folders.items():
        with pytest.raises(ValueError, match=f"holds a model for {first}, this one is for {kind}: .* {REPO}-{kind}"):
            publish(folder, REPO)
    assert hub.head(REPO) is before


# ----------------------------------------------------------------------------------------------------------- bad input


def lose(name: str):
    return lambda folder: (folder / name).unlink()


def cut(name: str):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:1000])


def change_config(**changes: object):
    def spoil(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return spoil


def poison(folder: Path) -> None:
    import onnx

    model = onnx.load(folder / "model.onnx")
    weights = next(array for array in model.graph.initializer if array.data_type == onnx.TensorProto.FLOAT)
    weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights) * np.nan, weights.name))
    onnx.save(model, folder / "model.onnx")


ANOTHER = change_config(keypoint_schemas=[get_keypoint_schema("mpii").to_dict()], id2label=None, label2id=None)
ABSENT = FileNotFoundError
BAD_EXPORTS = [
    ("no config", "onnx", lose("config.json"), ABSENT, "lacks config.json: the export is incomplete"),
    ("no processor", "onnx", lose("preprocessor_config.json"), ABSENT, "lacks preprocessor_config.json"),
    ("no model", "onnx", lose("model.onnx"), ABSENT, "lacks model.onnx: the export is incomplete"),
    ("no weights", "openvino", lose("openvino_model.bin"), ABSENT, "lacks openvino_model.bin"),
    ("a file cut short", "onnx", cut("model.onnx"), ValueError, "model.onnx cannot be read by onnxruntime"),
    ("weights cut short", "openvino", cut("openvino_model.bin"), ValueError, "cannot be read by openvino"),
    ("a config that tells nothing", "onnx", change_config(exported=None), ValueError, "exported: expected format"),
    (
        "a format that is none",
        "onnx",
        change_config(exported={"format": "tflite"}),
        ValueError,
        "exported: expected format",
    ),
    (
        "the config of another model",
        "onnx",
        ANOTHER,
        ValueError,
        r"of shape \(1, 16, .* got \(1, 17, ",
    ),
    ("NaN weights", "onnx", poison, ValueError, "hold NaN or infinite values.*--force"),
    ("pickles", "onnx", lambda folder: (folder / "best.pth").touch(), ValueError, "best.pth.*runs the code in it"),
]


@pytest.mark.parametrize(("why", "to", "spoil", "error", "message"), BAD_EXPORTS, ids=[row[0] for row in BAD_EXPORTS])
def test_an_export_that_is_not_whole_is_refused_before_a_repository_is_made(
    why, to, spoil, error, message, hub, exported
):
    spoil(exported[to])
    with pytest.raises(error, match=f"(?s){message}"):
        publish(exported[to], REPO)
    assert hub.repos == {} and hub.objects == {}


def test_shards_are_not_for_exports(exports):
    with pytest.raises(ValueError, match="max_shard_size splits safetensors files"):
        publish(exports["onnx"], REPO, max_shard_size="1GB", dry_run=True)


def test_a_missing_runtime_is_named(exports, monkeypatch):
    monkeypatch.setattr(
        "vitpose.export.runtimes.find_spec", lambda name: None if name == "openvino" else find_spec(name)
    )
    with pytest.raises(ModuleNotFoundError, match=r'openvino must be installed: pip install "vitpose\[openvino\]"'):
        publish(exports["openvino"], REPO, dry_run=True)


def test_forced_nan_and_an_export_after_an_interruption(hub, exported):
    """A connection that breaks leaves nothing visible; the next call goes on."""
    poison(exported["onnx"])
    hub.fail("POST", "/commit/", "before", times=99)
    with pytest.raises(ConnectionError):
        publish(exported["onnx"], REPO, force=True)
    assert hub.paths(REPO) == {".gitattributes"}
    hub.faults.clear()
    publish(exported["onnx"], REPO, force=True)
    assert len(hub.uploads()) == 1 and "model.onnx" in hub.paths(REPO)
