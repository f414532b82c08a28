"""What ``twistd lgtwist``, ``lgtwist.tac`` and ``lgtwist run`` have in common: a service ready to start."""

from __future__ import annotations

import gc
import os
from functools import partial
from typing import Any

from twisted.internet.threads import deferToThreadPool

from lgtwist.app.admin_token import show_once
from lgtwist.app.configuration import Config
from lgtwist.app.configuration_editor import ConfigurationEditor
from lgtwist.app.configuration_file import ConfigurationFile
from lgtwist.app.data_dir import CannotStart
from lgtwist.app.first_configuration import wants_chinese
from lgtwist.app.log_output import renew_logs
from lgtwist.app.restart import Restart
from lgtwist.app.sd_notify import SystemdNotifier
from lgtwist.app.service import LgtwistService
from lgtwist.app.signals import Signals
from lgtwist.net.resolver import NameResolver
from lgtwist.runtime.foreign_lines import tame_foreign_lines


def prepare_service(file: ConfigurationFile, config: Config, reactor: Any) -> LgtwistService:
    """Return a service, its ports already open. It answers signals from now on.

    :param file: what SIGHUP reads again; SIGUSR1 begins a new log file.
    :param config: what was read from it.
    :raises CannotStart: if it cannot start.
    """
    tame_foreign_lines()
    reactor.installNameResolver(NameResolver(reactor))
    service = LgtwistService(config, reactor)
    service.backups.file = file
    editor = service.editor = ConfigurationEditor(
        file,
        partial(deferToThreadPool, reactor, reactor.getThreadPool()),
        lambda: service.port.authentication.admin_token,
    )
    editor.note_running()
    service.read_again = editor.read_again
    service.restart = Restart(reactor, file.base, file.also_private).begin
    word = "控制台" if wants_chinese(os.environ) else "Console"
    service.console_token.show = lambda link: show_once(f"{word}: {link}")
    signals = Signals(reactor, service.reload_again, renew_logs)
    signals.prepare()
    service.prepare()
    signals.setServiceParent(service)
    notifier = service.notifier = SystemdNotifier(reactor, lambda: _status(service.config))
    notifier.setServiceParent(service)
    # Hardly anything here is in cycles, and what was imported stays: to look for them after each 700
    # new objects makes handshakes dearer.
    gc.freeze()
    gc.set_threshold(10_000)
    return service


def _status(config: Config) -> str:
    """Return what ``systemctl status`` shows."""
    return f"accounts: {len(config.accounts)}, bots: {len(config.bots)}"


__all__ = ["CannotStart", "prepare_service"]
