"""Use certificates that were renewed on the disk, our own and those of ``ca_file``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from lgtwist.app.authorities import authorities_of, renew_authorities
from lgtwist.app.configuration import Config
from lgtwist.net.ports import Ports
from lgtwist.runtime.logs import CONFIGURED, Logger
from lgtwist.runtime.tasks import spawn


class Certificates:
    """Looks at the files of certificates.

    :param ports: the listening ports.
    :param config: returns the present configuration.
    :param in_thread: calls a function, which may block, in a thread.
    """

    _log = Logger(throttled=False, longest=CONFIGURED)

    def __init__(
        self,
        ports: Ports,
        config: Callable[[], Config],
        in_thread: Callable[[Callable[[], Any]], Deferred[Any]],
    ) -> None:
        self._ports = ports
        self._config = config
        self._in_thread = in_thread

    def check(self) -> None:
        """Use the certificates that were renewed on the disk, our own and those of ``ca_file``."""
        if self._ports.certificates_changed():
            spawn("renewing certificates", self._renew())
        if any(authorities.changed() for authorities in authorities_of(self._config())):
            spawn("renewing authorities", renew_authorities(self._config(), self._in_thread))

    async def _renew(self) -> None:
        renewal = await self._ports.renew_certificates()
        for endpoint in renewal.renewed:
            self._log.info("{endpoint}: its renewed certificate is used from now on", endpoint=endpoint)
        for sentence in renewal.refused:
            self._log.error("{sentence}; the certificate before it is still used", sentence=sentence)
        if renewal.renewed:
            self.warn()

    def warn(self) -> None:
        """Log why clients may refuse the certificates of the ports, a line each."""
        for line in self._ports.warnings():
            self._log.warn("{line}", line=line)
