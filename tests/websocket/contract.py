"""What the tests of the connection contract share."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.pair import Pair


class ConnectionTestCase(SynchronousTestCase):
    """Tests of one contract: what holds where a peer dialled holds where we did.

    Each class of tests has a subclass with ``pair_of = DiallingPair``.
    """

    pair_of: type[Pair] = Pair
