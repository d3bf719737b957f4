"""Attention within windows, against references that know nothing of windows: one mask over all pairs of tokens."""

import itertools

import pytest
import torch
from torch import nn

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation
from vitpose.modeling.attention_vitpose import ViTPoseSelfAttention
from vitpose.modeling.configuration_vitpose_backbone import ViTPoseBackboneConfig
from vitpose.modeling.window_attention_vitpose import ViTPoseWindowSelfAttention, Windows

WIDTH, HEADS = 12, 2
WINDOW_KINDS = ("window", "shifted_window", "pooled_window", "shifted_pooled_window")
GRIDS = [(4, 6), (5, 7), (4, 3), (7, 4)]  # whole windows, padded on both sides, on one, on the other
WINDOW = (2, 3)


def _attention(kind: str, *, grid: tuple[int, int], window: tuple[int, int] = WINDOW, shifted: bool, eager=False):
    config = ViTPoseBackboneConfig(
        **{"hidden_size": WIDTH, "num_attention_heads": HEADS, "attention_kind": kind, "window_size": window},
        image_size=(16 * grid[0], 16 * grid[1]),
    )
    config._attn_implementation = "eager" if eager else "sdpa"
    attention = ViTPoseWindowSelfAttention(config, shifted=shifted)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5)
    return attention.eval().double()


