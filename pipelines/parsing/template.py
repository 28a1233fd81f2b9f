"""The template process: it imports the parsers once, and forks a child for every file.

Run as a script by `pipelines.parsing.children`, in isolated mode and with nothing of our environment: starting Python
and importing a parser anew for every file would cost more than parsing most of them. The template itself never sees a
file, so every child starts as clean as a new process. Arguments: the script that a child runs, and the descriptor of a
socket on which every request is one JSON line `[media type, limits]` with three descriptors: the child's input, its
output and a socket for its fate. On the last the template says `+` when the child runs and its exit status when it has
ended (negative: the signal). When the other side closes that one earlier, the child is killed; when it closes the first
socket, all are.
"""

import gc
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

LONGEST_REQUEST = 16_384
AUTOGROUP_NICENESS = 19
"""The processor serves conversations first."""


class Template:
    def __init__(self, script: str, requests: socket.socket) -> None:
        self._script = script
        self._requests = requests
        self._fates: dict[int, socket.socket] = {}
        """By process id of the child."""
        self._selector = selectors.DefaultSelector()
        self._ended, self._ended_writes = os.pipe()

    def serve(self) -> None:
        """Fork until the other side closes its socket."""
        for end in (self._ended, self._ended_writes):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._ended_writes)
        self._selector.register(self._requests, selectors.EVENT_READ)
        self._selector.register(self._ended, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._requests:
                    if not self._take():
                        return self._kill_all()
                elif key.fileobj is self._ended:
                    with suppress(BlockingIOError):
                        os.read(self._ended, 4_096)
                    self._reap()
                else:
                    self._selector.unregister(key.fileobj)
                    _kill(key.data)

    def _take(self) -> bool:
        line, descriptors, _, _ = socket.recv_fds(self._requests, LONGEST_REQUEST, 3)
        if not line or len(descriptors) != 3:
            return False
        media_type, limits = json.loads(line)
        _preload(media_type)
        source, answer, fate = descriptors
        pid = os.fork()
        if pid == 0:
            self._become_child(source, answer, [media_type, limits])
        os.close(source)
        os.close(answer)
        channel = socket.socket(fileno=fate)
        self._fates[pid] = channel
        self._selector.register(channel, selectors.EVENT_READ, pid)
        with suppress(OSError):
            channel.send(b"+")
        return True

    def _become_child(self, source: int, answer: int, arguments: list[str]) -> None:
        status = 1
        try:
            os.setsid()
            _stay_behind()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(source, 0)
            os.dup2(answer, 1)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            sys.argv = [self._script, *arguments]
            runpy.run_path(self._script, run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except MemoryError:
            os.kill(os.getpid(), signal.SIGKILL)  # as the system ends one that wants too much
        finally:
            with suppress(Exception):
                sys.stdout.flush()
            os._exit(status)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            channel = self._fates.pop(pid)
            with suppress(KeyError):
                self._selector.unregister(channel)
            with suppress(OSError):
                channel.send(str(os.waitstatus_to_exitcode(status)).encode())
            channel.close()

    def _kill_all(self) -> None:
        for pid in self._fates:
            _kill(pid)


def _kill(pid: int) -> None:
    """The child with all that it started; it is not reaped yet, so that its id is still its own."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _stay_behind() -> None:
    """Linux may weigh sessions before the niceness within them (sched(7), autogroups): a new one begins as equal."""
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(AUTOGROUP_NICENESS), "ascii")


def _preload(media_type: str) -> None:
    """Import what parses this type; where that fails, the child says so."""
    from pipelines.parsing.registry import PARSERS, load_parser, load_reader

    known = len(sys.modules)
    with suppress(Exception):
        load_parser(media_type) if media_type in PARSERS else load_reader(media_type)
    if len(sys.modules) != known:
        gc.collect()
        gc.freeze()  # children need no copies of what they never change


def main(script: str, descriptor: str) -> None:
    _stay_behind()
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from pipelines.background import step_back

    step_back()
    import domain.documents  # noqa: F401
    import pipelines.parsing.limits  # noqa: F401

    Template(script, socket.socket(fileno=int(descriptor))).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)
