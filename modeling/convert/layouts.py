"""The layouts of checkpoints: how each project names the parameters of a plain ViT, alone or with heads.

Each is a table of rows (our name, theirs), which reading and writing share; see `names`.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from .names import Row, is_theirs, numbers

POSITIONS = "embeddings.position_embeddings"
PATCH_KERNEL = "embeddings.patch_embeddings.projection.weight"
FIRST_NORM = "encoder.layer.0.layernorm_before.weight"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one project names parameters.

    Args:
        title: What a message calls the layout.
        rows: Its table. The names on our side are those of `ViTPoseForPoseEstimation` with one head, or of
            `ViTPoseBackbone` where the layout is of a backbone alone.
        has_heads: False for a backbone alone.
        further_heads: Their name of the head of the second dataset, of the third and so on, with `#` for a number
            from 0; empty where the project has one head.
    """

    title: str
    rows: tuple[Row, ...]
    has_heads: bool = True
    further_heads: str = ""

    def names(self, num_heads: int = 1) -> tuple[Row, ...]:
        """The table of a model with so many heads, whose names are ours with `heads.0`, `heads.1` and so on."""
        if num_heads == 1 or not self.further_heads:
            return self.rows
        first = [(ours.removeprefix("head."), theirs) for ours, theirs in self.rows if ours.startswith("head.")]
        rows = [row for row in self.rows if not row[0].startswith("head.")]
        rows += [(f"heads.0.{ours}", theirs) for ours, theirs in first]
        for number in range(1, num_heads):
            head = self.further_heads.replace("#", str(number - 1))
            rows += [(f"heads.{number}.{ours}", f"{head}.{theirs.partition('.')[2]}") for ours, theirs in first]
        return tuple(rows)

    @property
    def backbone(self) -> str:
        """What stands before our names of the backbone."""
        return "backbone." if self.has_heads else ""

    def num_heads(self, names: Iterable[str]) -> int:
        """How many heads the names of a file are of; 1 for a backbone alone."""
        further = re.escape(self.further_heads).replace(r"\#", r"(\d+)")
        return 1 + len(numbers(rf"^{further}\.", names)) if further else max(1, len(numbers(r"^heads\.(\d+)\.", names)))

    def count(self, names: Collection[str]) -> int:
        """How many names of a file are of this layout."""
        table = self.names(self.num_heads(names))
        return sum(is_theirs(name, table) for name in names)


