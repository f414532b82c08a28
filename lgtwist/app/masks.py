"""The secrets of a configuration's text, hidden behind numbered masks, and put back. Pure.

Whoever edits the text in the console gets ``"••••••1"`` in place of the first secret, and so on. What is sent
back means the secret that stands there.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from urllib.parse import unquote

import msgspec
from attrs import frozen

from lgtwist.config.toml_places import KeyPath, Places, TomlValue, decode_string, places_of

#: What stands in place of a secret; a number follows.
MASK = "••••••"

#: A key, without case, ``_`` and ``-``, whose value is a secret.
_SECRET_KEY = re.compile(
    r"token|secret|passw|pwd|credential|apikey|pushkey|sendkey|accesskey|authorization|cookie|privatekey$"
    r"|令牌|密码|密钥|口令"
)
_SECRET_NAMES = ("key", "pass", "auth")
#: Within the texts of comments: what may be a key. One word is looked at after the other, as a search for
#: both takes a time that grows with the square of a long word.
_WORD = re.compile(r"[\w.\\-]+")
#: The last part of a word that is one of :data:`_SECRET_NAMES`.
_LAST_SECRET_NAME = re.compile(r"\b(?:key|pass|auth)\Z", re.IGNORECASE)
_LINE = re.compile(r"[^\r\n]+")
#: A key at the end of a line, and what stands alone on one.
_WORD_AT_END = re.compile(r"(?P<key>[\w.\\-]{1,100})[\"'\]]*\s*=?\s*\Z")
_VALUE_ALONE = re.compile(r"[\s=]*(?P<value>\"[^\"\r\n]+\"?|'[^'\r\n]+'?|[^\s=\[#]+)\s*(?:#.*)?\Z")
#: What stands behind such a key.
_VALUE_BEHIND = re.compile(
    r"[\"']?\s*(?:[-=]?>\s*|[=:：＝]\s*|(?=[\"'])|(?<=[\"'])\s*)"
    r"(?:bearer\s+|token\s+)?"
    r"(?P<value>\"\"\"(?:.{0,1999}?\"\"\"|.*)|'''(?:.{0,1999}?'''|.*)|\"(?:[^\"\\]|\\.)*\"?|'[^']*'?"
    r"|[“「『][^”」』]{0,1999}[”」』]?|[^\s\"',;，；。、)）\]}“”]{1,1999})",
    re.IGNORECASE,
)
_BEARER_SECRET = re.compile(r"\bbearer\s+(?P<value>[^\s\"',;]{6,})", re.IGNORECASE)
#: An unquoted word of a comment that may be a secret, rather than prose.
_LIKE_A_SECRET = re.compile(r"[!-~]{6,}")
#: A word of a comment that speaks of secrets, with letters and digits, as those of prose hardly are.
_MADE_AT_RANDOM = re.compile(
    r"(?<![\w./:-])(?=[A-Za-z_+=~-]{0,200}[0-9])(?=[0-9_+=~-]{0,200}[A-Za-z])[A-Za-z0-9_+=~-]{10,}(?![\w/])"
)
_SPEAKS_OF_SECRETS = re.compile(r"token|secret|passw|令牌|密码|密钥|口令", re.IGNORECASE)
_ANY_URL = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z0-9+.-]+://[^\s\"'<>]*")
_TABLE = re.compile(r"[#\s]*\[+\s*([\w\"'.-]+)")
_COMMENTED_TABLE = re.compile(r"#+\s*\[+\s*([\w\"'.-]+)")
_COMMENTED_URL = re.compile(r"\burl[\"']?\s*=\s*(?P<value>\"[^\"]*\"?|'[^']*'?)")
#: A mask, and the quotation marks around it.
_SENT_MASK = re.compile(rf"(?P<quote>[\"']?)(?<!•){MASK}(?!•)(?P<number>[0-9]*)")
_ALREADY = re.compile(rf"{MASK}•*[0-9]*")
#: Characters of a secret that mean themselves in every kind of string and in a URL.
_PLAIN_SECRET = re.compile(r"[A-Za-z0-9._~+/=@:!*()$%&;,-]*")
#: Characters of a secret by which it is recognised at other places, too.
_RECOGNISED = 8


@frozen
class Secret:
    """One secret of a text.

    :ivar start: where it begins; of a whole value, at its quotation mark.
    :ivar end: behind it.
    :ivar whole: whether it is a whole value, rather than a part of a string or of a comment.
    :ivar raw: what stands there.
    :ivar value: the text that it stands for.
    :ivar key: the key of the value; empty in a comment.
    """

    start: int
    end: int
    whole: bool
    raw: str
    value: str
    key: str


@frozen
class MaskedText:
    """A text with masks.

    :ivar text: with ``••••••N`` in place of the N-th secret.
    :ivar secrets: of the text that it was made of, in the order of their places.
    """

    text: str
    secrets: tuple[Secret, ...]


@frozen
class MaskProblem:
    """A mask that stands for nothing.

    :ivar offset: where it is in the text that was sent.
    :ivar number: as it was written.
    :ivar code: ``unknown_mask``: the file has no such secret; ``misplaced_mask``: no secret belongs there.
    """

    offset: int
    number: str
    code: str

    @property
    def sentence(self) -> str:
        """What is wrong."""
        shown = f"{MASK}{self.number}"
        if self.code == "unknown_mask":
            return f"{shown} stands for no secret of the file; write the value itself"
        return f"{shown} stands for a secret of the file, and no secret belongs here"


def mask(text: str) -> MaskedText:
    """Return a text whose secrets are masked, those in comments too."""
    found = tuple(secrets_of(text))
    parts, at = [], 0
    for number, secret in enumerate(found, 1):
        shown = f"{MASK}{number}"
        parts += [text[at : secret.start], f'"{shown}"' if secret.whole else shown]
        at = secret.end
    return MaskedText("".join([*parts, text[at:]]), found)


def unmask(sent: str, secrets: Sequence[Secret]) -> str | list[MaskProblem]:
    """Return the text that a text with masks stands for; the masks that stand for nothing if there are some.

    :param secrets: of the text that the masks were made for.
    """
    parts: list[str] = []
    put: list[tuple[int, int, Secret, int, str]] = []
    problems: list[MaskProblem] = []
    at = length = 0
    for found in _SENT_MASK.finditer(sent):
        number, quote, end = found["number"], found["quote"], found.end()
        start = found.start() + len(quote)
        secret = secrets[int(number) - 1] if 0 < int(number[:9] or 0) <= len(secrets) else None
        if secret is None or len(number) > 9:
            problems.append(MaskProblem(start, number, "unknown_mask"))
            continue
        if secret.whole and quote and sent.startswith(quote, end):
            start, end, new = start - 1, end + 1, secret.raw
        elif not secret.whole:
            new = secret.raw
        elif _PLAIN_SECRET.fullmatch(secret.value):
            new = secret.value
        else:
            problems.append(MaskProblem(start, number, "misplaced_mask"))
            continue
        before = sent[at:start]
        parts += [before, new]
        length += len(before)
        put.append((length, length + len(new), secret, start, number))
        length += len(new)
        at = end
    if problems:
        return problems
    text = "".join([*parts, sent[at:]])
    return _misplaced(text, put) or text


def _misplaced(text: str, put: list[tuple[int, int, Secret, int, str]]) -> list[MaskProblem]:
    """Return the masks that stood where no secret belongs: else their secrets would be shown as names."""
    if not put:
        return []
    places = places_of(text)
    hidden = [(one.start, one.end) for one in secrets_of(text, places)]
    hidden = sorted([*hidden, *places.comments, *places.junk])
    starts = [start for start, _end in hidden]
    problems = []
    for start, end, secret, offset, number in put:
        near = hidden[max(0, bisect_right(starts, start) - 3) : bisect_right(starts, start)]
        if any(first <= start and end <= last for first, last in near):
            continue
        entries = (one for one in places.entries if one.value_start <= start and end <= one.value_end)
        if secret.key and any(secret.key == _last_key(one.path) for one in entries):
            continue
        problems.append(MaskProblem(offset, number, "misplaced_mask"))
    return problems


def hide(sent: str, secrets: Iterable[Secret]) -> str:
    """Return a text that was sent as it may be shown: its own secrets become masks without a number.

    :param secrets: of the file; they are hidden wherever they stand.
    """
    parts, at = [], 0
    for secret in secrets_of(sent, known=[one.value for one in secrets]):
        if secret.raw.strip("\"'").startswith(MASK):
            continue
        parts += [sent[at : secret.start], f'"{MASK}"' if secret.whole else MASK]
        at = secret.end
    return "".join([*parts, sent[at:]])


def without_secrets(sentence: str, secrets: Iterable[Secret], sent: str = "") -> str:
    """Return a sentence in which no secret stands.

    :param sent: the text with masks that the sentence is about; short secrets that it has too are no secrets.
    """
    for secret in secrets:
        for shown in {secret.value, secret.raw}:
            if shown and (len(shown) >= _RECOGNISED or shown not in sent):
                sentence = re.sub(_not_within_words(shown), MASK, sentence)
    return sentence


def _not_within_words(secret: str) -> str:
    """Return a pattern of a secret; a short one is a part of many words, and hidden where it stands alone."""
    if len(secret) >= 4:
        return re.escape(secret)
    return rf"(?<![^\W_]){re.escape(secret)}(?![^\W_])"


# -- where secrets are


def secrets_of(text: str, places: Places | None = None, known: Iterable[str] = ()) -> list[Secret]:
    """Return the secrets of a text in the order of their places; none overlaps another.

    :param places: of the text, where they are known.
    :param known: secrets that are also hidden wherever they stand in comments and strings.
    """
    places = places_of(text) if places is None else places
    found = _FoundSecrets(text)
    junk = dict(places.junk)
    comments = dict(places.comments)
    if not _is_toml(text):
        _look_at_lines(found)
    for entry in places.entries:
        if entry.kind == "string":
            _look_at_string(found, entry)
        if entry.kind in ("string", "bare") and _is_secret(entry.path, text, entry):
            end = entry.value_end
            if entry.kind == "bare" and not entry.inline and end in _behind(text, end, comments):
                end = comments[_behind(text, end, comments)[end]]  # an unquoted secret may have # in it
            found.add_whole(entry, end)
            rest = end + len(text[end:]) - len(text[end:].lstrip(" \t"))
            if rest in junk:
                found.add(rest, junk[rest], "")
    in_alerts, closing = False, None
    header_starts = [header.start for header in places.headers[1:]]
    last_header = 0
    for start, end in sorted([*places.comments, *places.junk]):
        if bisect_right(header_starts, start) != last_header:
            last_header = bisect_right(header_starts, start)
            in_alerts = places.headers[last_header].path[0] == "alerts"
        table = _COMMENTED_TABLE.match(text, start, end)
        if table is not None:
            in_alerts = table[1] == "alerts"
        if closing is not None:  # a string of several lines that is commented out
            found.add(start + 1, end, "")
            closing = None if closing in text[start:end] else closing
            continue
        closing = _look_at_words(found, start, end, in_alerts=in_alerts)
    _look_for_known(found, places, known)
    return found.in_order()


def _is_toml(text: str) -> bool:
    try:
        msgspec.toml.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True


def _look_at_lines(found: _FoundSecrets) -> None:
    """Look for secrets in every line of a text that is no TOML: no places in it are sure.

    Of a string that is not closed, all that follows is a part.
    """
    expected = in_alerts = False  # whether a line ended behind the key of a secret; below [[alerts]]
    closing: str | None = None
    for line in _LINE.finditer(found.text):
        start, end = line.span()
        if closing is not None:
            found.add(start, end, "")
            closing = None if closing in line[0] else closing
            continue
        table = _TABLE.match(found.text, start, end)
        if table is not None:
            in_alerts = table[1] == "alerts"
        if expected and (value := _VALUE_ALONE.match(found.text, start, end)):
            found.add(*value.span("value"), "")
        word = _WORD_AT_END.search(line[0][-200:])
        if line[0].strip() not in ("=", ""):
            key = "" if word is None else word["key"]
            expected = "\\" in key or _secret_key_in(key) is not None
        closing = _look_at_words(found, start, end, in_alerts=in_alerts)


def _behind(text: str, end: int, comments: dict[int, int]) -> dict[int, int]:
    """Return where the comment behind a value begins, by the value's end; empty if there is none."""
    start = end + len(text[end:]) - len(text[end:].lstrip(" \t"))
    return {end: start} if start in comments else {}


