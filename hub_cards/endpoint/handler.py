"""Handler of an Inference Endpoint: images and boxes in, people with named keypoints out.

`vitpose publish` puts this file into the repository. The model and its pipeline come from the remote code beside it, so
the endpoint installs `requirements.txt` and no vitpose.

A request is JSON, `{"inputs": IMAGE or [IMAGE, ...], "parameters": {...}}`, or the bytes of one image with the
parameters in the query. An IMAGE is base64, a data URL, or an http(s) address. Parameters, all optional: `boxes`, the
people of an image as `[[x, y, width, height], ...]` in its pixels, or one such list for each image; `dataset`,
`threshold` and `flip_test` as in the pipeline. The environment variable VITPOSE_DETECTOR names an object-detection
model that finds the people of images without boxes; without it, one person fills such an image.
"""

import base64
import binascii
import contextlib
import http.client
import io
import ipaddress
import json
import os
import socket
import ssl
import string
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from PIL import Image, ImageOps, UnidentifiedImageError
from transformers import pipeline

TASK: Any = "keypoint-detection"  # the annotations of `pipeline` list transformers' own tasks alone
PARAMETERS = ("boxes", "dataset", "threshold", "flip_test")
MAX_IMAGES = 32  # of a request
MAX_PEOPLE = 300  # of a request
MAX_BYTES = 20_000_000  # of an encoded image
MAX_PIXELS = 50_000_000  # of an image; a small file can hold a huge one
FETCH_SECONDS = 10.0  # to get an image from the web, all in all, once names are resolved
MAX_REDIRECTS = 3


class EndpointHandler:
    """A pose model behind an Inference Endpoint.

    Args:
        path: Folder or Hub id of the model.
        settings: Further ones of `transformers.pipeline`; without any the code that lies beside the model is run, which
            is how an endpoint works without vitpose installed.
    """

    def __init__(self, path: str = "", **settings: Any) -> None:
        detector = os.environ.get("VITPOSE_DETECTOR")
        if detector is not None:
            settings["detector"] = detector
        self._pipeline = pipeline(TASK, model=path, **{"trust_remote_code": True, **settings})

    def __call__(self, data: dict[str, Any]) -> list[Any]:
        """Find the people.

        Args:
            data: The request, see above; an image may also be bytes or a PIL image.

        Returns:
            For one image the list of its people as the pipeline gives them, for a list of images one such list each.

        Raises:
            ValueError, TypeError: Something about the request; the endpoint answers 400 with the message.
        """
        if not isinstance(data, dict) or "inputs" not in data:
            raise ValueError('the request must be an object with "inputs": an image, or a list of images.')
        inputs, parameters = data["inputs"], _parameters(data.get("parameters"))
        many = isinstance(inputs, list)
        images, boxes = inputs if many else [inputs], parameters.pop("boxes", None)
        if boxes is not None and not many:
            boxes = [boxes]
        _check_amount(images, boxes)
        people = self._pipeline(
            [_with_input_index(read_image, i, image) for i, image in enumerate(images)], boxes, **parameters
        )
        return people if many else people[0]


def read_image(source: Any) -> Image.Image:
    """Read an image from bytes, base64, a data URL, an http(s) address or a PIL image, upright by its EXIF orientation.

    A string is never taken for a file of the machine. The pipeline makes RGB of it, without clipping 16 bits to 8.

    Raises:
        TypeError: Unsupported type.
        ValueError: It cannot be read, or is larger than this endpoint takes.
    """
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, str):
        source = fetch(source) if source.startswith(("http://", "https://")) else _from_base64(source)
    if not isinstance(source, bytes):
        raise TypeError(f"an image must be base64 or an http(s) address, got {type(source).__name__}.")
    if len(source) > MAX_BYTES:
        raise ValueError(f"an image may have {MAX_BYTES} bytes, this one has {len(source)}: send a smaller one.")
    try:
        with Image.open(io.BytesIO(source)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"an image may have {MAX_PIXELS} pixels, this one is {image.width} x {image.height}.")
            return ImageOps.exif_transpose(image)  # a copy, decoded
    except UnidentifiedImageError as error:
        raise ValueError("the bytes are no image that can be read: send JPEG, PNG or WebP.") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"the image cannot be read: {error}.") from error


