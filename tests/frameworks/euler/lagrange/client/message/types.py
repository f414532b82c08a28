"""The stub's types."""

from __future__ import annotations

from lagrange.client.message.elems import BaseElem as Element

__all__ = ["Element"]
