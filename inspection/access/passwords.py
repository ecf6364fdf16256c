"""Passwords: kept only as hashes that are slow to guess.

Argon2 by argon2-cffi, which binds the authors' own implementation and takes the cost from RFC 9106.
"""

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from inspection.errors import AccessError
from inspection.language import gettext as _

SHORTEST = 12  # characters: OWASP ASVS 4.0, V2.1.1
LONGEST = 256  # characters
AT_ONCE = 2  # passwords that are hashed at the same time: each takes 64 MiB and a processor core

_HASHER = PasswordHasher()
_turns = threading.BoundedSemaphore(AT_ONCE)


def hashed(password: str) -> str:
    """The hash that is kept of a new password. Raises AccessError for one that is too short or too long."""
    text = _normal(password)
    if not SHORTEST <= len(text) <= LONGEST:
        raise AccessError(
            _("A password has {shortest} to {longest} characters; this one has {count}.").format(
                shortest=SHORTEST, longest=LONGEST, count=len(text)
            )
        )
    with _turns:
        return _HASHER.hash(text)


def is_right(password: str, kept: str | None) -> bool:
    """Whether a password is the one whose hash was kept; None, where there is no account, takes as long."""
    with _turns:
        try:
            return _HASHER.verify(kept or _NOBODYS, _normal(password)[:LONGEST]) and kept is not None
        except VerificationError:
            return False


def _normal(password: str) -> str:
    """The same characters whatever keyboard typed them, as NIST SP 800-63B asks."""
    return unicodedata.normalize("NFKC", password)


# The hash of a password that nobody knows.
_NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
