"""The sentences of the hub, the links, the journal and the port as codes with arguments.

lgtwist's sentences are English; the console shows them in the reader's language by these codes (its word
tables have ``reason.<code>`` for each). What a peer said is an argument. Pure.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from attrs import frozen

#: Characters of a sentence that are looked at; longer ones are cut before they are shown.
_EXPLAINED = 400

#: By group and code the form of each sentence. ``{name}`` stands for any text, ``{name:d}`` for digits,
#: ``{name:g}`` for a number and ``{name:p}`` for close code 1002; ``{_}`` is any text that is no
#: argument. The first that fits counts.
FORMS: dict[str, dict[str, str]] = {
    "milky": {
        "milky_refuses_token": (
            "cannot connect to {url}: {words} (access_token must be the token that is set there)"
        ),
        "milky_wrong_address": (
            "cannot connect to {url}: {words} (url must be the address of its Milky server, with the prefix "
            "that is set there; OneBot 11 has another port)"
        ),
        "milky_not_running": (
            "cannot connect to {url}: {words} (is the implementation running, its Milky server turned on, "
            "and the port right?)"
        ),
    },
    "account": {
        "never_connected": "it has not connected yet",
        "other_backing": "another backing took over",
        "no_backing": "nothing backs it",
        "no_api_link": "its API link is not open",
        "no_event_link": "its event link is not open",
        "login_info_unanswered": "its implementation has not answered get_login_info",
        "account_not_named": (
            "its implementation has no get_login_info, and no event or heartbeat has named the account yet"
        ),
        "other_account": "its implementation is logged in as {other:d}, not as {account:d}",
        "not_logged_in": "get_login_info failed: the implementation is not logged in ({words})",
        "no_milky_api": "get_login_info failed: its url leads to no Milky API: HTTP 404 for {_}",
        "no_milky_port": "{_}url leads to a server of OneBot 11; Milky's has another port or prefix",
        "login_info_failed": "get_login_info failed: {words}",
        "newer_link": "a newer link took over",
        "bot_offline": "its implementation says bot_offline",
        "reported_offline": "its implementation says that it is offline",
        "account_removed": "account {account:d} is removed",
    },
    "service": {
        "stopping": "lgtwist stops",
        "account_token_changed": "its access_token was changed",
        "bot_token_changed": "the access_token of this bot was changed",
        "bot_removed": 'bot "{bot}" is removed',
        "bot_settings_changed": 'the settings of bot "{bot}" were changed',
        "account_taken_away": "account {account:d} was taken away from this bot",
        "token_of_other_bot": "its token opens the port for another bot now",
    },
    "end": {
        "lost": "lost",
        "close_timeout": "close_timeout",
        "internal_error": "an internal error",
        "send_failed": "a send failed",
        "not_utf8": "text that is not UTF-8",
        "message_too_large": "message too large",
        "message_unfinished": "a message did not end within body_timeout ({seconds:g} s)",
        "reads_nothing": "it takes nothing, and too much is held because of this peer (peer_memory)",
        "silent": "silent for {seconds:g} s",
        "no_heartbeat": "no message for {count:d} of its heartbeat intervals of {seconds:g} s",
        "closed_by_peer": "closed by the peer",
        "closed_by_peer_saying": "closed by the peer: {words}",
        "closed_by_us_protocol": "closed by us with {protocol_error:p} {words}",
        "closed_by_us": "closed by us with {with_code:d}",
        "closed_by_us_saying": "closed by us with {with_code:d} {words}",
    },
    "dial": {
        "handshake_timeout": "no answer to the handshake within {seconds:g} s",
        "handshake_unanswered": "no answer to the handshake",
        "not_a_websocket": "not an answer to a WebSocket handshake",
        "wrong_accept": "its answer to the handshake has a wrong Sec-WebSocket-Accept",
        "closed_before_handshake": "closed before the handshake was answered",
        "refused_http_401": "refused with HTTP 401{words}",
        "refused_http_403": "refused with HTTP 403{words}",
        "refused_http_404": "refused with HTTP 404{words}",
        "refused_http": "refused with HTTP {status:d}{words}",
        "refused_close_saying": "refused with close code {with_code:d}: closed by the peer: {words}",
        "refused_close": "refused with close code {with_code:d}{words}",
        "refused_retcode": "refused with retcode {retcode:d}: {words}",
        "tcp_timeout": "no TCP connection within {seconds:g} s",
        "host_unknown": "the host's name is not known",
    },
    "tls": {
        "certificate_self_signed": (
            "TLS: the certificate {shown} is signed by itself and not known here; {hint}"
        ),
        "certificate_authority": (
            'TLS: the certificate {shown} is signed by an authority that is not known here ("{issuer}"); '
            "{hint}"
        ),
        "certificate_expired": 'TLS: the certificate {shown} (issued by "{issuer}") has expired on {day}',
        "certificate_too_early": (
            'TLS: the certificate {shown} (issued by "{issuer}") is not valid before {day}; '
            "is our clock right?"
        ),
        "certificate_refused": 'TLS: the certificate {shown} (issued by "{issuer}") is refused: {why}',
        "certificate_other_host": 'TLS: the certificate is for {hosts}, not for "{host}"',
        "certificate_no_hosts": (
            'TLS: the certificate of "{shown}" has no host names that can be read, and not "{host}"'
        ),
        "certificate_unreadable": "TLS: the certificate is refused, and cannot be read",
        "no_tls": "TLS: the server does not speak TLS (is the URL ws:// or http://?)",
        "tls_too_old": ("TLS: protocol version not supported (the server speaks neither TLS 1.2 nor 1.3)"),
        "tls_failed": "TLS: {words}",
    },
    "http": {
        "wants_token": "it wants an access_token (HTTP {status:d})",
        "refuses_token": "it refuses our access_token (HTTP {status:d})",
        "api_silent": "its API does not answer: {words}",
        "no_action_response": "its answer to {action} is no action response (HTTP {status:d})",
        "no_answer_in_time": "no answer in time",
        "answer_too_large": "its answer is too large",
        "too_many_answers": "too many large answers at once (peer_memory)",
        "http_status": "HTTP {status:d}",
    },
    "system": {  # the operating system's, Twisted's and Autobahn's
        "peer_vanished": (
            'connection was closed uncleanly ("peer dropped the TCP connection without previous WebSocket '
            'closing handshake")'
        ),
        "lost_uncleanly": "connection was closed uncleanly ({words})",
        "not_http": "Bad HTTP response status line {words}",
        "no_upgrade": "HTTP {header} header missing",
        "connection_refused": "connection refused",
        "connection_was_refused": "connection was refused by other side",
        "no_route": "no route to host",
        "network_unreachable": "network is unreachable",
        "connection_reset": "connection reset by peer",
        "connection_lost": "connection to the other side was lost in a non-clean fashion",
        "connection_closed": "connection was closed cleanly",
    },
    "journal": {
        "journal_waits": (
            "{size:d} bytes of events of account {account:d} wait for the journal's disk, "
            "more than its share ({share:d}); more are taken when half of that is written"
        ),
        "journal_stalled": "the journal cannot be written: nothing was written for {seconds:g} s",
        "journal_failing": "the journal cannot be written: {words}",
    },
    "warning": {
        "data_dir_open": (
            "data_dir {path} is open to other users of this machine (mode {mode}); "
            "close it: chmod 700 {again}"
        ),
        "token_unencrypted": (
            "{key}: the token goes to {target} unencrypted, and can be read on the way; use {scheme}:// there"
        ),
        "query_token_unencrypted": (
            "{key}: the token in its query goes to {target} unencrypted, and can be read on the way; "
            "use {scheme}:// there"
        ),
        "chain_certificate_expired": (
            "the certificate of {issuer}, sent with {path}, has expired, on {day}: clients will refuse it"
        ),
        "chain_certificate_too_early": (
            "the certificate of {issuer}, sent with {path}, is not valid before {day}: "
            "clients will refuse it until then"
        ),
        "own_certificate_expired": "the certificate {path} has expired, on {day}: clients will refuse it",
        "own_certificate_too_early": (
            "the certificate {path} is not valid before {day}: clients will refuse it until then"
        ),
        "own_certificate_alone": "the certificate {path} comes without that of its issuer ({issuer}): {hint}",
        "own_certificate_chain": (
            "the certificate {path} was not signed by the one of its issuer ({issuer}) {hint}"
        ),
        "own_certificate_no_hosts": (
            "the certificate {path} has no host names (subjectAltName): most clients will refuse it"
        ),
        "own_certificate_not_server": (
            "the certificate {path} is not for servers (extendedKeyUsage): clients will refuse it"
        ),
        "authority_expired": '{path}: the certificate of the authority "{issuer}" has expired, on {day}',
        "authority_too_early": (
            '{path}: the certificate of the authority "{issuer}" is not valid before {day}'
        ),
        "authority_intermediate": (
            '{path}: the certificate of "{shown}" is an intermediate one, signed by "{issuer}": {hint}'
        ),
        "authority_is_server": (
            "{path}: the certificate in it is a server's own (\"{shown}\"), not an authority's: {hint}"
        ),
    },
    "handshake": {
        "unknown_account": "there is no account {account:d} of type {type} in [[accounts]]",
        "unknown_account_of_bot": "there is no account {account:d}",
        "account_made_anew": "account {account:d} is made anew",
        "account_not_up": "account {account:d} is not up yet",
        "account_forbidden": 'bot "{bot}" may not use this account',
        "self_id_missing": "the header X-Self-ID must name the account",
        "token_not_set": (
            "a token is needed: Authorization: Bearer ...; no token is set in the program that asks: "
            "it shows an empty one, or undefined"
        ),
        "token_needed": "a token is needed: Authorization: Bearer ...",
        "token_wrong": "the token is wrong",
        "too_many_tokens": "more than two tokens are shown; show one, as Authorization: Bearer ...",
        "signature_wrong": "X-Signature is wrong",
        "signature_missing": "X-Signature is missing",
        "not_local_address": (
            "refused {peer}: address {address} is not loopback and {owner} has no {key}; {_}"
        ),
        "not_local_proxy": 'refused {peer}: header "{header}" shows a proxy and {owner} has no {key}; {_}',
        "not_local_host": 'refused {peer}: Host "{host}" is not loopback and {owner} has no {key}; {_}',
        "not_local_page": "refused {peer}: {why} and {owner} has no {key}; {_}",
        "not_local": "refused {peer}: {why} and {hint}",
        "too_many_failures": "too many failures from this address",
        "share_used_up": "{owner} has {count:d} connections, its share of limits.connections; try again soon",
        "no_connection_left": "{owner} finds all of limits.connections in use; try again soon",
        "path_of_implementations": (
            "this path is for OneBot implementations, which send X-Self-ID; a bot connects to /"
        ),
        "path_of_bots": "bots connect here; an OneBot implementation connects to /onebot/v11/ws",
        "path_unknown": (
            "there is nothing here; a bot's WebSocket is at / or /{self_id}, an action at /{action}"
        ),
        "upgrade_missing": 'the header "Upgrade: websocket" is missing; {_}',
        "connection_missing": 'the header "Connection: Upgrade" is missing; {_}',
        "not_http_1_1": "a WebSocket handshake is a GET of HTTP/1.1{_}",
        "websocket_version": "Sec-WebSocket-Version must be 13",
        "websocket_key": "Sec-WebSocket-Key must be 16 bytes in base64, once",
        "handshake_body": "a WebSocket handshake has no body",
        "this_is_websocket": "this is a WebSocket",
        "role_is_websocket": "/{role} is a WebSocket",
    },
}
#: Braces in these forms are lgtwist's own words.
_LITERAL = frozenset({"path_unknown"})
#: Arguments that may be empty: what a peer may have added, or not.
_MAY_BE_EMPTY = {"refused_http_401", "refused_http_403", "refused_http_404", "refused_http", "refused_close"}
_MAY_BE_EMPTY |= {"not_http_1_1", "no_milky_port"}

_ARGUMENT_PLACE = re.compile(r"\{(\w+)(?::([dgp]))?\}")
_ARGUMENT_PATTERNS = {"d": r"\d{1,20}", "g": r"[0-9.e+-]{1,20}", "p": "1002"}
#: What stands in front of the reason why a WebSocket of an account ended, or why it was not opened.
_PREFIX = re.compile(r"(?:(API|event) link: |cannot connect to \S+: )?(?:(\d{4}) )?(.+)", re.DOTALL)
_BY_US = re.compile(r"closed by us with (\d{4}) (.+)", re.DOTALL)


@frozen
class SentenceForm:
    """One form of sentences.

    :ivar code: names it.
    :ivar names: of its arguments.
    :ivar literals: its own words, between the arguments.
    :ivar pattern: fits the whole of such a sentence.
    """

    code: str
    names: tuple[str, ...]
    literals: tuple[str, ...]
    pattern: re.Pattern[str]


def _form(code: str, text: str) -> SentenceForm:
    if code in _LITERAL:
        return SentenceForm(code, (), (text,), re.compile(re.escape(text)))
    any_text = ".*?" if code in _MAY_BE_EMPTY else ".+?"
    pattern, literals, at = "", [], 0
    names = []
    for place in _ARGUMENT_PLACE.finditer(text):
        literals.append(text[at : place.start()])
        pattern += re.escape(literals[-1])
        if place[1] == "_":
            pattern += any_text
        else:
            pattern += f"(?P<{place[1]}>{_ARGUMENT_PATTERNS.get(place[2], any_text)})"
            names.append(place[1])
        at = place.end()
    literals.append(text[at:])
    pattern += re.escape(literals[-1])
    return SentenceForm(code, tuple(names), tuple(filter(None, literals)), re.compile(pattern, re.DOTALL))


#: All forms by their codes.
FORMS_BY_CODE: dict[str, SentenceForm] = {
    code: _form(code, text) for group in FORMS.values() for code, text in group.items()
}


def explain(sentence: str) -> dict[str, Any]:
    """Return a sentence as ``{"code", "args", "sentence"}``.

    ``args`` has the arguments of the code's form as texts. Of a link's end it may have ``link`` (``API`` or
    ``event``), ``close_code`` (RFC 6455, 7.4) and ``by`` (``us``) besides. The code of an unknown sentence is
    ``other``, its argument ``text``.
    """
    code, args = _explain(sentence)
    return {"code": code, "args": dict(args), "sentence": sentence}


@lru_cache(maxsize=2048)
def _explain(sentence: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    text = sentence[:_EXPLAINED]
    found = _find(text)
    if found is not None and not found[0].startswith("closed_by_us"):
        return found
    more: dict[str, str] = {}
    rest = text
    prefix = _PREFIX.fullmatch(text)
    if prefix is not None:
        if prefix[1]:
            more["link"] = prefix[1]
        if prefix[2]:
            more["close_code"] = prefix[2]
        rest = prefix[3]
    by_us = _BY_US.fullmatch(rest)
    inner = None if by_us is None else _find(by_us[2])
    if by_us is not None and inner is not None:
        return inner[0], (*inner[1], *{**more, "close_code": by_us[1], "by": "us"}.items())
    found = _find(rest)
    if found is None:
        found = ("other", (("text", rest),))
    return found[0], (*found[1], *more.items())


def _find(text: str) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    for form in FORMS_BY_CODE.values():
        match = form.pattern.fullmatch(text)
        if match is not None:
            strip = " :;" if form.code in _MAY_BE_EMPTY else " "
            return form.code, tuple((name, match[name].strip(strip)) for name in form.names)
    return None
