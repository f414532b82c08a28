"""What is measured: lgtwist in its forms, and the peers. How each is built, configured, started and ended."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from attrs import evolve, field, frozen

from benchmarks.watched import ADMIN_TOKEN

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

#: Where things are built, and where lgtwist keeps its data: a disk, for journals must really sync.
SCRATCH = Path("/var/tmp") if Path("/var/tmp").is_dir() else ROOT  # noqa: S108
#: What a name ends with that is served by the checkout of ``--beside``.
BESIDE = "@beside"
SERVER_CORE = 0
LOAD_CORE = 1

IMPL_TOKEN = "benchmark-implementation"  # noqa: S105
BOT_TOKEN = "benchmark-bot"  # noqa: S105
EXTRA_TOKEN = "benchmark-extra"  # noqa: S105


class Unavailable(Exception):
    """It cannot be measured here; the argument says why."""


class Failed(Exception):
    """A run failed; the argument says how."""


@frozen
class Setting:
    """What a case asks of a server.

    :ivar bots: how many bots will connect.
    :ivar extra: how a bot with a token of its own is to be served: not at all, or by this ``delivery``.
    :ivar watched: whether somebody looks at the live traffic; only lgtwist has that.
    :ivar account: the type of lgtwist's account; but for the first, lgtwist dials its implementation.
    :ivar account_port: where it dials it.
    :ivar each: lines of the configuration of each bot, which then has a name and a token of its own; only
        lgtwist has that.
    """

    bots: int = 1
    extra: str | None = None
    watched: bool = False
    account: str = "reverse-websocket"
    account_port: int = 0
    each: tuple[str, ...] | None = None


@frozen
class Server:
    """A server that runs.

    :ivar account_port: where it dials the implementation; 0 if it does not.
    """

    pid: int
    port: int
    account_port: int = 0
    tls: bool = False
    numbered: bool = False


@frozen
class Subject:
    """One thing to measure.

    :ivar kind: ``ours``, ``beside`` (ours, served by another checkout), ``peer`` (ratios are to the best of
        them) or ``limit`` (how far one could get).
    :ivar prepare: builds what it needs and gives the command for a port and a folder of its own.
    """

    name: str
    kind: str
    about: str
    prepare: Callable[[], Callable[[int, Path, Setting], Sequence[str]]]
    tls: bool = False
    numbered: bool = False
    environment: dict[str, str] = field(factory=dict)

    @contextlib.contextmanager
    def running(self, setting: Setting) -> Iterator[Server]:
        """Start it, wait until it listens, and end it however this block ends.

        :raises Unavailable: if it cannot be had here.
        :raises Failed: if it does not come up.
        """
        command = self.prepare()
        folder = Path(tempfile.mkdtemp(prefix="lgtwist-benchmark-", dir=SCRATCH))
        try:
            port = free_port()
            if setting.account != "reverse-websocket":
                setting = evolve(setting, account_port=free_port(port + 1))
            with (folder / "output").open("wb") as output:
                process = start(command(port, folder, setting), SERVER_CORE, folder, output, self.environment)
                try:
                    _await_port(process, port, folder)
                    numbered = self.numbered or setting.each is not None
                    yield Server(process.pid, port, setting.account_port, self.tls, numbered)
                except Failed as error:
                    raise Failed(f"{error}{_last_words(process, folder)}") from None
                finally:
                    end(process)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


# ---------------------------------------------------------------------- processes


def start(
    command: Sequence[str], core: int, folder: Path, output: object, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start a process on one core, in a session of its own: Ctrl-C is ours to pass on."""
    cores = os.sched_getaffinity(0)
    pinned = ["taskset", "-c", str(core)] if core in cores and len(cores) > 1 else []
    process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]  # noqa: S603
        [*pinned, *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        start_new_session=True,
    )
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process by its pid: politely, after five seconds not so."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)


