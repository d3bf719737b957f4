"""Photos read ahead in threads, in their order; one that cannot be read costs itself and no other."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import httpx
from PIL import Image
from torch import Tensor

from vitpose.processing.images_vitpose import to_rgb_photo, to_rgb_tensor

from .sources import PhotoSource

logger = logging.getLogger(__name__)

READERS = 4  # threads that read; files are waited for as well as decoded
MAX_BYTES = 256 * 1024**2  # of a photo at an address
TIMEOUT = 30.0  # seconds in which a server has to say something
LONGEST = 300.0  # seconds in which it has to have said everything

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """A photo that could not be read, or whose people could not be cut out.

    Args:
        source: Which.
        reason: Why, in one line.
    """

    source: PhotoSource
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Pixels:
    """A photo in memory.

    Args:
        source: Which.
        pixels: `(3, height, width)` RGB, upright; uint8, or float32 where 8 bits would lose something.
    """

    source: PhotoSource
    pixels: Tensor


def read_ahead(photos: Iterable[PhotoSource], *, do_rescale: bool = True) -> Iterator[Pixels | Unreadable]:
    """Read photo after photo in threads; no more are in memory than threads, and as many that wait.

    Args:
        photos: Which.
        do_rescale: As of `to_rgb_tensor`.
    """
    several: list[PhotoSource] = []

    def read(source: PhotoSource) -> Pixels | Unreadable:
        try:
            with open_photo(source.place) as image:
                if getattr(image, "is_animated", False) and image.format != "MPO":  # a phone's photo and its preview
                    several.append(source)
                return Pixels(source=source, pixels=to_rgb_tensor(image, do_rescale=do_rescale))
        except UnreadablePhotoError as error:
            return Unreadable(source=source, reason=str(error))

    with threads(READERS) as executor:
        yield from in_order(executor, read, photos, ahead=READERS)
    if several:
        logger.warning(
            "%d photos have further frames or pages, such as %s: the first was taken. Save them as a video or photos.",
            *(len(several), several[0].place),
        )


@contextmanager
def threads(count: int) -> Iterator[Executor]:
    """Threads for a block; where it raises, what they have not begun is dropped, and what they do is not waited for.

    Python itself waits for them before it ends.
    """
    executor = ThreadPoolExecutor(count, thread_name_prefix="vitpose")
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def in_order(
    executor: Executor, function: Callable[[_Item], _Result], items: Iterable[_Item], *, ahead: int
) -> Iterator[_Result]:
    """What a function makes of item after item, computed by an executor; `ahead` items are begun before their turn."""
    pending: deque[Future[_Result]] = deque()
    for item in items:
        pending.append(executor.submit(function, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


class UnreadablePhotoError(ValueError):
    """A photo that cannot be read; the message says why, without its name."""


def read_photo(place: Path | str) -> Image.Image:
    """A photo of a file or an address as a new RGB image of 8 bits, upright.

    Raises:
        UnreadablePhotoError: It cannot be read.
    """
    with open_photo(place) as image:
        return to_rgb_photo(image)


@contextmanager
def open_photo(place: Path | str) -> Iterator[Image.Image]:
    """The image of a file or at an address, whose pixels are read in the block.

    Raises:
        UnreadablePhotoError: There is none, or the block could not read it.
    """
    try:
        opened = BytesIO(download(place)) if isinstance(place, str) else _regular_file(place)
        with Image.open(opened) as image:
            yield image
    except Exception as error:  # decoders of damaged files raise whatever comes: struct.error, IndexError, SyntaxError
        raise UnreadablePhotoError(_reason(error)) from error


def read_bytes(place: Path | str) -> bytes:
    """The photo as it lies in its file or at its address.

    Raises:
        UnreadablePhotoError: There is none.
    """
    try:
        return download(place) if isinstance(place, str) else _regular_file(place).read_bytes()
    except (OSError, ValueError) as error:
        raise UnreadablePhotoError(_reason(error)) from error


def download(address: str) -> bytes:
    """What lies at an http(s) address; redirections are followed.

    Raises:
        ValueError: The server cannot be reached, answers with an error, or sends too much or too slowly.
    """
    content, end = bytearray(), time.monotonic() + LONGEST
    try:
        with httpx.stream("GET", address, follow_redirects=True, timeout=TIMEOUT) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                content += part
                if len(content) > MAX_BYTES:
                    raise ValueError(f"more than {MAX_BYTES // 1024**2} MiB")
                if time.monotonic() > end:
                    raise ValueError(f"cannot be fetched in {LONGEST:.0f} s")
    except httpx.HTTPStatusError as error:
        raise ValueError(f"the server answers {error.response.status_code} {error.response.reason_phrase}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ValueError(f"cannot be fetched: {str(error) or type(error).__name__}") from error
    return bytes(content)


def _regular_file(path: Path) -> Path:
    """The path, unless reading it would wait forever or give no photo."""
    if not path.exists():
        raise FileNotFoundError("no longer there")
    if not path.is_file():
        raise ValueError("not a file")
    if path.stat().st_size == 0:
        raise ValueError("an empty file")
    return path


def _reason(error: Exception) -> str:
    """What is wrong, in a line, without the photo's name."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image that can be read here"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, Image.DecompressionBombError):
        return "too large: more than twice PIL.Image.MAX_IMAGE_PIXELS, make it smaller"
    text = " ".join(str(error).split()).rstrip(".")
    return text or type(error).__name__
