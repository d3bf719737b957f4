"""Tables of names are read both ways."""

import pytest
import torch

from vitpose.modeling.convert.names import MAE_NAMES, join_qkv, split_qkv, to_ours, to_theirs, vitpose_names

PAIRS = [
    ("backbone.embeddings.position_embeddings", "backbone.pos_embed", 1),
    ("backbone.layernorm.bias", "backbone.last_norm.bias", 1),
    ("backbone.encoder.layer.11.mlp.experts.3.weight", "backbone.blocks.11.mlp.experts.3.weight", 6),
    ("backbone.encoder.layer.0.attention.output.dense.bias", "backbone.blocks.0.attn.proj.bias", 1),
    ("backbone.encoder.layer.0.attention.attention.key.bias", "backbone.blocks.0.attn.key.bias", 1),
    ("head.batchnorm1.running_mean", "keypoint_head.deconv_layers.1.running_mean", 1),
    ("heads.0.conv.weight", "keypoint_head.final_layer.weight", 6),
    ("heads.5.conv.weight", "associate_keypoint_heads.4.final_layer.weight", 6),
]


@pytest.mark.parametrize(("ours", "theirs", "num_heads"), PAIRS, ids=[row[1] for row in PAIRS])
def test_names_of_the_release_pass_both_ways(ours: str, theirs: str, num_heads: int) -> None:
    table = vitpose_names(num_heads)
    assert to_ours(theirs, table) == ours
    assert to_theirs(ours, table) == theirs


@pytest.mark.parametrize("name", ["cls_token", "blocks.x.norm1.weight", "norm"])
def test_unknown_names_stay(name: str) -> None:
    assert to_ours(name, MAE_NAMES) == to_theirs(name, MAE_NAMES) == name


def test_query_key_and_value_are_split_and_joined_in_order() -> None:
    weights = {"blocks.1.attn.qkv.bias": torch.arange(6), "blocks.1.norm1.bias": torch.zeros(2)}
    split = split_qkv(weights)
    assert split["blocks.1.attn.key.bias"].tolist() == [2, 3]
    joined = join_qkv(split)
    assert joined.keys() == weights.keys()
    assert joined["blocks.1.attn.qkv.bias"].tolist() == list(range(6))
