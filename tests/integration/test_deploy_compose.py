"""``deploy/compose/``: judged by Docker Compose, and what it starts of ours started."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.docker_compose import judge, read_compose
from tests.dockerfile import instructions
from tests.frameworks.frameworks import need
from tests.integration.listening_bots import Listener
from tests.integration.rawclient import Ended, RawClient
from tests.processes import PATIENCE, ROOT, ChildProcess, free_port, inherited_environment, wait_until

COMPOSE = ROOT / "deploy" / "compose"
NAMES = ("napcat", "llbot", "astrbot", "nonebot")
ACCOUNT = 1234567890
#: The address of lgtwist, for the other containers.
ADDRESS = "lgtwist:8081"


class FakeImplementation:
    """Dials as its file says, and answers every action.

    :ivar actions: what was asked.
    """

    def __init__(self, entry: dict[str, Any], port: int) -> None:
        path = entry["url"].removeprefix(f"ws://{ADDRESS}")
        headers = {"X-Self-ID": str(ACCOUNT), "X-Client-Role": "Universal"}
        headers["Authorization"] = f"Bearer {entry['token']}"
        self.actions: list[dict[str, Any]] = []
        self.client = RawClient(None, path, headers, port=port)
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        try:
            while True:
                asked = self.client.message()
                self.actions.append(asked)
                data = {"user_id": ACCOUNT, "nickname": "fake", "message_id": 7, "app_name": "fake"}
                answer = {"status": "ok", "retcode": 0, "data": data, "echo": asked.get("echo")}
                self.client.send(json.dumps(answer))
        except (Ended, OSError):
            return

    def say(self, text: str) -> None:
        """Somebody writes to the account."""
        sender = {"user_id": 20001, "nickname": "Alice", "sex": "unknown", "age": 0}
        message = [{"type": "text", "data": {"text": text}}]
        event = {"time": 1, "self_id": ACCOUNT, "post_type": "message", "message_type": "private"}
        event |= {"sub_type": "friend", "message_id": 1, "user_id": 20001, "font": 0, "sender": sender}
        self.client.send(json.dumps({**event, "message": message, "raw_message": text}))

    def end(self) -> None:
        self.client.socket.close()


class Deployment:
    """A copy of the folder, with an ``.env`` that is filled in.

    :ivar said: what the compose file says.
    :ivar values: of the ``.env``.
    """

    def __init__(self, folder: Path, name: str) -> None:
        shutil.copytree(COMPOSE, folder)
        self.folder, self.name = folder, name
        self.values: dict[str, str] = {}
        lines = []
        for line in (folder / ".env.example").read_text("utf-8").splitlines():
            key, equals, value = line.partition("=")
            if equals and not key.startswith("#"):
                value = value or secrets.token_urlsafe(24)
                self.values[key] = value
                line = f"{key}={value}"
            lines.append(line)
        (folder / ".env").write_text("\n".join(lines) + "\n", "utf-8")
        self.said = read_compose(folder / f"{name}.yaml")

    @property
    def services(self) -> dict[str, Any]:
        return dict(self.said["services"])

    def template(self) -> dict[str, Any]:
        """The file of the implementation's side."""
        [config] = self.said["configs"].values()
        return dict(json.loads(config["content"]))

    def entry(self) -> dict[str, Any]:
        """The link to lgtwist in it."""
        template = self.template()
        [entry] = (
            template["network"]["websocketClients"] if "network" in template else template["ob11"]["connect"]
        )
        return dict(entry)


