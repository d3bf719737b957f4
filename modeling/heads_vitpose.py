"""A decoder for each dataset, with the keypoints of its own (ViTPose++ paper)."""

from functools import reduce

import torch
from torch import nn

from .configuration_vitpose import ViTPoseConfig
from .decoders_vitpose import ViTPoseClassicDecoder, ViTPoseSimpleDecoder
from .plain_layers_vitpose import ModuleRow


def make_decoder(config: ViTPoseConfig, num_keypoints: int) -> nn.Module:
    """Make the decoder of a config."""
    decoder = ViTPoseSimpleDecoder if config.use_simple_decoder else ViTPoseClassicDecoder
    return decoder(config, num_keypoints)


class ViTPoseHeads(ModuleRow):
    """The decoders of several datasets, side by side."""

    def __init__(self, config: ViTPoseConfig) -> None:
        counts = [len(schema["keypoints"]) for schema in config.keypoint_schemas]
        super().__init__([make_decoder(config, count) for count in counts])
        self.num_keypoints = counts

    def forward(
        self, features: torch.Tensor, dataset_index: int | torch.Tensor, *, min_channels: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Heatmaps of each sample by the head of its dataset.

        Args:
            features: (B, C, H, W) feature maps.
            dataset_index: An int for the whole batch, or a long tensor (B,).
            min_channels: The least K to return; at most the largest number of keypoints of the model counts.

        Returns:
            heatmaps (B, K, 4H, 4W) and keypoint_mask (B, K), True where a channel is a keypoint of the sample's
            dataset; the heatmaps of other channels are zero. K is the largest number of keypoints in the batch, or, in
            a compiled or exported graph, which must not depend on values, of the model.
        """
        min_channels = min(min_channels, max(self.num_keypoints))
        if isinstance(dataset_index, int):
            heatmaps = self[dataset_index](features)
            keypoint_mask = heatmaps.new_ones(heatmaps.shape[:2], dtype=torch.bool)
            missing = min_channels - heatmaps.shape[1]
            if missing <= 0:
                return heatmaps, keypoint_mask
            return _with_channels(heatmaps, min_channels), nn.functional.pad(keypoint_mask, (0, missing))
        counts = torch.tensor(self.num_keypoints, device=features.device)[dataset_index]  # (B,)
        present = list(range(len(self)))
        if not torch.compiler.is_compiling():
            present = sorted(set(dataset_index.tolist())) or [0]  # no crops: the first head's empty heatmaps
        most = max(min_channels, *(self.num_keypoints[index] for index in present))
        if self.training or torch.compiler.is_compiling():
            heatmaps = self._by_every_head(features, dataset_index, most)
        else:
            heatmaps = self._by_group(features, dataset_index, present, most)
        return heatmaps, torch.arange(most, device=features.device) < counts[:, None]

    def _by_every_head(self, features: torch.Tensor, dataset_index: torch.Tensor, most: int) -> torch.Tensor:
        """Every head sees the whole batch and each sample keeps its own head's maps.

        So every head has a gradient, and batch statistics are those of the released code.
        """
        found = []
        for index, head in enumerate(self):
            own = (dataset_index == index)[:, None, None, None]
            found.append(_with_channels(torch.where(own, head(features), 0.0), most))
        return reduce(torch.add, found)

    def _by_group(
        self, features: torch.Tensor, dataset_index: torch.Tensor, present: list[int], most: int
    ) -> torch.Tensor:
        """Each head sees its own samples only."""
        rows = [torch.nonzero(dataset_index == index)[:, 0] for index in present]
        found = [_with_channels(self[index](features[row]), most) for index, row in zip(present, rows, strict=True)]
        return torch.cat(found)[torch.argsort(torch.cat(rows))]


def _with_channels(heatmaps: torch.Tensor, channels: int) -> torch.Tensor:
    """Heatmaps (B, K, h, w) with zero channels appended up to `channels`, or with those beyond it left out."""
    return nn.functional.pad(heatmaps[:, :channels], (0, 0, 0, 0, 0, max(channels - heatmaps.shape[1], 0)))
