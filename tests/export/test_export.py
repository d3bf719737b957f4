"""Exported models: the same keypoints from ONNX Runtime and OpenVINO, files that say what they are, and refusals."""

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, pipeline

import vitpose
from vitpose import ExportedModel, ViTPoseConfig, ViTPoseForPoseEstimation, ViTPoseImageProcessor, export_model
from vitpose.export import export as export_module
from vitpose.export.check import BOUNDS, Difference, measure_difference
from vitpose_cli import main as cli

PACKAGES = ("onnx", "onnxscript", "onnxruntime", "openvino")
pytestmark = pytest.mark.skipif(
    any(find_spec(package) is None for package in PACKAGES),
    reason='exporting needs packages of its own: pip install "vitpose[onnx,openvino]"',
)

SMALL = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
FORMATS = ["onnx", "openvino"]
# What runs which format.
RUNS = [("onnx", None), ("onnx", "onnxruntime"), ("onnx", "openvino"), ("openvino", None), ("openvino", "openvino")]


def save_model(folder: Path, **settings: object) -> Path:
    """A small model with random weights, whose heatmaps have clear peaks, and a processor with settings of its own."""
    torch.manual_seed(0)
    model = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", **SMALL, **settings))
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim > 1:
                value.normal_(std=2 / value[0].numel() ** 0.5)
    model.save_pretrained(folder)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}, dark_sigma=2.0).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def exported(folder, tmp_path_factory) -> dict[str, Path]:
    """Folders of the model in both formats, in float32."""
    out = tmp_path_factory.mktemp("exported")
    for to in FORMATS:
        export_model(folder, out / to, to=to)
    return {to: out / to for to in FORMATS}


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("several"), datasets=["coco", "mpii"])


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 120, 90, 3), dtype=np.uint8)
    return [Image.fromarray(image) for image in pixels]


def points_of(people: list[dict]) -> np.ndarray:
    """(N, K, 3): x, y, score."""
    return np.array([[(k["x"], k["y"], k["score"]) for k in person["keypoints"]] for person in people])


@pytest.mark.parametrize(("to", "backend"), RUNS)
@pytest.mark.parametrize("flip_test", [False, True])
def test_the_pipeline_finds_the_keypoints_that_torch_finds(to, backend, flip_test, folder, exported, photos):
    boxes = [[[5.0, 5.0, 40.0, 60.0], [30.5, 20.25, 50.0, 90.0]], [], [[0.0, 0.0, 30.0, 40.0]] * 3]
    expected = pipeline("keypoint-detection", model=str(folder), device="cpu")(photos, boxes=boxes, flip_test=flip_test)
    pipe = pipeline("keypoint-detection", model=str(exported[to]), backend=backend)
    assert isinstance(pipe.model, ExportedModel)
    assert "ExportedModel" in repr(pipe)
    for people, others in zip(pipe(photos, boxes=boxes, flip_test=flip_test), expected, strict=True):
        assert len(people) == len(others)
        if people:
            np.testing.assert_allclose(points_of(people)[..., :2], points_of(others)[..., :2], atol=0.05)  # image px
            np.testing.assert_allclose(points_of(people)[..., 2], points_of(others)[..., 2], atol=1e-4)


@pytest.mark.parametrize(("to", "backend"), RUNS)
def test_a_batch_may_have_any_size(to, backend, folder, exported):
    torch_model = ViTPoseForPoseEstimation.from_pretrained(folder).eval()
    model = ExportedModel.from_pretrained(exported[to], backend=backend)
    for size in (1, 2, 5):
        crops = torch.randn(size, 3, 64, 48)
        with torch.no_grad():
            expected = torch_model(crops).heatmaps
        torch.testing.assert_close(model(crops).heatmaps, expected, rtol=0, atol=1e-4)


def test_a_mirrored_view_of_crops_is_read_as_it_looks(exported):
    model, crops = ExportedModel.from_pretrained(exported["onnx"]), torch.randn(2, 3, 48, 64)
    torch.testing.assert_close(model(crops.mT).heatmaps, model(crops.mT.contiguous()).heatmaps)


