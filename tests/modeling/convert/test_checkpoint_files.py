"""Files as training programs write them: prefixes, averages beside the weights, and objects of the programs' own."""

import argparse
import logging
import os
import re
import shutil
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation, convert_checkpoint, load_pretrained_backbone
from vitpose.modeling.convert.checkpoint_files import read_checkpoint
from vitpose.modeling.convert.conversion import to_authors, to_mmpose

StateDict = dict[str, torch.Tensor]
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": (64, 48)}
GIVEN = {"num_attention_heads": 2}


@pytest.fixture(scope="module")
def model() -> ViTPoseForPoseEstimation:
    torch.manual_seed(0)
    config = ViTPoseConfig.from_preset("small", decoder="simple", layer_norm_eps=1e-6, **SIZE)
    return ViTPoseForPoseEstimation(config).eval()


@pytest.fixture(params=[to_authors, to_mmpose, lambda model: model.state_dict()], ids=["authors", "mmpose", "ours"])
def weights(request, model) -> StateDict:
    return request.param(model)


def _halved(weights: StateDict) -> StateDict:
    return {name: value / 2 for name, value in weights.items()}


def _behind(prefix: str, weights: StateDict) -> StateDict:
    return {f"{prefix}{name}": value for name, value in weights.items()}


def _converted(content: object, tmp_path: Path, **options: object) -> ViTPoseForPoseEstimation:
    torch.save(content, tmp_path / "file.pth")
    return convert_checkpoint(tmp_path / "file.pth", **GIVEN, **options)


def _assert_is(model: ViTPoseForPoseEstimation, original: ViTPoseForPoseEstimation, *, factor: float = 1.0) -> None:
    expected = original.head.conv.weight * factor
    torch.testing.assert_close(model.head.conv.weight, expected, rtol=0, atol=0)


# ------------------------------------------------------------------------------------------- prefixes


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "student.", "net.", "model._orig_mod.module.", "a.b7.c."])
def test_what_stands_before_every_name_is_removed_and_told(prefix, weights, model, tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO, logger="vitpose")
    _assert_is(_converted({"state_dict": _behind(prefix, weights)}, tmp_path), model)
    assert f"The prefix {prefix!r} is removed from each name." in caplog.text


def test_a_prefix_may_be_that_of_a_safetensors_file(weights, model, tmp_path) -> None:
    save_file(_behind("module.", weights), tmp_path / "file.safetensors")
    _assert_is(convert_checkpoint(tmp_path / "file.safetensors", **GIVEN), model)


BESIDE = ["criterion.weight", "loss_fn.sigma.x", "val_metric.total", "teacher.stem.weight", "ema_backbone_pos_embed"]


@pytest.mark.parametrize("name", [*BESIDE, "steps", "n_averaged", "model.backbone.cls_token", "model.mask_token"])
def test_what_carries_nothing_is_left_out_and_named(name: str, model, tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO, logger="vitpose")
    _assert_is(_converted({**_behind("model.", to_authors(model)), name: torch.zeros(3)}, tmp_path), model)
    assert f"Left out, no part of a pose model's network (1): {name}" in caplog.text


@pytest.mark.parametrize("name", ["refinement.weight", "model.backbone.adapter.weight", "model.neck.0.weight"])
def test_what_may_carry_a_function_is_refused(name: str, weights, tmp_path) -> None:
    with pytest.raises(ValueError, match=f"No place in the model for: {name.removeprefix('model.')}") as refusal:
        _converted({**_behind("model.", weights), name: torch.zeros(3)}, tmp_path)
    assert "behind the prefix 'model.'" in str(refusal.value)


def test_a_layer_outside_the_prefix_is_taken_and_told(model, tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO, logger="vitpose")
    weights = _behind("model.", to_authors(model))
    outside = {
        name: weights.pop(f"model.{name}") for name in ("keypoint_head.final_layer.weight", "backbone.pos_embed")
    }
    _assert_is(_converted({**weights, **outside}, tmp_path), model)
    assert f"Taken from outside the prefix 'model.' (2): {', '.join(outside)}" in caplog.text


@pytest.mark.parametrize("name", ["keypoint_head.final_layer.weight", "backbone.pos_embed"])
@pytest.mark.parametrize("prefix", ["model.", "student.module."])
def test_a_tensor_behind_the_prefix_and_outside_it_is_refused(name: str, prefix: str, model, tmp_path) -> None:
    weights = to_authors(model)
    content = {**_behind(prefix, weights), name: torch.zeros_like(weights[name])}
    with pytest.raises(ValueError, match=f"both behind the prefix '{prefix}' and without it: {name}. Which"):
        _converted(content, tmp_path)