def _tokens(grid: tuple[int, int]) -> torch.Tensor:
    return torch.randn(2, grid[0] * grid[1], WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _window_of(place: int, window: int, shift: int, length: int) -> int:
    """The window of a row or column: the grid moves towards the start by `shift`, what wraps around is on its own."""
    if place < shift:
        return -1
    return (place - shift) // window


def _by_formula(attention: ViTPoseWindowSelfAttention, tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Every pair of tokens by itself; then the averages of the windows as further keys. Nothing but loops and sums."""
    # a side that one window covers has nothing to shift
    shift = [s * (w < g) for s, w, g in zip(attention.shift, WINDOW, grid, strict=True)]
    places = list(itertools.product(range(grid[0]), range(grid[1])))
    home = [
        tuple(_window_of(p, w, s, g) for p, w, s, g in zip(place, WINDOW, shift, grid, strict=True)) for place in places
    ]
    pools: dict[tuple[int, int], list[int]] = {}
    for index, (row, column) in enumerate(places):
        pools.setdefault((row // WINDOW[0], column // WINDOW[1]), []).append(index)
    d = WIDTH // HEADS
    result = torch.zeros_like(tokens)
    for sample, head in itertools.product(range(len(tokens)), range(HEADS)):
        part = slice(head * d, (head + 1) * d)
        q, k, v = (project(tokens[sample])[:, part] for project in (attention.query, attention.key, attention.value))
        for i, (row, column) in enumerate(places):
            scores, values = [], []
            for j, (other_row, other_column) in enumerate(places):
                if home[j] == home[i]:
                    along = attention.rel_pos_h[row - other_row + WINDOW[0] - 1]
                    across = attention.rel_pos_w[column - other_column + WINDOW[1] - 1]
                    scores.append(q[i] @ k[j] / d**0.5 + q[i] @ along + q[i] @ across)
                    values.append(v[j])
            for members in pools.values() if attention.pools else ():
                scores.append(q[i] @ k[members].mean(dim=0) / d**0.5)
                values.append(v[members].mean(dim=0))
            result[sample, i, part] = torch.stack(scores).softmax(dim=0) @ torch.stack(values)
    return result


@torch.no_grad()
@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("kind", WINDOW_KINDS)
@pytest.mark.parametrize("eager", [False, True], ids=["sdpa", "eager"])
def test_windows_equal_the_formula(kind: str, grid: tuple[int, int], eager: bool) -> None:
    attention = _attention(kind, grid=grid, shifted="shifted" in kind, eager=eager)
    context, weights = attention(_tokens(grid), grid)
    torch.testing.assert_close(context, _by_formula(attention, _tokens(grid), grid), rtol=0, atol=1e-10)
    if eager:
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["window", "shifted_window"])
@pytest.mark.parametrize("shifted", [False, True])
def test_one_window_over_the_grid_is_full_attention(kind: str, shifted: bool) -> None:
    grid = (4, 6)
    windowed = _attention(kind, grid=grid, window=grid, shifted=shifted)
    nn.init.zeros_(windowed.rel_pos_h)
    nn.init.zeros_(windowed.rel_pos_w)
    config = ViTPoseBackboneConfig(hidden_size=WIDTH, num_attention_heads=HEADS)
    config._attn_implementation = "sdpa"
    full = ViTPoseSelfAttention(config).double()
    full.load_state_dict(windowed.state_dict(), strict=False)
    expected, _ = full(_tokens(grid), grid)
    torch.testing.assert_close(windowed(_tokens(grid), grid)[0], expected, rtol=0, atol=1e-10)


def test_gradients_are_finite_where_padding_fills_the_windows() -> None:
    grid = (5, 7)
    attention = _attention("shifted_pooled_window", grid=grid, shifted=True)
    attention(_tokens(grid), grid)[0].square().sum().backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad.isfinite().all() and (parameter.grad != 0).any(), name


@pytest.mark.parametrize("shift", [(0, 0), (1, 2)])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_joining_undoes_splitting(grid: tuple[int, int], shift: tuple[int, int]) -> None:
    windows = Windows(grid=grid, window=(2, 3), shift=shift)
    tokens = _tokens(grid)
    split = windows.split(tokens)
    assert split.shape == (2 * windows.counts[0] * windows.counts[1], 6, WIDTH)
    assert torch.equal(windows.join(split), tokens)


@pytest.mark.parametrize(("kind", "shifted"), [("shifted_window", [False, True, False]), ("window", [False] * 3)])
def test_every_other_block_is_shifted(kind: str, shifted: list[bool], small_model) -> None:
    model = small_model("base", decoder="simple", attention_kind=kind, window_size=(2, 2), num_hidden_layers=3)
    assert [any(layer.attention.attention.shift) for layer in model.backbone.encoder.layer] == shifted


@torch.no_grad()
def test_news_crosses_windows_by_shifting_or_pooling_only(small_model, random_crops) -> None:
    """A change in one corner of the crop reaches the opposite corner of the last tokens, or it does not."""
    reaches = {}
    for kind in WINDOW_KINDS:
        model = small_model("base", decoder="simple", attention_kind=kind, window_size=(2, 2), image_size=(128, 128))
        crops = random_crops(model, 1)
        changed = crops.clone()
        changed[..., :16, :16] += 1
        states = [
            model(x, output_hidden_states=True).hidden_states[-1][0].unflatten(0, (8, 8)) for x in (crops, changed)
        ]
        difference = (states[1] - states[0]).abs().amax(dim=2)  # (rows, columns)
        reaches[kind] = [bool(difference[row, row] > 0) for row in (1, 2, 7)]
    assert reaches == {
        "window": [True, False, False],
        "shifted_window": [True, True, False],  # two blocks: the second shifted by one token
        "pooled_window": [True, True, True],
        "shifted_pooled_window": [True, True, True],
    }


def test_a_stride_of_8_has_four_times_the_tokens(small_model, random_crops) -> None:
    model = small_model("base", decoder="simple", patch_stride=8)
    assert model.backbone.embeddings.patch_embeddings.projection.padding == (4, 4)
    assert model.config.backbone_config.grid_size == (8, 6)
    assert model(random_crops(model)).heatmaps.shape == (2, 17, 32, 24) == (2, 17, *model.config.heatmap_size)


BAD = [
    ({"attention_kind": "windows"}, "attention_kind: expected one of full, window, .* got 'windows'"),
    ({"attention_kind": "window", "window_size": 14}, r"at most the grid of \(16, 12\) .* got \[14, 14\]"),
    ({"window_size": 8}, "window_size .* no effect with attention_kind 'full'"),
    ({"attention_kind": "window", "window_size": 0}, "window_size: expected a positive number"),
    ({"attention_kind": "window", "knowledge_token_size": 8}, "a knowledge token lies in no window"),
    ({"patch_stride": 6}, "patch_stride: expected divisors of patch_size"),
    ({"patch_stride": 32}, "patch_stride: expected divisors of patch_size"),
    ({"patch_stride": 0}, "patch_stride: expected a positive number"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[str(row[0]) for row in BAD])
def test_contradictions_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ViTPoseConfig.from_preset("base", **options)


def test_a_stride_equal_to_the_patch_is_no_stride() -> None:
    assert ViTPoseConfig.from_preset("base", patch_stride=16).is_stock


@pytest.mark.parametrize(
    "options",
    [
        *({"attention_kind": kind} for kind in WINDOW_KINDS),
        {"patch_stride": 8},
        {"parallel_convolution": True},
        {"knowledge_token_size": 8},
        {"mlp_ratio": 2.5},
    ],
    ids=str,
)
def test_what_stock_cannot_compute_is_not_saved_as_stock(options: dict) -> None:
    config = ViTPoseConfig.from_preset("base", **options)
    assert config.to_dict()["model_type"] == "vitpose_plus"
    again = ViTPoseConfig.from_dict(config.to_dict())
    assert again.to_dict() == config.to_dict() and not again.is_stock


def test_stock_files_have_none_of_the_other_fields() -> None:
    backbone = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", decoder="simple")).config.to_dict()[
        "backbone_config"
    ]
    assert (
        not {"attention_kind", "patch_stride", "window_size", "parallel_convolution", "expert_kind"} & backbone.keys()
    )
