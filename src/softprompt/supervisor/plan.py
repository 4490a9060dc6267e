"""What `softprompt up` was asked for, and the processes that follow from it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from softprompt.config import StudioSettings, address_problem
from softprompt.errors import ParameterInvalid

Kind = Literal["web", "worker", "serving"]
MOST = 64
"""Processes of a kind."""
LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The options of `up`."""

    settings: StudioSettings
    host: str = "127.0.0.1"
    port: int = 8440
    tls_port: int = 8443
    tls_cert: Path | None = None
    tls_key: Path | None = None
    workers: int = 1
    web_processes: int = 1
    serving: bool = True
    vllm: str | None = None
    trust_proxy: bool = False
    sample: bool = False
    device: str = "cpu"
    """As torch calls it; several with commas between them are dealt out to the workers, the first one also serves."""

    def __post_init__(self) -> None:
        problems = []
        if not 0 <= self.workers <= MOST:
            problems.append(f"--workers: {self.workers} is not between 0 and {MOST}")
        if not 1 <= self.web_processes <= MOST:
            problems.append(f"--web-processes: {self.web_processes} is not between 1 and {MOST}")
        if self.port == self.tls_port != 0:
            problems.append(f"--tls-port: {self.tls_port} is the port of plain HTTP too; choose another one")
        if self.vllm is not None and (problem := address_problem(self.vllm)):
            problems.append(f"--vllm: {problem}")
        if problems:
            raise ParameterInvalid("; ".join(problems) + ".")

    @property
    def log_dir(self) -> Path:
        return self.settings.data_dir / "logs"

    @property
    def shown_host(self) -> str:
        """What stands in addresses that people open on this machine."""
        return {"0.0.0.0": "localhost", "::": "localhost", "::1": "[::1]"}.get(self.host, self.host)


def plain_warning(host: str, port: int, *, trust_proxy: bool) -> str:
    """What has to be said where others can reach the plain port; nothing if they cannot, or a proxy is in front."""
    if host in LOCAL or trust_proxy:
        return ""
    return (
        f"Warning: on {host} others can reach port {port}, where keys and passwords travel unencrypted. Give them the "
        "TLS address only (--tls-port), or put a proxy with TLS in front (--trust-proxy)."
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A process to keep alive.

    Attributes:
        words: of the command line, behind `python -m softprompt`.
        fds: descriptors it gets.
    """

    kind: Kind
    number: int
    words: tuple[str, ...]
    fds: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.kind if self.kind == "serving" else f"{self.kind} {self.number}"

    @property
    def file_name(self) -> str:
        return self.name.replace(" ", "-")


def parts(plan: Plan, plain: int, tls: int, cert: Path, key: Path) -> list[Part]:
    """The processes, in the order in which they start.

    Args:
        plain, tls: descriptors of the listening sockets.
        cert, key: files of the certificate.
    """
    web = ["web", "--fd", str(plain), "--tls-fd", str(tls), "--tls-cert", str(cert), "--tls-key", str(key)]
    if plan.trust_proxy:
        web.append("--trust-proxy")
    found = [Part("web", number, tuple(web), (plain, tls)) for number in range(1, plan.web_processes + 1)]
    devices = plan.device.split(",")
    if plan.serving:
        vllm = ("--vllm", plan.vllm) if plan.vllm else ()
        found.append(Part("serving", 1, ("serve", "--device", devices[0], *vllm)))
    numbers = range(1, plan.workers + 1)
    return found + [Part("worker", n, ("worker", "--device", devices[(n - 1) % len(devices)])) for n in numbers]


def command(part: Part, lifeline: int, log_file: Path, *, quiet: bool) -> list[str]:
    """The whole command line of a process."""
    words = [sys.executable, "-m", "softprompt", *part.words, "--lifeline", str(lifeline), "--log-file", str(log_file)]
    return [*words, "--process", part.name, *(["--quiet"] if quiet else [])]
