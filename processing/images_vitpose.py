"""Photos in every form a user has them, brought to RGB tensors `(3, height, width)`.

PIL images of any mode, paths, URLs, numpy arrays and torch tensors; grayscale, palette, alpha, CMYK and 16-bit alike.
EXIF orientation is applied where the image carries it, as transformers' pipelines do: boxes of their detectors fit.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers.image_utils import ChannelDimension, load_image

from vitpose.base.errors import placed

ImageSource: TypeAlias = str | Path | Image.Image | np.ndarray | Tensor
Images: TypeAlias = ImageSource | list[ImageSource] | tuple[ImageSource, ...]

_CHANNEL_COUNTS = (1, 3, 4)  # grayscale, RGB, RGBA
_16_BIT_TO_8_BIT = 255 / 65535


def list_images(images: Images) -> list[ImageSource]:
    """One list entry an image, from a single image, a list of them, or a batch with a leading axis."""
    if isinstance(images, (np.ndarray, Tensor)) and images.ndim == 4:
        return list(images)
    if isinstance(images, (list, tuple)):
        for index, image in enumerate(images):
            if isinstance(image, (list, tuple)):
                raise TypeError(
                    f"images must be one flat list, but images[{index}] is a {type(image).__name__}: flatten it."
                )
        return list(images)
    return [images]


def to_rgb_tensor(
    image: ImageSource,
    *,
    input_data_format: str | ChannelDimension | None = None,
    do_rescale: bool = True,
    timeout: float | None = None,
) -> Tensor:
    """Convert one image to RGB, channels first.

    Args:
        image: A path, URL, PIL image, array or tensor. Arrays and tensors are `(height, width)`, or have 1, 3 or 4
            channels first or last; where both axes fit, arrays are taken as channels last, tensors as channels first.
            PIL images of mode F are float images; those of mode I hold 16 bits, or 8 where no value is above 255.
        input_data_format: ``"channels_first"`` or ``"channels_last"`` of arrays and tensors; None looks at their shape.
        do_rescale: Whether values are divided by 255 later, which float images must agree with: they are 0..255 where
            it is True, and of any range, such as 0..1, where it is False.
        timeout: Seconds to wait for a URL; None waits.

    Returns:
        `(3, height, width)` on the image's device: uint8, or float32 where 8 bits would lose something.

    Raises:
        TypeError, ValueError: not an image, a layout or a range that cannot be right; says what to do.
    """
    opened = upright_pil(image, timeout=timeout)
    if opened is not None:
        return _from_pil(opened, do_rescale)
    if isinstance(image, np.ndarray):
        tensor, channels_last = _from_numpy(image), True
    elif isinstance(image, Tensor):
        tensor, channels_last = image.detach(), False
    else:
        raise TypeError(
            f"an image must be a path, URL, PIL image, numpy array or torch tensor, got {type(image).__name__}."
        )
    return _rgb(_to_8_bit_range(_channels_first(tensor, input_data_format, channels_last), do_rescale))


def to_rgb_photo(image: ImageSource) -> Image.Image:
    """A new PIL image of 8 bits, RGB and upright, of whatever [`to_rgb_tensor`] takes; float images are of 0..255."""
    opened = upright_pil(image)
    if opened is not None and not _is_deep(opened):
        return _rgb_pil(opened).copy()
    pixels = to_rgb_tensor(image if opened is None else opened)  # (3, height, width)
    return Image.fromarray(pixels.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy())


def upright_pil(image: ImageSource, *, timeout: float | None = None) -> Image.Image | None:
    """A PIL image or what lies at a path or URL, turned as its EXIF data says; None for arrays and tensors."""
    if isinstance(image, (str, Path)):
        if os.path.isfile(image):  # Path.is_file fails on long base64
            image = Image.open(image)
        else:
            check_path(image)
            image = load_image(str(image), timeout=timeout)  # a URL or base64, or a ValueError that says so
    if not isinstance(image, Image.Image):
        return None
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    return image


def check_path(source: str | Path) -> None:
    """Raise a ValueError for a path without a file, which would pass for damaged base64."""
    text = str(source)
    if "://" in text:
        return
    extension = os.path.splitext(text)[1].lower()
    if isinstance(source, Path) or (extension and extension in Image.registered_extensions()):
        raise ValueError(f"There is no image file {text}. Check the path.")


def rgb_region(image: Image.Image, region: Sequence[int], *, do_rescale: bool = True) -> Tensor:
    """The pixels of a region of an upright photo as of [`to_rgb_tensor`], maybe a view of the whole.

    No more is converted than the region where that spares time. Deep images are converted whole, as what their values
    mean shows in the whole range of them.

    Args:
        image: The photo.
        region: Left, top, right and bottom (exclusive) in image pixels.
        do_rescale: As of [`to_rgb_tensor`].
    """
    left, top, right, bottom = region
    if 0 < 2 * (right - left) * (bottom - top) < image.width * image.height and not _is_deep(image):
        return _from_pil(image.crop((left, top, right, bottom)), do_rescale)
    return _from_pil(image, do_rescale)[:, top:bottom, left:right]


def _from_pil(image: Image.Image, do_rescale: bool) -> Tensor:
    if image.mode != "RGB":
        if _is_deep(image):
            return _rgb(_from_deep_pil(image, do_rescale)[None])
        image = _rgb_pil(image)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)  # faster than through numpy
    return pixels.view(image.height, image.width, 3).permute(2, 0, 1)


def _is_deep(image: Image.Image) -> bool:
    """Whether it is 16-bit, 32-bit or floating grayscale, which Pillow's convert("RGB") would clip."""
    return image.mode[0] in "IF"