TWICE = [
    ("backbone.blocks.0.attn.qkv.weight", "backbone.blocks.0.attn.query.weight"),
    ("keypoint_head.final_layer.bias", "head.conv.bias"),
    ("backbone.pos_embed", "backbone.embeddings.position_embeddings"),
]


@pytest.mark.parametrize(("theirs", "other"), TWICE)
@pytest.mark.parametrize("first", [True, False])
def test_two_names_of_one_parameter_are_refused(theirs: str, other: str, first: bool, model, tmp_path) -> None:
    weights = to_authors(model)
    stray = {other: torch.zeros_like(weights[theirs])}
    both = sorted([theirs, other], key=lambda name: (name == other) is not first)
    with pytest.raises(ValueError, match=f"{both[0]} and {both[1]} are both the model's"):
        _converted({**stray, **weights} if first else {**weights, **stray}, tmp_path)


def test_counters_that_a_program_left_out_are_made(tmp_path) -> None:
    config = ViTPoseConfig.from_preset("small", decoder="classic", **SIZE)
    model = ViTPoseForPoseEstimation(config)
    weights = {name: value for name, value in to_authors(model).items() if "num_batches_tracked" not in name}
    assert _converted(weights, tmp_path).head.batchnorm1.num_batches_tracked == 0


# ----------------------------------------------------------------------------- several sets of weights

# what is written, the names to choose the second by, and whether there is a first to take unasked
SETS: list[tuple[str, Callable[[StateDict, StateDict], object], list[str], bool]] = [
    ("timm", lambda w, a: {"state_dict": w, "state_dict_ema": a, "epoch": 3}, ["state_dict_ema"], True),
    ("mmengine", lambda w, a: {"state_dict": w, "ema_state_dict": {**_behind("module.", a), "steps": torch.tensor(9)}},
     ["ema_state_dict", "ema_state_dict.module"], True),
    ("MAE and DeiT", lambda w, a: {"model": w, "model_ema": a, "optimizer": {"state": {0: {"exp_avg": w}}}},
     ["model_ema"], True),
    ("RT-DETR", lambda w, a: {"model": w, "ema": {"module": a, "updates": 7}}, ["ema", "ema.module"], True),
    ("Lightning", lambda w, a: {"state_dict": {**_behind("model.", w), **_behind("ema_model.", a)}},
     ["ema_model", "state_dict.ema_model"], True),
    ("a copy", lambda w, a: {"state_dict": {**w, **_behind("shadow.", a)}}, ["shadow"], True),
    ("self-distillation", lambda w, a: {"student": w, "teacher": a}, ["teacher"], False),
    ("in one dictionary", lambda w, a: {**_behind("student.module.", w), **_behind("teacher.module.", a)},
     ["teacher", "teacher.module", "teacher."], False),
]  # fmt: skip


@pytest.mark.parametrize(("program", "write", "names", "has_usual"), SETS, ids=[row[0] for row in SETS])
def test_an_average_beside_the_weights_is_chosen_by_name(
    program, write, names, has_usual, weights, model, tmp_path, caplog
) -> None:
    content = write(weights, _halved(weights))
    for name in names:
        _assert_is(_converted(content, tmp_path, weights=name), model, factor=0.5)
    assert "several sets" not in caplog.text
    if has_usual:
        _assert_is(_converted(content, tmp_path), model)
        assert "The file has several sets of weights: " in caplog.text
    else:
        with pytest.raises(ValueError, match=r"several sets of weights: student\S*, teacher\S*\. Choose one: weights"):
            _converted(content, tmp_path)


@pytest.mark.parametrize("name", ["ema", "state", "epoch", ""])
def test_a_name_of_no_weights_is_told_the_choices(name: str, weights, tmp_path) -> None:
    content = {"state_dict": weights, "state_dict_ema": weights, "epoch": 3}
    with pytest.raises(ValueError, match=f"weights: expected one of state_dict, state_dict_ema, got '{name}'"):
        _converted(content, tmp_path, weights=name)


def test_averages_of_torch_are_read(model, tmp_path) -> None:
    average = AveragedModel(model)
    _assert_is(_converted({"model": average.state_dict()}, tmp_path), model)


def test_a_backbone_is_chosen_too(model, tmp_path, caplog) -> None:
    """Of pose models as well: their heads are left out."""
    started = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("small", decoder="simple", **SIZE))
    weights = to_authors(model)
    torch.save({"student": _halved(weights), "teacher": weights}, tmp_path / "file.pth")
    load_pretrained_backbone(started, tmp_path / "file.pth", weights="teacher")
    torch.testing.assert_close(started.backbone.state_dict(), model.backbone.state_dict())
    assert "The file has a whole pose model, whose heads are left out here" in caplog.text


# -------------------------------------------------------------------------- objects of other programs


