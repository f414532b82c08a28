import json
import subprocess
import sys
import time
import urllib.request

PORT = 8081
SANDBOX = f"http://127.0.0.1:{PORT}/sandbox/10001"


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"{SANDBOX}/{path}", data, timeout=30) as answer:
        return json.load(answer)


def wait_for(start, seconds=30):
    for _ in range(seconds * 10):
        try:
            return start()
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("it does not come up")


def test_echo(bot_command):
    with subprocess.Popen([sys.executable, "-m", "twisted", "--log-format=text", "lgtwist"]) as lgtwist:
        wait_for(lambda: ask(""))
        with subprocess.Popen(bot_command) as bot:
            for _ in range(60):  # the bot may need a moment to attach
                said = ask("say", {"user_id": 20001, "message": "/echo hello"})["message_id"]
                heard = ask(f"transcript?after={said}&wait=1")["messages"]
                if heard:
                    break
            assert heard[0]["from_bot"] and heard[0]["raw_message"] == "hello"
            bot.terminate()
        lgtwist.terminate()
