"""ViTPose: a plain Vision Transformer and a small decoder that predict a heatmap for each keypoint.

Parameter names are those of transformers' VitPose, so that state dicts pass both ways unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import VitPoseConfig
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_vitpose import ViTPoseConfig
from .configuration_vitpose_backbone import ExpertKind
from .dataset_index_vitpose import check_dataset_index, one_per_sample
from .feedforward_vitpose import DatasetIndex, ViTPoseMLP
from .flipping_vitpose import check_flip_pairs, flip_heatmaps
from .freezing_vitpose import FrozenPart, PartSize, freeze, trainable_parameters
from .heads_vitpose import ViTPoseHeads, make_decoder
from .keypoint_schemas import KeypointSchema, flip_index_of
from .keypoint_sides import same_keypoints
from .loss_vitpose import heatmap_loss, optional_labels
from .modeling_vitpose_backbone import ViTPoseBackbone, ViTPosePreTrainedModel, resolve_flag


@dataclass
class ViTPoseOutput(ModelOutput):
    """Output of `ViTPoseForPoseEstimation`.

    Args:
        loss: `torch.Tensor` of shape `()`, float32; with `labels`.
        heatmaps: `torch.Tensor` of shape `(batch_size, num_keypoints, height, width)`, in heatmap pixels. The number of
            keypoints is the largest in the batch, or that of `labels` where they have more.
        keypoint_mask: `torch.Tensor` of shape `(batch_size, num_keypoints)`, bool, from a model of several heads: True
            where a channel is a keypoint of the sample's dataset. The heatmaps of other channels are zero.
        hidden_states: With `output_hidden_states`, the tokens after the embedding and after each block, each a
            `torch.Tensor` of shape `(batch_size, num_tokens, hidden_size)`.
        attentions: With `output_attentions`, the attention weights of each block, each a `torch.Tensor` of shape
            `(batch_size, num_heads, num_tokens, num_tokens)`.
    """

    loss: torch.Tensor | None = None
    heatmaps: torch.Tensor | None = None
    keypoint_mask: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class ViTPoseForPoseEstimation(ViTPosePreTrainedModel):
    """ViTPose (NeurIPS 2022): a plain ViT backbone and a decoder that predict a heatmap for each keypoint.

    A ViTPose++ model (TPAMI) has an expert in every feed-forward layer and a head for each of its datasets:
    `dataset_index` says which one a crop takes, and `fold_experts` gives the ordinary model of one dataset.

    Reads checkpoints of transformers' `VitPoseForPoseEstimation` and its own alike, and saves what that class reads.

    Example:
    ```python
    >>> import torch
    >>> from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation
    >>> model = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny")).eval()
    >>> model(torch.zeros(2, 3, 256, 192)).heatmaps.shape
    torch.Size([2, 17, 64, 48])

    ```
    """

    config: ViTPoseConfig

    def __init__(self, config: ViTPoseConfig | VitPoseConfig) -> None:
        config = _as_own_config(config)
        config._check()  # it may have been changed since it was made
        super().__init__(config)
        self.backbone: ViTPoseBackbone = ViTPoseBackbone._from_config(config.backbone_config)
        if len(config.keypoint_schemas) == 1:
            self.head = make_decoder(config, config.get_schema().num_keypoints)
        else:
            self.heads = ViTPoseHeads(config)
        self._frozen: list[nn.Module] = []
        self.post_init()

    @optional_labels("label_weights")
    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        dataset_index: int | torch.Tensor | None = None,
        flip_pairs: torch.Tensor | Sequence[Sequence[int]] | None = None,
        labels: torch.Tensor | None = None,
        label_weights: torch.Tensor | None = None,
        interpolate_pos_encoding: bool = False,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> ViTPoseOutput:
        """Predict heatmaps, and with targets the loss.

        Args:
            pixel_values: `torch.Tensor` of shape `(batch_size, 3, height, width)`, normalized crops of the config's
                `image_size`, from `ViTPoseImageProcessor`.
            dataset_index: The expert and head to use, in the order of the config's `keypoint_schemas`: an int, or a
                long tensor of shape `(batch_size,)` for a mixed batch. May be left out where there is one head.
            flip_pairs: Pairs of keypoints that mirror each other, of shape `(n, 2)`, for a batch of mirrored crops of
                one dataset: their heatmaps come back mirrored and swapped, to be averaged with those of the crops.
            labels: `torch.Tensor` of shape `(batch_size, num_keypoints, height, width)`, target heatmaps; as many
                keypoints as the largest dataset of the batch or of the model has, zeros behind a sample's own.
            label_weights: `torch.Tensor` of shape `(batch_size, num_keypoints)`, weight of each keypoint in the loss; 0
                leaves it out. All 1 if None.
            interpolate_pos_encoding: Take crops of another size than the config's, in multiples of the patch.
            output_hidden_states: Also return the tokens after each block.
            output_attentions: Also return the attention weights of each block.

        Raises:
            ValueError: A shape, the dataset index or a pair does not fit the model.
        """
        index = check_dataset_index(
            self.config.default_dataset_index if dataset_index is None else dataset_index,
            batch=pixel_values.shape[0],
            num_datasets=self.config.num_datasets,
            names=self.config.dataset_names,
        )
        if label_weights is not None and labels is None:
            raise ValueError("label_weights without labels have no effect: give both, or neither.")
        config, backbone = self.config, self.config.backbone_config
        features = self.backbone(
            pixel_values,
            dataset_index=index if backbone.num_experts > 1 else None,
            interpolate_pos_encoding=interpolate_pos_encoding,
            output_hidden_states=resolve_flag(
                output_hidden_states, config.output_hidden_states, backbone.output_hidden_states
            ),
            output_attentions=resolve_flag(output_attentions, config.output_attentions, backbone.output_attentions),
        )
        channels = labels.shape[1] if labels is not None and labels.ndim == 4 else 0
        heatmaps, keypoint_mask = self._decode(features.feature_maps[-1], index, min_channels=channels)
        if flip_pairs is not None:
            pairs = check_flip_pairs(flip_pairs, heatmaps.shape[1])
            heatmaps = flip_heatmaps(heatmaps, flip_index_of(pairs, heatmaps.shape[1]))
        loss = heatmap_loss(heatmaps, labels, label_weights, keypoint_mask) if labels is not None else None
        return ViTPoseOutput(
            loss=loss,
            heatmaps=heatmaps,
            keypoint_mask=keypoint_mask,
            hidden_states=features.hidden_states,
            attentions=features.attentions,
        )

    def _decode(
        self, features: torch.Tensor, index: DatasetIndex, *, min_channels: int
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Heatmaps, and with several heads which of their channels are real; all heads are run in training."""
        if len(self.config.keypoint_schemas) == 1:
            return self.head(features), None
        if self.training:
            index = one_per_sample(index, features)
        return self.heads(features, index, min_channels=min_channels)

    def resize_position_embeddings(self, image_size: int | tuple[int, int]) -> None:
        """Fit the model to crops of another (height, width) in pixels: its config, and its position table (bicubic)."""
        self.backbone.resize_position_embeddings(image_size)

    def freeze(self, part: FrozenPart) -> None:
        """Leave the attention or the feed-forward layers out of training (ViTPose paper, table 6).

        The norm before each goes with it, and with the feed-forward layers the patch embedding and the position table
        (released configs). Dropout and drop path of what is frozen stay off, in training mode too.
        """
        self._frozen += freeze(self.backbone, part)
        self.train(self.training)

    def freeze_all_but_token(self) -> None:
        """Leave everything but the knowledge token out of training (ViTPose paper, section 3.4).

        What is frozen stays in evaluation mode, the decoder's batch statistics included.
        """
        knowledge = self.backbone.embeddings.knowledge
        if knowledge is None:
            raise ValueError("There is no knowledge token to train: set the backbone's knowledge_token_size.")
        self.requires_grad_(False)
        knowledge.token.requires_grad_(True)
        self._frozen += self.children()
        self.train(self.training)

    def trainable_parameters(self) -> dict[str, PartSize]:
        """Count the parameters of each part of the model, and those that are trained; "total" comes last."""
        return trainable_parameters(self)

    def train(self, mode: bool = True) -> "ViTPoseForPoseEstimation":
        """Set the training mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    @torch.no_grad()
    def fold_experts(self, dataset: str | int) -> "ViTPoseForPoseEstimation":
        """The ordinary model that equals this one for one dataset, with that dataset's head; shares no memory with it.

        Args:
            dataset: Name or index of the dataset.

        Raises:
            ValueError: There is no such dataset.
        """
        index = self.config.dataset_index(dataset)
        with torch.device("meta"):
            folded = ViTPoseForPoseEstimation(self.config.folded(index))
        weights = {name: value.clone() for name, value in self.state_dict().items() if ".mlp." not in name}
        for depth, block in enumerate(self.backbone.encoder.blocks):
            for name, value in block.mlp.folded(index).items():
                weights[f"backbone.encoder.layer.{depth}.mlp.{name}"] = value
        chosen = f"heads.{index}."
        weights = {
            name.replace(chosen, "head."): value
            for name, value in weights.items()
            if not name.startswith("heads.") or name.startswith(chosen)
        }
        folded.load_state_dict(weights, assign=True)
        return folded.train(self.training)

    @classmethod
    def from_dense(
        cls,
        dense: "ViTPoseForPoseEstimation",
        *,
        datasets: Sequence[str | KeypointSchema],
        expert_kind: ExpertKind = "partially_shared",
        part_features: int | None = None,
    ) -> "ViTPoseForPoseEstimation":
        """A model of several datasets that starts from one without experts, and computes the same at first.

        With partially shared experts, each starts from the last `part_features` rows of the dense output projection
        (released code). A dataset of the dense model's keypoints starts with its head, other heads from random weights.

        Args:
            dense: The model to start from; it stays as it is.
            datasets: Names of keypoint schemas, or schemas, in the order of `dataset_index`; two or more.
            expert_kind: See `ViTPoseBackboneConfig`.
            part_features: Outputs that come from an expert; that of the released configs if None.

        Raises:
            ValueError: The model has experts or several heads already, or there are fewer than two datasets.
        """
        model = cls(dense.config.with_experts(datasets, expert_kind=expert_kind, part_features=part_features))
        model.to(device=dense.device, dtype=dense.dtype)  # type: ignore[call-arg]  # wrapped by transformers
        weights = model.state_dict()
        for name, value in dense.state_dict().items():
            if not name.startswith("head.") and ".mlp." not in name:
                weights[name].copy_(value)
        for block, source in zip(model.backbone.encoder.blocks, dense.backbone.encoder.blocks, strict=True):
            assert isinstance(source.mlp, ViTPoseMLP)  # as `with_experts` has checked
            block.mlp.start_from(source.mlp)
        for head, schema in zip(model.heads, model.config.keypoint_schemas, strict=True):
            if same_keypoints(schema["keypoints"], dense.config.keypoint_schemas[0]["keypoints"]):
                head.load_state_dict(dense.head.state_dict())
        return model.train(dense.training)

    def _auto_map(self) -> dict[str, str]:
        """The class of the saved code for each Auto class, without those whose stock class can load the model."""
        if self.config.is_stock:
            return {"AutoModel": f"modeling_vitpose.{ViTPoseFromStockConfig.__name__}"}
        model = f"modeling_vitpose.{ViTPoseForPoseEstimation.__name__}"
        config = f"configuration_vitpose.{ViTPoseConfig.__name__}"
        return {"AutoConfig": config, "AutoModel": model, "AutoModelForPoseEstimation": model}


class ViTPoseFromStockConfig(ViTPoseForPoseEstimation):
    """The model that `AutoModel` builds for a folder in transformers' own format.

    The Auto classes pair a model with a config class of the very name that the model declares; a stock folder's config
    is a `VitPoseConfig`. Behaves as `ViTPoseForPoseEstimation` in every other way.
    """

    config_class = VitPoseConfig


def _as_own_config(config: ViTPoseConfig | VitPoseConfig) -> ViTPoseConfig:
    """Our config, also from transformers' own."""
    if not isinstance(config, VitPoseConfig):
        return config
    return ViTPoseConfig.from_dict({**config.to_dict(), "attn_implementation": config._attn_implementation})
