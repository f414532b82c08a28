"""What an implementation of Milky says it is, and what it is known to do otherwise than Milky says."""

from __future__ import annotations

from typing import Any

from attrs import frozen


@frozen
class Implementation:
    """The answer to ``get_impl_info``; empty strings before it is known.

    :ivar name: such as ``Lagrange.Core``, ``LLBot``, ``Yogurt``.
    :ivar version: its own.
    :ivar milky_version: such as ``1.2``.
    """

    name: str = ""
    version: str = ""
    milky_version: str = ""

    @property
    def is_lagrange(self) -> bool:
        """Whether it is Lagrange.Milky, which answers some calls otherwise than they went."""
        return self.name.lower().startswith("lagrange")

    @property
    def is_llbot(self) -> bool:
        """Whether it is LLBot, which leaves out mentions in private conversations and hashes of files."""
        return self.name.lower().startswith(("llbot", "lucky"))


def read_implementation(data: Any) -> Implementation:
    """Return what the ``data`` of ``get_impl_info`` says; what is no string is left empty."""
    if not isinstance(data, dict):
        return Implementation()
    name, version, milky_version = (data.get(key) for key in ("impl_name", "impl_version", "milky_version"))
    return Implementation(*(one if isinstance(one, str) else "" for one in (name, version, milky_version)))
