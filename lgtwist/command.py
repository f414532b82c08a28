"""``lgtwist``: what ``twistd lgtwist`` does, and more, for those who do not know twistd.

Exit statuses: 0, 1 where something could not be done (one line on stderr says what), 2 for a mistake on the
command line. Most imports are inside the functions: ``health`` and ``--help`` need little of the program.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import evolve, frozen

from lgtwist import __version__
from lgtwist.app.configuration_file import DEFAULT_FILE, VARIABLE, ConfigurationError, ConfigurationFile
from lgtwist.app.printing import print_journal, print_summary, print_text
from lgtwist.runtime.platform import outlive_new_log_signal

if TYPE_CHECKING:
    from lgtwist.app.configuration import Config

_CONFIG_HELP = f"the configuration file (else ${VARIABLE}, else ./{DEFAULT_FILE} if it is there)"


# -- the commands


def _read_configuration(options: argparse.Namespace) -> Config:
    """Return the configuration that counts.

    :raises ConfigurationError: with a line for each mistake.
    """
    return ConfigurationFile.find(options.config).read()


def _run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    outlive_new_log_signal()
    if options.init:
        _write_if_missing(options)
    file = ConfigurationFile.find(options.config)
    if options.log_file is not None:
        from lgtwist.runtime.log_file import log_file_names

        file = evolve(file, also_private=log_file_names(Path(options.log_file)))
    config = file.read()

    from twisted.logger import globalLogBeginner, textFileLogObserver

    from lgtwist.app.log_output import stdout_stream
    from lgtwist.app.start import CannotStart, prepare_service
    from lgtwist.runtime.reactor import install_reactor

    named = options.log_file
    log: Any = (stdout_stream() or sys.stdout) if named is None else _open_log(Path(named))
    reactor = install_reactor()
    try:
        service = prepare_service(file, config, reactor)
    except CannotStart as error:
        sys.exit(f"lgtwist: {error}")
    globalLogBeginner.beginLoggingTo([textFileLogObserver(log)])
    service.privilegedStartService()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    # Twisted's own handlers would take the place of ours for a moment; there are no processes to wait for.
    reactor.run(installSignalHandlers=False)
    return 0


def _open_log(path: Path) -> Any:
    """Open the log.

    :raises SystemExit: with one line, if it cannot be opened.
    """
    from lgtwist.runtime.file_trouble import why_not_usable
    from lgtwist.runtime.log_file import LogFile

    try:
        return LogFile(path)
    except OSError as error:
        sys.exit(f"lgtwist: {path}: the log cannot be written: {why_not_usable(error, path.absolute())}")


def _target(options: argparse.Namespace) -> ConfigurationFile:
    """Return the file that a first configuration is written to."""
    file = ConfigurationFile.find(options.config)
    return file if file.name is not None else ConfigurationFile(DEFAULT_FILE, file.base)


def _write_if_missing(options: argparse.Namespace) -> None:
    from lgtwist.app.first_configuration import ANYWHERE, LOOPBACK, in_container

    file = _target(options)
    if not os.path.lexists(file.base / str(file.name)):
        _write(file, ANYWHERE if in_container(os.environ) else LOOPBACK)


def _init(options: argparse.Namespace) -> int:
    """Write a commented configuration."""
    from lgtwist.app.first_configuration import LOOPBACK

    file = _target(options)
    _write(file, LOOPBACK)
    print_text(
        f"To start it: lgtwist run --config {file.name}\n"
        f"The link of its console: lgtwist token --config {file.name}\n"
    )
    return 0


def _write(file: ConfigurationFile, endpoint: str) -> None:
    """Write a first configuration, and say where.

    :raises SystemExit: with one line, if it cannot be written or is there already.
    """
    from lgtwist.app.first_configuration import first_configuration, wants_chinese, write_first_configuration
    from lgtwist.runtime.file_trouble import why_not_usable

    path = file.base / str(file.name)
    try:
        write_first_configuration(path, first_configuration(wants_chinese(os.environ), endpoint))
    except FileExistsError:
        sys.exit(f"{file.name}: is there already, and stays as it is")
    except (OSError, ValueError) as error:
        reason = why_not_usable(error, path) if isinstance(error, OSError) else error
        sys.exit(f"{file.name}: cannot be written: {reason}")
    print_text(f"Wrote {path}, with tokens made for it; only its owner can read it.\n")


def _check(options: argparse.Namespace) -> int:
    """Print what would be served."""
    print_summary(_read_configuration(options))
    return 0


def _journal(options: argparse.Namespace) -> int:
    """Print what the journal holds."""
    print_journal(_read_configuration(options), options.json)
    return 0


def _health(options: argparse.Namespace) -> int:
    """Ask the running service whether it is alive."""
    from lgtwist.app.health_check import check_health

    found = check_health(ConfigurationFile.find(options.config))
    if not found.alive:
        sys.exit(found.sentence)
    print_text(f"{found.sentence}\n")
    return 0


def _token(options: argparse.Namespace) -> int:
    """Print the console's link, with the admin token, on stdout alone; on stderr the token's origin."""
    from lgtwist.app.admin_token import ADMIN_TOKEN_FILE, CannotMakeToken, console_link, read_made_token
    from lgtwist.app.summary import http_base

    file = ConfigurationFile.find(options.config)
    config = file.read()
    token, where = config.server.admin_token, f"[server] of {file.described}"
    if token is None and not config.console.enabled:
        sys.exit(f"There is no admin_token: {file.described} names none, and none is made without a console.")
    if token is None:
        folder = Path(config.data_dir)
        where = str(folder / ADMIN_TOKEN_FILE)
        try:
            token = read_made_token(folder)
        except CannotMakeToken as error:
            sys.exit(str(error))
    if token is None:
        sys.exit(
            f"There is no admin_token yet: {file.described} names none, and {where} is made at the "
            "first start."
        )
    base = http_base(config)
    shown = console_link(base, token) if config.console.enabled and base else token
    print_text(f"{shown}\n")
    sys.stderr.write(f"from {where}\n")
    return 0


def _backup(options: argparse.Namespace) -> int:
    """Write a backup."""
    from lgtwist.app.backup_command import NoBackup, back_up

    try:
        line = back_up(ConfigurationFile.find(options.config), options.output, secrets=options.secrets)
    except NoBackup as error:
        sys.exit(str(error))
    print_text(f"{line}\n")
    return 0


def _alert_test(options: argparse.Namespace) -> int:
    """Send a test to the receivers of ``[[alerts]]``."""
    from lgtwist.app.alert_test_command import NoAlertTest, NoSuchAlert, try_alerts

    def warn(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    file = ConfigurationFile.find(options.config)
    try:
        accepted = try_alerts(file, options.index, lambda line: print_text(f"{line}\n"), warn)
    except NoAlertTest as error:
        sys.exit(str(error))
    except NoSuchAlert as error:
        warn(f"lgtwist alert-test: {error}")
        return 2
    return 0 if accepted else 1


# -- the command line


@frozen
class Command:
    """One command.

    :ivar run: does it; returns the exit status.
    :ivar summary: one line for the overview.
    :ivar description: what ``--help`` says beside it.
    :ivar flags: its options without a value, with what they mean.
    :ivar values: its options with a value: each with a name for that, and what it means.
    :ivar number: its argument, a whole number that may be left out: a name for it, and what it means.
    """

    run: Callable[[argparse.Namespace], int]
    summary: str
    description: str = ""
    flags: tuple[tuple[str, str], ...] = ()
    values: tuple[tuple[str, str, str], ...] = ()
    number: tuple[str, str] | None = None


COMMANDS = {
    "run": Command(
        _run,
        "serve, in the foreground, until Ctrl-C or SIGTERM",
        "The log goes to stdout. Without a configuration file it serves one sandbox account, 10001, on "
        "127.0.0.1:8081. SIGHUP reads the configuration again.",
        (("--init", "where the configuration file is missing, write one first, as lgtwist init does"),),
        (
            (
                "--log-file",
                "FILE",
                "write the log there, not to stdout; five files of 10 MB are kept, SIGUSR1 begins a new one",
            ),
        ),
    ),
    "init": Command(
        _init,
        "write a commented configuration with new tokens",
        f"It goes to the named file, else ./{DEFAULT_FILE}; a file that is there stays as it is. Its "
        "comments are Chinese where LANG is, else English.",
    ),
    "check": Command(
        _check,
        "validate the configuration and print what would be served; start nothing",
        "Every mistake is one line. The exit status is 1 where there is one.",
    ),
    "journal": Command(
        _journal,
        "print what the journal holds, also beside a running service",
        "Accounts, bots' cursors and what each of them has still to get.",
        (("--json", "as JSON"),),
    ),
    "health": Command(
        _health,
        "ask the running service whether it is alive; exit status 0 or 1",
        "It asks /healthz of the first endpoint of the configuration and waits 5 seconds at most. Made for "
        "HEALTHCHECK in a container.",
    ),
    "token": Command(
        _token,
        "print the link of the console, with the admin token",
        "The token is admin_token of [server], else what the service made in data_dir; stderr says which. "
        "Without a console, or where the first endpoint is a Unix socket, it is printed alone.",
    ),
    "backup": Command(
        _backup,
        "write a zip of the configuration, the journal and the sandboxes, also beside a running service",
        "The running service makes it; where none runs, the files are copied. A file that is there is never "
        "overwritten. README.txt in it says how to restore it.",
        (("--secrets", "with tokens, and the files that the configuration names (keys, certificates)"),),
        (("--output", "FILE", "the new file, or a folder for it (else the working directory)"),),
    ),
    "alert-test": Command(
        _alert_test,
        "send a test message to the receivers of [[alerts]]; exit status 0 if all accept it",
        "The running service sends it; where none runs, the command does. One line for each entry says what "
        "its receiver answered. The exit status is 1 where one did not accept the message.",
        number=("INDEX", "which of [[alerts]], the first is 0 (else all of them)"),
    ),
}


class _Parser(argparse.ArgumentParser):
    """Tells of a mistake in one line, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser_of(name: str, command: Command) -> _Parser:
    parser = _Parser(
        prog=f"lgtwist {name}",
        description=f"{command.summary[0].upper()}{command.summary[1:]}. {command.description}",
        allow_abbrev=False,
    )
    parser.add_argument("-c", "--config", metavar="FILE", help=_CONFIG_HELP)
    for flag, value, meaning in command.values:
        parser.add_argument(flag, metavar=value, help=meaning)
    if command.number is not None:
        name_of_number, meaning = command.number
        parser.add_argument(
            name_of_number.lower(), metavar=name_of_number, nargs="?", type=_whole_number, help=meaning
        )
    for flag, meaning in command.flags:
        parser.add_argument(flag, action="store_true", help=meaning)
    return parser


