"""The handler of an Inference Endpoint, and the local server around it: every request gets an answer."""

import ast
import base64
import contextlib
import http.client
import io
import json
import shutil
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from skimage.data import astronaut

import vitpose.hub_cards.endpoint.handler as handler_module
from vitpose.hub_cards.endpoint.handler import EndpointHandler, fetch, read_image
from vitpose.hub_cards.endpoint.serve import MAX_BODY_BYTES, EndpointServer, serve
from vitpose.processing.images_vitpose import to_rgb_tensor

BOX = [20, 10, 60, 100]
ROOM = 300_000_000  # bytes that the server may grow by under load


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


PHOTO = encode(Image.fromarray(astronaut()).resize((128, 128)))
PHOTO64 = base64.b64encode(PHOTO).decode()


@pytest.fixture(scope="module")
def handler(saved_model) -> EndpointHandler:
    return EndpointHandler(str(saved_model))


@pytest.fixture(scope="module")
def server(handler):
    with EndpointServer(handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def ask(server, body: bytes, *, path: str = "/", kind: str = "application/json", **headers: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=120)
    connection.request("POST", path, body, {"Content-Type": kind, **headers})
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer


# ---------------------------------------------------------------------------------------------------------- the handler


def test_it_travels_alone():
    """Its imports are Python's own, and what requirements.txt names."""
    tree = ast.parse(Path(handler_module.__file__).read_text("utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not any(getattr(node, "level", 0) for node in nodes)
    modules = [node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in nodes]
    assert {name.split(".")[0] for name in modules} - sys.stdlib_module_names == {"PIL", "transformers"}


def test_an_image_and_its_boxes_give_the_pipelines_people(handler):
    people = handler({"inputs": PHOTO64, "parameters": {"boxes": [BOX, [0, 0, 128, 128]]}})
    assert [person["box"]["xmin"] for person in people] == pytest.approx([20, 0])
    assert [len(person["keypoints"]) for person in people] == [17, 17]
    assert people == handler._pipeline(Image.open(io.BytesIO(PHOTO)), boxes=[BOX, [0, 0, 128, 128]])
    json.dumps(people)


SOURCES = [
    ("base64", PHOTO64),
    ("base64 in lines, as `base64` prints it", base64.encodebytes(PHOTO).decode()),
    ("a data URL", f"data:image/png;base64,{PHOTO64}"),
    ("bytes", PHOTO),
    ("a decoded image, as an endpoint passes it", Image.open(io.BytesIO(PHOTO))),
]


@pytest.mark.parametrize(("why", "source"), SOURCES, ids=[row[0] for row in SOURCES])
def test_sources_of_an_image(why, source):
    np.testing.assert_array_equal(np.asarray(read_image(source)), np.asarray(Image.open(io.BytesIO(PHOTO))))


def test_a_photo_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was on its side
    stream = io.BytesIO()
    Image.new("RGB", (40, 20)).save(stream, "JPEG", exif=exif)
    assert read_image(stream.getvalue()).size == (20, 40)


def test_a_photo_of_16_bits_is_not_clipped():
    assert set(to_rgb_tensor(read_image(encode(Image.new("I;16", (4, 3), 90 * 257)))).flatten().tolist()) == {90.0}


def test_a_batch_gives_a_list_for_each_image(handler):
    people = handler({"inputs": [PHOTO64, PHOTO64], "parameters": {"boxes": [[BOX], []], "threshold": 0}})
    assert [len(own) for own in people] == [1, 0]
    assert handler({"inputs": [PHOTO64, PHOTO64]}) == [handler({"inputs": PHOTO64})] * 2, "one person fills each image"


BAD_REQUESTS = [
    ("no object", [], '"inputs"'),
    ("no inputs", {}, '"inputs"'),
    ("no image", {"inputs": []}, "expected 1 to 32 images, got 0"),
    ("too many images", {"inputs": [PHOTO64] * 33}, "expected 1 to 32 images, got 33"),
    ("a number", {"inputs": 3}, "inputs.0.: an image must be base64 or an http.s. address, got int"),
    ("a path of the machine", {"inputs": "/etc/passwd"}, "inputs.0.: the image is neither base64 nor"),
    ("another scheme", {"inputs": "file:///etc/passwd"}, "neither base64 nor"),
    ("bytes that are no image", {"inputs": base64.b64encode(b"hello").decode()}, "bytes are no image"),
    (
        "an image cut short",
        {"inputs": [PHOTO64, base64.b64encode(PHOTO[:900]).decode()]},
        "inputs.1.: the image cannot",
    ),
    ("parameters that are a list", {"inputs": PHOTO64, "parameters": []}, "parameters must be an object"),
    ("an unknown parameter", {"inputs": PHOTO64, "parameters": {"box": []}}, "parameters are boxes, .*; got box"),
    ("a detector of the sender's", {"inputs": PHOTO64, "parameters": {"detector": "x/y"}}, "got detector"),
    ("boxes that are text", {"inputs": PHOTO64, "parameters": {"boxes": "all"}}, "boxes: expected JSON, got 'all'"),
    ("boxes that are flat", {"inputs": PHOTO64, "parameters": {"boxes": BOX}}, "box"),
    ("a box of three", {"inputs": PHOTO64, "parameters": {"boxes": [[1, 2, 3]]}}, "box"),
    ("a box beside the image", {"inputs": PHOTO64, "parameters": {"boxes": [[900, 900, 5, 5]]}}, "inputs.0."),
    ("boxes for one image of two", {"inputs": [PHOTO64] * 2, "parameters": {"boxes": [[BOX]]}}, "for each image"),
    ("too many boxes", {"inputs": PHOTO64, "parameters": {"boxes": [BOX] * 301}}, "at most 300 in a request, got 301"),
    ("an unknown dataset", {"inputs": PHOTO64, "parameters": {"dataset": "mpii"}}, "dataset"),
]


@pytest.mark.parametrize(("why", "request_", "message"), BAD_REQUESTS, ids=[row[0] for row in BAD_REQUESTS])
def test_bad_requests_are_told_what_is_wrong(why, request_, message, handler):
    with pytest.raises((ValueError, TypeError), match=message):
        handler(request_)


def test_an_error_of_a_kind_of_its_own_is_told(handler, monkeypatch):
    monkeypatch.setattr(handler_module, "fetch", lambda url: url.encode("ascii"))  # UnicodeEncodeError
    with pytest.raises(ValueError, match=r"inputs\[0\]: 'ascii' codec can't encode character"):
        handler({"inputs": "http://größe"})


def test_huge_images_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(handler_module, "MAX_PIXELS", 100)
    with pytest.raises(ValueError, match="may have 100 pixels, this one is 128 x 128"):
        read_image(PHOTO)
    monkeypatch.setattr(handler_module, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="may have 100 bytes"):
        read_image(PHOTO)


# -------------------------------------------------------------------------------------------------- images from the web


class _Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.send_response({"/moved": 302, "/round": 302, "/none": 404}.get(path, 200))
        self.send_header("Location", "/photo" if path == "/moved" else "/round")
        self.end_headers()
        if path == "/endless":
            for _ in range(200):
                self.wfile.write(b"0" * 65536)
        elif path in ("/photo", "/gr%C3%B6%C3%9Fe%20x.png"):
            self.wfile.write(PHOTO)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture(scope="module")
def web():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Web) as server:
        server.handle_error = lambda *_: None
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_image_is_fetched_also_after_a_redirect(web):
    assert fetch(f"{web}/photo?size=1", is_allowed=lambda _: True) == PHOTO
    assert fetch(f"{web}/moved", is_allowed=lambda _: True) == PHOTO
    for name in ("größe x.png", "gr%C3%B6%C3%9Fe%20x.png"):
        assert fetch(f"{web}/{name}", is_allowed=lambda _: True) == PHOTO


BAD_ANSWERS = [
    ("nothing there", "/none", "answered 404, expected 200"),
    ("redirects without end", "/round", "more than 3 redirects"),
    ("more than an image", "/endless", "more than 1000000 bytes"),
]


@pytest.mark.parametrize(("why", "path", "message"), BAD_ANSWERS, ids=[row[0] for row in BAD_ANSWERS])
def test_bad_answers_of_the_web(why, path, message, web, monkeypatch):
    monkeypatch.setattr(handler_module, "MAX_BYTES", 1_000_000)
    with pytest.raises(ValueError, match=message):
        fetch(web + path, is_allowed=lambda _: True)


def test_a_server_that_never_answers_costs_seconds(monkeypatch):
    monkeypatch.setattr(handler_module, "FETCH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ValueError, match="cannot be fetched"):
        fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/", is_allowed=lambda _: True)


DRIPS = [
    ("headers", "http", b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    ("a body", "http", b"HTTP/1.1 200 OK\r\n\r\n", b"0"),
    ("a handshake", "https", b"\x16\x03\x03\x40\x00", b"0"),
]


@pytest.mark.parametrize(("why", "scheme", "start", "drop"), DRIPS, ids=[row[0] for row in DRIPS])
def test_a_server_that_drips_is_cut_at_the_deadline(why, scheme, start, drop, monkeypatch):
    monkeypatch.setattr(handler_module, "FETCH_SECONDS", 0.3)

    def drip() -> None:
        with contextlib.suppress(OSError), listening.accept()[0] as connection:
            connection.sendall(start)
            for _ in range(100):
                time.sleep(0.05)
                connection.sendall(drop)

    before = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=drip, daemon=True).start()
        with pytest.raises(ValueError, match="took longer than 0.3 s. Send the image itself as base64"):
            fetch(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/", is_allowed=lambda _: True)
    assert time.monotonic() - before < 2


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.png",
        "http://localhost:8000/a.png",
        "http://[::1]/a.png",
        "http://[::ffff:127.0.0.1]/a.png",
        "http://10.0.0.3/a.png",
        "http://192.168.1.1/a.png",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/a.png",
        "http://2130706433/a.png",
    ],
)
def test_addresses_that_are_not_public_are_not_connected_to(url):
    with pytest.raises(ValueError, match="no public address: send the image itself"):
        read_image(url)


def test_a_redirect_to_a_private_address_is_not_followed(web):
    allowed = iter([True, False])
    with pytest.raises(ValueError, match="no public address"):
        fetch(f"{web}/moved", is_allowed=lambda _: next(allowed))


# ----------------------------------------------------------------------------------------------------------- the server


def test_the_server_answers_as_the_handler(server, handler):
    request = {"inputs": PHOTO64, "parameters": {"boxes": [BOX]}}
    assert ask(server, json.dumps(request).encode()) == (200, handler(request))
    path = "/predict?boxes=[[20,10,60,100]]"
    assert ask(server, PHOTO, path=path, kind="image/png") == (200, handler(request))


def test_the_server_says_that_it_is_well(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    for path, status in (("/health", 200), ("/", 200), ("/elsewhere", 404)):
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == status, path
        response.read()
    connection.close()


JSON_PHOTO = json.dumps({"inputs": PHOTO64}).encode()
ERRORS = [
    ("no JSON", b"{", {}, 400, "not JSON"),
    ("a sender's mistake", b"{}", {}, 400, "inputs"),
    ("another type", JSON_PHOTO, {"kind": "text/plain"}, 415, "Content-Type must be"),
    ("another path", JSON_PHOTO, {"path": "/models"}, 404, "nothing at /models"),
    ("a body that is too long", b"", {"Content-Length": str(MAX_BODY_BYTES + 1)}, 413, "32000000 bytes"),
    ("a length that is none", b"", {"Content-Length": "-3"}, 411, "Content-Length"),
]


@pytest.mark.parametrize(("why", "body", "how", "status", "message"), ERRORS, ids=[row[0] for row in ERRORS])
def test_errors_are_json_with_a_status(why, body, how, status, message, server):
    answered, content = ask(server, body, **how)
    assert answered == status and message in content["error"]


def test_a_failure_inside_is_500_and_the_next_request_is_answered(server, handler, monkeypatch, caplog):
    monkeypatch.setattr(server, "answer", lambda _: 1 / 0)
    assert ask(server, JSON_PHOTO)[0] == 500 and "ZeroDivisionError" in caplog.text
    monkeypatch.setattr(server, "answer", handler)
    assert ask(server, JSON_PHOTO)[0] == 200


MALFORMED = [
    (b"{", {}),
    (b"\xff\xfe\x00", {"kind": "image/png"}),
    (b'{"inputs": "' + b"A" * 1_000_000 + b'"}', {}),
    (json.dumps({"inputs": PHOTO64, "parameters": {"boxes": [[1, 2]]}}).encode(), {}),
    (PHOTO[:700], {"kind": "image/png"}),
]


def test_200_at_once_one_in_ten_malformed(server):
    """Each is answered, memory stays bounded, and connections that are just cut do no harm."""
    process, before = psutil.Process(), psutil.Process().memory_info().rss
    peak, together = before, threading.Barrier(200)

    def send(number: int) -> int:
        nonlocal peak
        together.wait()  # so that none is answered before the last is there
        if number % 10:
            status, _ = ask(server, JSON_PHOTO)
        else:
            body, how = MALFORMED[number // 10 % len(MALFORMED)]
            status, _ = ask(server, body, **how)
        peak = max(peak, process.memory_info().rss)
        return status

    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.server_port)) as cut:
            cut.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n12")
    with ThreadPoolExecutor(200) as senders:
        statuses = list(senders.map(send, range(200)))
    assert [status for number, status in enumerate(statuses) if number % 10] == [200] * 180
    assert statuses[::10] == [400] * 20
    assert peak - before < ROOM
    assert ask(server, JSON_PHOTO)[0] == 200


def test_a_request_that_trickles_in_is_given_up(server, monkeypatch):
    monkeypatch.setattr("vitpose.hub_cards.endpoint.serve.BODY_SECONDS", 0.1)
    with socket.create_connection(("127.0.0.1", server.server_port)) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(4):
            slow.sendall(b"1")
            time.sleep(0.05)
        assert slow.recv(100).startswith(b"HTTP/1.1 408 ")


def test_connections_beyond_the_limit_are_turned_away(handler, monkeypatch):
    monkeypatch.setattr("vitpose.hub_cards.endpoint.serve.MAX_CONNECTIONS", 1)
    with EndpointServer(handler) as small:
        threading.Thread(target=small.serve_forever, args=(0.01,), daemon=True).start()
        with socket.create_connection(("127.0.0.1", small.server_port)):
            status, content = ask(small, b"")
            assert status == 503 and "try again later" in content["error"]
        small.shutdown()


def test_serving_a_folder_runs_none_of_its_code(saved_model, tmp_path, monkeypatch):
    """Neither does it need any, such as of a repository whose code was not fetched."""
    folder = shutil.copytree(saved_model, tmp_path / "model")
    for code in folder.glob("*.py"):
        code.write_text("raise SystemExit('code of a stranger')")
    answers = []
    monkeypatch.setattr(EndpointServer, "serve_forever", lambda server: answers.append(server.server_port))
    serve(str(folder), port=0)
    for code in folder.glob("*.py"):
        code.unlink()
    serve(str(folder), port=0)
    assert len(answers) == 2
