"""Seeding the demo goes on when a replica goes while it answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from cluster import demo
from cluster.embedded.process import SetupError


class Platform(BaseHTTPRequestHandler):
    lost: ClassVar[int] = 1
    """Requests whose connection ends without an answer."""

    def do_GET(self) -> None:
        if self.path == "/chatbots":
            self._answer({"items": [{"id": "b1", "name": demo.CHATBOT["name"]}]})
        else:
            self._answer({"items": [{"name": "shipping.md", "status": "ready"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if Platform.lost:
            Platform.lost -= 1
            self.close_connection = True
            return
        self._answer({"access_token": "a token"})

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(demo, "AGAIN_SECONDS", 0.0)
    with ThreadingHTTPServer(("127.0.0.1", 0), Platform) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_lost_answer_is_asked_for_again(url: str) -> None:
    Platform.lost = 2
    assert demo.seed_demo(url) == "b1"
    assert Platform.lost == 0


def test_whoever_is_interrupted_does_not_try_again(url: str) -> None:
    Platform.lost = 1
    with pytest.raises(SetupError, match="RemoteProtocolError"):
        demo.seed_demo(url, interrupted=lambda: True)
