"""Taking the mask off, in Python and in C."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from autobahn.websocket import USES_NVX
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.websocket import masking
from lgtwist.websocket.masking import quickest, unmask, unmask_in_python
from tests.rounds import quick


def by_the_standard(mask: bytes, payload: bytes) -> bytes:
    """RFC 6455, 5.3, to the letter."""
    return bytes(octet ^ mask[i % 4] for i, octet in enumerate(payload))


class MaskingTests(SynchronousTestCase):
    @quick
    @given(
        st.binary(max_size=40),
        st.binary(min_size=4, max_size=4),
        st.binary(max_size=2000),
        st.binary(max_size=9),
    )
    def test_both_are_right(self, before: bytes, mask: bytes, payload: bytes, behind: bytes) -> None:
        """Wherever it lies and however long it is; what it was made of stays as it was."""
        start = len(before) + 4
        end = start + len(payload)
        data = before + mask + payload + behind
        for each in (unmask, unmask_in_python):
            self.assertEqual(each(data, start, end), by_the_standard(mask, payload))
        self.assertEqual(data, before + mask + payload + behind)

    def test_in_c_where_it_can_be(self) -> None:
        """Autobahn's wheels bring it."""
        if not USES_NVX:
            self.skipTest("Autobahn was built without it, or is told to do without")
        self.assertIsNot(unmask, unmask_in_python)

    def test_without_it(self) -> None:
        """Where Autobahn has it not, has it otherwise, or does something else with it, Python does it."""

        class Wrong:
            def __getattr__(self, name: str) -> Any:
                return lambda *args: None

        for nvx in (None, SimpleNamespace(), SimpleNamespace(ffi=Wrong(), lib=Wrong())):
            self.patch(masking, "import_module", lambda _name, nvx=nvx: nvx)
            self.assertIs(quickest(), unmask_in_python)
