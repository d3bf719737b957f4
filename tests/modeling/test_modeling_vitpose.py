"""The parts of the model one by one: loss, initialisation, drop path, decoders, and what wrong input is answered."""

import copy
import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers.utils.generic import find_labels

from vitpose import ViTPoseForPoseEstimation, get_keypoint_schema
from vitpose.modeling import modeling_vitpose_backbone
from vitpose.modeling.decoders_vitpose import ViTPoseSimpleDecoder
from vitpose.modeling.encoder_vitpose import ViTPoseDropPath
from vitpose.modeling.loss_vitpose import heatmap_loss, optional_labels
from vitpose.modeling.positions_vitpose import resize_positions, sine_cosine_positions

Model = ViTPoseForPoseEstimation


@pytest.fixture(scope="module")
def model(small_model: Callable[..., Model]) -> Model:
    return small_model("base", decoder="simple")


@pytest.fixture(scope="module")
def crops(model: Model, random_crops: Callable[..., torch.Tensor]) -> torch.Tensor:
    return random_crops(model)


# --------------------------------------------------------------------------------------------- loss


def test_loss_is_the_mean_of_weighted_squared_errors() -> None:
    heatmaps, labels, weights = torch.rand(2, 3, 5, 4), torch.rand(2, 3, 5, 4), torch.rand(2, 3)
    total = 0.0
    for person in range(2):
        for keypoint in range(3):
            error = (heatmaps[person, keypoint].double() - labels[person, keypoint].double()) * weights[
                person, keypoint
            ]
            total += float((error**2).sum())
    assert float(heatmap_loss(heatmaps, labels, weights)) == pytest.approx(total / (2 * 3 * 5 * 4), rel=1e-6)


def test_weights_of_one_are_no_weights() -> None:
    heatmaps, labels = torch.rand(2, 3, 5, 4), torch.rand(2, 3, 5, 4)
    assert heatmap_loss(heatmaps, labels) == heatmap_loss(heatmaps, labels, torch.ones(2, 3))


def test_a_weight_of_zero_leaves_a_keypoint_out() -> None:
    heatmaps = torch.rand(2, 3, 5, 4, requires_grad=True)
    weights = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.5, 1.0]])
    heatmap_loss(heatmaps, torch.rand(2, 3, 5, 4), weights).backward()
    reached = heatmaps.grad.abs().sum(dim=(2, 3)) > 0
    assert torch.equal(reached, weights > 0)


def test_loss_of_bfloat16_heatmaps_is_float32() -> None:
    heatmaps, labels = torch.rand(1, 2, 64, 48).bfloat16(), torch.rand(1, 2, 64, 48)
    loss = heatmap_loss(heatmaps, labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, F.mse_loss(heatmaps.float(), labels))


# ----------------------------------------------------------------------------------- initialisation


@pytest.fixture(scope="module")
def fresh(small_config: Callable[..., Any]) -> dict[str, Model]:
    """Freshly initialised models, wide enough for their statistics to mean something."""
    torch.manual_seed(0)
    wide = {"hidden_size": 192, "num_attention_heads": 6}
    return {name: Model(small_config("base", decoder=name, **wide)) for name in ("classic", "simple")}


@pytest.mark.parametrize("decoder", ["classic", "simple"])
def test_decoders_start_narrow(decoder: str, fresh: dict[str, Model]) -> None:
    for module in fresh[decoder].head.children():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()
            assert (module.running_mean == 0).all() and (module.running_var == 1).all()
        else:
            assert module.weight.std().item() == pytest.approx(0.001, rel=0.05)
            assert module.bias is None or (module.bias == 0).all()


# what each projection starts from besides noise: query and key agree, value and output oppose (mimetic initialisation)
IDENTITY_SHARES = {"query": 0.7, "key": 0.7, "value": 0.4, "attention.output.dense": -0.4}