def _rgb_pil(image: Image.Image) -> Image.Image:
    """An image of 8 bits as RGB; itself where it is that."""
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # in one step Pillow warns about palettes with transparency
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep_pil(image: Image.Image, do_rescale: bool) -> Tensor:
    """Grayscale `(height, width)` float32 in 0..255; of mode F in the range that float arrays have."""
    values = torch.from_numpy(np.array(image, dtype=np.float32))
    if image.mode == "F":
        return _to_8_bit_range(values, do_rescale)
    low, high = (value.item() for value in values.aminmax())
    if not 0 <= low <= high <= 65535:
        raise ValueError(
            f"a PIL image of mode {image.mode} must hold 16-bit values 0..65535, got {low:g}..{high:g}: "
            f"convert it to RGB or to a float array with the range you mean."
        )
    # Pillow opens 16-bit files as I;16, before version 10 as I; an I of a program's own may well hold 8 bits
    return values if image.mode == "I" and high <= 255 else values * _16_BIT_TO_8_BIT


def _from_numpy(image: np.ndarray) -> Tensor:
    if image.dtype.kind not in "uif":
        raise TypeError(f"an image array must hold integers or floats, got dtype {image.dtype}.")
    if not image.dtype.isnative or not image.flags.writeable or min(image.strides, default=0) < 0:
        image = image.astype(image.dtype.newbyteorder("="))  # a copy that torch can share
    return torch.from_numpy(image)


def _channels_first(image: Tensor, layout: str | ChannelDimension | None, prefer_last: bool) -> Tensor:
    """`(channels, height, width)` with 1, 3 or 4 channels, a view of the image."""
    shape = tuple(image.shape)
    if image.ndim == 2:
        image = image[None]
        layout = ChannelDimension.FIRST
    if image.ndim != 3 or 0 in shape:
        raise ValueError(f"an image must have shape (height, width) or also 1, 3 or 4 channels, got {shape}.")
    fits_first, fits_last = image.shape[0] in _CHANNEL_COUNTS, image.shape[-1] in _CHANNEL_COUNTS
    if layout is None:
        last = fits_last and (prefer_last or not fits_first)
    else:
        last = ChannelDimension(layout) is ChannelDimension.LAST
    if not (fits_last if last else fits_first):
        raise ValueError(
            f"an image must have 1, 3 or 4 channels, first or last; got shape {shape}"
            + (f" with input_data_format={str(ChannelDimension(layout).value)!r}." if layout else ".")
        )
    return image.movedim(-1, 0) if last else image


def _to_8_bit_range(image: Tensor, do_rescale: bool) -> Tensor:
    """uint8, or float32 in 0..255 (floats keep their range where do_rescale is False)."""
    if image.dtype == torch.uint8:
        return image
    if image.dtype == torch.uint16:
        return image.float() * _16_BIT_TO_8_BIT
    if image.is_complex() or image.dtype == torch.bool:
        raise TypeError(f"an image must hold integers or floats, got {image.dtype}.")
    low, high = (value.item() for value in image.aminmax())
    if image.is_floating_point():
        _check_float_range(low, high, do_rescale)
        return image.float()
    if not 0 <= low <= high <= 255:
        raise ValueError(f"an integer image must hold 0..255 (uint16: 0..65535), got {image.dtype} of {low}..{high}.")
    return image.to(torch.uint8)