def fetch(url: str, *, is_allowed: Callable[[str], bool] | None = None) -> bytes:
    """Fetch the bytes at an http(s) address of the public internet.

    The machine may see services that the sender of a request must not: names are resolved once, only public addresses
    are connected to, and redirects pass the same check.

    Args:
        url: The address.
        is_allowed: Filter for IP addresses to connect to; default: public ones.

    Raises:
        ValueError: The address is not public, does not answer in time, or answers with something else than an image's
            worth of bytes.
    """
    deadline = time.monotonic() + FETCH_SECONDS
    for _ in range(MAX_REDIRECTS + 1):
        try:
            answer = _get(urlsplit(url), is_allowed or _is_public, deadline)
        except (OSError, http.client.HTTPException) as error:
            _check_time(url, deadline)
            raise ValueError(f"{url} cannot be fetched: {error}.") from error
        _check_time(url, deadline)  # a connection that was cut looks like the end of headers or of a body
        if isinstance(answer, bytes):
            return answer
        url = urljoin(url, answer)
    raise ValueError(f"{url} cannot be fetched: more than {MAX_REDIRECTS} redirects.")


def _get(url: SplitResult, is_allowed: Callable[[str], bool], deadline: float) -> bytes | str:
    """The body, or the address of a redirect."""
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"{url.geturl()} is no http(s) address.")
    target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    with _connect(url, is_allowed, deadline) as connection:
        connection.request(
            "GET", quote(target, safe=string.punctuation), headers={"User-Agent": "vitpose", "Accept": "image/*"}
        )
        response = connection.getresponse()
        if response.status in (301, 302, 303, 307, 308):
            return response.headers.get("Location", "")
        if response.status != 200:
            raise ValueError(f"{url.geturl()} answered {response.status}, expected 200 and an image.")
        return _read(response, url.geturl())


@contextlib.contextmanager
def _connect(
    url: SplitResult, is_allowed: Callable[[str], bool], deadline: float
) -> Iterator[http.client.HTTPConnection]:
    """A connection to an allowed address of the host, cut at the deadline; the name is not looked up a second time."""
    port = url.port or (443 if url.scheme == "https" else 80)
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(url.hostname, port, type=socket.SOCK_STREAM)]
    allowed = [address for address in found if is_allowed(address)]
    if not allowed:
        raise ValueError(f"{url.hostname} is no public address: send the image itself as base64.")
    connection = http.client.HTTPConnection(str(url.hostname), port)
    wire = socket.create_connection((allowed[0], port), timeout=max(deadline - time.monotonic(), 0.1))
    if url.scheme == "https":
        tls = ssl.create_default_context()
        wire = tls.wrap_socket(wire, server_hostname=url.hostname, do_handshake_on_connect=False)
    connection.sock = wire
    cut = threading.Timer(deadline - time.monotonic(), _cut, [wire])  # the timeout is that of a single byte
    cut.start()
    try:
        if isinstance(wire, ssl.SSLSocket):
            wire.do_handshake()
        yield connection
    finally:
        cut.cancel()
        connection.close()


def _cut(wire: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        socket.socket.shutdown(wire, socket.SHUT_RDWR)  # not that of TLS, whose reader is at work


def _check_time(url: str, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise ValueError(
            f"{url} cannot be fetched: it took longer than {FETCH_SECONDS:g} s. Send the image itself as base64."
        )


def _read(response: http.client.HTTPResponse, url: str) -> bytes:
    parts, size = [], 0
    while part := response.read1(65536):
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise ValueError(f"{url} has more than {MAX_BYTES} bytes: send a smaller image.")
    return b"".join(parts)


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return parsed.is_global and not parsed.is_multicast


def _from_base64(text: str) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)  # it may be broken into lines
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the image is neither base64 nor an http(s) address, it starts {text[:24]!r}.") from error


def _parameters(parameters: Any) -> dict[str, Any]:
    """Parse the parameters of a request; those of a query are JSON in strings."""
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise TypeError(f"parameters must be an object, got {type(parameters).__name__}.")
    unknown = sorted(set(parameters) - set(PARAMETERS))
    if unknown:
        raise ValueError(f"parameters are {', '.join(PARAMETERS)}; got {', '.join(unknown)}.")
    return {name: _value(name, value) for name, value in parameters.items() if value is not None}


def _value(name: str, value: Any) -> Any:
    if name == "dataset" or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"parameters, {name}: expected JSON, got {value!r}.") from error


def _check_amount(images: list[Any], boxes: Any) -> None:
    if not 1 <= len(images) <= MAX_IMAGES:
        raise ValueError(f"inputs: expected 1 to {MAX_IMAGES} images, got {len(images)}.")
    if boxes is None:
        return
    if not isinstance(boxes, list) or len(boxes) != len(images) or not all(isinstance(own, list) for own in boxes):
        raise ValueError("boxes: expected a list [[x, y, width, height], ...] for each image.")
    count = sum(map(len, boxes))
    if count > MAX_PEOPLE:
        raise ValueError(f"boxes: expected at most {MAX_PEOPLE} in a request, got {count}: send several.")


def _with_input_index(action: Callable[[Any], Any], index: int, value: Any) -> Any:
    """Result of the action; errors name the input."""
    try:
        return action(value)
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError  # those derived take other arguments
        raise kind(f"inputs[{index}]: {error}") from error
