"""The configuration over the interface: who may change it, and what is answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred

from lgtwist.app.configuration_editor import ConfigurationEditor
from lgtwist.app.configuration_file import ConfigurationFile
from tests.console.test_api import OURS, TOKEN, ConsoleTestCase
from tests.web.site_case import Peer

TEXT = f'[server]\nadmin_token = "{TOKEN}"\n[[bots]]\nname = "a"\naccess_token = "token-of-a"\n'


class ConfigurationTestCase(ConsoleTestCase):
    def start(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "lgtwist.toml"
        self.path.write_text(TEXT)
        file = ConfigurationFile(None, self.folder)
        self.service.editor = ConfigurationEditor(file, maybeDeferred, wall_clock=lambda: self.now)
        self.restarts = 0
        self.service.restart = self.restart
        super().start()

    def restart(self) -> str:
        self.restarts += 1
        return "exec"

    def answer(self, peer: Peer, status: int = 200) -> Any:
        self.assertEqual(peer.status(), status, peer.body())
        return json.loads(peer.body())

    def save(self, **more: Any) -> dict[str, Any]:
        found = self.answer(self.bearer("config"))
        return {"etag": found["etag"], "text": found["text"] + "# more\n", **more}


class ConfigurationTests(ConfigurationTestCase):
    def test_reading(self) -> None:
        peer = self.bearer("config")
        self.assertNotIn("token-of-a", peer.body())
        self.assertNotIn(TOKEN, peer.body())
        found = self.answer(peer)
        self.assertEqual(found["bots"], [{"name": "a", "access_token": "••••••2"}])
        self.assertEqual(found["keys"]["limits.calls"]["default"], 1000)
        self.assertEqual(found["waiting"], [])

    def test_from_an_edit_to_the_file(self) -> None:
        etag = self.answer(self.bearer("config"))["etag"]
        edits = [{"op": "set", "path": ["bots", "a", "actions", "deny"], "value": ["*_kick"]}]
        edited = self.answer(self.bearer("config/edit", "POST", {"etag": etag, "edits": edits}))
        changed = [one["text"] for one in edited["diff"] if one["kind"] != "same"]
        self.assertEqual(changed, ['actions = { deny = ["*_kick"] }'])
        more = {
            "etag": etag,
            "text": edited["text"],
            "edits": [{"op": "unset", "path": ["bots", "a", "actions"]}],
        }
        undone = self.answer(self.bearer("config/edit", "POST", more))
        self.assertEqual({one["kind"] for one in undone["diff"]}, {"same"})
        checked = self.answer(self.bearer("config/check", "POST", {"etag": etag, "text": edited["text"]}))
        self.assertEqual((checked["problems"], checked["diff"]), ([], edited["diff"]))
        saved = self.answer(self.bearer("config", "PUT", {"etag": etag, "text": edited["text"]}))
        self.assertEqual(self.path.read_text(), TEXT + 'actions = { deny = ["*_kick"] }\n')
        self.assertTrue((self.folder / saved["backup"]).exists())

    def test_refusals(self) -> None:
        for path, method, value, status, code in (
            ("config", "PUT", {"etag": "x", "text": TEXT}, 409, "changed"),
            ("config", "PUT", {"etag": 1, "text": TEXT}, 400, "bad_request"),
            ("config", "PUT", {"etag": "x"}, 400, "bad_request"),
            ("config/check", "POST", {"etag": "x", "text": "x"}, 409, "changed"),
            ("config/check", "POST", [], 400, "bad_request"),
            ("config/edit", "POST", {"etag": "x", "text": 1, "edits": []}, 400, "bad_request"),
            ("config/nothing", "POST", {}, 404, "no_such_path"),
            ("config/nothing", "GET", None, 404, "no_such_path"),
            ("config", "POST", {}, 404, "no_such_path"),
            ("config", "DELETE", None, 405, "wrong_method"),
        ):
            peer = self.bearer(path, method, value)
            self.assertEqual((peer.status(), self.code(peer)), (status, code), (path, method, value))
        self.assertEqual(self.path.read_text(), TEXT)

    def test_tokens_are_made(self) -> None:
        made = {self.answer(self.bearer("config/token", "POST", {}))["token"] for _ in range(5)}
        self.assertEqual(len(made), 5)
        self.assertEqual({len(one) for one in made}, {32})

    def test_without_a_file(self) -> None:
        self.service.editor = None
        self.assertEqual(self.bearer("config").status(), 404)

    def test_the_reload_says_what_came_of_it(self) -> None:
        answer = self.answer(self.bearer("reload", "POST", {}))
        self.assertEqual((answer["changed"], answer["applied"], answer["waiting"]), (False, False, []))
        self.assertIn("cannot read", answer["lines"][0])

    def test_a_very_long_body(self) -> None:
        for path, method in (("config/edit", "POST"), ("config/check", "POST"), ("config", "PUT")):
            peer = self.bearer(path, method, {"etag": "x", "text": "", "edits": [[]] * 400_000})
            self.assertEqual((peer.status(), self.code(peer)), (413, "too_long"))

    def test_one_line_says_who_saved(self) -> None:
        from twisted.logger import LogLevel, globalLogPublisher

        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.answer(self.bearer("config", "PUT", self.save()))
        lines = [one for one in events if one.get("log_level") is LogLevel.info and "client" in one]
        self.assertEqual(len(lines), 1)
        self.assertIn("a program with the admin token at", lines[0]["client"])
        self.assertNotIn("token-of-a", str(lines))


class ConfirmTests(ConfigurationTestCase):
    """Whoever saves or restarts from a page has shown the token lately."""

    def put(self, cookie: str, **more: Any) -> Peer:
        return self.api("config", "PUT", self.save(**more), Cookie=cookie, **OURS)

    def test_a_new_session_may_save(self) -> None:
        self.assertEqual(self.put(self.cookie()).status(), 200)

    def test_ten_minutes_later_it_must_confirm(self) -> None:
        cookie = self.cookie()
        self.now += 601
        peer = self.put(cookie)
        self.assertEqual((peer.status(), self.code(peer)), (403, "confirm_token"))
        self.assertEqual(self.path.read_text(), TEXT)
        self.assertEqual(self.put(cookie, token=TOKEN).status(), 200)
        self.assertEqual(self.put(cookie).status(), 200)  # it counts for ten minutes
        self.now += 601
        self.assertEqual(self.code(self.put(cookie)), "confirm_token")

    def test_only_that_session_is_confirmed(self) -> None:
        one = self.cookie()
        self.now += 601
        self.assertEqual(self.put(one, token=TOKEN).status(), 200)
        self.now += 1
        other = self.cookie()
        self.now += 599
        self.assertEqual(self.put(other).status(), 200)
        self.assertEqual(self.code(self.put(one)), "confirm_token")

    def test_a_renewed_cookie_is_no_younger(self) -> None:
        cookie = self.cookie()
        self.now += 2 * 86400
        renewed = self.api("session", Cookie=cookie).headers().partition("set-cookie: ")[2].partition(";")[0]
        self.assertIn("lgtwist_console=", renewed)
        self.assertNotEqual(renewed, cookie)
        self.assertEqual(self.api("state", Cookie=renewed).status(), 200)
        self.assertEqual(self.code(self.put(renewed)), "confirm_token")

    def test_who_logs_out_takes_the_confirmation_back(self) -> None:
        cookie = self.cookie()
        self.now += 601
        self.assertEqual(self.put(cookie, token=TOKEN).status(), 200)
        self.assertEqual(self.api("logout", "POST", {}, Cookie=cookie, **OURS).status(), 200)
        self.assertEqual(self.code(self.put(cookie)), "confirm_token")  # somebody else had the cookie

    def test_a_clock_that_is_set_back_does_not_help(self) -> None:
        cookie = self.cookie()
        self.now -= 30 * 60
        self.assertNotEqual(self.put(cookie).status(), 200)

    def test_wrong_tokens_count_as_at_login(self) -> None:
        cookie = self.cookie()
        for token in ("wrong", 1, ""):
            peer = self.put(cookie, token=token)
            self.assertEqual((peer.status(), self.code(peer)), (403, "wrong_token"))
        for _ in range(7):
            self.put(cookie, token="wrong").status()
        late = self.put(cookie, token="wrong")
        self.assertEqual(late.read(), b"")
        self.clock.advance(2.1)
        self.assertEqual(late.status(), 403)
        self.assertEqual(self.path.read_text(), TEXT)

    def test_reading_and_checking_need_no_more(self) -> None:
        cookie = self.cookie()
        self.now += 3600
        found = self.answer(self.api("config", Cookie=cookie))
        asked = {"etag": found["etag"], "text": found["text"]}
        self.assertEqual(self.api("config/check", "POST", asked, Cookie=cookie, **OURS).status(), 200)

    def test_the_restart(self) -> None:
        cookie = self.cookie()
        self.now += 601
        peer = self.api("restart", "POST", {}, Cookie=cookie, **OURS)
        self.assertEqual((peer.status(), self.code(peer), self.restarts), (403, "confirm_token", 0))
        peer = self.api("restart", "POST", {"token": TOKEN}, Cookie=cookie, **OURS)
        self.assertEqual((self.answer(peer), self.restarts), ({"how": "exec"}, 1))
        self.now += 3600
        self.assertEqual(self.answer(self.bearer("restart", "POST")), {"how": "exec"})
        self.service.restart = None
        self.assertEqual(self.bearer("restart", "POST").status(), 409)

    def test_no_restart_into_a_configuration_with_mistakes(self) -> None:
        self.path.write_text(f"{TEXT}[[bots]\n")
        peer = self.bearer("restart", "POST")
        self.assertEqual((peer.status(), self.code(peer), self.restarts), (409, "would_not_start", 0))
        self.path.write_text(TEXT)
        self.assertEqual(self.bearer("restart", "POST").status(), 200)
