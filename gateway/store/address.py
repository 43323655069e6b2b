"""Where Redis is: REDIS_URL, read. Pure; what is wrong with it is said without quoting it.

    redis://[[user]:password@]host[:port][/db]             one server, or a Service in front of it
    redis+sentinel://[[user]:password@]host[:port],.../<service>[/db]      ports: 26379
    redis+cluster://[[user]:password@]host[:port],...                      ports: 6379
    unix:///path

`rediss...` is the same over TLS. Sentinels that want a password of their own get it as
`?sentinel_password=...` (and `sentinel_user`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

Kind = Literal["standalone", "sentinel", "cluster"]
PORTS: dict[Kind, int] = {"standalone": 6379, "sentinel": 26379, "cluster": 6379}
SCHEMES = (
    *("redis", "rediss", "unix"),
    *("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
)
EXAMPLES = (
    "redis://:<password>@127.0.0.1:6379/0",
    "redis+sentinel://:<password>@host1,host2,host3/<service>",
    "redis+cluster://:<password>@host1,host2",
)


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Servers, and who we are to them."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    tls: bool
    database: int = 0
    service: str = ""  # of sentinels
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)


def is_one_server(url: str) -> bool:
    """Whether redis-py reads this form itself, with all its options."""
    return url.startswith(("redis://", "rediss://", "unix://"))


def read_address(url: str) -> StoreAddress:
    """Sentinels or a cluster. Raises ValueError, safe to be shown: it quotes nothing."""
    scheme, _, _ = url.partition("://")
    if scheme not in SCHEMES or "+" not in scheme:
        raise ValueError(f"it should look like {', '.join(EXAMPLES)}")
    kind: Kind = "sentinel" if scheme.endswith("sentinel") else "cluster"
    example = EXAMPLES[1] if kind == "sentinel" else EXAMPLES[2]
    wrong = ValueError(
        f"it should look like {example}; in a password write / # ? @ as %2F %23 %3F %40"
    )
    parts = urlsplit(url)
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise wrong
    credentials, _, listed = parts.netloc.rpartition("@")
    username, colon, password = credentials.partition(":")
    hosts = tuple(_host(each, PORTS[kind], wrong) for each in listed.split(","))
    options = dict(parse_qsl(parts.query))
    known = {"sentinel_user", "sentinel_password"} if kind == "sentinel" else set()
    if set(options) - known:
        raise ValueError(f"it should look like {example}; there are no other options")
    path = [each for each in parts.path.split("/") if each]
    service, database = "", 0
    if kind == "sentinel":
        if not 1 <= len(path) <= 2:
            raise ValueError(f"it should look like {example}, with the name of the service")
        service = unquote(path[0])
        database = _database(path[1], wrong) if len(path) == 2 else 0
    elif path and path != ["0"]:
        raise ValueError("a cluster has no databases")
    return StoreAddress(
        kind=kind,
        hosts=hosts,
        tls=scheme.startswith("rediss"),
        database=database,
        service=service,
        username=unquote(username) or None,
        password=unquote(password) if colon else None,
        sentinel_username=options.get("sentinel_user"),
        sentinel_password=options.get("sentinel_password"),
    )


def _host(text: str, default_port: int, wrong: ValueError) -> tuple[str, int]:
    if text.startswith("["):  # IPv6
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    if not host or (port and not (port.isascii() and port.isdigit() and int(port) <= 65_535)):
        raise wrong
    return host, int(port) if port else default_port


def _database(text: str, wrong: ValueError) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise wrong
    return int(text)
