"""The unprivileged operating-system user that PostgreSQL insists on when we are root."""

import errno
import os
import pwd
import shutil
import stat
import struct
import subprocess
from pathlib import Path

from cluster.embedded.process import Login, SetupError

USER = "loquent"
ACL = "system.posix_acl_access"
# acl(5), include/uapi/linux/posix_acl_xattr.h: a version, then (tag, permissions, id) for each entry
OWNER, NAMED_USER, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
NO_ID = 0xFFFF_FFFF
SEARCH = 0o1


def unprivileged_login() -> Login | None:
    """None unless we are root; then our own system user, made on first use, or `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in (USER, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            if name == USER and not _make_user():
                continue
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
        return Login(entry.pw_uid, entry.pw_gid)
    raise SetupError("PostgreSQL may not run as root and no other user can be made; start Loquent as an ordinary user.")


def _make_user() -> bool:
    command = shutil.which("useradd")
    if command is None:
        return False
    arguments = [command, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER]
    return subprocess.run(arguments, capture_output=True, check=False).returncode == 0


def open_path(folder: Path, login: Login) -> None:
    """Let `login` pass through every parent of `folder`, and give nobody else anything more."""
    for parent in reversed(folder.resolve().parents):
        state = parent.stat()
        if state.st_mode & stat.S_IXOTH or (state.st_uid == login.uid and state.st_mode & stat.S_IXUSR):
            continue
        try:
            _grant_search(parent, login, state.st_mode)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOSYS):
                raise SetupError(f"PostgreSQL's user cannot be let into {parent} ({error.strerror}).") from error
            parent.chmod(stat.S_IMODE(state.st_mode) | stat.S_IXOTH)


def _grant_search(folder: Path, login: Login, mode: int) -> None:
    owner, group, other = (mode >> 6) & 7, (mode >> 3) & 7, mode & 7
    entries = {(OWNER, NO_ID): owner, (GROUP, NO_ID): group, (MASK, NO_ID): group | SEARCH, (OTHER, NO_ID): other}
    try:
        data = os.getxattr(folder, ACL)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
    else:
        entries = {(tag, who): bits for tag, bits, who in struct.iter_unpack("<HHI", data[4:])}
        entries.setdefault((MASK, NO_ID), group)
        entries[(MASK, NO_ID)] |= SEARCH
    entries[(NAMED_USER, login.uid)] = entries.get((NAMED_USER, login.uid), 0) | SEARCH
    packed = b"".join(struct.pack("<HHI", tag, bits, who) for (tag, who), bits in sorted(entries.items()))
    os.setxattr(folder, ACL, struct.pack("<I", 2) + packed)


def open_tree(folder: Path) -> None:
    """Make installed program files readable for everybody, as a strict umask may have hidden them."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | (0o055 if mode & stat.S_IXUSR else 0o044)
        if wanted != mode:
            path.chmod(wanted)