@pytest.mark.parametrize("kind", ["window", "shifted_window", "pooled_window", "shifted_pooled_window"])
def test_windows_are_exported(kind, tmp_path, photos):
    folder = save_model(tmp_path / "model", attention_kind=kind, window_size=(4, 3))
    export_model(folder, tmp_path / "exported", to="onnx")
    expected, found = (pipeline("keypoint-detection", model=str(tmp_path / name)) for name in ("model", "exported"))
    (one,), (other,) = expected(photos[0]), found(photos[0])
    np.testing.assert_allclose(points_of([one])[..., 2], points_of([other])[..., 2], atol=1e-4)


def test_automodel_reads_the_folder(exported):
    model = AutoModel.from_pretrained(exported["onnx"])
    assert isinstance(model, ExportedModel)
    assert model.config.get_schema() == vitpose.get_keypoint_schema("coco")
    assert model.config.exported["precision"] == "fp32"
    assert set(model.config.exported["difference"]) == {"heatmaps", "keypoints"}


@pytest.mark.parametrize("to", FORMATS)
def test_a_saved_pipeline_is_the_model_again(to, exported, photos, tmp_path):
    pipe = pipeline("keypoint-detection", model=str(exported[to]))
    pipe.save_pretrained(tmp_path / "saved")
    again = pipeline("keypoint-detection", model=str(tmp_path / "saved"))
    assert isinstance(again.model, ExportedModel)
    assert again(photos[0]) == pipe(photos[0])


@pytest.mark.parametrize(
    ("load", "option", "hint"),
    [
        (ExportedModel.from_pretrained, "bakend", " Did you mean 'backend'?"),
        (AutoModel.from_pretrained, "bakend", " Did you mean 'backend'?"),
        (ExportedModel.from_pretrained, "subfolder", ""),
    ],
)
def test_an_unknown_option_is_named(load, option, hint, exported):
    known = "cache_dir, force_download, local_files_only, revision, token, backend, config, dtype"
    message = f"option of an exported model: expected one of {known}, got {option!r}.{hint}"
    with pytest.raises(TypeError, match=re.escape(message)):
        load(exported["onnx"], **{option: "x"})


