"""A bot that dials: ``dialling_bot.py WS_URL [child] [stubborn] [stays]``, with its token in TOKEN.

It answers each message with its text; with ``child`` it has a child process, with ``stubborn`` neither ends
by SIGTERM, with ``stays`` it runs on without its connection. It writes "pid N" for each of them, and READY a
while after it has connected.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stdout.write(f"pid {os.getpid()}\n")
if "child" in sys.argv:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    sys.stdout.write(f"pid {child.pid}\n")
headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
with suppress(ConnectionClosed), connect(sys.argv[1], additional_headers=headers) as connection:
    time.sleep(0.1)
    sys.stdout.write("\x1b[32mREADY\x1b[0m\n")
    for raw in connection:
        event = json.loads(raw)
        if event.get("post_type") == "message":
            params = {"user_id": event["user_id"], "message": event["message"]}
            connection.send(json.dumps({"action": "send_private_msg", "params": params}))
if "stays" in sys.argv:
    time.sleep(60)
