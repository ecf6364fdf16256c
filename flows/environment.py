"""What Prefect and the processes started for ourselves see of the plant's environment.

Prefect reads its settings from variables PREFECT_..., and from prefect.toml, pyproject.toml and .env in the
current folder. Those of the plant's own Prefect are not meant for ours; where the plant wants the nights to
run on its own server, it names that in PREFECT_API_URL, and how to reach it counts.
"""

import base64
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, suppress
from pathlib import Path

URL = "PREFECT_API_URL"
AUTH = "PREFECT_API_AUTH_STRING"
SECRET = "PREFECT_SERVER_API_AUTH_STRING"
CONNECTION = (
    URL,
    AUTH,
    "PREFECT_API_KEY",
    "PREFECT_API_SSL_CERT_FILE",
    "PREFECT_API_TLS_INSECURE_SKIP_VERIFY",
    "PREFECT_CLIENT_CUSTOM_HEADERS",
)  # how a Prefect server is reached
OURS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # errors are told once, in words, by the command
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "false",  # for browsers, which the server refuses
    "PREFECT_SERVER_UI_ENABLED": "false",
}
LOOPBACK = "127.0.0.1,localhost,::1"
# Of Prefect's services, which PREFECT_LOGGING_LEVEL does not reach: one that is slow to end says so.
CHATTER = ("EventsWorker", "APILogWorker")


def authorization(secret: str) -> str:
    """The header by which a request to a Prefect server tells the secret (basic authentication, RFC 7617)."""
    return "Basic " + base64.b64encode(secret.encode()).decode()


@contextmanager
def apart(home: Path) -> Iterator[None]:
    """Keep the plant's environment and current folder away from Prefect, at home in `home`, for the block.

    Paths have to be absolute before: the block runs in `home`, which nobody else may read or write: what
    stands there is run.
    """
    home.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # of another user's workspace
        home.chmod(0o700)
    for name in CHATTER:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    own = environment(home)
    with chdir(home), variables({name: own.get(name) for name in {*os.environ, *own}}):
        yield


@contextmanager
def variables(wanted: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables of this process, or unset them (None), for the block."""
    before = {name: os.environ.get(name) for name in wanted}
    _set(wanted)
    try:
        yield
    finally:
        _set(before)


def _set(wanted: Mapping[str, str | None]) -> None:
    for name, value in wanted.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def environment(home: Path) -> dict[str, str]:
    """The variables of a process that runs Prefect: the plant's, but for those of its Prefect, and ours.

    No proxy is asked for this machine itself.
    """
    reached = CONNECTION if os.environ.get(URL) else ()
    plants = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("PREFECT_") or name in reached
    }
    spared = ",".join(filter(None, [plants.get("no_proxy") or plants.get("NO_PROXY"), LOOPBACK]))
    return {
        **plants,
        **OURS,
        "no_proxy": spared,
        "NO_PROXY": spared,
        "PREFECT_HOME": str(home),
        "PREFECT_LOCAL_STORAGE_PATH": str(home / "results"),
    }