def free_port(start: int = 0) -> int:
    """A port on 127.0.0.1 that nobody has, outside of the range that connections take theirs from.

    :param start: the first that may be it, if that matters.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    for port in range(start or max(1024, low - 3000) + os.getpid() % 1000, low):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise Failed("no port is free")


def _await_port(process: subprocess.Popen[bytes], port: int, folder: Path, patience: float = 20) -> None:
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Failed("it does not come up")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise Failed(f"it does not listen after {patience:.0f} s")


def _last_words(process: subprocess.Popen[bytes], folder: Path) -> str:
    """What a server said before a run failed, as far as it may tell why."""
    said = (folder / "output").read_text("utf-8", "replace").strip().splitlines()
    status = "" if process.poll() is None else f"; the server ended with status {process.returncode}"
    return f"{status}; its last words: {' / '.join(said[-3:])}"[:1000] if said else status


# ---------------------------------------------------------------------- building


def cache() -> Path:
    """Where built programs stay: ours alone."""
    folder = SCRATCH / f"lgtwist-benchmarks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.lstat()
    if owner.st_uid != os.getuid() or owner.st_mode & 0o022:
        raise Unavailable(f"{folder} is not ours alone")
    return folder


def built(name: str, sources: Sequence[Path], build: Callable[[Path], Sequence[str]]) -> Path:
    """A program that was built from these sources by this command; built if it is not there.

    :param build: the command that writes the program to the path it is given.
    :raises Unavailable: if it cannot be built.
    """
    seal = hashlib.sha256("\0".join(build(Path(name))).encode())
    for source in sources:
        seal.update(source.read_bytes())
    target = cache() / f"{name}-{seal.hexdigest()[:16]}"
    if not target.exists():
        fresh = target.with_suffix(f".{os.getpid()}")
        _run(build(fresh), {})
        fresh.rename(target)
    return target


def _run(command: Sequence[str], environment: dict[str, str], folder: Path = HERE) -> None:
    tool = shutil.which(command[0])
    if tool is None:
        raise Unavailable(f"{command[0]} is not installed")
    try:
        done = subprocess.run(  # noqa: S603
            [tool, *command[1:]],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} took more than 300 s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{' '.join(command[:3])} ... failed: {' / '.join(said[-2:])}")


def load_generator(tls: bool = False) -> Path:
    """The load generator, built.

    :raises Unavailable: if there is no compiler, or with ``tls`` no OpenSSL.
    """
    options = ["-DWITH_TLS"] if tls else []
    libraries = ["-lssl", "-lcrypto"] if tls else []
    return built(
        "load-tls" if tls else "load",
        [HERE / "load.c", HERE / "handshake.h", HERE / "wire.h"],
        lambda to: ["gcc", "-O2", *options, "-o", str(to), str(HERE / "load.c"), *libraries],
    )


def _epoll() -> Callable[[int, Path, Setting], Sequence[str]]:
    program = built(
        "epoll",
        [HERE / "peers/epoll.c", HERE / "handshake.h", HERE / "wire.h"],
        lambda to: ["gcc", "-O2", f"-I{HERE}", "-o", str(to), str(HERE / "peers/epoll.c")],
    )
    return lambda port, _folder, _setting: [str(program), str(port), IMPL_TOKEN, BOT_TOKEN]


def _gorilla() -> Callable[[int, Path, Setting], Sequence[str]]:
    if not Path("/usr/share/gocode/src/github.com/gorilla/websocket").is_dir():
        raise Unavailable("apt-get install golang-go golang-github-gorilla-websocket-dev")
    settings = ["GO111MODULE=off", "GOPATH=/usr/share/gocode", f"GOCACHE={cache() / 'go'}"]
    source = HERE / "peers/relay_gorilla.go"
    program = built(
        "gorilla", [source], lambda to: ["env", *settings, "go", "build", "-o", str(to), str(source)]
    )
    return lambda port, _folder, _setting: [str(program), str(port), IMPL_TOKEN, BOT_TOKEN]


def _node() -> Callable[[int, Path, Setting], Sequence[str]]:
    node = shutil.which("node")
    if node is None:
        raise Unavailable("node is not installed")
    folder = cache() / "node"
    if not (folder / "node_modules/ws/package.json").exists():
        folder.mkdir(exist_ok=True)
        _run(["npm", "install", "--no-audit", "--no-fund", "ws@8", "bufferutil@4"], {}, folder)
    script = folder / "relay_ws.js"  # beside node_modules, where `require` looks
    script.write_bytes((HERE / "peers/relay_ws.js").read_bytes())
    return lambda port, _folder, _setting: [node, str(script), str(port), IMPL_TOKEN, BOT_TOKEN]


def _websockets() -> Callable[[int, Path, Setting], Sequence[str]]:
    try:
        import websockets.asyncio.server  # noqa: F401
    except ImportError:
        raise Unavailable("pip install websockets") from None
    script = str(HERE / "peers/relay_websockets.py")
    return lambda port, _folder, _setting: [sys.executable, script, str(port), IMPL_TOKEN, BOT_TOKEN]


# ---------------------------------------------------------------------- lgtwist


def configuration(port: int, folder: Path, setting: Setting, delivery: str, tls: bool) -> str:
    """The configuration that lgtwist is measured with."""
    endpoint = f"tcp:{port}:interface=127.0.0.1"
    if tls:
        key, certificate = folder / "key.pem", folder / "cert.pem"
        endpoint = f"ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    lines = [
        f'data_dir = "{folder / "data"}"',
        "[server]",
        f'endpoints = ["{endpoint}"]',
        *([f'admin_token = "{ADMIN_TOKEN}"'] if setting.watched else []),
        "[limits]",
        'heartbeat_interval = "0s"',
        "calls = 100000",
        "[[accounts]]",
        f'type = "{setting.account}"',
        *_account_url(setting),
        "self_id = 10001",
        f'access_token = "{IMPL_TOKEN}"',
    ]
    # A cursor belongs to one bot, so each bot that is to have one has a name and a token.
    one = delivery == "live" and setting.each is None
    tokens = [BOT_TOKEN] if one else [f"{BOT_TOKEN}-{n}" for n in range(setting.bots)]
    bots = [(token, delivery) for token in tokens]
    if setting.extra is not None:
        bots.append((EXTRA_TOKEN, setting.extra))
    for token, how in bots:
        lines += ["[[bots]]", f'name = "{token}"', f'access_token = "{token}"']
        if how != "live":
            lines.append(f'delivery = "{how}"')
        lines += setting.each or ()
    return "\n".join(lines) + "\n"


def _account_url(setting: Setting) -> list[str]:
    """Give where lgtwist dials the implementation, if it does."""
    scheme = {"forward-websocket": "ws", "milky": "http"}.get(setting.account)
    return [] if scheme is None else [f'url = "{scheme}://127.0.0.1:{setting.account_port}/"']


def _twistd() -> str:
    for twistd in (Path(sys.executable).with_name("twistd"), shutil.which("twistd")):
        if twistd is not None and Path(twistd).exists():
            return str(twistd)
    raise Unavailable("twistd is not installed")


def _lgtwist(
    delivery: str = "live", tls: bool = False, checkout: Path = ROOT
) -> Callable[[int, Path, Setting], Sequence[str]]:
    twistd = _twistd()
    if tls and shutil.which("openssl") is None:
        raise Unavailable("openssl is not installed")

    def command(port: int, folder: Path, setting: Setting) -> Sequence[str]:
        if tls:
            names = ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-days", "2"]
            curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
            _run(["openssl", "req", "-x509", "-nodes", *curve, *names], {}, folder)
        file = folder / "lgtwist.toml"
        file.write_text(configuration(port, folder, setting, delivery, tls), "utf-8")
        if delivery != "live" or setting.extra not in (None, "live") or setting.account == "milky":
            _check(twistd, file, checkout)
        options = ["-n", "--pidfile=", "lgtwist", "--config", str(file)]
        return [sys.executable, str(HERE / "watched.py") if setting.watched else twistd, *options]

    return command


def _check(twistd: str, file: Path, checkout: Path) -> None:
    """Ask the lgtwist of a checkout whether it takes the configuration: a version without a journal does not.

    :raises Unavailable: if it does not.
    """
    done = subprocess.run(  # noqa: S603
        [sys.executable, twistd, "lgtwist", "--check", "--config", str(file)],
        cwd=file.parent,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines() or ["no word"]
        raise Unavailable(f"the configuration is refused: {said[0]}")


def _ours(checkout: Path = ROOT, kind: str = "ours", mark: str = "") -> list[Subject]:
    """Give our own subjects, served by a checkout.

    :param mark: what is appended to their names.
    """

    def subject(name: str, about: str, delivery: str = "live", tls: bool = False) -> Subject:
        return Subject(
            name + mark,
            kind,
            f"lgtwist, {about}",
            lambda: _lgtwist(delivery, tls, checkout),
            tls=tls,
            numbered=delivery != "live",
            environment={"PYTHONPATH": str(checkout)},
        )

    return [
        subject("lgtwist", "bots live, TCP"),
        subject("lgtwist-journal", "every bot at-least-once", delivery="at-least-once"),
        subject("lgtwist-tls", "bots live, TLS", tls=True),
    ]


SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        *_ours(),
        Subject("websockets", "peer", "Python, websockets' asyncio implementation", _websockets),
        Subject("ws", "peer", "Node, ws", _node, environment={"NODE_ENV": "production"}),
        Subject("gorilla", "peer", "Go, gorilla/websocket", _gorilla),
        Subject("epoll", "limit", "C, a plain epoll loop with the same coalescing", _epoll),
    )
}


# ---------------------------------------------------------------------- a second checkout

#: What a checkout must have.
_PLUGIN = "twisted/plugins/lgtwist_plugin.py"
_PARTS = ("lgtwist/__init__.py", _PLUGIN)

#: Loads the service as twistd does, and prints the files of all modules of lgtwist that this imported.
_IMPORTED = """
import importlib, json, sys
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
makers = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "lgtwist"]
if not makers:
    sys.exit("twistd finds no plugin named lgtwist")
