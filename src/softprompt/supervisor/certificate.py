"""The certificate of the TLS listener: one that was given, checked; or one that the studio signs itself and renews."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from softprompt.errors import UsageError

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

LIFE = timedelta(days=397)
"""Longer ones are refused by some clients, whoever signed them."""
RENEW = timedelta(days=30)
"""Before its end."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM form.

    Attributes:
        own: made by the studio.
        made: just now.
    """

    cert: Path
    key: Path
    expires: datetime
    own: bool
    made: bool = False


def given(cert: Path | None, key: Path | None) -> Certificate | None:
    """The certificate of `--tls-cert` and `--tls-key`; None if neither is given, refused if they do not fit."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise UsageError("--tls-cert and --tls-key belong together; give both or neither.")
    problems = []
    leaf = private = None
    try:
        leaf = x509.load_pem_x509_certificates(cert.read_bytes())[0]
    except (OSError, ValueError) as error:
        problems.append(f"--tls-cert: {cert} holds no certificate in PEM form ({_short(error)})")
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        problems.append(f"--tls-key: {key} holds no private key in PEM form without a password ({_short(error)})")
    if leaf is not None and leaf.not_valid_after_utc <= datetime.now(UTC):
        problems.append(f"--tls-cert: {cert} expired on {leaf.not_valid_after_utc:%Y-%m-%d}; get a new one")
    if leaf is not None and private is not None and leaf.public_key() != private.public_key():
        problems.append(f"--tls-key: {key} is not the key of the first certificate in {cert}")
    if problems or leaf is None:
        raise UsageError("; ".join(problems) + ".")
    return Certificate(cert.absolute(), key.absolute(), leaf.not_valid_after_utc, own=False)


def ensure(folder: Path, host: str, at: datetime | None = None) -> Certificate:
    """The studio's own certificate; made if there is none, if it ends soon, or if it does not name `host`."""
    at = at or datetime.now(UTC)
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = _names(host)
    expires = _still_good(cert, key, names, at)
    if expires is not None:
        return Certificate(cert, key, expires, own=True)
    folder.mkdir(parents=True, exist_ok=True)
    _make(cert, key, names, at)
    return Certificate(cert, key, at + LIFE, own=True, made=True)


def _names(host: str) -> list[str]:
    found = ["localhost", "127.0.0.1", "::1", socket.gethostname()]
    if host not in ("0.0.0.0", "::", ""):  # these mean every address, and are none
        found.append(host)
    return list(dict.fromkeys(found))


def _still_good(cert: Path, key: Path, names: list[str], at: datetime) -> datetime | None:
    from cryptography import x509

    try:
        found = given(cert, key)
        alternatives = x509.load_pem_x509_certificate(cert.read_bytes()).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (UsageError, OSError, ValueError, x509.ExtensionNotFound):
        return None
    there = {str(item.value) for item in alternatives.value}
    good = found is not None and found.expires - at > RENEW and there >= set(names)
    return found.expires if good and found is not None else None


def _make(cert: Path, key: Path, names: list[str], at: datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Softprompt studio")])
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)  # signatures, nothing else
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(at - timedelta(hours=1))  # clocks of clients differ
        .not_valid_after(at + LIFE)
        .add_extension(x509.SubjectAlternativeName([_alternative(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(private.public_key()), critical=False)
        .sign(private, hashes.SHA256())
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(key, secret)
    write_private(cert, signed.public_bytes(serialization.Encoding.PEM), mode=0o644)


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _alternative(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode("ascii"))


def _short(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).strip().splitlines()[0][:100]
