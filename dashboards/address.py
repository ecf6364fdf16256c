"""Where the dashboard is served: for this machine alone; or for others, by https and with accounts."""

import ipaddress
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from inspection.access.accounts import accounts
from inspection.access.book import AccessBook
from inspection.errors import WorkspaceError
from inspection.workspace.folder import Workspace

HTTPS_PORT = 443  # which a URL does not name


@dataclass(frozen=True, slots=True)
class Address:
    """Where it listens, and what others type."""

    host: str  # an address of this machine
    port: int
    url: str  # scheme, name and port, as a browser says it of its own pages; empty: for this machine alone
    certificate: Path | None  # None: this process speaks no https; a reverse proxy on this machine does
    key: Path | None

    @property
    def shown(self) -> str:
        """What to type."""
        return self.url or f"http://{self.host}:{self.port}"


def address_of(
    workspace: Workspace, port: int, host: str, url: str, certificate: Path | None, key: Path | None
) -> Address:
    """Where to serve a workspace: what is given, else its settings. Raises WorkspaceError for what is unsafe.

    Nothing leaves this machine unencrypted, and nobody else comes in without an account: there is no setting
    for less.
    """
    settings, root = workspace.settings.serve, workspace.root
    port, host, url = port or settings.port, host or settings.host, url or settings.url
    certificate = certificate or (root / settings.certificate if settings.certificate else None)
    key = key or (root / settings.key if settings.key else None)
    for_others = not _address(host).is_loopback
    if for_others and not (certificate and key):
        raise WorkspaceError(
            f"at {host} others reach the dashboard, so it needs https: give --certificate and --key (PEM "
            "files), or serve.certificate and serve.key in fmi.toml. Or leave the host at 127.0.0.1, let a "
            "reverse proxy on this machine speak https, and give its address with --url."
        )
    if certificate or key:
        _check_certificate(certificate, key)
    if for_others or certificate or url:
        url = _origin(url or _url_at(host, port))
        _check_accounts(workspace)
    return Address(host, port, url, certificate, key)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        raise WorkspaceError(
            f"the host {host!r} is no address; give one of this machine's, as 127.0.0.1, or 0.0.0.0 for all"
        ) from None


def _url_at(host: str, port: int) -> str:
    """What others type where nothing else is said: the address itself."""
    address = _address(host)
    if address.is_unspecified:
        raise WorkspaceError(
            f"at {host} the dashboard is reached by several names; give the one that others type, as in "
            f"--url https://fmi.plant.example:{port}"
        )
    return f"https://{f'[{host}]' if address.version == 6 else host}:{port}"


def _origin(url: str) -> str:
    """A URL as a browser says it of its pages: scheme, name, and a port that is not the usual one."""
    wrong = (
        f"the url {url!r} cannot be that of the dashboard: give https://, a name, and a port where it is not "
        f"{HTTPS_PORT}, as in https://fmi.plant.example:8321. Passwords are never sent unencrypted."
    )
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port
    except ValueError:
        raise WorkspaceError(wrong) from None
    more = (parts.username, parts.path.strip("/"), parts.query, parts.fragment)
    if parts.scheme != "https" or any(more) or not re.fullmatch(r"[a-z0-9.:_-]+", name):
        raise WorkspaceError(wrong)
    shown = f"[{name}]" if ":" in name else name
    return f"https://{shown}" if port in (None, HTTPS_PORT) else f"https://{shown}:{port}"


def _check_certificate(certificate: Path | None, key: Path | None) -> None:
    if certificate is None or key is None:
        raise WorkspaceError("a certificate and its key go together; give both, --certificate and --key")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; ValueError: a key with a passphrase
        raise WorkspaceError(
            f"the certificate {certificate} and the key {key} cannot be used: {error}. Give PEM files that "
            "belong together, a key without a passphrase, readable for the user who runs fmi."
        ) from None


def _check_accounts(workspace: Workspace) -> None:
    if not accounts(AccessBook(workspace.access_path)):
        raise WorkspaceError(
            "others would reach the dashboard, and nobody has an account yet: make the first with "
            "`fmi user add NAME --role engineer`"
        )