class _Settings(dict):
    """A dictionary of a program's own, which cannot be filled in the place of what is not read."""


def _content(weights: StateDict) -> dict:
    history = numpy.array([0.3, 0.2, 0.1])
    return {
        "args": argparse.Namespace(lr=5e-4, output=Path("out")),
        "state_dict": OrderedDict(weights),
        "message_hub": {"loss": history, "best": numpy.float64(0.7), "seen": defaultdict(list, {"a": [1]})},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": numpy.float64(5e-4)}]},
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "torch's older format, which mmpose publishes in"])
def test_objects_of_other_programs_are_passed_over(zipped: bool, weights, model, tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO, logger="vitpose")
    torch.save(_content(weights), tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
    _assert_is(convert_checkpoint(tmp_path / "file.pth", **GIVEN), model)
    assert "objects of argparse, numpy, pathlib beside the tensors are left unread" in caplog.text
    assert "Other entries of the file are left out: args, message_hub, optimizer" in caplog.text


class _RunsCode:
    """Pickled as a call that makes something named `ran`."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable, tuple]:
        return self.call


CODE = [_RunsCode(open, "ran", "w"), _RunsCode(os.mkdir, "ran"), _RunsCode(Path.touch, Path("ran"))]
CODE += [_RunsCode(eval, "open('ran', 'w')"), _RunsCode(shutil.copy, "evil.pth", "ran")]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("code", CODE, ids=lambda code: code.call[0].__qualname__)
def test_code_in_a_file_never_runs(code, zipped: bool, model, tmp_path, monkeypatch) -> None:
    """Where torch can step over it the weights are read, else the file is refused."""
    monkeypatch.chdir(tmp_path)
    for content in ({"a": code, "model": to_authors(model), "b": [code]}, {"model": code}, code):
        torch.save(content, "evil.pth", _use_new_zipfile_serialization=zipped)
        try:
            _assert_is(convert_checkpoint("evil.pth", **GIVEN), model)
        except ValueError as error:
            assert re.match(r"evil\.pth(: expected a state dict| holds more than tensors.* would run code)", str(error))
        assert not Path("ran").exists()


def test_what_cannot_be_passed_over_is_refused_with_a_remedy(tmp_path) -> None:
    torch.save({"settings": _Settings(lr=1), "state_dict": {}}, tmp_path / "file.pth")
    with pytest.raises(ValueError, match=r"file\.pth holds more than tensors, .* Save its state dict alone, where you"):
        read_checkpoint(tmp_path / "file.pth")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_protocol_that_torch_cannot_read_is_named(protocol: int, zipped: bool, weights, model, tmp_path) -> None:
    options = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": zipped}
    torch.save({"state_dict": weights}, tmp_path / "file.pth", **options)
    if protocol == 3:
        _assert_is(convert_checkpoint(tmp_path / "file.pth", **GIVEN), model)
    else:
        with pytest.raises(
            ValueError, match=rf"is a pickle of protocol {protocol}, .* again .* without pickle_protocol"
        ):
            read_checkpoint(tmp_path / "file.pth")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_plain_pickle_of_a_newer_protocol_is_called_so(tmp_path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00}.")  # an empty dictionary
    with pytest.raises(ValueError, match="a pickle of protocol 4"):
        read_checkpoint(tmp_path / "weights.pth")


OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-3}]}
NO_WEIGHTS = [
    ({}, "an empty dictionary"),
    (OPTIMIZER, "the state of an optimizer"),
    ({"optimizer": OPTIMIZER, "epoch": 3}, "a dictionary without named tensors, of the entries optimizer, epoch"),
    ({"state_dict": {}}, "a dictionary without named tensors, of the entries state_dict"),
    ({0: torch.zeros(3)}, "a dictionary without named tensors, of the entries 0"),
    ([torch.zeros(3), 2], "a list of 2"),
    ((), "a tuple of 0"),
    (torch.zeros(3), "one Tensor"),
    (None, "one NoneType"),
    (torch.nn.Linear(2, 2), "an object of a class, such as a whole pickled model"),
]


@pytest.mark.parametrize(("content", "kind"), NO_WEIGHTS, ids=[row[1] for row in NO_WEIGHTS])
def test_a_file_without_weights_is_called_what_it_is(content: object, kind: str, tmp_path) -> None:
    with pytest.raises(ValueError, match=rf"file\.pth: expected a state dict, .*, got {kind}\. Save the state dict"):
        _converted(content, tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\x08\x01\x12\x07pytorch", b"not a checkpoint at all\n" * 20, b"PK\x03\x04", b"hello"]
)
def test_another_kind_of_file_is_no_checkpoint(content: bytes, tmp_path) -> None:
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.pth cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "model.pth")
