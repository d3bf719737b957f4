"""Images of a list, a dataset or a stream, read one after the other or by worker processes, with their boxes."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers.image_utils import load_image

from .images_vitpose import check_path, to_rgb_tensor

_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class LoadedImage:
    """An image in memory.

    Args:
        number: its place in the input, for messages.
        pixels: `(3, height, width)` RGB, uint8, or float32 in the range that the processor expects.
        boxes: its people, or None where they are still to be found.
    """

    number: int
    pixels: Tensor
    boxes: Any

    def named(self, function: Callable[..., _Result], *args: Any, **kwargs: Any) -> _Result:
        """Call a function; its complaint about the input then names this image."""
        return _named(self.number, function, *args, **kwargs)


def load_images(
    inputs: Any, boxes: Any, *, do_rescale: bool, timeout: float | None = None, num_workers: int = 0
) -> Iterator[LoadedImage]:
    """Read images as they are asked for.

    Args:
        inputs: an iterable of images, or of dicts with `image` and, optionally, `boxes`.
        boxes: one entry an image in any iterable, or None.
        do_rescale: as of [`to_rgb_tensor`].
        timeout: seconds to wait for an image from a URL.
        num_workers: processes to read with; they need inputs that can be indexed, such as a list or a dataset.

    Raises:
        TypeError, ValueError: inputs or boxes that are none, or not as many boxes as images.
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
        if isinstance(image, (str, Path)) and not os.path.isfile(image):  # Path.is_file fails on long base64
            _named(number, check_path, image)
            image = _named(number, load_image, str(image), timeout=self.timeout)
        pixels = _named(number, to_rgb_tensor, image, do_rescale=self.do_rescale)
        return LoadedImage(number=number, pixels=pixels, boxes=boxes)


_NO_MORE = object()


def _as_it_is(value: Any) -> Any:
    return value


def _named(number: int, function: Callable[..., _Result], *args: Any, **kwargs: Any) -> _Result:
    try:
        return function(*args, **kwargs)
    except (TypeError, ValueError, OSError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"inputs[{number}]: {error}") from error