importlib.import_module(makers[0].module)
print(json.dumps({
    name: module.__file__ for name, module in sorted(sys.modules.items())
    if (name.split(".")[0] == "lgtwist" or name == "twisted.plugins.lgtwist_plugin")
    and getattr(module, "__file__", None)
}))
"""


def beside(checkout: Path) -> dict[str, Subject]:
    """Give our own subjects as another checkout serves them, by the names of ours.

    :raises Unavailable: if it is not a checkout of lgtwist, or a server that is started with it would import
        lgtwist or the plugin from elsewhere.
    """
    checkout = checkout.resolve()
    for part in _PARTS:
        if not (checkout / part).is_file():
            raise Unavailable(f"{checkout} is not a checkout of lgtwist: it has no {part}")
    for name, file in _imported(checkout).items():
        found = Path(file).resolve()
        if found != checkout / _PLUGIN and not found.is_relative_to(checkout / "lgtwist"):
            raise Unavailable(f"with {checkout} as the checkout, {name} is imported from {file}")
    return {
        subject.name.removesuffix(BESIDE): subject for subject in _ours(checkout, kind="beside", mark=BESIDE)
    }


def _imported(checkout: Path) -> Mapping[str, str]:
    """Ask a new process with a server's environment where the modules of lgtwist come from.

    :raises Unavailable: if they cannot be imported.
    """
    with tempfile.TemporaryDirectory(prefix="lgtwist-benchmark-", dir=SCRATCH) as folder:
        try:
            done = subprocess.run(  # noqa: S603
                [sys.executable, "-c", _IMPORTED],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(checkout)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"the import of lgtwist from {checkout} took more than 60 s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise Unavailable(f"lgtwist cannot be imported from {checkout}: {said[-1]}")
    files: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return files