class Lgtwist(ChildProcess):
    """The container ``lgtwist``, as the image and the compose file start it, on another port."""

    name = "lgtwist"

    def __init__(self, deployment: Deployment, replaced: dict[str, str]) -> None:
        super().__init__(deployment.folder / "run")
        service = deployment.services["lgtwist"]
        [volume] = service["volumes"]
        assert volume["target"] == "/data", volume
        data = Path(volume["source"])
        run_secrets = self.folder / "secrets"
        run_secrets.mkdir()
        for secret in service["secrets"]:
            variable = deployment.said["secrets"][secret["source"]]["environment"]
            (run_secrets / secret["source"]).write_text(deployment.values[variable])
        self.port = free_port()
        config = data / "lgtwist.toml"
        self.check = self.command(deployment, "check")
        text = config.read_text("utf-8").replace("/run/secrets", str(run_secrets))
        for old, new in {'"tcp:8081"': f'"tcp:{self.port}:interface=127.0.0.1"', **replaced}.items():
            assert text.count(old) == 1, (old, text)
            text = text.replace(old, new)
        config.write_text(text, "utf-8")
        environment = {**inherited_environment(), "PYTHONPATH": str(ROOT), "LGTWIST_CONFIG": str(config)}
        self.spawn(self.command(deployment), environment, data)
        self.wait_up("listens", lambda: f" starting on {self.port}\n" in self.log())

    def command(self, deployment: Deployment, *instead: str) -> list[str]:
        """The command of the container; of the image where the compose file has none."""
        image = {one.name: one.words for one in instructions((ROOT / "deploy/Dockerfile").read_text("utf-8"))}
        service = deployment.services["lgtwist"]
        entrypoint = service.get("entrypoint") or image["ENTRYPOINT"] or []
        program, *words = [*entrypoint, *(instead or service.get("command") or image["CMD"] or [])]
        assert program == "lgtwist"
        return [sys.executable, "-m", "lgtwist.command", *words]


class ComposeTestCase(SynchronousTestCase):
    def deploy(self, name: str) -> Deployment:
        return Deployment(Path(self.mktemp()).absolute(), name)

    def serve(self, deployment: Deployment, **replaced: str) -> Lgtwist:
        """Start lgtwist; its log has no traceback and no token in the end."""
        served = Lgtwist(deployment, {key.replace("__", ":"): value for key, value in replaced.items()})
        self.addCleanup(self._end, served, deployment)
        return served

    def _end(self, served: Lgtwist, deployment: Deployment) -> None:
        self.assertEqual(served.stop(), 0, served.log())
        self.assertNotIn("Traceback", served.log())
        for name, value in deployment.values.items():
            if name.endswith("_TOKEN"):
                self.assertNotIn(value, served.log(), name)

    def dial(self, deployment: Deployment, served: Lgtwist) -> FakeImplementation:
        """Let the implementation dial, and wait until the account is up."""
        made = FakeImplementation(deployment.entry(), served.port)
        self.addCleanup(made.end)
        wait_until("the account is up", lambda: f"account {ACCOUNT} is up" in served.log())
        return made