def _check_float_range(low: float, high: float, do_rescale: bool) -> None:
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("a float image must be finite, but this one holds NaN or infinity.")
    if not do_rescale:
        return
    if low >= 0 and 0 < high <= 1:
        raise ValueError(
            f"a float image must hold 0..255 with do_rescale=True, but this one spans {low:g}..{high:g} and looks "
            f"rescaled already: multiply it by 255, or in Python pass do_rescale=False."
        )
    if low < 0 or high > 255:
        raise ValueError(
            f"a float image must hold 0..255 with do_rescale=True, but this one spans {low:g}..{high:g}: clip it to "
            f"0..255, or pass do_rescale=False (and do_normalize=False if it is normalized already)."
        )


def _rgb(image: Tensor) -> Tensor:
    """Grayscale repeated in three channels, alpha dropped: `(1 | 3 | 4, h, w)` -> `(3, h, w)`, a view."""
    return image.expand(3, -1, -1) if image.shape[0] == 1 else image[:3]


@dataclass(frozen=True, kw_only=True)
class LoadedImage:
    """An image in memory.

    Args:
        number: Its place in the input, for messages.
        pixels: `(3, height, width)` RGB, uint8, or float32 in the range that the processor expects.
        boxes: Its people, or None where they are still to be found.
    """

    number: int
    pixels: Tensor
    boxes: Any


def load_images(
    inputs: Any, boxes: Any, *, do_rescale: bool, timeout: float | None = None, num_workers: int = 0
) -> Iterator[LoadedImage]:
    """Read images as they are asked for.

    Args:
        inputs: An iterable of images, or of dicts with `image` and, optionally, `boxes`.
        boxes: One entry an image in any iterable, or None.
        do_rescale: As of [`to_rgb_tensor`].
        timeout: Seconds to wait for an image from a URL.
        num_workers: Processes to read with; they need inputs that can be indexed, such as a list or a dataset.

    Raises:
        TypeError, ValueError: Inputs or boxes of another kind, or not as many boxes as images.
    """
    if not isinstance(inputs, Iterable) and not hasattr(inputs, "__getitem__"):
        raise TypeError(f"inputs must be an image or an iterable of images, got {type(inputs).__name__}.")
    if isinstance(inputs, Sized) and isinstance(boxes, Sized) and len(inputs) != len(boxes):
        raise ValueError(f"boxes must have one entry an image: got {len(boxes)} entries for {len(inputs)} images.")
    read = _Reader(inputs, boxes, do_rescale, timeout)
    if not num_workers:
        return read.in_turn()
    indexed = [value for value in (inputs, boxes) if value is not None]
    if not all(isinstance(value, Sized) and hasattr(value, "__getitem__") for value in indexed):
        raise ValueError(f"num_workers={num_workers} needs a list or a dataset; a stream is read with num_workers=0.")
    return iter(DataLoader(read, batch_size=None, num_workers=num_workers, collate_fn=_as_it_is))


@dataclass(frozen=True)
class _Reader(Dataset[LoadedImage]):
    """A map-style dataset of `LoadedImage`, or an iterator over them."""

    inputs: Any
    boxes: Any
    do_rescale: bool
    timeout: float | None

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, number: int) -> LoadedImage:
        return self._load(number, self.inputs[number], None if self.boxes is None else self.boxes[number])

    def in_turn(self) -> Iterator[LoadedImage]:
        boxes = None if self.boxes is None else iter(self.boxes)
        number = -1
        for number, item in enumerate(self.inputs):
            own = None if boxes is None else next(boxes, _NO_MORE)
            if own is _NO_MORE:
                raise ValueError(f"boxes must have one entry an image, but ended after {number} entries.")
            yield self._load(number, item, own)
        if boxes is not None and next(boxes, _NO_MORE) is not _NO_MORE:
            raise ValueError(f"boxes must have one entry an image, but go on after the last of {number + 1} images.")

    def _load(self, number: int, item: Any, boxes: Any) -> LoadedImage:
        image = item
        if isinstance(item, Mapping):
            if "image" not in item or set(item) - {"image", "boxes"} or (boxes is not None and "boxes" in item):
                raise ValueError(
                    f"inputs[{number}] must be a dict of image and, unless given beside it, boxes; got the keys "
                    f"{sorted(map(str, item))}."
                )
            image, boxes = item["image"], item.get("boxes", boxes)
        try:
            pixels = to_rgb_tensor(image, do_rescale=self.do_rescale, timeout=self.timeout)
        except (TypeError, ValueError, OSError) as error:
            raise placed(error, "inputs", number) from error
        return LoadedImage(number=number, pixels=pixels, boxes=boxes)


_NO_MORE = object()


def _as_it_is(value: Any) -> Any:
    return value
