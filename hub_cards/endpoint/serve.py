"""A local Inference Endpoint, to try a model and its requests: `vitpose serve`.

It is made for trying out and for one team's use: no encryption, no accounts. The number of connections, of requests
that are worked on and of bytes of a request are bounded, so its memory is too.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

from vitpose.processing.keypoint_detection_pipeline import KeypointDetectionPipeline

from .handler import EndpointHandler

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 32_000_000
MAX_CONNECTIONS = 512
MAX_AT_ONCE = 2  # requests whose body is in memory; the others wait in line
WAIT_SECONDS = 60.0  # in the line
SILENCE_SECONDS = 30.0  # of a client that has not sent all of its request
BODY_SECONDS = 60.0  # for all of it

Answer = Callable[[dict[str, Any]], Any]


class EndpointServer(ThreadingHTTPServer):
    """HTTP server that answers `POST /` by calling `answer`, and `GET /` as a health check.

    Args:
        answer: The endpoint's handler; a ValueError or TypeError of it is the sender's mistake.
        host: Address to listen on.
        port: Port to listen on, 0 for a free one.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, answer: Answer, *, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((host, port), _Request)
        self.answer = answer
        self.at_once = threading.BoundedSemaphore(MAX_AT_ONCE)
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for the connection, or refuse it."""
        if self._connections.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        request.settimeout(1.0)
        body = _encode({"error": f"{MAX_CONNECTIONS} connections are open already: try again later."})
        head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        try:
            request.sendall(head.encode() + body)
        except OSError as error:
            logger.debug("%s went away: %s", client_address, error)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer the requests of a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a lost connection; errors of requests do not come here."""
        logger.debug("connection to %s lost", client_address, exc_info=True)


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Request(BaseHTTPRequestHandler):
    server: EndpointServer
    protocol_version = "HTTP/1.1"
    timeout = SILENCE_SECONDS

    def do_GET(self) -> None:
        """Answer the health check."""
        known = urlsplit(self.path).path in ("/", "/health")
        self._send(HTTPStatus.OK, {"status": "ok"}) if known else self._send(
            HTTPStatus.NOT_FOUND, {"error": "POST to /"}
        )

    def do_POST(self) -> None:
        """Answer a request."""
        if not self.server.at_once.acquire(timeout=WAIT_SECONDS):
            self.close_connection = True
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "too many requests are waiting: try again later."})
            return
        try:
            status, content = self._result()
        finally:
            self.server.at_once.release()
        self._send(status, content)

    def _result(self) -> tuple[HTTPStatus, Any]:
        try:
            return HTTPStatus.OK, self.server.answer(self._data())
        except _Refused as refusal:
            return refusal.status, {"error": str(refusal)}
        except (ValueError, TypeError) as error:
            return HTTPStatus.BAD_REQUEST, {"error": str(error)}
        except ConnectionError:
            raise
        except Exception:  # the next request may be answered all the same
            logger.exception("a request failed")
            return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "the server failed; its log says why."}

    def _data(self) -> dict[str, Any]:
        """Parse the request for the handler."""
        url, kind = urlsplit(self.path), self.headers.get_content_type()
        if url.path not in ("/", "/predict"):
            self._refuse(HTTPStatus.NOT_FOUND, f"there is nothing at {url.path}: POST to /.")
        body = self._body()
        if kind == "application/json":
            try:
                return json.loads(body)
            except ValueError as error:
                raise _Refused(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}.") from error
        if kind.startswith("image/") or kind == "application/octet-stream":
            return {"inputs": body, "parameters": dict(parse_qsl(url.query))}
        raise _Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type must be application/json or image/..., got {kind}."
        )

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "Content-Length must say how long the body is.")
        if int(length) > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request may have {MAX_BODY_BYTES} bytes.")
        body, deadline = bytearray(), time.monotonic() + BODY_SECONDS
        while len(body) < int(length):
            try:
                part = self.rfile.read1(min(int(length) - len(body), 65536))
            except TimeoutError:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"nothing more came for {SILENCE_SECONDS:g} s.")
            if not part:
                raise ConnectionError("the client left in the middle of a request")
            if time.monotonic() > deadline:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request took longer than {BODY_SECONDS:g} s.")
            body += part
        return bytes(body)

    def _refuse(self, status: HTTPStatus, message: str) -> NoReturn:
        """Refuse a request whose body was not read, and close the connection."""
        self.close_connection = True
        raise _Refused(status, message)

    def _send(self, status: HTTPStatus, content: Any) -> None:
        body = _encode(content)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        if self.close_connection:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)  # so that a client that still sends can read the answer

    def log_message(self, format: str, *args: Any) -> None:
        """Log one line per request, at debug level."""
        logger.debug("%s %s", self.address_string(), format % args)


def serve(folder: str, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Load a model and answer requests until Ctrl-C.

    Args:
        folder: Folder or Hub id; see `EndpointHandler`.
        host: Address to listen on; `0.0.0.0` lets other machines in.
        port: Port to listen on.
    """
    # vitpose is here: the code beside a model is neither needed nor run
    handler = EndpointHandler(folder, trust_remote_code=False, pipeline_class=KeypointDetectionPipeline)
    with EndpointServer(handler, host=host, port=port) as server:
        logger.info("listening on http://%s:%d; Ctrl-C ends it", host, server.server_port)
        server.serve_forever()


def _encode(content: Any) -> bytes:
    return json.dumps(content).encode()