class _FoundSecrets:
    """The secrets found so far.

    :param text: in which they are.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._secrets: dict[int, Secret] = {}
        self._starts: list[int] = []  # sorted

    def add(self, start: int, end: int, key: str, value: str | None = None, *, whole: bool = False) -> None:
        """Add a secret, unless there is nothing, or it is inside one that was added."""
        if start >= end:
            return
        text = self.text
        at = bisect_right(self._starts, start)
        if at and end <= self._secrets[self._starts[at - 1]].end:
            return
        if not whole:  # what stands around a mask must not change what it is
            while start and text[start - 1] == "•":
                start -= 1
            while end < len(text) and text[end] in "•0123456789":
                end += 1
        first = max(0, bisect_left(self._starts, start) - 1)
        for other in [self._secrets[one] for one in self._starts[first : bisect_left(self._starts, end)]]:
            if other.start < end and start < other.end:
                if other.start <= start and end <= other.end:
                    return
                if whole and start <= other.start and other.end <= end:
                    self._drop(other)
                    continue
                whole = whole and other.whole
                start, end = min(start, other.start), max(end, other.end)
                self._drop(other)
                value = None
        raw = text[start:end]
        insort(self._starts, start)
        self._secrets[start] = Secret(start, end, whole, raw, raw if value is None else value, key)

    def _drop(self, other: Secret) -> None:
        del self._secrets[other.start]
        del self._starts[bisect_left(self._starts, other.start)]

    def add_whole(self, entry: TomlValue, end: int) -> None:
        """Add a value that is a secret as a whole."""
        raw = self.text[entry.value_start : end]
        value = decode_string(raw) if entry.kind == "string" else raw
        if raw and value:
            self.add(entry.value_start, end, _last_key(entry.path), value, whole=True)

    def in_order(self) -> list[Secret]:
        """Return them in the order of their places."""
        return [self._secrets[start] for start in self._starts]


def _last_key(path: KeyPath) -> str:
    return next((part for part in reversed(path) if isinstance(part, str)), "")


def _is_secret(path: KeyPath, text: str, entry: TomlValue) -> bool:
    """Return whether a value is a secret by its key, or by that of an array or table around it."""
    if path[:1] == ("alerts",) and _last_key(path) in ("url", "urls"):
        return True
    for part in path:
        if isinstance(part, int):
            continue
        folded = re.sub(r"[_\s-]", "", part.lower())
        if folded.endswith("file"):
            # Some write the secret itself where the name of its file belongs.
            shown = text[entry.value_start : entry.value_end]
            if _SECRET_KEY.search(folded) and not re.search(r"[/\\.]", shown):
                return True
        elif _SECRET_KEY.search(folded) or folded in _SECRET_NAMES:
            return True
    return False


def _secret_key_in(word: str) -> str | None:
    """Return the key of a secret that a word of a comment is, folded as in :func:`_is_secret`; else None."""
    key = (decode_string(f'"{word}"') if "\\" in word else word).lower()
    folded = re.sub(r"[_-]", "", key)
    if _SECRET_KEY.search(folded):
        return folded
    name = _LAST_SECRET_NAME.search(key)
    return None if name is None else name[0]


def _look_at_string(found: _FoundSecrets, entry: TomlValue) -> None:
    """Look for secrets in the URLs, and for ``Bearer ...``, in a string that is none itself."""
    raw = found.text[entry.value_start : entry.value_end]
    decoded = decode_string(raw)
    if not (_in_urls(decoded) or _BEARER_SECRET.search(decoded) or _in_urls(raw)):
        words = _FoundSecrets(decoded)
        for line in _LINE.finditer(decoded):
            _look_at_words(words, *line.span(), in_alerts=False)
        if words.in_order() or _has_password(decoded):
            found.add_whole(entry, entry.value_end)
        return
    inner = raw.strip("\"'")
    if decoded != inner or not all(_PLAIN_SECRET.fullmatch(decoded[a:b]) for a, b in _in_urls(decoded)):
        found.add_whole(entry, entry.value_end)
        return
    key = _last_key(entry.path)
    for start, end in _in_urls(raw):
        found.add(entry.value_start + start, entry.value_start + end, key)
    for match in _BEARER_SECRET.finditer(raw):
        found.add(entry.value_start + match.start("value"), entry.value_start + match.end("value"), key)


def _has_password(text: str) -> bool:
    """Return whether a user and a password are before an ``@``, as in a URL without its scheme."""
    for part in re.split(r"[\s/]", text):
        name, _at, host = part.rpartition("@")
        user, _colon, password = name.partition(":")
        if user and password and host:
            return True
    return False


def _in_urls(text: str) -> list[tuple[int, int]]:
    """Return where secrets are in the URLs of a text: user and password, and the query's tokens."""
    places = []
    for found in _ANY_URL.finditer(text):
        url, base = found[0], found.start()
        begin = url.index("://") + 3
        end = min((at for mark in "/?#" if (at := url.find(mark, begin)) >= 0), default=len(url))
        at = url.rfind("@", begin, end)
        if at > begin:
            places.append((base + begin, base + at))
        for part in re.finditer(r"(?<=[?&;#])([^?&;#=]*)=([^&;#]*)", url):
            name = re.sub(r"[_-]", "", unquote(part[1]).lower())
            if part[2] and (_SECRET_KEY.search(name) or name in _SECRET_NAMES):
                places.append((base + part.start(2), base + part.end(2)))
    return places


