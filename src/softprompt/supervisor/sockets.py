"""Listening sockets: bound by the parent before anything starts, shared by web processes, kept over their deaths."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from pathlib import Path

from softprompt.errors import Conflict, UsageError

BACKLOG = 2048
_LISTENING = "0A"


def listen(host: str, port: int, option: str) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Args:
        option: of the command line that says the port, for messages.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"{option}: {port} is no port; 1 to 65535 are, and 0 for any free one.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(f"--host: {host!r} is no address ({error}). Use 127.0.0.1, 0.0.0.0 or one of yours.") from None
    # A name such as localhost has two addresses; clients try the older kind anyway.
    family, kind, protocol, _, address = min(found, key=lambda item: item[0] != socket.AF_INET)
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(BACKLOG)
        return made
    except OSError as error:
        made.close()
        raise _explained(error, host, port, option) from error


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def who_has(port: int) -> str | None:
    """The process that listens on a port of this machine, as far as this user may see it."""
    with suppress(OSError, ValueError):
        inodes = _inodes(port)
        for process in Path("/proc").iterdir() if inodes else ():
            if process.name.isdecimal() and _holds(process, inodes):
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                return f"process {process.name} ({words[:100]})"
    return None


def _explained(error: OSError, host: str, port: int, option: str) -> Conflict | UsageError:
    if error.errno == errno.EADDRINUSE:
        who = who_has(port)
        by = f"by {who}" if who else "by another process"
        return Conflict(f"{option}: port {port} on {host} is in use {by}. Stop it, or choose another port: {option} N.")
    if error.errno == errno.EACCES:
        return UsageError(
            f"{option}: port {port} may only be used by the system's administrator. Choose one over 1023."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"--host: {host} is no address of this machine. Use 127.0.0.1, 0.0.0.0 or one of yours.")
    return UsageError(f"{option}: {host}:{port} cannot be used: {error.strerror}.")


def _inodes(port: int) -> set[str]:
    """Inodes of the sockets that listen on a port, from the kernel's tables."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            if words[3] == _LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                found.add(words[9])
    return found


def _holds(process: Path, inodes: set[str]) -> bool:
    with suppress(OSError):  # other people's processes, and those that end meanwhile
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                target = link.readlink().name
                if target.startswith("socket:[") and target[8:-1] in inodes:
                    return True
    return False
