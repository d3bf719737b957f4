"""`vitpose convert`: other people's checkpoints in, and models out in other people's formats."""

import json
from pathlib import Path

import pytest
import torch

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation, ViTPoseImageProcessor
from vitpose.modeling.convert.conversion import to_authors, to_mmpose
from vitpose.modeling.keypoint_schemas import schema_from_labels
from vitpose_cli import main as cli

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": (64, 48)}
CROPS = torch.randn(1, 3, 64, 48, generator=torch.Generator().manual_seed(0))
BODY_AND_FEET = [f"{side} {part}" for part in ("eye", "hip", "knee", "ankle", "big toe") for side in ("left", "right")]


def convert(*arguments: object) -> int:
    return cli.main(["convert", *map(str, arguments)])


def made(*labels: list[str]) -> ViTPoseForPoseEstimation:
    """A small model with a head for each list of keypoints."""
    schemas = [schema_from_labels(names) for names in labels]
    config = ViTPoseConfig.from_preset("small", datasets=schemas or ["coco"], layer_norm_eps=1e-6, **SIZE)
    return ViTPoseForPoseEstimation(config).eval()


def assert_same(folder: Path, original: ViTPoseForPoseEstimation) -> ViTPoseForPoseEstimation:
    model = ViTPoseForPoseEstimation.from_pretrained(folder).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(CROPS).heatmaps, original(CROPS).heatmaps)
    return model


@pytest.mark.parametrize("layout", [to_authors, to_mmpose])
def test_heads_of_other_keypoints_take_a_schema_file(layout, tmp_path, capsys) -> None:
    """As files with 25 keypoints of body and feet do."""
    original = made(BODY_AND_FEET)
    torch.save({"state_dict": layout(original)}, tmp_path / "vitpose-10-s.pth")
    file, out = tmp_path / "feet.json", tmp_path / "out"
    common = (tmp_path / "vitpose-10-s.pth", "--out", out, "--num-attention-heads", 2)
    assert convert(*common) == 2
    assert "heads of [10] channels" in (error := capsys.readouterr().err) and "--schema FILE" in error

    schema = original.config.get_schema()
    file.write_text(json.dumps({**schema.to_dict(), "name": "feet"}), encoding="utf-8")
    assert convert(*common, "--schema", file) == 0
    config = assert_same(out, original).config
    assert config.dataset_names == ["feet"] and config.get_schema().flip_pairs == schema.flip_pairs != ()
    assert ViTPoseImageProcessor.from_pretrained(out).dark_sigma == 2.0


def test_several_heads_take_several_schema_files(tmp_path) -> None:
    config = ViTPoseConfig.from_preset("small", datasets=["coco", "mpii"], num_experts=1, **SIZE)
    torch.save(to_authors(ViTPoseForPoseEstimation(config)), tmp_path / "two.pth")
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, schema in zip(files, config.keypoint_schemas, strict=True):
        file.write_text(json.dumps({**schema, "name": file.stem}), encoding="utf-8")
    out = tmp_path / "out"
    assert convert(tmp_path / "two.pth", "--out", out, "--num-attention-heads", 2, "--schema", *files) == 0
    assert ViTPoseConfig.from_pretrained(out).dataset_names == ["a", "b"]


def test_weights_chooses_the_average(tmp_path, caplog) -> None:
    original, average = made(), made()
    content = {"state_dict": to_authors(original), "state_dict_ema": to_authors(average)}
    torch.save(content, tmp_path / "epoch.pth")
    common = (tmp_path / "epoch.pth", "--num-attention-heads", 2)
    assert convert(*common, "--out", tmp_path / "usual") == 0
    assert "Taken is state_dict; --weights takes another" in caplog.text
    assert_same(tmp_path / "usual", original)
    assert convert(*common, "--out", tmp_path / "average", "--weights", "state_dict_ema") == 0
    assert_same(tmp_path / "average", average)


def test_a_model_goes_to_mmpose_and_back(tmp_path) -> None:
    original = made()
    original.save_pretrained(tmp_path / "model")
    assert convert(tmp_path / "model", "--to", "mmpose", "--out", tmp_path / "mmpose.pth") == 0
    assert "backbone.layers.1.ffn.layers.0.0.weight" in torch.load(tmp_path / "mmpose.pth")["state_dict"]
    assert convert(tmp_path / "mmpose.pth", "--out", tmp_path / "back", "--num-attention-heads", 2) == 0
    assert_same(tmp_path / "back", original)


REFUSED = [
    (["MODEL", "--schema", "SCHEMA"], "says what the model is: leave the other arguments out"),
    (["MODEL", "--weights", "state_dict"], "says what the model is: leave the other arguments out"),
    (["RUN"], "has no config.json, as the folder of a model has. Name the file of weights: epoch_1.pth"),
    (["FILE", "--weights", "ema"], "weights: expected one of state_dict, got 'ema'"),
    (["FILE", "--schema", "absent.json"], "absent.json is no keypoint schema"),
    (["FILE", "--num-attention-heads", "2", "--schema", "SCHEMA"], "datasets: got custom (10) keypoints, the file has"),
    (["FILE", "--schema", "SCHEMA", "--datasets", "coco"], "--datasets: not allowed with argument --schema"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[" ".join(row[0]) for row in REFUSED])
def test_what_means_nothing_is_told_in_a_line(arguments, message, tmp_path, capsys) -> None:
    places = {"MODEL": tmp_path / "model", "RUN": tmp_path / "run", "SCHEMA": tmp_path / "feet.json"}
    places["FILE"] = places["RUN"] / "epoch_1.pth"
    made().save_pretrained(places["MODEL"])
    places["RUN"].mkdir()
    torch.save({"state_dict": to_authors(made())}, places["FILE"])
    places["SCHEMA"].write_text(json.dumps(schema_from_labels(BODY_AND_FEET).to_dict()), encoding="utf-8")
    command = [places.get(argument, argument) for argument in arguments]
    try:
        assert convert(*command, "--out", tmp_path / "out") == 2
    except SystemExit as end:  # of argparse
        assert end.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
