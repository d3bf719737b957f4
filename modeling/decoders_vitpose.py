"""The two decoders of the ViTPose paper (section 3.1): from a grid of tokens to heatmaps of four times its size."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_vitpose import ViTPoseConfig
from .initialization_vitpose import set_initialization
from .plain_layers_vitpose import is_plain

DECONVOLUTION_CHANNELS = 256  # the released configs, every size
INIT_STD = 0.001  # the released configs: heatmaps start near zero, where most of a target is


def _narrow_init(decoder: nn.Module) -> None:
    """Have the model's weight initialization start the convolutions of a decoder from a narrower normal."""
    for module in decoder.children():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            set_initialization(module, std=INIT_STD)


class ViTPoseClassicDecoder(nn.Module):
    """Two fourfold-kernel deconvolutions, each with batch norm and ReLU, then a 1x1 convolution."""

    def __init__(self, config: ViTPoseConfig, num_keypoints: int) -> None:
        super().__init__()
        width = config.backbone_config.hidden_size
        channels = DECONVOLUTION_CHANNELS
        self.deconv1 = nn.ConvTranspose2d(width, channels, kernel_size=4, stride=2, padding=1, bias=False)
        self.batchnorm1 = nn.BatchNorm2d(channels)
        self.deconv2 = nn.ConvTranspose2d(channels, channels, kernel_size=4, stride=2, padding=1, bias=False)
        self.batchnorm2 = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, num_keypoints, kernel_size=1)
        _narrow_init(self)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) features to (B, K, 4H, 4W) heatmaps."""
        features = F.relu(self.batchnorm1(self.deconv1(features)))  # (B, 256, 2H, 2W)
        features = F.relu(self.batchnorm2(self.deconv2(features)))  # (B, 256, 4H, 4W)
        return self.conv(features)


class ViTPoseSimpleDecoder(nn.Module):
    """ReLU, bilinear upsampling and one 3x3 convolution; the ReLU comes first, as in the paper's formula.

    The upsampled features, sixteen times the grid, are never made. Upsampling acts on each channel alone, so it
    commutes with the channel product of every kernel tap: the taps are applied on the grid, and each is then upsampled,
    shifted to its place and added, which is one small matrix along the rows and one along the columns. The result is
    the same up to rounding, for about a tenth of the work. A convolution that is more than its weights, such as one
    inside a LoRA adapter, is called instead.
    """

    def __init__(self, config: ViTPoseConfig, num_keypoints: int) -> None:
        super().__init__()
        self.scale_factor = config.scale_factor
        self.conv = nn.Conv2d(config.backbone_config.hidden_size, num_keypoints, kernel_size=3, padding=1)
        _narrow_init(self)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) features to (B, K, 4H, 4W) heatmaps."""
        if self.conv.bias is None or not is_plain(self.conv):
            upsampled = F.interpolate(F.relu(features), scale_factor=self.scale_factor, mode="bilinear")
            return self.conv(upsampled)
        height, width = features.shape[-2:]
        keypoints, channels = self.conv.weight.shape[:2]
        taps = self.conv.weight.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)  # (K * 3 * 3, C, 1, 1)
        maps = F.conv2d(F.relu(features), taps).unflatten(1, (keypoints, 3, 3))  # (B, K, 3, 3, H, W)
        rows = upsampling_taps(height, self.scale_factor, like=maps)  # (4H, 3H)
        columns = upsampling_taps(width, self.scale_factor, like=maps)  # (4W, 3W)
        maps = maps.permute(0, 1, 2, 4, 3, 5).flatten(4)  # (B, K, 3, H, 3W)
        maps = (maps @ columns.T).flatten(2, 3)  # (B, K, 3H, 4W)
        return rows @ maps + self.conv.bias[:, None, None]


def upsampling_taps(length: int, scale: int, *, like: torch.Tensor) -> torch.Tensor:
    """Matrix (scale * length, 3 * length): upsample three signals, shift them as the taps of a kernel, and add them.

    Column block t belongs to tap t of a convolution with zero padding 1: output i takes entry i + t - 1 of the signal
    after bilinear upsampling (align_corners=False). Device and dtype are those of `like`. Made anew in every forward,
    which costs little: a matrix kept from inference mode, from tracing or from another device would be of no use.
    """
    identity = torch.eye(length, dtype=like.dtype, device=like.device)[None]  # (1, length, length): a signal a channel
    upsampled = F.interpolate(identity, scale_factor=scale, mode="linear", align_corners=False)[0].T  # (scale*L, L)
    padded = F.pad(upsampled, (0, 0, 1, 1))  # one zero row at each end
    return torch.cat([padded[tap : tap + scale * length] for tap in range(3)], dim=1)