def test_a_repository_of_the_hub_is_read_like_a_folder(exported, tmp_path):
    commit = "a" * 40
    repository = tmp_path / "models--ada--pose-onnx"
    shutil.copytree(exported["onnx"], repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    crops = torch.randn(1, 3, 64, 48)
    expected = ExportedModel.from_pretrained(exported["onnx"])(crops).heatmaps
    for load in (ExportedModel.from_pretrained, AutoModel.from_pretrained):
        torch.testing.assert_close(load("ada/pose-onnx", cache_dir=tmp_path)(crops).heatmaps, expected)


def metadata_of(to: str, file: Path) -> dict[str, object]:
    if to == "onnx":
        import onnx

        texts = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    else:
        texts = {entry.tag: entry.attrib["value"] for entry in ElementTree.parse(file).find("rt_info/vitpose")}
    return {name: json.loads(text) for name, text in texts.items()}


@pytest.mark.parametrize("to", FORMATS)
def test_the_file_alone_says_how_to_use_it(to, exported):
    file = exported[to] / ("model.onnx" if to == "onnx" else "openvino_model.xml")
    found = metadata_of(to, file)
    processor = ViTPoseImageProcessor.from_pretrained(exported[to])
    assert found.pop("keypoint_schema") == vitpose.get_keypoint_schema("coco").to_dict()
    assert found.pop("vitpose_version") == vitpose.__version__
    assert found.pop("precision") == "fp32"
    assert found.pop("size") == {"height": 64, "width": 48}
    assert found.pop("dark_sigma") == 2.0
    assert found == {name: pytest.approx(getattr(processor, name)) for name in found}
    assert {"image_mean", "image_std", "rescale_factor", "normalize_factor", "heatmap_stride", "use_udp"} <= set(found)


@pytest.mark.parametrize("to", FORMATS)
def test_the_file_has_named_tensors_and_no_paths_of_the_machine(to, exported, checkout):
    import openvino

    (file,) = [path for path in exported[to].iterdir() if path.suffix in (".onnx", ".xml")]
    graph = openvino.Core().read_model(file)
    (pixels,), (heatmaps,) = graph.inputs, graph.outputs
    assert (pixels.any_name, str(pixels.partial_shape)) == ("pixel_values", "[?,3,64,48]")
    assert (heatmaps.any_name, str(heatmaps.partial_shape)) == ("heatmaps", "[?,17,32,24]")
    assert str(checkout).encode() not in file.read_bytes()


@pytest.mark.parametrize("to", FORMATS)
def test_half_precision_halves_the_weights_and_keeps_the_keypoints(to, folder, exported, tmp_path):
    assert cli.main(["export", str(folder), "--to", to, "--precision", "fp16", "--out", str(tmp_path / "half")]) == 0
    size = {
        kind: max(path.stat().st_size for path in place.iterdir())
        for kind, place in (("full", exported[to]), ("half", tmp_path / "half"))
    }
    assert size["half"] < 0.75 * size["full"]
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    assert 1e-6 < config["exported"]["difference"]["heatmaps"] <= BOUNDS["fp16"].heatmaps
    assert config["exported"]["difference"]["keypoints"] <= 0.5


def test_one_dataset_of_several_is_written_as_the_ordinary_model(several, tmp_path, photos):
    assert cli.main(["export", str(several), "--to", "onnx", "--dataset", "mpii", "--out", str(tmp_path / "mpii")]) == 0
    (people,) = pipeline("keypoint-detection", model=str(several), dataset="mpii", device="cpu")(photos[:1])
    (found,) = pipeline("keypoint-detection", model=str(tmp_path / "mpii"))(photos[:1])
    assert [point["label"] for point in found[0]["keypoints"]][:2] == ["right_ankle", "right_knee"]
    np.testing.assert_allclose(points_of(found), points_of(people), atol=0.05)


def test_the_command_line_predicts_with_an_exported_model(exported, photos, tmp_path):
    photos[0].save(tmp_path / "beach.png")
    arguments = ["predict", str(tmp_path / "beach.png"), "--whole-image", "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--model", str(exported["openvino"])]) == 0
    (person,) = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert len(person["keypoints"]) == 51


CLOSED_IN_TURN = """
import faulthandler, gc, signal, subprocess, sys, torch
from vitpose import ExportedModel

faulthandler.enable()  # pytest does, and gives signals a stack of their own
signal.signal(signal.SIGCHLD, lambda *received: None)  # torch's data loaders do
models = [ExportedModel.from_pretrained(sys.argv[1], backend="openvino") for _ in range(2)]
for model in models:
    model(torch.zeros(1, 3, 64, 48))
del model
while models:
    models.pop(0)
    gc.collect()
subprocess.run([sys.executable, "-c", ""], check=True)
print("alive")
"""


@pytest.mark.skipif(find_spec("openvino") is None, reason="needs OpenVINO")
def test_models_that_are_closed_in_turn_leave_a_process_that_hears_signals(exported):
    run = subprocess.run([sys.executable, "-c", CLOSED_IN_TURN, exported["openvino"]], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, "alive"), run.stderr


def test_importing_vitpose_imports_no_runtime():
    code = f"import sys, vitpose; vitpose.ExportedModel; print([name for name in {PACKAGES} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# Bad input of `vitpose export`: (what is wrong, arguments, message)
REFUSED = [
    ("weights are missing", ["{empty}", "--to", "onnx"], "no file named model.safetensors"),
    ("some weights are missing", ["{holes}", "--to", "onnx"], r"1 weights that .* head\.\S+\. Save the model again"),
    ("weights are NaN", ["{nan}", "--to", "onnx"], "hold NaN or infinite values: its weights are broken"),
    (
        "the dataset is unknown",
        ["{folder}", "--to", "onnx", "--dataset", "aic"],
        "expected one of coco or .*, got 'aic'",
    ),
    ("unknown among several", ["{several}", "--to", "onnx", "--dataset", "aic"], "one of coco, mpii or .*, got 'aic'"),
    (
        "one of several datasets must be named",
        ["{several}", "--to", "onnx"],
        "dataset: expected one of coco, mpii or an index from 0 to 1, got None",
    ),
    ("the processor is for another size", ["{size}", "--to", "onnx"], r"\(128, 96\), the model takes \(64, 48\)"),
    ("it is exported already", ["{exported}", "--to", "onnx"], "holds a 'vitpose_exported' model"),
]


