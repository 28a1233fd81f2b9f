"""`loquent up`: starts every part of a local installation in order, watches them, and stops them in reverse."""

import logging
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

import structlog
from pydantic import SecretStr
from rich.console import Console

from cluster.demo import seed_demo
from cluster.embedded.postgres import EmbeddedPostgres
from cluster.embedded.process import Child, Running, SetupError, remembered_secret, require_port
from cluster.embedded.stripe import EmbeddedStripe
from cluster.embedded.valkey import EmbeddedValkey
from cluster.external import check_redis, migrate_database
from cluster.key_file import installed_master_keys
from cluster.keys import require_master_keys
from cluster.local_engine import choose_local_engine, this_machine
from cluster.processor_group import join_processor_group, leave_processor_group
from cluster.ray_head import RayHead
from cluster.runtime import RunState, end_leftovers, new_state, only_one
from cluster.steps import Steps
from configs.ray_environment import adopt
from configs.settings import DEMO_EMAIL, DEMO_PASSWORD, Settings
from domain.errors import AppError
from storage.models.prepare import prepare_models

log = structlog.get_logger()

LEAST_DISK_BYTES = 1024**3
OPEN_FILES = 65_536


class EmbeddedPart(Protocol):
    @property
    def child(self) -> Child | None: ...

    def open(self) -> Running: ...

    def close(self) -> None: ...


