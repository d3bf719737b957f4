"""Settings of the image processor: which there are, which a single call may change, what they do to pixel values."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypedDict

import torch
from torch import Tensor
from transformers.processing_utils import ImagesKwargs

# Written into preprocessor_config.json by transformers for its own use, now or in earlier versions.
_SERVICE_KEYS = {
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "auto_map",
    "_valid_processor_keys",
    "data_format",
    "default_to_square",
}


class ViTPoseImageProcessorKwargs(TypedDict, total=False):
    """Settings of [`ViTPoseImageProcessor`]; None stands for the default.

    size: crop height and width in pixels, ``{"height": 256, "width": 192}``.
    do_rescale, rescale_factor: whether to multiply pixel values, and by what (1 / 255).
    do_normalize, image_mean, image_std: whether to subtract a mean and divide by a deviation per channel (ImageNet's).
    do_affine_transform: always True; the crop by a box is what this processor does.
    normalize_factor: the stock processor's unit of box sides, 200: the footprint of a crop is the box, grown to the
        crop's aspect ratio, times 1.25 * 200 / normalize_factor. Post-processing follows it.
    dark_sigma: blur before the sub-pixel step of post-processing, in heatmap pixels. Stock evaluates with 0.8; the
        released configs' kernel of 11 means 2.0 by OpenCV's rule.
    heatmap_stride: crop pixels per heatmap pixel, for the training targets: 4 in all released models.
    use_udp: unbiased data processing, as all ViTPose models are trained. False for older ones: box sides span `size`
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


def is_service_entry(name: str, value: Any) -> bool:
    """Entries of a saved configuration that set nothing: early stock versions wrote every setting there is, unset."""
    return name in _SERVICE_KEYS or (
        not value and name in ImagesKwargs.__annotations__ and name not in ViTPoseImageProcessorKwargs.__annotations__
    )


def reject_unknown(settings: Iterable[str], known: type, owner: str) -> None:
    """Raise for a setting that is none of the annotations of `known`, with the nearest one."""
    for name in settings:
        if name not in known.__annotations__:
            nearest = get_close_matches(name, known.__annotations__, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"it has {', '.join(known.__annotations__)}."
            raise TypeError(f"{owner} has no setting {name!r}; {hint}")


def gain_and_bias(settings: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Rescaling and normalisation as ``pixel * gain + bias``, `(3, 1, 1)` each."""
    gain, bias = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    if settings["do_rescale"]:
        gain = gain * settings["rescale_factor"]
    if settings["do_normalize"]:
        mean, std = _channel_values(settings, "image_mean"), _channel_values(settings, "image_std")
        gain, bias = gain / std, -mean / std
    return gain.float()[:, None, None], bias.float()[:, None, None]


def _channel_values(settings: Mapping[str, Any], name: str) -> Tensor:
    values = torch.as_tensor(settings[name], dtype=torch.float64).flatten()
    if len(values) not in (1, 3) or not values.isfinite().all() or (name == "image_std" and (values <= 0).any()):
        raise ValueError(f"{name} must be one number or three, positive where it is image_std; got {settings[name]}.")
    return values.expand(3)
