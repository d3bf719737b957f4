"""Videos at addresses, over loopback: files, HLS, streams that are sent, and servers that fail."""

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitpose import KeypointDetectionPipeline
from vitpose.base.files import TINY_CHECKPOINT
from vitpose.processing.prediction_vitpose import PosePredictor
from vitpose.video.files import predict_video
from vitpose.video.finding import find_whole_image
from vitpose.video.frames import Frame
from vitpose.video.live import newest_frames
from vitpose.video.people import VideoPredictor
from vitpose.video.reader import VideoReader
from vitpose.video.writer import VideoWriter

av = pytest.importorskip("av", reason="videos come with the video extra")
pytest.importorskip("trackers", reason="tracking comes with the video extra")


@cache
def tiny_predictor() -> PosePredictor:
    return KeypointDetectionPipeline.from_pretrained(TINY_CHECKPOINT).predictor()


COUNT, RATE = 40, 20  # frames of the clip, and frames a second


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A clip of noise, as a file and as HLS."""
    folder, random = tmp_path_factory.mktemp("site"), np.random.default_rng(0)
    with VideoWriter(folder / "clip.mp4", frame_rate=Fraction(RATE), time_base=Fraction(1, RATE)) as writer:
        for index in range(COUNT):
            writer.write(Image.fromarray(random.integers(0, 255, (96, 128, 3), np.uint8)), index / RATE)
    with (
        av.open(str(folder / "clip.mp4")) as old,
        av.open(str(folder / "clip.m3u8"), "w", format="hls", options={"hls_time": "1", "hls_list_size": "0"}) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return folder


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and tells nobody."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[object]:
    """Starts servers, and gives their addresses."""
    servers = []

    def start(handler: object) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def run(address: str, out: Path) -> list[dict]:
    predictor = VideoPredictor(predictor=tiny_predictor(), find_people=find_whole_image)
    predict_video(predictor, address, out)
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def drawn_frames(out: Path) -> int:
    (drawn,) = out.glob("*_pose.mp4")
    with VideoReader(drawn) as video:
        return len(list(video))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8"])
def test_a_video_at_an_address(name, folder, serve, tmp_path, caplog):
    lines = run(f"{serve(partial(Quiet, directory=folder))}/{name}?token=1", tmp_path / "out")
    assert [line["frame"] for line in lines] == list(range(COUNT))
    assert [line["time"] for line in lines] == pytest.approx(np.arange(COUNT) / RATE, abs=1e-3)
    assert (tmp_path / "out" / "clip_pose.mp4").is_file()
    assert not [record.message for record in caplog.records if record.levelno > logging.INFO]


def half_of(folder: Path) -> type[BaseHTTPRequestHandler]:
    class Half(BaseHTTPRequestHandler):
        """Promises a clip, and breaks off in the middle."""

        def do_GET(self) -> None:
            content = (folder / "clip.mp4").read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])

        def log_message(self, *_: object) -> None:
            pass

    return Half


def test_a_server_that_breaks_off(folder, serve, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        lines = run(f"{serve(half_of(folder))}/clip.mp4", tmp_path / "out")
    assert 0 < len(lines) < COUNT and drawn_frames(tmp_path / "out") == len(lines)
    assert "clip.mp4 ends early: " in caplog.text or "clip.mp4 breaks off: " in caplog.text


def test_a_stream_that_stops(folder, serve, tmp_path, caplog, monkeypatch):
    """The list of parts promises more, which never comes."""
    monkeypatch.setattr("vitpose.video.opening.TIMEOUT", 1.0)
    content = (folder / "clip.m3u8").read_text().replace("#EXT-X-ENDLIST", "").strip() + "\n"
    (folder / "live.m3u8").write_text(content)
    begin = time.monotonic()
    with caplog.at_level(logging.WARNING):
        lines = run(f"{serve(partial(Quiet, directory=folder))}/live.m3u8", tmp_path / "out")
    assert 0 < len(lines) <= COUNT and drawn_frames(tmp_path / "out") == len(lines)
    assert "live.m3u8 stopped: nothing more came." in caplog.text
    assert time.monotonic() - begin < 30


def test_a_server_that_never_answers(tmp_path, monkeypatch):
    monkeypatch.setattr("vitpose.video.opening.TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://user:secret@127.0.0.1:{server.getsockname()[1]}/clip.mp4"
        begin = time.monotonic()
        with pytest.raises(FileNotFoundError, match="clip.mp4 does not answer: waited for 0.5 seconds") as raised:
            run(address, tmp_path / "out")
        assert time.monotonic() - begin < 10
    assert "secret" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_an_address_where_nothing_is(folder, serve, tmp_path):
    site = serve(partial(Quiet, directory=folder))
    with pytest.raises(FileNotFoundError, match="none.mp4 cannot be opened: .*404 Not Found. Check the address"):
        run(f"{site}/none.mp4", tmp_path / "out")
    (folder / "text.mp4").write_text("no video at all")
    with pytest.raises(ValueError, match="text.mp4 cannot be read as a video"):
        run(f"{site}/text.mp4", tmp_path / "out")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


SENDER = """
import sys, time, av
with av.open(sys.argv[1]) as old, av.open(sys.argv[2] + "?listen=1", "w", format="mpegts") as new:
    stream = new.add_stream_from_template(old.streams.video[0])
    for packet in old.demux(video=0):
        if packet.dts is not None:
            packet.stream = stream
            new.mux(packet)
            time.sleep(0.025)
"""


def test_a_stream_that_is_sent(folder, tmp_path, caplog):
    """By a sender that takes its time and then hangs up; its frames have the times of the sender."""
    address = f"tcp://127.0.0.1:{free_port()}"
    # a process of its own: PyAV waits for who connects without letting another thread run
    with subprocess.Popen([sys.executable, "-c", SENDER, str(folder / "clip.mp4"), address]) as sender:
        try:
            lines = run_when_there(address, tmp_path / "out")
        finally:
            sender.kill()
    assert 0 < len(lines) <= COUNT and drawn_frames(tmp_path / "out") == len(lines)
    assert [line["frame"] for line in lines] == list(range(len(lines)))
    times = np.array([line["time"] for line in lines]) * RATE
    assert times == pytest.approx(times.round(), abs=0.05) and (np.diff(times) > 0.9).all()
    assert (tmp_path / "out" / "127.0.0.1_pose.mp4").is_file()
    assert f"{address} stopped: nothing more came." in caplog.text


def run_when_there(address: str, out: Path) -> list[dict]:
    """The lines, once the sender listens."""
    for _ in range(100):
        try:
            return run(address, out)
        except FileNotFoundError:
            time.sleep(0.1)
    raise TimeoutError(address)


def test_who_is_slow_sees_the_newest_frame(caplog):
    shown = threading.Event()

    def camera() -> Iterator[Frame]:
        for index in range(10):
            yield Frame(index=index, time=index / 10, pixels=np.zeros(0))
            if index == 0:
                shown.wait(5)

    seen = []
    with caplog.at_level(logging.INFO), newest_frames(camera(), "camera 0") as frames:
        for frame in frames:
            seen.append((frame.index, frame.time))
            shown.set()
            time.sleep(0.1)
    assert seen == [(0, 0.0), (1, 0.9)]
    assert "camera 0: 8 frames came while others were looked at, and were passed over" in caplog.text


def test_a_camera_that_fails_says_so():
    def camera() -> Iterator[Frame]:
        yield Frame(index=0, time=0.0, pixels=np.zeros(0))
        raise ValueError("unplugged")

    with newest_frames(camera(), "camera 0") as frames, pytest.raises(ValueError, match="unplugged"):
        list(frames)