def _whole_number(text: str) -> int:
    """Read an argument.

    :raises argparse.ArgumentTypeError: if it is no whole number from 0 on.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise argparse.ArgumentTypeError(f'expected a whole number, got "{text[:20]}"')
    return int(text)


def overview() -> str:
    """Return what ``lgtwist --help`` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: lgtwist COMMAND [--config FILE]",
            "",
            "A OneBot 11 connection layer: stands between accounts and bots.",
            "",
            *lines,
            "",
            f"  -c, --config FILE  {_CONFIG_HELP}",
            "  --version          print the version",
            "",
            "lgtwist COMMAND --help says more. To run it as a daemon: twistd lgtwist --help",
            "",
        ]
    )


def _unknown(name: str) -> str:
    if name.startswith("-"):
        return f"unknown option {name}; the command comes first, see lgtwist --help"
    near = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f'is "{near[0]}" meant?' if near else "see lgtwist --help"
    return f'unknown command "{name}"; {hint}'


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command, and exit.

    :param arguments: what stands behind the program's name; None for the process's own.
    :raises SystemExit: always.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if name in ("-h", "--help", "help"):
        print_text(overview())
        sys.exit(0)
    if name in ("-V", "--version"):
        print_text(f"lgtwist {__version__}\n")
        sys.exit(0)
    if name not in COMMANDS:
        sys.stderr.write(f"lgtwist: {_unknown(name)}\n" if name else overview())
        sys.exit(2)
    options = _parser_of(name, COMMANDS[name]).parse_args(rest)
    try:
        status = COMMANDS[name].run(options)
    except ConfigurationError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(status)


if __name__ == "__main__":
    main()