class Installation:
    """The parts of one data folder. `run` returns when a signal asks for the end."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self._settings = settings
        self._folder = settings.root
        self._steps = Steps(console)
        self._parts: dict[str, EmbeddedPart] = {}
        self._stop = threading.Event()
        self._state: RunState | None = None

    def run(self) -> None:
        """Start all, say `ready`, watch, and stop all. Raises SetupError with one sentence."""
        with only_one(self._folder), ExitStack() as stack:
            self._take_signals()
            if join_processor_group():
                stack.callback(leave_processor_group)
            end_leftovers(self._folder)
            self._state = new_state()
            stack.callback((self._folder / "run.json").unlink, missing_ok=True)
            stack.callback(self._close_parts)
            try:
                self._start(stack)
                self._watch()
            except _Interrupted:
                pass
            except AppError as error:
                raise SetupError(error.message) from error
            self._steps.say("Stopping …")

    def _start(self, stack: ExitStack) -> None:
        settings, step = self._settings, self._steps.step
        with step("Checking this machine"):
            self._check_machine()
            if settings.redis_url is not None:
                check_redis(settings.redis_url)
            # Once, while nothing of ours takes memory: replicas that come later must not choose otherwise.
            engine = choose_local_engine(settings, this_machine())
        if engine.reason:
            self._steps.say(f"  The language model runs in llama.cpp: {engine.reason}.")
        with step("Preparing the models"):
            prepare_models(settings, self._steps.say)
        secret = settings.secret_key.get_secret_value() or remembered_secret(self._folder / "secret_key")
        updates: dict[str, object] = {
            "secret_key": SecretStr(secret),
            "master_keys": SecretStr(installed_master_keys(settings)),
            "data_dir": self._folder,
            "local_engine": engine.kind,
        }
        if settings.database_url is None:
            updates["database_url"] = self._open("PostgreSQL", EmbeddedPostgres(self._folder / "postgres")).url
        if settings.redis_url is None:
            updates["redis_url"] = self._open("Valkey", EmbeddedValkey(self._folder / "valkey")).url
        if settings.stripe_base_url is None and _is_default_key(settings):
            updates["stripe_base_url"] = self._open("Stripe double", self._stripe()).url
        settings = settings.model_copy(update=updates)
        with step("Migrating the database"):
            migrate_database(settings.database_url or "", secret)
            require_master_keys(settings)
        assert self._state is not None
        self._state.local_engine = engine.kind
        head = RayHead(self._folder)
        adopt(head.environment)
        self._open("Ray", head)
        with step("Deploying the application (the language model loads now)"):
            self._deploy(settings, head, stack)
        url = f"http://{settings.host}:{settings.port}"
        with step("Seeding the demo"):
            seed_demo(url, interrupted=self._stop.is_set)
        self._announce(url)

    def _open(self, name: str, part: EmbeddedPart) -> Running:
        self._raise_if_stopped()
        with self._steps.step(f"Starting {name}"):
            running = part.open()
        self._parts[name] = part
        self._note(running)
        return running

    def _deploy(self, settings: Settings, head: RayHead, stack: ExitStack) -> None:
        import ray

        # After the flags are in the environment, because Serve reads them at import.
        from cluster.app import deploy

        self._raise_if_stopped()
        ray.init(address=head.address, namespace="loquent", log_to_driver=False, logging_level=logging.ERROR)
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        self._take_signals()  # Ray has put its own handlers in their place
        stack.callback(ray.shutdown)
        done: list[BaseException | None] = []

        def work() -> None:
            try:
                deploy(settings)
                done.append(None)
            except BaseException as error:  # noqa: BLE001 - it is raised again in the main thread
                done.append(error)

        # In a thread, so that Ctrl-C is answered while the model loads.
        threading.Thread(target=work, daemon=True).start()
        while not done:
            self._raise_if_stopped()
            if head.child is None or head.child.exit_code is not None:
                raise SetupError(f"Ray ended unexpectedly; its log is {self._folder / 'logs' / 'ray.log'}.")
            time.sleep(0.1)
        if done[0] is not None:
            log.error("deploy.failed", error=repr(done[0]))
            raise SetupError(f"The application could not be deployed: {str(done[0]).splitlines()[0]}") from done[0]

    def _announce(self, url: str) -> None:
        assert self._state is not None
        self._state.url, self._state.ready = url, True
        self._state.save(self._folder)
        say = self._steps.say
        say("")
        say(f"  Chat page   [bold]{url}/[/bold]")
        say(f"  API docs    [bold]{url}/docs[/bold]")
        say(f"  Demo log-in [bold]{DEMO_EMAIL}[/bold] / [bold]{DEMO_PASSWORD}[/bold]")
        say("")
        say(f"[bold green]ready[/bold green] after {self._steps.seconds:.0f} s. Ctrl-C stops everything; data stays.")

    def _watch(self) -> None:
        """Restart a server that died; without Ray there is nothing to serve, so that its end is ours."""
        while not self._stop.wait(1.0):
            for name, part in self._parts.items():
                if part.child is not None and part.child.exit_code is None:
                    continue
                if name == "Ray":
                    raise SetupError(f"Ray ended unexpectedly; its log is {self._folder / 'logs' / 'ray.log'}.")
                log.warning("part.restarting", part=name)
                with suppress(SetupError):
                    self._note(part.open())

    def _check_machine(self) -> None:
        raise_open_files()
        require_port(self._settings.port, "the page and the API", "LOQUENT_PORT", "0.0.0.0")  # noqa: S104
        free = shutil.disk_usage(_existing(self._folder)).free
        if free < LEAST_DISK_BYTES:
            raise SetupError(f"The disk of {self._folder} is nearly full ({free // 1024**2} MiB left); make room.")

    def _stripe(self) -> EmbeddedStripe:
        return EmbeddedStripe(
            self._folder / "stripe",
            webhook_url=f"http://127.0.0.1:{self._settings.port}/webhooks/stripe",
            webhook_secret=self._settings.stripe_webhook_secret.get_secret_value(),
        )

    def _note(self, running: Running) -> None:
        assert self._state is not None
        self._state.note(running)
        self._state.save(self._folder)

    def _close_parts(self) -> None:
        for name, part in reversed(self._parts.items()):
            self._steps.say(f"[dim]  {name}[/dim]")
            _quietly(part.close)

    def _take_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the last comes when the terminal is closed
            signal.signal(number, lambda *_: self._stop.set())

    def _raise_if_stopped(self) -> None:
        if self._stop.is_set():
            raise _Interrupted


class _Interrupted(Exception):
    """The user asked for the end while parts were starting."""


def raise_open_files() -> None:
    """Every socket is a file, and the usual soft limit is far below what the system allows us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _quietly(work: Callable[[], object]) -> None:
    """The end must go on whatever a part says."""
    try:
        work()
    except Exception as error:  # noqa: BLE001
        log.warning("stop.failed", error=repr(error))


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)


def _is_default_key(settings: Settings) -> bool:
    default: SecretStr = Settings.model_fields["stripe_api_key"].default
    return settings.stripe_api_key.get_secret_value() == default.get_secret_value()
