"""How many wrong passwords and keys are taken: so many of an account, and so many from an address.

They are counted in the file, so that a restart forgives nothing. Who is logged in already stays so.
"""

import ipaddress
import sqlite3
from datetime import datetime, timedelta

from inspection.access.book import written
from inspection.errors import TooManyTriesError
from inspection.language import gettext as _

WINDOW = timedelta(minutes=15)  # in which they are counted
OF_AN_ACCOUNT = 10  # so that a year holds 350,000 guesses at most
FROM_AN_ADDRESS = 30  # of which a plant's whole office may have one


def note_try(connection: sqlite3.Connection, folded: str | None, address: str, now: datetime) -> bool:
    """Count a try before it is known whether it is right, so that several at once gain nothing.

    Returns whether it is the last that is taken. Raises TooManyTriesError where it is one too many.
    """
    since = written(now - WINDOW)
    place = place_of(address)
    connection.execute("DELETE FROM tries WHERE tried_at < ?", [since])
    (of_account,) = connection.execute("SELECT count(*) FROM tries WHERE folded = ?", [folded]).fetchone()
    (of_address,) = connection.execute("SELECT count(*) FROM tries WHERE address = ?", [place]).fetchone()
    if of_account >= OF_AN_ACCOUNT or of_address >= FROM_AN_ADDRESS:
        raise TooManyTriesError(
            _("There were too many wrong passwords. Wait {minutes} minutes, and try again.").format(
                minutes=int(WINDOW.total_seconds() // 60)
            )
        )
    connection.execute("INSERT INTO tries VALUES (?, ?, ?)", [written(now), folded, place])
    return bool(of_account + 1 == OF_AN_ACCOUNT or of_address + 1 == FROM_AN_ADDRESS)


def forgive(connection: sqlite3.Connection, folded: str) -> None:
    """Count an account's tries no more: its password was right, or is a new one.

    Those at other accounts stay, or who has one could guess at others for ever.
    """
    connection.execute("DELETE FROM tries WHERE folded = ?", [folded])


def place_of(address: str) -> str:
    """What counts as one address: of IPv6 the network of 64 bits, of which one machine has all."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
