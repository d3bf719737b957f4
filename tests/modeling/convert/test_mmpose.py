"""Checkpoints of mmpose 1.x: read, they give what the network of its ViTPose configs gives; written, they come back.

The heatmaps are computed from mmpose's own names, apart from our model, as mmpretrain's VisionTransformer (no class
token, patch padding 2, final norm) and mmpose's HeatmapHead do: the position table has a row for each patch alone.
"""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from vitpose import ViTPoseForPoseEstimation, convert_checkpoint, get_keypoint_schema
from vitpose.modeling.convert.conversion import from_state_dict, to_mmpose

StateDict = dict[str, torch.Tensor]

WIDTH, HEADS, BLOCKS = 32, 4, 3
CROPS = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(2))
GIVEN = {"num_attention_heads": HEADS}


def mmpose_weights(decoder: str = "classic", *, rows: int = 12, keypoints: int = 17, scales: bool = False) -> StateDict:
    """A state dict under the names of mmpose 1.x, with random weights of order 1."""
    shapes: dict[str, tuple[int, ...]] = {
        "backbone.pos_embed": (1, rows, WIDTH),
        "backbone.patch_embed.projection.weight": (WIDTH, 3, 16, 16),
        "backbone.patch_embed.projection.bias": (WIDTH,),
        "backbone.ln1.weight": (WIDTH,),
        "backbone.ln1.bias": (WIDTH,),
    }
    linears = {"attn.qkv": (3 * WIDTH, WIDTH), "attn.proj": (WIDTH, WIDTH)}
    linears |= {"ffn.layers.0.0": (4 * WIDTH, WIDTH), "ffn.layers.1": (WIDTH, 4 * WIDTH)}
    for block in (f"backbone.layers.{index}" for index in range(BLOCKS)):
        for norm in ("ln1", "ln2"):
            shapes |= {f"{block}.{norm}.weight": (WIDTH,), f"{block}.{norm}.bias": (WIDTH,)}
        for name, shape in linears.items():
            shapes |= {f"{block}.{name}.weight": shape, f"{block}.{name}.bias": shape[:1]}
        if scales:
            shapes |= {f"{block}.attn.gamma1.weight": (WIDTH,), f"{block}.ffn.gamma2.weight": (WIDTH,)}
    last = (keypoints, WIDTH, 3, 3)
    if decoder == "classic":
        last = (keypoints, 256, 1, 1)
        for place, inside in ((0, WIDTH), (3, 256)):
            shapes[f"head.deconv_layers.{place}.weight"] = (inside, 256, 4, 4)
            for kind in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"head.deconv_layers.{place + 1}.{kind}"] = (256,)
    shapes |= {"head.final_layer.weight": last, "head.final_layer.bias": (keypoints,)}
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    for name, value in weights.items():
        if value.ndim in (2, 4):
            value /= (value[0].numel() if "deconv" not in name else len(value)) ** 0.5
        elif value.ndim == 1:
            value.mul_(0.2).add_(1.0 if name.endswith(("weight", "running_var")) else 0.0)
    counters = (f"head.deconv_layers.{place}.num_batches_tracked" for place in (1, 4) if decoder == "classic")
    return weights | {name: torch.tensor(9) for name in counters}


