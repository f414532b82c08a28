"""The paths that a configuration names, made absolute before they are read. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.endpoints import quoteStringArgument

from lgtwist.net.twisted_private import split_endpoint

#: The arguments of Twisted's ``ssl:`` endpoints that name files. The first two may stand behind the port
#: without their names.
_SSL_FILES = ("privateKey", "certKey", "extraCertChain", "dhParameters")


def with_absolute_paths(values: dict[str, Any], base: Path) -> dict[str, Any]:
    """Return decoded TOML whose ``world`` files and endpoints name absolute paths.

    ``data_dir`` and the files of ``..._file`` keys are resolved where they are used. What has the wrong type
    is left as it is: a reader tells of it.

    :param base: what relative paths are relative to.
    """
    if not str(base).isprintable():
        return values  # as a value of the configuration it would be refused
    changed = dict(values)
    if isinstance(accounts := values.get("accounts"), list):
        changed["accounts"] = [_with_absolute_world(account, base) for account in accounts]
    server = values.get("server")
    if isinstance(server, dict) and isinstance(endpoints := server.get("endpoints"), list):
        changed["server"] = {**server, "endpoints": [absolute_endpoint(one, base) for one in endpoints]}
    return changed


def _with_absolute_world(account: Any, base: Path) -> Any:
    world = account.get("world") if isinstance(account, dict) else None
    return {**account, "world": str(base / world)} if isinstance(world, str) and world else account


def absolute_endpoint(description: Any, base: Path) -> Any:
    """Return an endpoint string that names absolute paths; the same string where nothing is relative.

    :param description: a Twisted server endpoint string; anything else is returned as it is.
    """
    if not isinstance(description, str) or not description.startswith(("unix:", "ssl:")):
        return description
    try:
        kind, positional, named = split_endpoint(description)
    except Exception:  # it raises what it likes
        return description
    places, names = list(positional), dict(named)
    if kind == "unix":
        if places:
            places[0] = str(base / places[0]) if places[0] else places[0]
        elif names.get("address"):
            names["address"] = str(base / names["address"])
    else:
        for place in range(1, min(3, len(places))):
            places[place] = str(base / places[place])
        for key in _SSL_FILES:
            if names.get(key):
                names[key] = str(base / names[key])
        if len(places) < 2 and "privateKey" not in names:
            names["privateKey"] = str(base / "server.pem")  # Twisted's own default
    if (places, names) == (list(positional), dict(named)):
        return description
    parts = [quoteStringArgument(place).replace("=", "\\=") for place in places]
    return ":".join([kind, *parts, *(f"{key}={quoteStringArgument(value)}" for key, value in names.items())])
