"""Secrets: made, shown once, kept as digests. API keys have 256 random bits, so that SHA-256 is enough for them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from functools import cache
from typing import Any

KEY_PREFIX = "sp-"


def new_secret(prefix: str = "") -> str:
    """256 random bits as text that needs no quoting in an address, a form or a header."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """SHA-256 in hexadecimal: what is stored, and looked up by."""
    return hashlib.sha256(secret.encode()).hexdigest()


def keyed_digest(text: str, key: str) -> str:
    """HMAC-SHA-256 in hexadecimal: tells whether a text came again, and without the key nothing else.

    For what people choose, such as a password: guesses at a plain digest of it can be tried by the billion.
    """
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def hash_password(password: str) -> str:
    return str(_hasher().hash(password))


def password_fits(stored: str, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return bool(_hasher().verify(stored, password))
    except (VerificationError, InvalidHashError):
        return False


@cache
def _hasher() -> Any:
    from argon2 import PasswordHasher

    return PasswordHasher()