@pytest.fixture
def sources(folder, several, exported, tmp_path) -> dict[str, Path]:
    """Folders that a row of REFUSED may name."""
    made = {name: tmp_path / name for name in ("empty", "holes", "nan", "size")}
    for place in made.values():
        save_model(place)
    (made["empty"] / "model.safetensors").unlink()
    model = ViTPoseForPoseEstimation.from_pretrained(folder)
    weights = model.state_dict()
    last = [name for name in weights if name.startswith("head.")][-1]
    model.save_pretrained(made["holes"], state_dict={name: value for name, value in weights.items() if name != last})
    torch.nn.init.constant_(model.state_dict()[last], torch.nan)
    model.save_pretrained(made["nan"])
    ViTPoseImageProcessor(size={"height": 128, "width": 96}).save_pretrained(made["size"])
    return {**made, "folder": folder, "several": several, "exported": exported["onnx"]}


@pytest.mark.parametrize(("why", "arguments", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(why, arguments, message, sources, tmp_path, capsys):
    arguments = [argument.format(**sources) for argument in arguments]
    before = set(tmp_path.iterdir())
    assert cli.main(["export", *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("to", "precision", "message"),
    [
        ("tflite", "fp32", "to: expected one of onnx, openvino, got 'tflite'"),
        ("onnx", "int8", "precision: expected one of fp32, fp16, got 'int8'"),
    ],
)
def test_other_formats_and_precisions_are_refused(to, precision, message, folder, tmp_path):
    with pytest.raises(ValueError, match=message):
        export_model(folder, tmp_path / "out", to=to, precision=precision)


def test_a_file_that_differs_too_much_is_refused_and_removed(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(export_module.BOUNDS, "fp32", Difference(heatmaps=0.0, keypoints=0.05))
    with pytest.raises(ValueError, match=r"as onnx in fp32 differs from torch by .* where 0 of heatmaps.*nothing was"):
        export_model(folder, tmp_path / "out", to="onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_the_exporter_cannot_do_is_refused_with_its_reason(folder, tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise torch.onnx.OnnxExporterError("a long story") from ValueError("Cannot view a tensor")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ValueError, match=r"cannot export this model, whose attention is 'full': Cannot view a tensor"):
        export_model(folder, tmp_path / "out", to="onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_taken_stays(folder, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        export_model(folder, tmp_path, to="onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.parametrize(
    ("to", "missing", "extra"), [("onnx", "onnxscript", "onnx"), ("openvino", "openvino", "openvino")]
)
def test_a_missing_package_is_named_with_the_command_that_brings_it(to, missing, extra, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("vitpose.export.runtimes.find_spec", lambda name: None if name == missing else find_spec(name))
    with pytest.raises(ModuleNotFoundError, match=rf'{missing} must be installed: pip install "vitpose\[{extra}\]"'):
        export_model(folder, tmp_path / "out", to=to)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_backend_is_told_when_the_pipeline_is_made(exported, monkeypatch):
    monkeypatch.setattr(
        "vitpose.export.runtimes.find_spec", lambda name: None if name == "onnxruntime" else find_spec(name)
    )
    with pytest.raises(ModuleNotFoundError, match=r'onnxruntime must be installed: pip install "vitpose\[onnx\]"'):
        pipeline("keypoint-detection", model=str(exported["onnx"]))
    pipeline("keypoint-detection", model=str(exported["onnx"]), backend="openvino")


# Bad input of what reads exported models: (what is wrong, format, arguments of the pipeline, message)
UNREADABLE = [
    ("OpenVINO's files are its own", "openvino", {"backend": "onnxruntime"}, "onnxruntime does not read the format"),
    ("there is no such backend", "onnx", {"backend": "tensorrt"}, "one of onnxruntime, openvino, got 'tensorrt'"),
    ("there is one dataset", "onnx", {"dataset": "mpii"}, "expected 'coco' or 0, the only one of this model"),
]


@pytest.mark.parametrize(("why", "to", "arguments", "message"), UNREADABLE, ids=[row[0] for row in UNREADABLE])
def test_pipelines_of_exported_models_refuse(why, to, arguments, message, exported, photos):
    with pytest.raises(ValueError, match=message):
        pipeline("keypoint-detection", model=str(exported[to]), **arguments)(photos[0])


def test_a_torch_model_has_no_backend(folder):
    with pytest.raises(ValueError, match="backend='openvino' is for exported models, got ViTPose"):
        pipeline("keypoint-detection", model=str(folder), backend="openvino")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_broken_or_missing_file_is_named(backend, exported, tmp_path):
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((exported["onnx"] / name).read_bytes())
    with pytest.raises(FileNotFoundError, match=r"There is no .*model\.onnx"):
        ExportedModel.from_pretrained(tmp_path, backend=backend)
    (tmp_path / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=rf"model\.onnx cannot be read by {backend}: .*Export the model again"):
        ExportedModel.from_pretrained(tmp_path, backend=backend)


def test_what_is_no_exported_model_is_refused(folder):
    with pytest.raises(ValueError, match=r"is no exported model: make one of it with vitpose export"):
        ExportedModel.from_pretrained(folder)


@pytest.mark.parametrize("crops", [torch.zeros(3, 64, 48), torch.zeros(1, 3, 48, 64), torch.zeros(1, 3, 64, 48).half()])
def test_crops_of_another_shape_or_type_are_refused(crops, exported):
    with pytest.raises(ValueError, match=r"expected float32 crops of shape \(batch, 3, 64, 48\), got torch\.float"):
        ExportedModel.from_pretrained(exported["onnx"])(crops)


def test_another_dtype_is_refused(exported):
    with pytest.raises(ValueError, match=r"takes and gives float32, got torch\.float16"):
        ExportedModel.from_pretrained(exported["onnx"], dtype=torch.float16)


# What a runtime may give wrong, and what the check must say: (what, change of the heatmaps, within the bound of fp32)
DRIFTS = [
    ("equal heatmaps pass", lambda maps: maps, True),
    ("rounding passes", lambda maps: maps + 5e-5, True),
    ("a value too far does not", lambda maps: maps + 2e-4, False),
    ("NaN does not", lambda maps: np.where(maps == maps.max(), np.nan, maps), False),
    ("another shape does not", lambda maps: maps[:, 1:], False),
]


@pytest.mark.parametrize(("what", "change", "passes"), DRIFTS, ids=[row[0] for row in DRIFTS])
def test_the_check_sees_every_difference(what, change, passes):
    model = ViTPoseForPoseEstimation.from_pretrained(vitpose.TINY_CHECKPOINT).eval()
    processor = ViTPoseImageProcessor.from_pretrained(vitpose.TINY_CHECKPOINT)
    found = measure_difference(
        model, processor, lambda crops: change(model(torch.from_numpy(crops)).heatmaps.numpy()).astype(np.float32)
    )
    assert found.is_within(BOUNDS["fp32"]) is passes


def test_keypoints_that_move_are_seen(monkeypatch):
    """Maps moved by a pixel: the keypoints of people move by as much."""
    model = ViTPoseForPoseEstimation.from_pretrained(vitpose.TINY_CHECKPOINT).eval()
    processor = ViTPoseImageProcessor.from_pretrained(vitpose.TINY_CHECKPOINT)
    found = measure_difference(
        model, processor, lambda crops: np.roll(model(torch.from_numpy(crops)).heatmaps.numpy(), 1, axis=-1)
    )
    assert found.keypoints == pytest.approx(1, abs=0.2)
