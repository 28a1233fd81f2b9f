"""CPU time of sealing and opening what one turn stores: `python -m benchmarks.sealing`."""

import json
import os
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from domain.ids import DocumentId, MessageId, SessionId, TenantId
from domain.sealing import citation_place, message_place
from storage.keys import TenantCipher

VALUES, TEXT = 10, "The lamp costs 40 euros. " * 41
ROUNDS = 2_000
FILE_BYTES = 50 * 1024 * 1024


def measure() -> dict[str, Any]:
    """Ten values of about 1 kB, as a question, an answer and eight citations are; and one file of 50 MiB."""
    cipher = TenantCipher(TenantId(UUID(int=1)), {1: os.urandom(32)})
    session, message = SessionId(UUID(int=2)), MessageId(UUID(int=3))

    def place(number: int) -> str:
        return message_place(session, message) if number < 2 else citation_place(session, message, number)

    sealed = [cipher.seal_text(place(number), TEXT) for number in range(VALUES)]

    def seal() -> None:
        for number in range(VALUES):
            cipher.seal_text(place(number), TEXT)

    def unseal() -> None:
        for number, value in enumerate(sealed):
            cipher.open_text(place(number), value)

    keys, data = cipher.for_document(DocumentId(UUID(int=4))), os.urandom(FILE_BYTES)
    file = keys.seal("original", data)
    return {
        "bytes_each": len(TEXT),
        "seal_ten_ms": round(_milliseconds(seal, ROUNDS), 4),
        "open_ten_ms": round(_milliseconds(unseal, ROUNDS), 4),
        "seal_50_mib_ms": round(_milliseconds(lambda: keys.seal("original", data), 5), 1),
        "open_50_mib_ms": round(_milliseconds(lambda: keys.open("original", file), 5), 1),
    }


def _milliseconds(work: Callable[[], object], rounds: int) -> float:
    """CPU time of one call."""
    before = time.process_time()
    for _ in range(rounds):
        work()
    return 1000 * (time.process_time() - before) / rounds


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
