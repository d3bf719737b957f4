"""Settings of the image processor: which there are, what they mean for crops, pixel values and decoding."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, TypedDict

import torch
from torch import Tensor
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from transformers.processing_utils import ImagesKwargs

from vitpose.base.names import unknown_name

BOX_PADDING = 1.25  # factor on the sides of a box that is cropped (released configs)
HEATMAP_STRIDE = 4  # crop pixels per heatmap pixel of all released models
SCALE_UNIT_PX = 200.0  # the released configs count box sides in units of 200 px; normalize_factor moves that unit

# Written into preprocessor_config.json by transformers for its own use, now or in earlier versions.
_SERVICE_KEYS = {
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "auto_map",
    "_valid_processor_keys",
}

# Settings of transformers' image processors that say no more than what becomes of crops anyway: stock, which takes them
# all, cuts the same crops whatever they are.
_WITHOUT_EFFECT = {"do_convert_rgb", "do_resize", "default_to_square", "disable_grouping"}
# Those that would say more: the values that do not, and why others cannot be honored.
_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "resample": ((2, "bilinear"), "crops are sampled bilinearly"),
    "do_pad": ((False,), "all crops have one size"),
    "pad_size": ((), "all crops have one size"),
    "do_center_crop": ((False,), "boxes say what is cut out"),
    "crop_size": ((), "the setting size is that of the crops"),
    "data_format": (("channels_first",), "models take these; a single call may give channels_last"),
    "image_seq_length": ((), "there is no text that images have a place in"),
    "return_tensors": (("pt",), "it belongs in the call"),
    "input_data_format": ((), "it belongs in the call"),
    "device": ((), "it belongs in the call"),
}


class ViTPoseImageProcessorKwargs(TypedDict, total=False):
    """Settings of [`ViTPoseImageProcessor`]; None stands for the default.

    size: Crop height and width in pixels, ``{"height": 256, "width": 192}``.
    do_rescale, rescale_factor: Whether to multiply pixel values, and by what (1 / 255).
    do_normalize, image_mean, image_std: Whether to subtract a mean and divide by a deviation per channel (ImageNet's).
    do_affine_transform: Always True; the crop by a box is what this processor does.
    normalize_factor: The stock processor's unit of box sides, 200: the footprint of a crop is the box, grown to the
        crop's aspect ratio, times 1.25 * 200 / normalize_factor. Post-processing follows it.
    dark_sigma: Blur before the sub-pixel step of post-processing, in heatmap pixels. Stock evaluates with 0.8; the
        released configs' kernel of 11 means 2.0 by OpenCV's rule.
    heatmap_stride: Crop pixels per heatmap pixel, for the training targets: 4 in all released models.
    use_udp: Unbiased data processing, as all ViTPose models are trained. False for older ones: box sides span `size`
        instead of `size - 1` crop pixels, targets lie on whole pixels and decoding moves by a quarter pixel.
    """

    size: dict[str, int] | int | Sequence[int] | None
    do_rescale: bool | None
    rescale_factor: float | None
    do_normalize: bool | None
    image_mean: float | Sequence[float] | None
    image_std: float | Sequence[float] | None
    do_affine_transform: bool | None
    normalize_factor: float | None
    dark_sigma: float | None
    heatmap_stride: int | None
    use_udp: bool | None


class PixelKwargs(TypedDict, total=False):
    """Settings of [`ViTPoseImageProcessorKwargs`] that a single call may change: post-processing does not need them."""

    do_rescale: bool | None
    rescale_factor: float | None
    do_normalize: bool | None
    image_mean: float | Sequence[float] | None
    image_std: float | Sequence[float] | None


@dataclass(frozen=True, kw_only=True)
class ProcessorSettings:
    """How photos become crops, and heatmaps keypoints: the one set of choices that every use of a model follows.

    [`ViTPoseImageProcessor`] is its public face, `preprocessor_config.json` its file.

    Args:
        crop_size: Height and width of the crops in pixels, both at least 2.
        padding: Factor on the sides of a box, after it has grown to the crop's aspect ratio.
        use_udp: Unbiased data processing; False for the older scheme, see [`ViTPoseImageProcessorKwargs`].
        do_rescale: Whether pixel values are multiplied with `rescale_factor`.
        rescale_factor: Its factor.
        do_normalize: Whether `image_mean` is subtracted and the result divided by `image_std`.
        image_mean: Of each channel, or one number for all, on the scale that rescaling gives.
        image_std: Likewise.
        dark_sigma: Blur before the sub-pixel step of decoding, in heatmap pixels.
        blur_kernel: Width of that blur in heatmap pixels, odd.
        heatmap_stride: Crop pixels per heatmap pixel.

    Raises:
        ValueError: A value is out of range; the message names the processor's setting.
    """

    crop_size: tuple[int, int] = (256, 192)
    padding: float = BOX_PADDING
    use_udp: bool = True
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = True
    image_mean: float | Sequence[float] = tuple(IMAGENET_DEFAULT_MEAN)
    image_std: float | Sequence[float] = tuple(IMAGENET_DEFAULT_STD)
    dark_sigma: float = 0.8
    blur_kernel: int = 11
    heatmap_stride: int = HEATMAP_STRIDE

    def __post_init__(self) -> None:
        if min(self.crop_size) < 2:
            raise ValueError(f"size must be a height and a width of at least 2 pixels, got {self.crop_size}.")
        for name in ("rescale_factor", "padding", "dark_sigma", "heatmap_stride"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, got {value}.")
        if self.blur_kernel < 1 or self.blur_kernel % 2 == 0:
            raise ValueError(
                f"blur_kernel must be odd and positive, got {self.blur_kernel}; the released configs use 11."
            )
        _ = self.normalization

    @cached_property
    def heatmap_size(self) -> tuple[int, int]:
        """Height and width of the heatmaps in pixels."""
        return self.crop_size[0] // self.heatmap_stride, self.crop_size[1] // self.heatmap_stride

    @cached_property
    def normalization(self) -> tuple[Tensor, Tensor]:
        """Rescaling and normalization as ``pixel * gain + bias``: gain and bias, float32 `(3, 1, 1)` each."""
        gain, bias = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
        if self.do_rescale:
            gain = gain * self.rescale_factor
        if self.do_normalize:
            mean, std = _channel_values(self.image_mean, "image_mean"), _channel_values(self.image_std, "image_std")
            gain, bias = gain / std, -mean / std
        return gain.float()[:, None, None], bias.float()[:, None, None]


def _channel_values(value: float | Sequence[float], name: str) -> Tensor:
    values = torch.as_tensor(value, dtype=torch.float64).flatten()
    if len(values) not in (1, 3) or not values.isfinite().all() or (name == "image_std" and (values <= 0).any()):
        raise ValueError(f"{name} must be one number or three, positive where it is image_std; got {value}.")
    return values.expand(3)


def split_known(saved: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings in a saved configuration, and the entries that are none of ours.

    Left out are entries that set nothing: those for transformers' own use, and settings of other processors, unset,
    which early stock versions wrote.
    """
    known = ViTPoseImageProcessorKwargs.__annotations__
    settings = {name: value for name, value in saved.items() if name in known}
    unknown = {
        name: value
        for name, value in saved.items()
        if name not in known and name not in _SERVICE_KEYS and (value or name not in ImagesKwargs.__annotations__)
    }
    return settings, unknown


def stock_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those that transformers' image processors have and crops have not."""
    return {name: value for name, value in settings.items() if name in _WITHOUT_EFFECT or name in _REFUSED}


def check_stock_settings(settings: Mapping[str, Any]) -> None:
    """Raise a `ValueError` for a setting of transformers' image processors that cannot be honored, with the reason."""
    for name, value in settings.items():
        if not is_taken(name, value):
            values, reason = _REFUSED[name]
            expected = f"None or {values[-1]!r}" if values else "None"
            raise ValueError(f"{name}: expected {expected}, as {reason}, got {value!r}.")


def is_taken(name: str, value: Any) -> bool:
    """Whether a setting of transformers' image processors says what becomes of crops anyway."""
    if value is None or name in _WITHOUT_EFFECT:
        return True
    taken, _ = _REFUSED.get(name, ((), ""))
    return getattr(value, "value", value) in taken


def reject_unknown(settings: Iterable[str], known: type, owner: str) -> None:
    """Raise a `TypeError` for a setting that is none of the annotations of `known`, with the nearest one."""
    for name in settings:
        if name not in known.__annotations__:
            raise TypeError(unknown_name(f"Setting of {owner}", name, known.__annotations__))
