"""Child processes for parsing: one for each file, forked from a template that has imported the parsers already."""

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

TEMPLATE = str(Path(__file__).with_name("template.py"))
# Nothing of our own environment reaches the parser: it holds passwords and keys.
ENVIRONMENT = {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
START_SECONDS = 60.0
"""For the template's imports on a machine that is very busy."""
KILL_SECONDS = 10.0


class Child:
    """One child: what goes in, what comes out, how it ended. It is dead when the block ends."""

    def __init__(self, to_child: int, from_child: int, fate: socket.socket) -> None:
        self.to_child = os.fdopen(to_child, "wb", buffering=0)
        self.from_child = os.fdopen(from_child, "rb", buffering=0)
        self._fate = fate
        self._status: int | None = None

    def wait(self, seconds: float) -> int:
        """The exit status, or the number of the signal that ended it as a negative one. Raises TimeoutError."""
        if self._status is None:
            said = _receive(self._fate, seconds)
            # A template that is gone was killed, its child most likely with it: there was too little memory.
            self._status = int(said) if said else -9
        return self._status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.to_child, self.from_child):
            stream.close()
        try:
            if self._status is None:
                self._fate.shutdown(socket.SHUT_WR)
                self.wait(KILL_SECONDS)
        except OSError:
            pass  # the template is gone, or so slow that its child will be killed after us
        finally:
            self._fate.close()


class Template:
    """A running template for one script. For use by several threads."""

    def __init__(self, script: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-X", "utf8", TEMPLATE, script, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                pass_fds=[theirs.fileno()],
            )
        self._requests = ours
        self._one_by_one = threading.Lock()

    def fork(self, media_type: str, limits: str) -> Child:
        """A child that runs the script with these arguments. Raises OSError when the template has died."""
        child_reads, to_child = os.pipe()
        from_child, child_writes = os.pipe()
        fate, theirs = socket.socketpair()
        child = Child(to_child, from_child, fate)
        try:
            with self._one_by_one:
                request = json.dumps([media_type, limits]).encode()
                socket.send_fds(self._requests, [request], [child_reads, child_writes, theirs.fileno()])
                theirs.close()
                if _receive(fate, START_SECONDS, 1) != b"+":
                    raise ConnectionResetError("the template of parsers has died")
        except OSError:
            theirs.close()
            with child:
                raise
        finally:
            os.close(child_reads)
            os.close(child_writes)
        return child

    def close(self) -> None:
        """End the template and all its children."""
        self._requests.close()
        try:
            self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_templates: dict[tuple[int, str], Template] = {}
_starting = threading.Lock()


def fork_child(script: str, media_type: str, limits: str) -> Child:
    """A child of this process's template for `script`, which is started when there is none or it has died.

    Raises OSError when that fails as well.
    """
    template = _template(script)
    try:
        return template.fork(media_type, limits)
    except OSError:
        _forget(script, template)
        return _template(script).fork(media_type, limits)


def _template(script: str) -> Template:
    with _starting:
        # A template belongs to the process that started it: a fork of ours must not share the socket.
        key = (os.getpid(), script)
        if key not in _templates:
            _templates[key] = Template(script)
        return _templates[key]


def _forget(script: str, template: Template) -> None:
    with _starting:
        if _templates.get((os.getpid(), script)) is template:
            del _templates[os.getpid(), script]
            template.close()


def close_templates() -> None:
    """End every template of this process; the next file starts one again."""
    with _starting:
        for key in [key for key in _templates if key[0] == os.getpid()]:
            _templates.pop(key).close()


atexit.register(close_templates)


def _receive(channel: socket.socket, seconds: float, most: int = 16) -> bytes:
    """Bytes from a socket, none at its end. Raises TimeoutError."""
    # Not select(): descriptors may be many. Not settimeout(): the socket stays a plain one.
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    if not poll.poll(seconds * 1_000):
        raise TimeoutError
    return channel.recv(most)