def by_mmpose(weights: StateDict, crops: torch.Tensor) -> torch.Tensor:
    """Heatmaps as mmpose computes them."""

    def get(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    grid = F.conv2d(crops, *get("backbone.patch_embed.projection"), stride=16, padding=2)
    x = grid.flatten(2).transpose(1, 2) + weights["backbone.pos_embed"][:, -grid[0, 0].numel() :]
    for block in (f"backbone.layers.{index}" for index in range(BLOCKS)):
        qkv = F.linear(F.layer_norm(x, (WIDTH,), *get(f"{block}.ln1"), eps=1e-6), *get(f"{block}.attn.qkv"))
        query, key, value = qkv.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        context = (query @ key.mT / (WIDTH // HEADS) ** 0.5).softmax(-1) @ value
        branch = F.linear(context.transpose(1, 2).flatten(2), *get(f"{block}.attn.proj"))
        x = x + branch * weights.get(f"{block}.attn.gamma1.weight", torch.ones(WIDTH))
        hidden = F.linear(F.layer_norm(x, (WIDTH,), *get(f"{block}.ln2"), eps=1e-6), *get(f"{block}.ffn.layers.0.0"))
        branch = F.linear(F.gelu(hidden), *get(f"{block}.ffn.layers.1"))
        x = x + branch * weights.get(f"{block}.ffn.gamma2.weight", torch.ones(WIDTH))
    x = F.layer_norm(x, (WIDTH,), *get("backbone.ln1"), eps=1e-6).transpose(1, 2).unflatten(2, grid.shape[-2:])
    if "head.deconv_layers.0.weight" not in weights:
        return F.conv2d(F.interpolate(F.relu(x), scale_factor=4, mode="bilinear"), *get("head.final_layer"), padding=1)
    for place in (0, 3):
        x = F.conv_transpose2d(x, weights[f"head.deconv_layers.{place}.weight"], stride=2, padding=1)
        norm = f"head.deconv_layers.{place + 1}"
        x = F.relu(F.batch_norm(x, weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"], *get(norm)))
    return F.conv2d(x, *get("head.final_layer"))


def assert_equal_heatmaps(model: ViTPoseForPoseEstimation, weights: StateDict) -> None:
    with torch.no_grad():
        expected = by_mmpose(weights, CROPS)
        assert expected.std() > 0.05, "heatmaps this small would agree by themselves"
        torch.testing.assert_close(model(CROPS).heatmaps, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("decoder", ["classic", "simple"])
@pytest.mark.parametrize(
    "options",
    [{}, {"rows": 13}, {"scales": True}],
    ids=["as the configs have it", "with a class token's row, which mmpose drops", "with LayerScale"],
)
def test_a_file_gives_its_own_heatmaps(decoder: str, options: dict, tmp_path: Path) -> None:
    weights = mmpose_weights(decoder, **options)
    torch.save({"meta": {"epoch": 210}, "state_dict": weights}, tmp_path / "epoch_210.pth")
    model = convert_checkpoint(tmp_path / "epoch_210.pth", **GIVEN)
    assert (model.config.dataset_names, model.config.image_size) == (["coco"], (64, 48))
    assert_equal_heatmaps(model, weights)


@pytest.mark.parametrize("decoder", ["classic", "simple"])
def test_the_format_comes_back_as_it_was(decoder: str) -> None:
    weights = mmpose_weights(decoder)
    again = to_mmpose(from_state_dict(weights, **GIVEN))
    assert again.keys() == weights.keys()
    torch.testing.assert_close(again, weights, rtol=0, atol=0)


@pytest.mark.parametrize("decoder", ["classic", "simple"])
def test_our_models_compute_the_same_in_mmpose(decoder: str, small_model, random_crops) -> None:
    """Row 0 of our position table, which every patch gets, goes into the rows of mmpose's."""
    model = small_model("base", decoder=decoder, layer_norm_eps=1e-6)
    weights = to_mmpose(model)
    again = from_state_dict(weights, num_attention_heads=model.config.backbone_config.num_attention_heads)
    assert again.backbone.embeddings.position_embeddings[:, 0].abs().max() == 0
    assert model.backbone.embeddings.position_embeddings[:, 0].abs().max() > 0
    crops = random_crops(model)
    with torch.no_grad():
        torch.testing.assert_close(again(crops).heatmaps, model(crops).heatmaps, rtol=0, atol=1e-5)


def test_square_crops_are_said() -> None:
    weights = mmpose_weights("simple", rows=16)
    with pytest.raises(ValueError, match="image_size: 16 patches make no 4 : 3 grid"):
        from_state_dict(weights, **GIVEN)
    assert from_state_dict(weights, image_size=(64, 64), **GIVEN).config.image_size == (64, 64)


BAD = [
    ("a class token in the sequence", {"backbone.cls_token": torch.zeros(1, 1, WIDTH)}, "with_cls_token=True"),
    (
        "further convolutions in the head",
        {"head.conv_layers.0.weight": torch.zeros(1), "head.conv_layers.0.bias": torch.zeros(1)},
        r"mmpose 1\.x\. No place in the model for: head\.conv_layers\.0\.bias, head\.conv_layers\.0\.weight\.$",
    ),
    (
        "a norm too few",
        {"backbone.layers.2.ln2.bias": None},
        r"mmpose 1\.x\. Missing: backbone\.layers\.2\.ln2\.bias\.$",
    ),
]


@pytest.mark.parametrize(("why", "change", "message"), BAD, ids=[row[0] for row in BAD])
def test_what_vitpose_does_not_compute_is_refused(why: str, change: dict, message: str) -> None:
    weights = {name: v for name, v in {**mmpose_weights("simple"), **change}.items() if v is not None}
    with pytest.raises(ValueError, match=message):
        from_state_dict(weights, **GIVEN)


def test_models_of_several_datasets_are_not_written(small_model) -> None:
    for options in ({"datasets": ["coco", "aic"]}, {"datasets": ["coco", "aic"], "num_experts": 1}):
        with pytest.raises(ValueError, match="ViTPose of one dataset alone: fold_experts, or --fold"):
            to_mmpose(small_model("base", decoder="simple", **options))
    with pytest.raises(ValueError, match="mmpose has no window attention"):
        to_mmpose(small_model("base", decoder="simple", patch_stride=8))


# ------------------------------------------------------------------- keypoints that the file itself names

OWN = {"dataset_name": "horse", "keypoint_id2name": {0: "left_eye", 1: "nose", 2: "right_eye"}}
OWN |= {"flip_pairs": [(2, 0), (0, 2)], "skeleton_links": [[0, 1], [2, 1]]}


def _noted(meta: dict, keypoints: int, tmp_path: Path, **options: object) -> ViTPoseForPoseEstimation:
    content = {"meta": {"dataset_meta": meta}, "state_dict": mmpose_weights("simple", keypoints=keypoints)}
    torch.save(content, tmp_path / "own.pth")
    return convert_checkpoint(tmp_path / "own.pth", **GIVEN, **options)


def test_keypoints_that_the_file_names_need_no_argument(tmp_path: Path) -> None:
    schema = _noted(OWN, 3, tmp_path).config.get_schema()
    assert (schema.name, schema.keypoints) == ("horse", ("left_eye", "nose", "right_eye"))
    assert (schema.flip_pairs, schema.edges) == (((0, 2),), ((0, 1), (1, 2)))


def test_names_of_a_known_dataset_give_its_schema(tmp_path: Path) -> None:
    names = dict(enumerate(get_keypoint_schema("ap10k").keypoints))
    assert _noted({"keypoint_id2name": names}, 17, tmp_path).config.dataset_names == ["ap10k"]


def test_what_is_asked_for_goes_before_what_is_noted(tmp_path: Path) -> None:
    assert _noted(OWN, 17, tmp_path).config.dataset_names == ["coco"]  # names of another number are of no use
    names = {"keypoint_id2name": dict(enumerate(get_keypoint_schema("ap10k").keypoints))}
    assert _noted(names, 17, tmp_path, datasets=["coco"]).config.dataset_names == ["coco"]


NOTES = [
    ("pairs by name", {"flip_pairs": [["left_eye", "right_eye"]], "skeleton_links": [("nose", 2)]},
     ((0, 2),), ((1, 2),), None),
    ("indices as texts", {"keypoint_id2name": {"2": "right_eye", "0": "left_eye", "1": "nose"},
                          "skeleton_links": [["0", "1"]]}, ((0, 2),), ((0, 1),), None),
    ("indices from 1", {"keypoint_id2name": {1: "left_eye", 2: "nose", 3: "right_eye"}, "flip_pairs": [[1, 3]],
                        "skeleton_links": [[2, 3]]}, ((0, 2),), ((1, 2),), None),
    ("outside the keypoints", {"skeleton_links": [[0, 3], [-1, 0], [0, 1]]}, ((0, 2),), ((0, 1),), (0, 2)),
    ("unknown names", {"flip_pairs": [["left_ear", "right_ear"]]}, ((0, 2),), ((0, 1), (1, 2)), (1, 0)),
    ("no pairs", {"skeleton_links": [[0, 1, 2], 5, [1], None, [[0], 1], [True, 0], [1.0, 2], [1, 1], [2, 1]]},
     ((0, 2),), ((1, 2),), (0, 8)),
    ("a keypoint in two pairs", {"flip_pairs": [[0, 2], [2, 0], [1, 0]]}, ((0, 2),), ((0, 1), (1, 2)), (1, 0)),
    ("no lists", {"flip_pairs": 7, "skeleton_links": "nose"}, ((0, 2),), (), (1, 1)),
    ("nothing", {"flip_pairs": None, "skeleton_links": None}, ((0, 2),), (), None),
]  # fmt: skip


@pytest.mark.parametrize(("why", "change", "mirrors", "edges", "left"), NOTES, ids=[row[0] for row in NOTES])
def test_notes_are_read_as_far_as_they_are_pairs(why, change, mirrors, edges, left, tmp_path, caplog) -> None:
    schema = _noted({**OWN, **change}, 3, tmp_path).config.get_schema()
    assert (schema.name, schema.keypoints) == ("horse", ("left_eye", "nose", "right_eye"))
    assert (schema.flip_pairs, schema.edges) == (mirrors, edges)
    told = [record.args for record in caplog.records if "no pairs of its keypoints" in record.msg]
    assert told == ([left] if left else [])


UNUSED = [
    ("a name twice", {"keypoint_id2name": dict.fromkeys(range(17), "nose")}, "no different texts by indices"),
    ("numbers for names", {"keypoint_id2name": {index: index for index in range(17)}}, "no different texts by indices"),
    ("names by names", {"keypoint_id2name": {"nose": "nose"}}, "no different texts by indices"),
    ("a list", {"keypoint_id2name": ["nose"]}, "no different texts by indices"),
    ("of another number", OWN, r"notes 3 keypoints (horse) and has heads of [17] channels: the note is not used"),
]


@pytest.mark.parametrize(("why", "meta", "told"), UNUSED, ids=[row[0] for row in UNUSED])
def test_notes_of_no_use_are_told_and_stop_nothing(why: str, meta: dict, told: str, tmp_path: Path, caplog) -> None:
    assert _noted(meta, 17, tmp_path).config.dataset_names == ["coco"]
    assert caplog.text.count(told) == 1
    caplog.clear()
    assert _noted(meta, 17, tmp_path, datasets=["ap10k"]).config.dataset_names == ["ap10k"]
    assert told not in caplog.text  # nobody asked the notes


def test_notes_of_another_number_leave_the_question_open(tmp_path: Path, caplog) -> None:
    with pytest.raises(ValueError, match=r"datasets: the file has heads of \[5\] channels; name the dataset of each"):
        _noted(OWN, 5, tmp_path)
    assert "notes 3 keypoints (horse)" in caplog.text