def test_the_backbone_starts_from_noise_and_attention_near_the_identity(fresh: dict[str, Model]) -> None:
    for name, module in fresh["classic"].backbone.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            share = next((share for end, share in IDENTITY_SHARES.items() if name.endswith(end)), 0.0)
            noise = module.weight.flatten(1) - share * torch.eye(*module.weight.flatten(1).shape)
            assert noise.std().item() == pytest.approx(0.02, rel=0.05), name
            assert noise.mean().item() == pytest.approx(0.0, abs=0.001), name
            assert (module.bias == 0).all(), name
        elif isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all() and (module.bias == 0).all(), name


def test_loading_leaves_saved_weights_as_they_are(small_model, tmp_path) -> None:
    """Initialisation adds to a weight; it must not do so to one that came from a file."""
    saved = small_model("base")
    saved.save_pretrained(tmp_path)
    torch.testing.assert_close(Model.from_pretrained(tmp_path).state_dict(), saved.state_dict(), rtol=0, atol=0)


def test_positions_start_from_sines_and_cosines(fresh: dict[str, Model]) -> None:
    table = fresh["classic"].backbone.embeddings.position_embeddings[0]
    assert (table[0] == 0).all()
    for row in range(4):
        for column in range(3):
            expected = []
            for place, wave in ((row, math.sin), (row, math.cos), (column, math.sin), (column, math.cos)):
                expected += [wave(place / 10000 ** (i / 48)) for i in range(48)]
            torch.testing.assert_close(table[1 + row * 3 + column], torch.tensor(expected), rtol=0, atol=1e-6)


def test_positions_are_resized_in_float32_under_autocast() -> None:
    table = sine_cosine_positions((4, 3), 8)
    expected = resize_positions(table, from_grid=(4, 3), to_grid=(6, 5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(resize_positions(table, from_grid=(4, 3), to_grid=(6, 5)), expected)


def test_positions_of_widths_beyond_a_multiple_of_four_end_in_zeros() -> None:
    table = sine_cosine_positions((2, 2), 10)
    assert table.shape == (1, 5, 10)
    assert (table[..., 8:] == 0).all() and (table[0, 1:, :8].abs().sum(dim=1) > 0).all()


# ---------------------------------------------------------------------------------------- drop path


def test_drop_path_rates_grow_linearly(small_config) -> None:
    model = Model(small_config("base", num_hidden_layers=4, drop_path_rate=0.3))
    layers = model.backbone.encoder.layer
    rates = [layer.drop_path_attention.rate for layer in layers]
    assert rates == [layer.drop_path_mlp.rate for layer in layers]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_drop_path_of_a_single_block_is_zero(small_config) -> None:
    model = Model(small_config("base", num_hidden_layers=1, drop_path_rate=0.3))
    assert model.backbone.encoder.layer[0].drop_path_mlp.rate == 0


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = ViTPoseDropPath(0.25).train()(torch.ones(20_000, 3, 2))
    per_sample = dropped.flatten(1)
    assert (per_sample == per_sample[:, :1]).all(), "a sample is kept or dropped as a whole"
    torch.testing.assert_close(per_sample.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.02)


# ----------------------------------------------------------------------------------- simple decoder


@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (3, 7), (16, 12)])
def test_simple_decoder_is_upsampling_then_convolution(grid: tuple[int, int], small_config) -> None:
    """Applying the kernel's taps before the upsampling changes neither the heatmaps nor any gradient."""
    decoder = ViTPoseSimpleDecoder(small_config("base"), 17).double()
    nn.init.normal_(decoder.conv.weight)
    nn.init.normal_(decoder.conv.bias)
    features = torch.randn(2, 48, *grid, dtype=torch.double, requires_grad=True)
    inputs = [features, decoder.conv.weight, decoder.conv.bias]

    heatmaps = decoder(features)
    upsampled = F.interpolate(F.relu(features), scale_factor=4, mode="bilinear", align_corners=False)
    expected = F.conv2d(upsampled, decoder.conv.weight, decoder.conv.bias, padding=1)
    torch.testing.assert_close(heatmaps, expected, rtol=0, atol=1e-10)

    direction = torch.randn_like(expected)
    gradients = torch.autograd.grad((heatmaps * direction).sum(), inputs)
    expected_gradients = torch.autograd.grad((expected * direction).sum(), inputs)
    torch.testing.assert_close(gradients, expected_gradients, rtol=0, atol=1e-10)