def _look_at_words(found: _FoundSecrets, start: int, end: int, *, in_alerts: bool) -> str | None:
    """Look for secrets in a comment, or in what is no TOML.

    :returns: what ends a string of several lines that begins there; None if none does.
    """
    text = found.text[start:end]
    for first, last in _in_urls(text):
        found.add(start + first, start + last, "")
    for match in _BEARER_SECRET.finditer(text):
        found.add(start + match.start("value"), start + match.end("value"), "")
    at = 0
    while (possible := _WORD.search(text, at)) is not None:
        at = possible.end()
        folded = _secret_key_in(possible[0])
        word = None if folded is None else _VALUE_BEHIND.match(text, at)
        if folded is None or word is None:
            continue
        value = word["value"]
        quoted = value[0] in "\"'“「『"
        if folded.endswith("file") and re.search(r"[/\\.]", value):
            continue
        first, last = start + word.start("value"), start + word.end("value")
        if quoted and decode_string(value).strip("“”「」『』"):
            whole = value[0] in "\"'" and len(value) > 1 and value[-1] == value[0]
            found.add(first, last, "", decode_string(value), whole=whole)
        elif not quoted and folded in _SECRET_NAMES and not re.search("[0-9]", value):
            continue  # "every key: docs/configuration.md"
        elif not quoted and _LIKE_A_SECRET.search(value):
            found.add(first, last, "")
            at = word.end("value")
    closing: str | None = None
    if _SPEAKS_OF_SECRETS.search(text):
        for match in _MADE_AT_RANDOM.finditer(text):
            found.add(start + match.start(), start + match.end(), "")
        opened = re.search(r"[=:]\s*(\"\"\"|''')", text)
        if opened is not None and opened[1] not in text[opened.end() :]:
            closing = opened[1]
    if in_alerts:
        for match in _COMMENTED_URL.finditer(text):
            found.add(start + match.start("value"), start + match.end("value"), "")
    return closing


def _look_for_known(found: _FoundSecrets, places: Places, known: Iterable[str]) -> None:
    """Look for secrets that stand at other places too, and for what looks like a mask already."""
    values = {one for one in known if len(one) >= _RECOGNISED}
    for secret in found.in_order():
        if len(secret.value) >= _RECOGNISED:
            values.add(secret.value)
    words = sorted(values, key=len, reverse=True)
    pattern = re.compile("|".join([_ALREADY.pattern, *map(re.escape, words)]))
    spans = [
        (one.value_start, one.value_end, _last_key(one.path))
        for one in places.entries
        if one.kind in ("string", "bare")
    ]
    spans += [(start, end, "") for start, end in (*places.comments, *places.junk)]
    for start, end, key in spans:
        for match in pattern.finditer(found.text, start, end):
            is_mask = MASK in match[0]
            if is_mask or key != "name":
                found.add(match.start(), match.end(), key)
