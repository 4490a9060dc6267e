"""Listening sockets: found free, refused with a reason."""

from __future__ import annotations

import os

import pytest

from softprompt.errors import Conflict, UsageError
from softprompt.supervisor import sockets


def test_port_0_takes_a_free_one() -> None:
    with sockets.listen("localhost", 0, "--port") as listening:
        assert sockets.port_of(listening) > 0
        assert listening.getsockname()[0] == "127.0.0.1"


def test_a_port_in_use_names_its_owner() -> None:
    with sockets.listen("127.0.0.1", 0, "--port") as listening:
        port = sockets.port_of(listening)
        with pytest.raises(Conflict, match=rf"--tls-port: port {port} on 127.0.0.1 is in use by process {os.getpid()}"):
            sockets.listen("127.0.0.1", port, "--tls-port")


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("203.0.113.7", 0, "--host: 203.0.113.7 is no address of this machine"),
        ("no such host", 0, "--host: 'no such host' is no address"),
        ("127.0.0.1", 70000, "--port: 70000 is no port"),
    ],
)
def test_what_cannot_be_is_refused(host: str, port: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sockets.listen(host, port, "--port")