class Judged(ComposeTestCase):
    def test_compose_takes_them(self) -> None:
        """Docker Compose has nothing to say; images, restarts and logs with an end are there."""
        for name in NAMES:
            deployment = self.deploy(name)
            for service, said in deployment.services.items():
                self.assertEqual(said["logging"]["options"], {"max-size": "10m", "max-file": "3"}, service)
                if service != "llbot-config":
                    self.assertIn(said["restart"], ("always", "unless-stopped"), service)
                for port in said.get("ports", ()):
                    self.assertEqual(port["host_ip"], "127.0.0.1", (name, service))
                for volume in said.get("volumes", ()):
                    self.assertNotIn("/etc/", volume["target"])
            lgtwist = deployment.services["lgtwist"]
            self.assertEqual(lgtwist["user"], "1000:1000")
            self.assertEqual({one["uid"] for one in lgtwist["secrets"]}, {"1000"})
            self.assertEqual(Path(lgtwist["build"]["dockerfile"]), Path("deploy/Dockerfile"))

    def test_what_is_missing_is_said(self) -> None:
        """Without a number or a token nothing is started, and the sentence names the variable."""
        for missing in ("ACCOUNT", "ACCOUNT_TOKEN", "WEBUI_TOKEN"):
            deployment = self.deploy("napcat")
            env = deployment.folder / ".env"
            env.write_text(re.sub(rf"(?m)^{missing}=.*$", f"{missing}=", env.read_text("utf-8")))
            judged = judge(deployment.folder / "napcat.yaml")
            self.assertNotEqual(judged.returncode, 0)
            self.assertIn(f"required variable {missing} is missing", judged.stderr)

    def test_the_documentation(self) -> None:
        """What docs/operating.md says is to be done before the start fills everything in."""
        folder = Path(self.mktemp()).absolute()
        shutil.copytree(COMPOSE, folder)
        text = (ROOT / "docs" / "operating.md").read_text("utf-8")
        block = re.search(r"\ncd deploy/compose\n(cp .*?)\ndocker compose ", text, re.DOTALL)
        assert block is not None
        subprocess.run(["sh", "-e", "-c", block[1]], cwd=folder, timeout=PATIENCE, check=True)
        env = dict(re.findall(r"(?m)^([A-Z_]+)=(.*)$", (folder / ".env").read_text("utf-8")))
        tokens = [env[name] for name in ("ACCOUNT_TOKEN", "BOT_TOKEN", "ADMIN_TOKEN", "WEBUI_TOKEN")]
        self.assertEqual([len(one) for one in tokens], [32] * 4)
        self.assertEqual(len(set(tokens)), 4)
        self.assertIn(f"self_id = {env['ACCOUNT']} ", (folder / "napcat/lgtwist.toml").read_text("utf-8"))
        read_compose(folder / "napcat.yaml")

    def test_a_mistake_is_found(self) -> None:
        """Docker Compose really looks: a misspelt key is refused."""
        deployment = self.deploy("napcat")
        file = deployment.folder / "napcat.yaml"
        file.write_text(file.read_text("utf-8").replace("restart: always", "restarts: always"))
        self.assertIn("restarts", judge(file).stderr)

    def test_both_sides(self) -> None:
        """The other side's file has the URL, the token of ``.env``, and the keys of docs/accounts.md."""
        documented = (ROOT / "docs" / "accounts.md").read_text("utf-8")
        for name in NAMES:
            deployment = self.deploy(name)
            entry = deployment.entry()
            self.assertEqual(entry["token"], deployment.values["ACCOUNT_TOKEN"])
            self.assertEqual(entry["url"], f"ws://{ADDRESS}/onebot/v11/ws")
            self.assertTrue(entry["enable"])
            block = re.search(
                r"\*\*Reverse\*\* \(WebSocket反向\).*?```json\n(.*?)```"
                if name == "llbot"
                else r"\*\*Reverse\*\* \(WebSocket 客户端\).*?```json\n(.*?)```",
                documented,
                re.DOTALL,
            )
            assert block is not None
            shown = json.loads(block[1])
            [wanted] = shown["ob11"]["connect"] if name == "llbot" else shown["network"]["websocketClients"]
            self.assertEqual(wanted.keys() - entry.keys(), set())
            same = {key for key in wanted if key not in ("url", "token")}
            self.assertEqual({key: entry[key] for key in same}, {key: wanted[key] for key in same})
            other = deployment.services["llbot-config" if name == "llbot" else "napcat"]
            self.assertEqual(other["environment"]["ACCOUNT"], str(ACCOUNT))
            if name != "llbot":
                [config] = other["configs"]
                mode = other["environment"]["MODE"]
                self.assertEqual(config["target"], f"/app/templates/{mode}.json")

    def test_public(self) -> None:
        """As they stand, on all addresses, the configurations are taken: every token is there."""
        for name in NAMES:
            deployment = self.deploy(name)
            folder = Path(self.mktemp()).absolute()
            folder.mkdir()
            config = deployment.folder / name / "lgtwist.toml"
            text = config.read_text("utf-8")
            self.assertIn('endpoints = ["tcp:8081"]', text)
            self.assertIn(f"self_id = {ACCOUNT}", text)
            named = set(re.findall(r'_file = "/run/secrets/(\w+)"', text))
            self.assertEqual(named, set(deployment.said["secrets"]))
            for secret in named:
                (folder / secret).write_text(secrets.token_urlsafe(24))
            config.write_text(text.replace("/run/secrets", str(folder)))
            done = subprocess.run(
                [sys.executable, "-m", "lgtwist.command", "check", "--config", config],
                env={**inherited_environment(), "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)
            self.assertIn(str(ACCOUNT), done.stdout)


class Started(ComposeTestCase):
    def test_napcat(self) -> None:
        """NapCat dials with its token, a bot with its own; a wrong token is refused."""
        deployment = self.deploy("napcat")
        served = self.serve(deployment)
        napcat = self.dial(deployment, served)
        token = {"Authorization": f"Bearer {deployment.values['BOT_TOKEN']}"}
        with RawClient(None, "/", token, port=served.port) as bot:
            bot.event(meta_event_type="lifecycle")
            napcat.say("hello")
            self.assertEqual(bot.event(post_type="message")["raw_message"], "hello")

    def test_llbot(self) -> None:
        """LLBot's file is put where it looks for it, once; it dials with its token."""
        deployment = self.deploy("llbot")
        served = self.serve(deployment)
        self.dial(deployment, served)
        config = deployment.services["llbot-config"]
        folder = deployment.folder / "llbot-data"
        folder.mkdir()
        template = deployment.folder / "llbot.json"
        template.write_text(json.dumps(deployment.template()))
        program, *words = config["entrypoint"]
        self.assertEqual((program, words[0]), ("python", "-c"))
        script = words[1].replace('"/llbot.json"', repr(str(template))).replace('"/llbot"', repr(str(folder)))
        for _twice in range(2):
            subprocess.run(
                [sys.executable, "-c", script],
                env={**inherited_environment(), **config["environment"]},
                timeout=PATIENCE,
                check=True,
            )
            made = json.loads((folder / f"config_{ACCOUNT}.json").read_text("utf-8"))
            self.assertEqual(made["ob11"]["connect"][0]["token"], deployment.values["ACCOUNT_TOKEN"])
            self.assertEqual((folder / "webui_token.txt").read_text(), deployment.values["WEBUI_TOKEN"])
            template.write_text("changed")  # what LLBot has saved stays
        [volume] = deployment.services["llbot"]["volumes"]
        [same] = config["volumes"]
        self.assertEqual((volume["source"], volume["target"]), (same["source"], "/app/llbot/data"))

    def test_astrbot(self) -> None:
        """AstrBot is dialled at its path, with the token."""
        astrbot = Listener()
        self.addCleanup(astrbot.end)
        deployment = self.deploy("astrbot")
        port = astrbot.url().removeprefix("ws://127.0.0.1:").removesuffix("/ws")
        served = self.serve(deployment, astrbot__6199=f"127.0.0.1:{port}")
        self.dial(deployment, served)
        dial = astrbot.next().dial
        self.assertEqual(dial.path, "/ws")
        self.assertEqual(dial.header("Authorization"), f"Bearer {deployment.values['BOT_TOKEN']}")

    def test_nonebot(self) -> None:
        """The NoneBot2 program of the folder, by its environment there, answers a person."""
        need("nonebot2", "websockets", "nonebot-adapter-onebot")
        deployment = self.deploy("nonebot")
        served = self.serve(deployment)
        napcat = self.dial(deployment, served)
        said = deployment.services["nonebot"]
        [_sh, _c, command] = said["command"]
        self.assertTrue(command.startswith("pip install "), command)
        self.assertTrue(command.endswith(" && exec python bot.py"), command)
        mounts = {one["target"]: one["source"] for one in said["volumes"]}
        environment = {
            name: value.replace(ADDRESS, f"127.0.0.1:{served.port}")
            for name, value in said["environment"].items()
        }
        bot = ChildProcess(deployment.folder / "bot")
        self.addCleanup(bot.end)
        program = mounts[f"{said['working_dir']}/bot.py"]
        bot.spawn([sys.executable, program], {**inherited_environment(), **environment})
        bot.wait_up("is connected", lambda: f"Bot {ACCOUNT} connected" in bot.log(), 2 * PATIENCE)
        napcat.say("hello")

        def answers() -> list[Any]:
            return [one["params"] for one in napcat.actions if one["action"].startswith("send_")]

        wait_until("the bot answers", answers)
        self.assertIn("you said: hello", json.dumps(answers()))
        self.assertNotIn(deployment.values["BOT_TOKEN"], bot.log())
