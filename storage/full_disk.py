"""Recognises that a write failed because the disk is full, from whichever library it comes."""

import errno

_CODES = (errno.ENOSPC, errno.EDQUOT)
_TEXTS = ("No space left on device", "os error 28", "Disk quota exceeded", "os error 122")
"""What libraries without Python's error numbers say."""


def is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _CODES:
        return True
    return any(text in str(error) for text in _TEXTS)
