"""Small models and photos for the commands."""

import contextlib
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation, ViTPoseImageProcessor

sys.path.insert(0, str(Path(__file__).parent))

from predict_help import SIZE


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """Folder of a small model with random weights and its processor."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    small = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", **small)).save_pretrained(folder)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE[1], SIZE[0], 3), dtype=np.uint8)
    paths = [tmp_path / "beach.jpg", tmp_path / "street.png"]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    return paths


@pytest.fixture(scope="module")
def plus(tmp_path_factory) -> Path:
    """Folder of a model of two datasets."""
    folder = tmp_path_factory.mktemp("plus")
    small = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", datasets=["coco", "mpii"], **small))
    model.save_pretrained(folder)
    ViTPoseImageProcessor(size={"height": 64, "width": 48}, dark_sigma=1.5).save_pretrained(folder)
    return folder


@pytest.fixture
def served(tmp_path) -> Iterator[str]:
    """Address of a server of the test's folder on this machine; some of its paths answer as bad servers do."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/moved/"):
                self.send_response(302)
                self.send_header("Location", self.path.replace("/moved/", "/www/"))
                self.end_headers()
            elif self.path.startswith(("/endless/", "/breaks/")):
                self.send_response(200)
                self.send_header("Content-Length", str(100 * 1024**2))
                self.end_headers()
                with contextlib.suppress(OSError):
                    for _ in range(1 if self.path.startswith("/breaks/") else 3):
                        self.wfile.write(bytes(1024**2 // 2 + 1))
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
