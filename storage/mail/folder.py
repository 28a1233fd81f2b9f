"""Mail as files: for one machine without a mail server, and for tests."""

import asyncio
from pathlib import Path
from tempfile import NamedTemporaryFile

from domain.errors import Unavailable
from domain.mail import Mail
from storage.mail.message import message_of


class FolderMailer:
    """One `<id>.eml` per mail, readable by the platform's own account only; a mail sent again is the same file."""

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        data = message_of(mail, self._sender).as_bytes()
        try:
            await asyncio.to_thread(self._write, f"{mail.id}.eml", data)
        except OSError as error:
            raise Unavailable("The folder of mails cannot be written.") from error

    def _write(self, name: str, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made with mode 0600; it has its name only when it is whole.
        with NamedTemporaryFile(dir=self._folder, prefix=".", delete=False) as file:
            file.write(data)
        Path(file.name).replace(self._folder / name)
