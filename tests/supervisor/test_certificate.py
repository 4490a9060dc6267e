"""The TLS certificate: made once, renewed in time, given ones checked."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from softprompt.errors import UsageError
from softprompt.supervisor import certificate


def test_it_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    first = certificate.ensure(tmp_path, "127.0.0.1")
    content = first.cert.read_bytes()
    second = certificate.ensure(tmp_path, "0.0.0.0")
    assert (first.made, second.made, second.cert.read_bytes()) == (True, False, content)
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(first.cert, first.key)


def test_it_is_renewed_before_it_ends(tmp_path: Path) -> None:
    begun = datetime.now(UTC) - certificate.LIFE + timedelta(days=31)
    assert certificate.ensure(tmp_path, "localhost", begun).made
    assert not certificate.ensure(tmp_path, "localhost").made
    assert certificate.ensure(tmp_path, "localhost", datetime.now(UTC) + timedelta(days=2)).made


def test_a_new_host_gets_a_new_one(tmp_path: Path) -> None:
    from cryptography import x509

    certificate.ensure(tmp_path, "localhost")
    made = certificate.ensure(tmp_path, "studio.example")
    assert made.made
    leaf = x509.load_pem_x509_certificate(made.cert.read_bytes())
    names = {str(n.value) for n in leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value}
    assert {"localhost", "127.0.0.1", "::1", "studio.example"} <= names


def test_a_broken_one_is_replaced(tmp_path: Path) -> None:
    made = certificate.ensure(tmp_path, "localhost")
    made.key.write_text("nonsense")
    assert certificate.ensure(tmp_path, "localhost").made


def test_given_ones_are_checked_and_all_that_is_wrong_is_named(tmp_path: Path) -> None:
    here, there = certificate.ensure(tmp_path / "a", "localhost"), certificate.ensure(tmp_path / "b", "localhost")
    found = certificate.given(here.cert, here.key)
    assert found is not None
    assert not found.own
    with pytest.raises(UsageError, match="key.pem is not the key of the first certificate in"):
        certificate.given(here.cert, there.key)
    with pytest.raises(UsageError, match="--tls-cert and --tls-key belong together"):
        certificate.given(here.cert, None)
    with pytest.raises(UsageError, match=r"--tls-cert: .*\(No such file or directory\); --tls-key: .*no private key"):
        certificate.given(tmp_path / "none.pem", here.cert)


def test_an_expired_one_is_refused(tmp_path: Path) -> None:
    old = certificate.ensure(tmp_path, "localhost", datetime.now(UTC) - 2 * certificate.LIFE)
    with pytest.raises(UsageError, match="expired on .*; get a new one"):
        certificate.given(old.cert, old.key)
