"""Tables of names are read both ways."""

import pytest
import torch

from vitpose.modeling.convert.layouts import AUTHORS, LAYOUTS, MMPOSE, Layout
from vitpose.modeling.convert.names import join_qkv, short_names, split_qkv, to_ours, to_theirs

BLOCK = "backbone.encoder.layer.11"
PAIRS = [
    (AUTHORS, 1, "backbone.embeddings.position_embeddings", "backbone.pos_embed"),
    (AUTHORS, 1, "backbone.layernorm.bias", "backbone.last_norm.bias"),
    (AUTHORS, 6, f"{BLOCK}.mlp.experts.3.weight", "backbone.blocks.11.mlp.experts.3.weight"),
    (AUTHORS, 1, f"{BLOCK}.attention.output.dense.bias", "backbone.blocks.11.attn.proj.bias"),
    (AUTHORS, 1, f"{BLOCK}.attention.attention.key.bias", "backbone.blocks.11.attn.key.bias"),
    (AUTHORS, 1, "head.batchnorm1.running_mean", "keypoint_head.deconv_layers.1.running_mean"),
    (AUTHORS, 6, "heads.0.conv.weight", "keypoint_head.final_layer.weight"),
    (AUTHORS, 6, "heads.5.conv.weight", "associate_keypoint_heads.4.final_layer.weight"),
    (MMPOSE, 1, f"{BLOCK}.layernorm_after.weight", "backbone.layers.11.ln2.weight"),
    (MMPOSE, 1, f"{BLOCK}.mlp.fc1.bias", "backbone.layers.11.ffn.layers.0.0.bias"),
    (MMPOSE, 1, f"{BLOCK}.mlp.fc2.bias", "backbone.layers.11.ffn.layers.1.bias"),
    (MMPOSE, 1, "backbone.layernorm.bias", "backbone.ln1.bias"),
    (MMPOSE, 1, "head.deconv2.weight", "head.deconv_layers.3.weight"),
]


@pytest.mark.parametrize(("layout", "num_heads", "ours", "theirs"), PAIRS, ids=[row[3] for row in PAIRS])
def test_names_pass_both_ways(layout: Layout, num_heads: int, ours: str, theirs: str) -> None:
    table = layout.names(num_heads)
    assert to_ours(theirs, table) == ours
    assert to_theirs(ours, table) == theirs


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.title)
def test_every_row_is_read_both_ways(layout: Layout) -> None:
    for ours, theirs in layout.rows:
        ours, theirs = (side.replace("#", "7").replace("*", "query.bias") for side in (ours, theirs))
        assert to_ours(theirs, layout.rows) == ours
        assert to_theirs(ours, layout.rows) == theirs


@pytest.mark.parametrize("name", ["cls_token", "blocks.x.norm1.weight", "norm"])
def test_unknown_names_stay(name: str) -> None:
    assert to_ours(name, LAYOUTS[0].names()) == to_theirs(name, LAYOUTS[0].names()) == name


def test_names_that_differ_by_a_number_are_told_once() -> None:
    assert short_names(["blocks.0.a", "blocks.11.a", "norm1.b"]) == "blocks.#.a, norm1.b"


def test_query_key_and_value_are_split_and_joined_in_order() -> None:
    weights = {"blocks.1.attn.qkv.bias": torch.arange(6), "blocks.1.norm1.bias": torch.zeros(2)}
    split = split_qkv(weights)
    assert split["blocks.1.attn.key.bias"].tolist() == [2, 3]
    joined = join_qkv(split)
    assert joined.keys() == weights.keys()
    assert joined["blocks.1.attn.qkv.bias"].tolist() == list(range(6))
