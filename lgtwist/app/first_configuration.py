"""The configuration that ``lgtwist init`` writes: commented, with tokens made for it alone."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from lgtwist.runtime.file_trouble import has_container_mark
from lgtwist.runtime.platform import O_CLOEXEC

#: Where the service listens: for this machine, and in a container, whose loopback nobody else reaches.
LOOPBACK, ANYWHERE = "tcp:8081:interface=127.0.0.1", "tcp:8081"

_ENGLISH = """\
# The configuration of lgtwist. Every key: docs/configuration.md
# What it serves, without starting anything: lgtwist check
# After a change: lgtwist check, then send SIGHUP (systemctl reload, docker kill -s HUP).

# Where worlds and the journal are kept; relative to the folder in which lgtwist is started.
data_dir = "lgtwist-data"

[server]
# Programs on this machine only: "tcp:8081:interface=127.0.0.1". Everybody: "tcp:8081".
endpoints = ["{endpoint}"]
# Opens the console (`lgtwist token` prints its link), /metrics and /sandbox/..., for you alone.
admin_token = "{admin_token}"

# An account to try things with, which needs no chat account. Remove it when the real ones are here.
[[accounts]]
type = "sandbox"
self_id = 10001

# A real account, whose NapCat, LLBot or Lagrange dials ws://THIS-MACHINE:8081/onebot/v11/ws
# with this token (docs/accounts.md). Write its number, and take the # away.
# [[accounts]]
# type = "reverse-websocket"
# self_id = 1234567890
# access_token = "{account_token}"

# One whose implementation speaks Milky (Lagrange V2, Yogurt, LLBot): lgtwist dials it, with the token there.
# [[accounts]]
# type = "milky"
# self_id = 1234567891
# url = "http://127.0.0.1:3000/"
# access_token = "the token there"

# A bot that connects to ws://THIS-MACHINE:8081/ with this token (docs/bots.md).
# In the .env of a NoneBot2: ONEBOT_WS_URLS=["ws://127.0.0.1:8081/"] and ONEBOT_ACCESS_TOKEN=the token
[[bots]]
name = "bot"
access_token = "{bot_token}"
# Everything reaches it in the end, also what happened while it was away:
# delivery = "at-least-once"
# Of messages only those that mention the account or begin with /, and private ones:
# events = {{ any_of = {{ at_me = true, prefix = ["/"], private = true }} }}
# A filter of go-cqhttp or of LLBot can be used as it is:
# filter = '''{{ "group_id": {{ ".in": [123456] }} }}'''

# A bot that listens, so that lgtwist connects to it (AstrBot, Koishi ...).
# [[bots]]
# name = "another"
# connection = "reverse-websocket"
# url = "ws://127.0.0.1:6199/ws"
# access_token = "the token there"

# Who is told when an account goes offline or a bot goes away: Feishu, DingTalk, WeCom, Telegram, ntfy, Bark,
# ServerChan, e-mail, or a program of yours (docs/alerts.md). `lgtwist alert-test` sends a test.
# [[alerts]]
# kind = "feishu"
# url = "https://open.feishu.cn/open-apis/bot/v2/hook/..."
# language = "en"
"""

_CHINESE = """\
# lgtwist 的配置。所有的键见 docs/zh/configuration.md
# 只看它会提供什么，不启动：lgtwist check
# 修改之后：先 lgtwist check，再发送 SIGHUP（systemctl reload，或 docker kill -s HUP）。

# 存放沙盒世界和事件日志的目录；相对于启动 lgtwist 时所在的目录。
data_dir = "lgtwist-data"

[server]
# 只允许本机的程序连接："tcp:8081:interface=127.0.0.1"；允许所有机器："tcp:8081"。
endpoints = ["{endpoint}"]
# 用来打开控制台（`lgtwist token` 打印它的链接）、/metrics 和 /sandbox/...，只有你自己知道。
admin_token = "{admin_token}"

# 用来试验的沙盒账号，不需要任何聊天账号。有了真实账号之后可以删掉。
[[accounts]]
type = "sandbox"
self_id = 10001

# 真实账号：它的 NapCat、LLBot 或 Lagrange 用这个令牌连接 ws://本机地址:8081/onebot/v11/ws
# 说明见 docs/zh/accounts.md。填上号码，去掉行首的 #。
# [[accounts]]
# type = "reverse-websocket"
# self_id = 1234567890
# access_token = "{account_token}"

# 协议端使用 Milky 的账号（Lagrange V2、Yogurt、LLBot）：由 lgtwist 去连接，用那边的令牌。
# [[accounts]]
# type = "milky"
# self_id = 1234567891
# url = "http://127.0.0.1:3000/"
# access_token = "那边填的令牌"

# 机器人：用这个令牌连接 ws://本机地址:8081/（见 docs/zh/bots.md）。
# NoneBot2 的 .env 里写：ONEBOT_WS_URLS=["ws://127.0.0.1:8081/"] 和 ONEBOT_ACCESS_TOKEN=下面的令牌
[[bots]]
name = "bot"
access_token = "{bot_token}"
# 所有事件最终都会送到，包括它不在时发生的：
# delivery = "at-least-once"
# 消息只收 @了账号的、以 / 开头的和私聊的：
# events = {{ any_of = {{ at_me = true, prefix = ["/"], private = true }} }}
# go-cqhttp 或 LLBot 的事件过滤器可以直接写在这里：
# filter = '''{{ "group_id": {{ ".in": [123456] }} }}'''

# 由机器人监听、lgtwist 去连接（AstrBot、Koishi 等）：
# [[bots]]
# name = "another"
# connection = "reverse-websocket"
# url = "ws://127.0.0.1:6199/ws"
# access_token = "那边填的令牌"

# 账号离线、机器人断开时通知谁：飞书、钉钉、企业微信、Telegram、ntfy、Bark、Server酱、邮件，
# 或者自己的程序（见 docs/zh/alerts.md）。`lgtwist alert-test` 发一条测试消息。
# [[alerts]]
# kind = "feishu"
# url = "https://open.feishu.cn/open-apis/bot/v2/hook/..."
# language = "zh"
"""


def wants_chinese(environment: Mapping[str, str]) -> bool:
    """Return whether a user's language is Chinese: ``LC_ALL``, else ``LC_MESSAGES``, else ``LANG``."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(name):
            return environment[name].lower().startswith("zh")
    return False


def in_container(environment: Mapping[str, str], root: Path = Path("/")) -> bool:
    """Return whether this is a container: Docker's or Podman's mark is there, or the file is on ``/data``."""
    return has_container_mark(root) or environment.get("LGTWIST_CONFIG", "").startswith("/data/")


def first_configuration(chinese: bool, endpoint: str = LOOPBACK) -> str:
    """Return a commented configuration, in TOML, whose tokens nobody has seen yet.

    :param chinese: whether its comments are Chinese rather than English.
    :param endpoint: where to listen.
    """
    template = _CHINESE if chinese else _ENGLISH
    tokens = {name: secrets.token_urlsafe(24) for name in ("admin_token", "account_token", "bot_token")}
    return template.format(endpoint=endpoint, **tokens)


def write_first_configuration(path: Path, text: str) -> None:
    """Write a configuration where there is no file yet, so that only its owner can read it.

    :raises FileExistsError: if there is one.
    :raises OSError: if it cannot be written; nothing is left then.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | O_CLOEXEC, 0o600)
    try:
        with open(file, "w", encoding="utf-8") as writing:
            writing.write(text)
            writing.flush()
            os.fsync(file)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
