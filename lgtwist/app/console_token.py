"""The admin token that was made for the console, and the secrets that text must not show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import evolve

from lgtwist.app.admin_token import CannotMakeToken, MadeToken, console_link, made_token
from lgtwist.app.configuration import Config
from lgtwist.app.secrets import KnownSecrets
from lgtwist.hub.edges import CannotPrepare
from lgtwist.web.authentication import Authentication


class ConsoleToken:
    """Makes a token where none is configured, accepts it, and shows its link once.

    :param folder: the data directory.
    :param authentication: of the port.
    :param config: returns the present configuration.
    :param base: returns the URL of the port.
    :param is_running: returns whether the service runs.
    :ivar show: writes the console's link where a person sees it, and no log has it. May be set.
    """

    def __init__(
        self,
        folder: Path,
        authentication: Authentication,
        *,
        config: Callable[[], Config],
        base: Callable[[], str],
        is_running: Callable[[], bool],
    ) -> None:
        self._folder = folder
        self._authentication = authentication
        self._config = config
        self._base = base
        self._is_running = is_running
        self.show: Callable[[str], None] = lambda _link: None
        self._made_token: MadeToken | None = None
        self._secrets = KnownSecrets()

    def make(self, wanted: Config) -> MadeToken | None:
        """Return the token that is made where none is configured; None where none is needed.

        It may be called in a thread.

        :raises CannotPrepare: if it can neither be read nor made.
        """
        if wanted.server.admin_token is not None or not wanted.console.enabled:
            return None
        try:
            return made_token(self._folder)
        except CannotMakeToken as error:
            raise CannotPrepare(str(error)) from None

    def use(self, made: MadeToken | None) -> None:
        """Accept a token that was made, where none is configured; show its link if it is new."""
        self.secrets()  # the one before, too
        self._made_token = made
        self._authentication.made_token = None if made is None else made.value
        if made is not None and made.is_new and self._is_running():
            self.show_link()

    def secrets(self) -> frozenset[str]:
        """Return the tokens and secrets that are valid now, or were in this run."""
        made = self._made_token
        return self._secrets.note(self._config(), None if made is None else made.value)

    def show_link(self) -> None:
        """Show the link once, after the token was made."""
        made = self._made_token
        if made is None or not made.is_new:
            return
        self._made_token = evolve(made, is_new=False)
        base = self._base()
        if base.startswith("http"):
            self.show(console_link(base, made.value))
