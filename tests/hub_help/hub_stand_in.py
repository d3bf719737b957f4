"""A stand-in for the Hub on loopback: as much of its HTTP interface as huggingface_hub's client uses to publish.

It keeps repositories in memory, refuses what the Hub refuses, counts what is sent to it, and fails on command.
"""

import hashlib
import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from hub_interface import Answer, Commit, HubInterface, Repo, new_commit, refuse

from vitpose.base.published import DETECTORS, MODELS


@dataclass
class Fault:
    """What goes wrong with the next requests of a kind.

    Args:
        method, path: The method, and a pattern that the path must hold.
        how: A status to answer, or with the Hub's code for it such as "403 GatedRepo"; "before": cut off with half of
            the body read; "after": do it, and answer nothing; "half": answer, and cut off in the middle of the body.
        times: How many requests.
    """

    method: str
    path: str
    how: int | str
    times: int = 1


class HubStandIn(ThreadingHTTPServer):
    """The server; use as a context manager."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}  # large-file storage by oid
        self.collections: dict[str, list[str]] = {}
        self.benchmarks: set[str] = set()  # ids of datasets
        self.requests: list[tuple[str, str, int]] = []  # method, path, bytes of the body
        self.ranges: list[str] = []  # of the downloads that go on
        self.committed: list[list[str]] = []  # paths in each commit request that was carried out
        self.faults: list[Fault] = []
        self.lock = threading.Lock()

    def __enter__(self) -> "HubStandIn":
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Cut connections are meant."""

    def fail(self, method: str, path: str, how: int | str, times: int = 1) -> None:
        self.faults.append(Fault(method, path, how, times))

    def uploads(self) -> list[int]:
        """Bytes of each upload into large-file storage."""
        return [size for method, path, size in self.requests if method == "PUT" and path.startswith("/lfs/")]

    def head(self, repo_id: str, revision: str = "main") -> Commit:
        return self.repos[repo_id].branches[revision][-1]

    def paths(self, repo_id: str, revision: str = "main") -> set[str]:
        commit = self.head(repo_id, revision)
        return {*commit.files, *commit.lfs}

    def card(self, repo_id: str) -> str:
        return self.head(repo_id).files["README.md"].decode()

    def add_folder(self, repo_id: str, folder: Path) -> None:
        """A public repository with the files of a folder, the weights in large-file storage; a new commit of it."""
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        large = {name: content for name, content in files.items() if name.endswith((".safetensors", ".bin"))}
        lfs = {name: hashlib.sha256(content).hexdigest() for name, content in large.items()}
        self.objects |= {lfs[name]: content for name, content in large.items()}
        if repo_id not in self.repos:
            self.add_repo(repo_id)
        commits = self.repos[repo_id].branches["main"]
        small = {name: content for name, content in files.items() if name not in lfs}
        commits.append(new_commit(f"from {folder.name}", {**commits[-1].files, **small}, lfs, commits[-1].oid))

    def publish_all(self, pose: Path, detector: Path) -> None:
        """The same two models under all names that vitpose knows."""
        for table, folder in ((MODELS, pose), (DETECTORS, detector)):
            for published in table.values():
                self.add_folder(published.repo, folder)

    def asked_for(self, repo_id: str) -> list[str]:
        """Methods and files of the requests for a repository's files."""
        mine = [(method, path) for method, path, _ in self.requests if path.startswith(f"/{repo_id}/resolve/")]
        return [f"{method} {path.split('/')[-1]}" for method, path in mine]

    def add_repo(self, repo_id: str, *, private: bool = False, **files: bytes) -> None:
        first = new_commit("initial commit", {".gitattributes": b"*.safetensors filter=lfs\n", **files}, {}, "")
        self.repos[repo_id] = Repo(private, {"main": [first]})


class _Handler(HubInterface, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def do_GET(self) -> None:
        self._answer("GET")

    do_HEAD = do_POST = do_PUT = lambda self: self._answer(self.command)

    def _answer(self, method: str) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        fault = self._fault(method, url.path)
        if fault == "before":
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        self.body = self._read_body(length)
        with self.server.lock:
            self.server.requests.append((method, url.path, len(self.body)))
            self.server.ranges += self.headers.get_all("Range", [])
        try:
            if re.match(r"\d", str(fault)):
                status, _, code = str(fault).partition(" ")
                raise refuse(int(status), "made to fail", code)
            raise self.route(method, url.path, url.query)
        except Answer as answer:
            if fault == "after":
                self.close_connection = True
                return
            self._send(answer, head=method == "HEAD", cut=fault == "half")

    def _read_body(self, length: int) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(length)
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _fault(self, method: str, path: str) -> int | str | None:
        for fault in self.server.faults:
            if fault.times > 0 and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault.how
        return None

    def _send(self, answer: Answer, *, head: bool, cut: bool) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer.body)))
        if "Authorization" not in self.headers:  # as the Hub does
            self.send_header("X-HF-Warning", "unauthenticated; You are sending unauthenticated requests to the HF Hub.")
        for name, value in answer.headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if not head:
            self.wfile.write(answer.body[: len(answer.body) // 2] if cut else answer.body)
        self.close_connection |= cut
