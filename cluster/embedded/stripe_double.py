"""Program that serves `localstripe` on 127.0.0.1 with its data in a given file; run by path, never imported."""

import os
import pickle
import sys
from pathlib import Path

from aiohttp import web
from localstripe import resources, server


def main(port: int, file: Path) -> None:
    """The package itself listens on every interface and keeps its data in a shared temporary folder."""

    def dump(store: "resources.Store") -> None:
        draft = file.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            pickle.dump(dict(store), handle)
        draft.replace(file)

    def load(store: "resources.Store") -> None:
        if file.exists():
            dict.update(store, pickle.loads(file.read_bytes()))  # noqa: S301  # written by ourselves, mode 0600

    resources.Store.dump_to_disk = dump
    resources.Store.try_load_from_disk = load
    resources.store.try_load_from_disk()
    web.run_app(server.app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
