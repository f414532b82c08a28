"""``python watched.py ARGUMENTS``: twistd, and beside it a program that looks at the live traffic.

The program reads a stream of ``/console/api/`` as a browser does, and ends with the service.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

#: Seconds within which the service must listen.
PATIENCE = 30.0
#: The admin token of a service that is looked at.
ADMIN_TOKEN = "benchmark-admin-token"  # noqa: S105


def look(port: int) -> None:
    """Read the live traffic of the service on a port of 127.0.0.1 until the stream ends."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), 1.0)
            break
        except OSError:
            if time.monotonic() > until:
                raise SystemExit("the service does not listen") from None
            time.sleep(0.05)
    with connection:
        connection.settimeout(PATIENCE)
        request = f"GET /console/api/stream?topics=traffic HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        connection.sendall(f"{request}Authorization: Bearer {ADMIN_TOKEN}\r\n\r\n".encode())
        if b" 200 " not in connection.recv(65536)[:20]:
            raise SystemExit("the stream is refused")
        while connection.recv(65536):
            pass


def main() -> None:
    """Run twistd with the arguments of the command line, or look at what the first one names."""
    if sys.argv[1:2] == ["--look"]:
        look(int(sys.argv[2]))
        return
    from twisted.scripts import twistd

    config = Path(sys.argv[sys.argv.index("--config") + 1]).read_text("utf-8")
    found = re.search(r"tcp:(\d+)", config)
    assert found is not None
    subprocess.Popen([sys.executable, __file__, "--look", found[1]])  # noqa: S603
    run: Any = twistd.run
    run()


if __name__ == "__main__":
    main()