# MAE's authors, those of DINOv2, timm and those of ViTPose write the same names but for the last norm.
_BLOCKS: tuple[Row, ...] = (
    (POSITIONS, "pos_embed"),
    ("embeddings.patch_embeddings.projection.*", "patch_embed.proj.*"),
    ("encoder.layer.#.layernorm_before.*", "blocks.#.norm1.*"),
    ("encoder.layer.#.layernorm_after.*", "blocks.#.norm2.*"),
    ("encoder.layer.#.attention.output.dense.*", "blocks.#.attn.proj.*"),
    ("encoder.layer.#.attention.attention.*", "blocks.#.attn.*"),  # query, key, value: see `split_qkv`
    ("encoder.layer.#.mlp.*", "blocks.#.mlp.*"),
)
_SCALES: tuple[Row, ...] = (
    ("encoder.layer.#.layer_scale1.lambda1", "blocks.#.ls1.gamma"),
    ("encoder.layer.#.layer_scale2.lambda1", "blocks.#.ls2.gamma"),
)
_MMPRETRAIN: tuple[Row, ...] = (
    (POSITIONS, "pos_embed"),
    ("embeddings.patch_embeddings.projection.*", "patch_embed.projection.*"),
    ("encoder.layer.#.layernorm_before.*", "layers.#.ln1.*"),
    ("encoder.layer.#.layernorm_after.*", "layers.#.ln2.*"),
    ("encoder.layer.#.layer_scale1.lambda1", "layers.#.attn.gamma1.weight"),
    ("encoder.layer.#.layer_scale2.lambda1", "layers.#.ffn.gamma2.weight"),
    ("encoder.layer.#.attention.output.dense.*", "layers.#.attn.proj.*"),
    ("encoder.layer.#.attention.attention.*", "layers.#.attn.*"),
    ("encoder.layer.#.mlp.fc1.*", "layers.#.ffn.layers.0.0.*"),
    ("encoder.layer.#.mlp.fc2.*", "layers.#.ffn.layers.1.*"),
    ("layernorm.*", "ln1.*"),
)
# Our own names of a backbone, which are those of transformers' VitPose.
_OWN: tuple[Row, ...] = (
    (POSITIONS, POSITIONS),
    ("embeddings.patch_embeddings.projection.*", "embeddings.patch_embeddings.projection.*"),
    ("encoder.layer.#.layernorm_before.*", "encoder.layer.#.layernorm_before.*"),
    ("encoder.layer.#.layernorm_after.*", "encoder.layer.#.layernorm_after.*"),
    ("encoder.layer.#.attention.output.dense.*", "encoder.layer.#.attention.output.dense.*"),
    ("encoder.layer.#.attention.attention.*", "encoder.layer.#.attention.attention.*"),
    ("encoder.layer.#.mlp.*", "encoder.layer.#.mlp.*"),
    ("layernorm.*", "layernorm.*"),
)
# Transformers' other ViTs, whose files carry older names than the modules of its version 5.
_VIT_FILE: tuple[Row, ...] = (
    ("encoder.layer.#.mlp.fc1.*", "encoder.layer.#.intermediate.dense.*"),
    ("encoder.layer.#.mlp.fc2.*", "encoder.layer.#.output.dense.*"),
    *(row for row in _OWN if ".mlp." not in row[0]),
)
_VIT_MODULE: tuple[Row, ...] = (
    *(row for row in _OWN if not row[0].startswith("encoder.")),
    ("encoder.layer.#.layernorm_before.*", "layers.#.layernorm_before.*"),
    ("encoder.layer.#.layernorm_after.*", "layers.#.layernorm_after.*"),
    ("encoder.layer.#.attention.attention.query.*", "layers.#.attention.q_proj.*"),
    ("encoder.layer.#.attention.attention.key.*", "layers.#.attention.k_proj.*"),
    ("encoder.layer.#.attention.attention.value.*", "layers.#.attention.v_proj.*"),
    ("encoder.layer.#.attention.output.dense.*", "layers.#.attention.o_proj.*"),
    ("encoder.layer.#.mlp.*", "layers.#.mlp.*"),
)
_DINOV2_FILE: tuple[Row, ...] = (
    ("encoder.layer.#.layernorm_before.*", "encoder.layer.#.norm1.*"),
    ("encoder.layer.#.layernorm_after.*", "encoder.layer.#.norm2.*"),
    ("encoder.layer.#.layer_scale1.lambda1", "encoder.layer.#.layer_scale1.lambda1"),
    ("encoder.layer.#.layer_scale2.lambda1", "encoder.layer.#.layer_scale2.lambda1"),
    *(row for row in _OWN if ".layernorm_" not in row[0]),
)
_DINOV2_MODULE: tuple[Row, ...] = (
    *(row for row in _DINOV2_FILE if ".attention." not in row[0]),
    ("encoder.layer.#.attention.attention.query.*", "encoder.layer.#.attention.q_proj.*"),
    ("encoder.layer.#.attention.attention.key.*", "encoder.layer.#.attention.k_proj.*"),
    ("encoder.layer.#.attention.attention.value.*", "encoder.layer.#.attention.v_proj.*"),
    ("encoder.layer.#.attention.output.dense.*", "encoder.layer.#.attention.o_proj.*"),
)
_DECODER: tuple[Row, ...] = (
    ("deconv1.*", "deconv_layers.0.*"),
    ("batchnorm1.*", "deconv_layers.1.*"),
    ("deconv2.*", "deconv_layers.3.*"),
    ("batchnorm2.*", "deconv_layers.4.*"),
    ("conv.*", "final_layer.*"),
)


def _with_head(backbone: tuple[Row, ...], head: str, decoder: Iterable[Row] = _DECODER) -> tuple[Row, ...]:
    """The table of a pose model, whose backbone every project calls `backbone`."""
    return (
        *((f"backbone.{ours}", f"backbone.{theirs}") for ours, theirs in backbone),
        *((f"head.{ours}", f"{head}.{theirs}") for ours, theirs in decoder),
    )


AUTHORS = Layout(
    title="the authors' release (mmpose 0.x)",
    rows=_with_head((*_BLOCKS, ("layernorm.*", "last_norm.*")), "keypoint_head"),
    further_heads="associate_keypoint_heads.#",
)
MMPOSE = Layout(title="mmpose 1.x", rows=_with_head(_MMPRETRAIN, "head"))
TRANSFORMERS = Layout(
    title="transformers' VitPose",
    rows=(
        *_with_head(_OWN, "head", [(ours, ours) for ours, _ in _DECODER]),
        *((f"heads.#.{ours}", f"heads.#.{ours}") for ours, _ in _DECODER),
    ),
)

# Backbones first: a file that fits as well without heads has none.
LAYOUTS = (
    Layout(
        title="a plain ViT as MAE, DINOv2 and timm name it",
        rows=(*_BLOCKS, *_SCALES, ("layernorm.*", "norm.*")),
        has_heads=False,
    ),
    Layout(
        title="the backbone of the authors' release", rows=(*_BLOCKS, ("layernorm.*", "last_norm.*")), has_heads=False
    ),
    Layout(title="mmpretrain's VisionTransformer", rows=_MMPRETRAIN, has_heads=False),
    Layout(title="the backbone of transformers' VitPose", rows=_OWN, has_heads=False),
    Layout(title="transformers' ViT and ViTMAE", rows=_VIT_FILE, has_heads=False),
    Layout(title="transformers' ViT and ViTMAE, version 5", rows=_VIT_MODULE, has_heads=False),
    Layout(title="transformers' DINOv2", rows=_DINOV2_FILE, has_heads=False),
    Layout(title="transformers' DINOv2, version 5", rows=_DINOV2_MODULE, has_heads=False),
    AUTHORS,
    MMPOSE,
    TRANSFORMERS,
)
