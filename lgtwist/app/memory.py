"""How much memory a configuration lets peers take, as arithmetic that ``--check`` prints."""

from __future__ import annotations

from lgtwist.app.configuration import Config

_MIB = 1 << 20
#: MiB of a sandbox's world at most: messages, and forwarded messages (``docs/sandbox.md``).
_WORLD = 48
#: MiB of events that wait for the journal's disk at most, and of the newest that stay in memory.
_JOURNAL_QUEUE = 80
#: MiB of lgtwist itself, and of what is under way between two peers, approximately.
_ITSELF = 64


def memory_bound(config: Config) -> str:
    """Return a line that says how much memory peers may take at most, each part of the sum named.

    One peer may take ``peer_memory`` and one message of ``max_message``; posts whose signature is not checked
    yet a quarter of ``peer_memory`` and one message for each account.
    """
    limits = config.limits
    each = limits.peer_memory + limits.max_message
    unverified = limits.peer_memory // 4 + limits.max_message
    bots, accounts = len(config.bots), len(config.accounts)
    posting = sum(account.type == "http" for account in config.accounts)
    worlds = sum(account.type == "sandbox" for account in config.accounts)
    journal = any(wanted.bot.at_least_once for wanted in config.bots)
    parts = [
        (
            (bots + accounts + 1) * each // _MIB,
            f"{each // _MIB} MiB (peer_memory and one max_message) for each of {_count(bots, 'bot')}, "
            f"{_count(accounts, 'account')} and the operator",
        ),
        (posting * unverified // _MIB, f"unverified posts to {_count(posting, 'http account')}"),
        (worlds * _WORLD, f"the messages of {_count(worlds, 'sandbox', 'sandboxes')}"),
        (journal * _JOURNAL_QUEUE, "events that wait for the journal's disk, and the newest"),
    ]
    shown = "; ".join(f"{what}: {size} MiB" for size, what in parts if size)
    whole = sum(size for size, _what in parts)
    return (
        f"memory: peers may take {whole} MiB at most, beside about {_ITSELF} MiB of lgtwist itself ({shown})"
    )


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
