"""Video files, cameras, and addresses of videos and streams, opened with errors that name them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..photos.source_names import as_text, short_name

if TYPE_CHECKING:
    from av.container import InputContainer

TIMEOUT = 10.0  # seconds without an answer, or without anything new, after which an address or a camera has ended
_BY_DEMAND = ("http", "https")  # what is sent when it is asked for; all others send on, whether anyone keeps up or not

Source = Path | int | str
"""A file, the number of a camera, or an address such as `https://…/clip.mp4`, `https://…/live.m3u8`, `rtsp://…`."""


def import_av() -> ModuleType:
    """PyAV."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('Reading videos needs PyAV: pip install "vitpose[video]".') from error
    return av


def source_name(source: Source) -> str:
    """What messages call a source; an address without its user and password."""
    if isinstance(source, int):
        return f"camera {source}"
    if isinstance(source, Path):
        return str(source)
    parts = urlsplit(source)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def source_stem(source: Source) -> str:
    """What files made from a source are called."""
    if isinstance(source, int):
        return f"camera{source}"
    if isinstance(source, Path):
        return short_name(as_text(source.stem))
    parts = urlsplit(source)
    return short_name(Path(parts.path).stem) or parts.hostname or "stream"


def sends_on(source: Source) -> bool:
    """Whether a source goes on while nobody reads it, so that a slow reader has to miss something."""
    return isinstance(source, int) or (isinstance(source, str) and urlsplit(source).scheme not in _BY_DEMAND)


def open_source(source: Source) -> InputContainer:
    """Open a source.

    Raises:
        FileNotFoundError: There is no such file or camera, or nothing answers at the address.
        ValueError: It cannot be read as a video.
    """
    av = import_av()
    if isinstance(source, int):
        return _open_webcam(source)
    if isinstance(source, str):
        return _open_address(source)
    if not source.is_file():
        raise FileNotFoundError(f"There is no video {source}.")
    try:
        return av.open(f"file:{source}")  # a name may look like an address
    except av.FFmpegError as error:
        raise ValueError(f"{source} cannot be read as a video: {error.strerror}.") from error


def _open_address(address: str) -> InputContainer:
    av, name = import_av(), source_name(address)
    options = {"rtsp_transport": "tcp"} if address.startswith("rtsp") else {}  # lost packets would tear the pictures
    try:
        return av.open(address, timeout=TIMEOUT, options=options)
    except av.error.ExitError as error:
        raise FileNotFoundError(f"{name} does not answer: waited for {TIMEOUT:g} seconds.") from error
    except av.error.InvalidDataError as error:
        raise ValueError(f"{name} cannot be read as a video: {error.strerror}.") from error
    except (av.FFmpegError, OSError) as error:
        raise FileNotFoundError(f"{name} cannot be opened: {error.strerror}. Check the address.") from error


def _open_webcam(index: int) -> InputContainer:
    av = import_av()
    try:
        if sys.platform == "darwin":  # Apple's cameras refuse the rate of 29.97 that is asked for otherwise
            return av.open(f"{index}:none", format="avfoundation", options={"framerate": "30"})
        if sys.platform == "win32":  # there cameras go by name
            from av.device import enumerate_input_devices

            cameras = [device for device in enumerate_input_devices("dshow") if "video" in device.media_types]
            return av.open(f"video={cameras[index].name}", format="dshow")
        return av.open(f"/dev/video{index}", format="v4l2")
    except (av.FFmpegError, IndexError) as error:
        raise FileNotFoundError(
            f"Camera {index} cannot be opened: {error}. The first one is 0; is it plugged in, free and permitted?"
        ) from error
