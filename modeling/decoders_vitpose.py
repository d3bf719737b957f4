"""The two decoders of the ViTPose paper (section 3.1): from a grid of tokens to heatmaps of four times its size."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_vitpose import ViTPoseConfig


DECONVOLUTION_CHANNELS = 256  # the released configs, every size
INIT_STD = 0.001  # the released configs: heatmaps start near zero, where most of a target is


def _narrow_init(decoder: nn.Module) -> None:
    """Have the model's weight initialisation start the convolutions of a decoder from a narrower normal."""
    for module in decoder.children():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.init_std = INIT_STD


class ViTPoseClassicDecoder(nn.Module):
    """Two fourfold-kernel deconvolutions, each with batch norm and ReLU, then a 1x1 convolution."""

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        width = config.backbone_config.hidden_size
        channels = DECONVOLUTION_CHANNELS
        self.deconv1 = nn.ConvTranspose2d(width, channels, kernel_size=4, stride=2, padding=1, bias=False)
        self.batchnorm1 = nn.BatchNorm2d(channels)
        self.deconv2 = nn.ConvTranspose2d(channels, channels, kernel_size=4, stride=2, padding=1, bias=False)
        self.batchnorm2 = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, config.num_labels, kernel_size=1)
        _narrow_init(self)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) features to (B, K, 4H, 4W) heatmaps."""
        features = F.relu(self.batchnorm1(self.deconv1(features)))  # (B, 256, 2H, 2W)
        features = F.relu(self.batchnorm2(self.deconv2(features)))  # (B, 256, 4H, 4W)
        return self.conv(features)


class ViTPoseSimpleDecoder(nn.Module):
    """ReLU, bilinear upsampling and one 3x3 convolution; the ReLU comes first, as in the paper's formula."""

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        self.scale_factor = config.scale_factor
        self.conv = nn.Conv2d(config.backbone_config.hidden_size, config.num_labels, kernel_size=3, padding=1)
        _narrow_init(self)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) features to (B, K, 4H, 4W) heatmaps."""
        features = F.interpolate(F.relu(features), scale_factor=self.scale_factor, mode="bilinear", align_corners=False)
        return self.conv(features)