# ------------------------------------------------------------------------- dataset index, flip pairs


@pytest.mark.parametrize("index", [None, 0, torch.tensor(0), torch.tensor([0, 0])], ids=str)
def test_the_one_dataset_is_index_0(index: Any, model: Model, crops: torch.Tensor) -> None:
    assert torch.equal(model(crops, dataset_index=index).heatmaps, model(crops).heatmaps)


BAD_INDICES = [
    ("beyond the last", 99, "expected 0, as this model has one dataset .0 coco.; got 99"),
    ("counted from the end", -1, "expected 0, as this model has one dataset .0 coco.; got -1"),
    ("between two", 0.5, r"expected an int, or a long tensor of shape \(2,\).* got 0.5"),
    ("a name", "coco", "expected an int, or a long tensor .* got 'coco'"),
    ("a truth value", True, "expected an int, or a long tensor .* got True"),
    ("one entry for two crops", torch.tensor([0]), r".*one entry per crop; got tensor\(\[0\]\)"),
    ("a mask", torch.tensor([False, False]), r".*got tensor\(\[False, False\]\)"),
    ("fractions", torch.tensor([0.0, 0.0]), r".*got tensor\(\[0., 0.\]\)"),
    (
        "one entry beyond the last",
        torch.tensor([0, 3]),
        r"expected 0, as this model has one dataset .0 coco.; got tensor\(\[0, 3\]\)",
    ),
]


@pytest.mark.parametrize(("why", "index", "message"), BAD_INDICES, ids=[row[0] for row in BAD_INDICES])
def test_other_dataset_indices_are_refused(why, index, message: str, model: Model, crops: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="dataset_index: " + message):
        model(crops, dataset_index=index)


PAIRS = get_keypoint_schema("coco").flip_pairs


@pytest.mark.parametrize(
    "pairs",
    [PAIRS, [list(pair) for pair in PAIRS], torch.tensor(PAIRS), torch.tensor(PAIRS, dtype=torch.int32)],
    ids=["tuples", "lists", "int64", "int32"],
)
def test_flip_pairs_bring_mirrored_heatmaps_back(pairs: Any, model: Model, crops: torch.Tensor) -> None:
    expected = model(crops).heatmaps.flip(-1)[:, list(get_keypoint_schema("coco").flip_index)]
    assert torch.equal(model(crops, flip_pairs=pairs).heatmaps, expected)


def test_no_flip_pairs_mirror_alone(model: Model, crops: torch.Tensor) -> None:
    assert torch.equal(model(crops, flip_pairs=[]).heatmaps, model(crops).heatmaps.flip(-1))


@pytest.mark.parametrize("pairs", [[1, 2], [[1, 2, 3]], [[1, 17]], [[-1, 2]], [[1.0, 2.0]]], ids=str)
def test_other_flip_pairs_are_refused(pairs: list, model: Model, crops: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"flip_pairs: expected pairs of indices from 0 to 16, shape \(n, 2\), got"):
        model(crops, flip_pairs=pairs)


@torch.no_grad()
@pytest.mark.parametrize("of_backbone", [False, True])
def test_a_configuration_may_ask_for_hidden_states(of_backbone: bool, small_model, random_crops) -> None:
    model = small_model("base")
    crops, config = random_crops(model), model.config.backbone_config if of_backbone else model.config
    config.output_hidden_states = True
    assert len(model(crops).hidden_states) == 3
    assert model(crops, output_hidden_states=False).hidden_states is None


