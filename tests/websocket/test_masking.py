"""Masking, in Python and in C."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import autobahn.websocket
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.websocket import masking
from lgtwist.websocket.masking import apply_mask, fastest, masked_in_python
from tests.rounds import quick


def by_the_standard(payload: bytes, key: bytes) -> bytes:
    """RFC 6455, 5.3, to the letter."""
    return bytes(octet ^ key[i % 4] for i, octet in enumerate(payload))


class MaskingTests(SynchronousTestCase):
    @quick
    @given(st.binary(max_size=2000), st.binary(min_size=4, max_size=4))
    def test_both_are_right(self, payload: bytes, key: bytes) -> None:
        """Whatever it is and however long; and what it was made of stays as it was."""
        before = bytes(bytearray(payload))
        for each in (apply_mask, masked_in_python):
            self.assertEqual(each(payload, key), by_the_standard(payload, key))
            self.assertEqual(each(each(payload, key), key), payload)
        self.assertEqual(payload, before)

    def test_long(self) -> None:
        """A picture or a video: the key goes on where a stretch ends."""
        for length in (65_535, 65_536, 65_537, 131_073, 300_001):
            payload = b"0123456789" * (length // 10) + b"x" * (length % 10)
            for each in (apply_mask, masked_in_python):
                self.assertEqual(each(payload, b"\x01\xff\x80k"), by_the_standard(payload, b"\x01\xff\x80k"))

    def test_in_c_where_it_can_be(self) -> None:
        """Autobahn's wheels bring it."""
        if not getattr(autobahn.websocket, "USES_NVX", False):
            self.skipTest("Autobahn was built without it, or is told to do without")
        self.assertIsNot(apply_mask, masked_in_python)

    def test_without_it(self) -> None:
        """Where Autobahn has it not, has it otherwise, or does something else with it, Python does it."""

        class Wrong:
            def __getattr__(self, name: str) -> Any:
                return lambda *args: None

        for nvx in (None, SimpleNamespace(), SimpleNamespace(ffi=Wrong(), lib=Wrong())):
            self.patch(masking, "import_module", lambda _name, nvx=nvx: nvx)
            self.assertIs(fastest(), masked_in_python)
