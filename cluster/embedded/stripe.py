"""The Stripe double of the `localstripe` package as a process of its own, for machines without a Stripe account."""

import signal
import sys
from pathlib import Path

import httpx

from cluster.embedded.process import Child, Running, SetupError, await_ready, remembered_port, require_port

START_SECONDS = 60.0
DOUBLE = Path(__file__).with_name("stripe_double.py")


class EmbeddedStripe:
    """A double that keeps its customers and subscriptions in `folder` and sends signed webhooks to `webhook_url`."""

    def __init__(
        self, folder: Path, *, webhook_url: str | None = None, webhook_secret: str = "", port: int | None = None
    ) -> None:
        self.folder = folder.resolve()
        self._webhook_url = webhook_url
        self._webhook_secret = webhook_secret
        self._port = port
        self._child: Child | None = None

    @property
    def child(self) -> Child | None:
        return self._child

    def open(self) -> Running:
        """Start the double and register the webhook; raise SetupError when it does not come up."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._port is not None:
            require_port(self._port, "the Stripe double", "another one")
        port = self._port or remembered_port(self.folder / "port")
        command: list[str | Path] = [sys.executable, "-I", DOUBLE, str(port), self.folder / "store.pickle"]
        log = self.folder.parent / "logs" / "stripe.log"
        self._child = Child.start("Stripe double", command, log=log, cwd=self.folder)
        url = f"http://127.0.0.1:{port}"
        try:
            await_ready(self._child, lambda: _answers(url), seconds=START_SECONDS)
            if self._webhook_url is not None:
                self._register(url, self._webhook_url)
        except BaseException:
            self.close()
            raise
        return Running("Stripe double", url, self._child.pid, port)

    def close(self) -> None:
        if self._child is not None:
            self._child.stop(signal.SIGTERM, seconds=5.0)
            self._child = None

    def _register(self, url: str, target: str) -> None:
        form = {"url": target, "secret": self._webhook_secret}
        try:
            httpx.post(f"{url}/_config/webhooks/loquent", data=form, timeout=10).raise_for_status()
        except httpx.HTTPError as error:
            raise SetupError(f"The Stripe double does not take the webhook ({error}).") from error


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/js.stripe.com/v3/", timeout=5).is_success
    except httpx.HTTPError:
        return False