@torch.no_grad()
@pytest.mark.parametrize(("kind", "warned"), [("sdpa", True), ("eager", False)])
def test_asking_for_attention_weights_warns_where_it_costs(
    kind: str, warned: bool, small_model, random_crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(modeling_vitpose_backbone.logger, "warning_once", said.append)
    model = small_model("base", decoder="simple", attn_implementation=kind)
    model(random_crops(model))
    assert said == []
    model(random_crops(model), output_attentions=True)
    assert ["takes the eager attention, as 'sdpa' never holds" in text for text in said] == [True] * warned


def test_trainers_know_which_labels_a_batch_has_and_which_columns_the_model_takes(model: Model) -> None:
    """transformers' Trainer expects the first in every batch, and passes on the second."""
    assert find_labels(Model) == find_labels(type(model)) == ["labels"]
    taken = list(inspect.signature(model.forward).parameters)
    assert {"pixel_values", "dataset_index", "labels", "label_weights"} < set(taken)
    assert [name for name in taken if name != "label_weights"] == list(inspect.signature(Model.forward).parameters)[1:]
    assert Model.forward.__doc__ == model.forward.__doc__ is not None


@torch.no_grad()
def test_forward_of_the_class_is_that_of_the_model(model: Model, crops: torch.Tensor) -> None:
    class Halved(Model):
        @optional_labels("label_weights")
        def forward(self, pixel_values: torch.Tensor, **kwargs: Any) -> Any:
            return super().forward(pixel_values / 2, **kwargs)

    halved = Halved(model.config).eval()
    halved.load_state_dict(model.state_dict())
    expected = model(crops).heatmaps
    assert torch.equal(Model.forward(model, crops).heatmaps, expected)
    assert torch.equal(copy.deepcopy(model)(crops).heatmaps, expected)
    assert torch.equal(halved(2 * crops).heatmaps, expected)


# ---------------------------------------------------------------------------------------- bad input

MAPS = (2, 17, 16, 12)
BAD_INPUT = [
    ("crops of another size", {"pixel_values": torch.zeros(2, 3, 48, 64)}, r"\(batch, 3, 64, 48\), got \(2, 3, 48"),
    ("a pixel too many", {"pixel_values": torch.zeros(2, 3, 65, 48)}, r"Give the image processor the size \(64, 48\)"),
    ("grey crops", {"pixel_values": torch.zeros(2, 1, 64, 48)}, r"expected shape \(batch, 3, 64, 48\), got \(2, 1, 64"),
    ("a crop without a batch", {"pixel_values": torch.zeros(3, 64, 48)}, r"got \(3, 64, 48\)"),
    ("labels of crop size", {"labels": torch.zeros(2, 17, 64, 48)}, r"expected heatmaps of shape \(2, 17, 16, 12"),
    ("labels of other keypoints", {"labels": torch.zeros(2, 14, 16, 12)}, r"\(2, 17, 16, 12\).*got \(2, 14, 16, 12\)"),
    ("labels that would broadcast", {"labels": torch.zeros(1, 17, 16, 12)}, r"got \(1, 17, 16, 12\).*encode_heatmaps"),
    ("weights without labels", {"label_weights": torch.ones(2, 17)}, "label_weights without labels have no effect"),
    (
        "weights with a dimension too many",
        {"labels": torch.zeros(MAPS), "label_weights": torch.ones(2, 17, 1)},
        r"label_weights: expected shape \(2, 17\), \(batch, keypoints\), got \(2, 17, 1\)",
    ),
]


@pytest.mark.parametrize(("why", "change", "message"), BAD_INPUT, ids=[row[0] for row in BAD_INPUT])
def test_wrong_shapes_are_named(why, change: dict[str, Any], message: str, model: Model, crops: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=message):
        model(**{"pixel_values": crops, **change})
