"""The first line of a request (RFC 9112, 3), as far as Twisted's parser does not read it. Pure."""

from __future__ import annotations

#: Puts a byte that may stand in a target, and nowhere else in the line, in place of each that is no ASCII.
_TO_ASCII = bytes(byte if byte < 0x80 else ord("(") for byte in range(256))
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.0")


def in_ascii(line: bytes) -> bytes:
    """Return a first line of the same length without the bytes that are no ASCII.

    Many programs send the UTF-8 of a target as it is (``/send_msg?message=...``), which RFC 3986 forbids.
    """
    return line.translate(_TO_ASCII)


def method_and_target(line: bytes) -> tuple[bytes, bytes]:
    """Return what a first line asks for, as far as it can be told; empty where it cannot.

    :param line: a line that is malformed, or its beginning.
    """
    words = line.split(None, 2)
    return (words[0], words[1]) if len(words) > 1 else (b"", b"")


def is_tls_hello(data: bytes) -> bool:
    """Return whether a client begins TLS (RFC 8446, 5.1) where the first line of a request should be."""
    return data.startswith(b"\x16\x03")


def why_malformed(line: bytes) -> str:
    """Return what is wrong with a first line that Twisted's parser refuses, as the end of a sentence."""
    if is_tls_hello(line):
        return "it is TLS, and this port is without; use http:// or ws:// here, or an endpoint with ssl:"
    words = line.split(b" ")
    if len(words) > 3 and words[-1] in _VERSIONS:
        return "a blank in its target must be written %20"
    if len(words) == 3 and words[2] not in _VERSIONS:
        return "the version is none of HTTP 1.1 and 1.0"
    return "it must be a method, a target and a version"
