"""One server under a clock of its own, with viewers, an operator and somebody who guesses keys."""

import http.client
import json
from urllib.parse import urlencode, urlsplit

from . import assets
from .api import Admin
from .library import SOURCES, Library
from .server import HANG_S, Server
from .viewer import token

# Somebody else's address: rates are counted for each.
GUESSER = ("127.0.0.2", 0)


class Site:
    """`answers` counts statuses; what no answer comes to is counted as 0."""

    def __init__(self, binary, directory, clock, environment=None):
        self.clock, self.environment = clock, clock.environment if environment is None else environment
        directory.mkdir()
        self.server, self.answers, self.silences = Server(binary, directory, directory / "log"), {}, []
        # Of all processes that have ended.
        self.log = ""
        self.keys = self.server.init()
        self.start()
        self.library = Library(self.server, self.keys)
        self.signing_key = self.admin("POST", "/signing-keys", {})[1]

    def start(self):
        if not self.try_start():
            self.server.kill()
            raise RuntimeError(f"the server does not start: {self.server.last_words()}")

    def try_start(self):
        return self.server.start(environment=self.environment)

    def restart(self):
        """Stops it, and starts it with the clock as it is set now."""
        self.stop()
        self.start()

    def stop(self):
        if self.server.process.poll() is None and not self.server.stop():
            raise RuntimeError(f"the server does not stop well: {self.server.last_words()}")
        self.kill()

    def kill(self):
        self.server.kill()
        self.log += self.server.said()

    def ask(self, method, path, body=None, headers=None, source=None):
        """Status, body and headers; status 0 where no answer comes."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.server.port, timeout=HANG_S, context=self.server.context, source_address=source
        )
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            status, content, said = answer.status, answer.read(), answer.headers
        except (OSError, http.client.HTTPException) as error:
            status, content, said = 0, b"", {}
            self.silences.append(f"{method} {path.split('?')[0][:80]}: {error!r}")
        finally:
            connection.close()
        self.answers[status] = self.answers.get(status, 0) + 1
        return status, content, said

    def admin(self, method, path, body=None, raw=None):
        """Status and JSON of the admin API."""
        headers = {"Authorization": f"Bearer {self.keys['privateKey']}"}
        if body is not None:
            raw, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        status, content, _ = self.ask(method, f"/admin/v1{path}", raw, headers)
        return status, json.loads(content) if content else None

    def token(self, key=None, **claims):
        """A token as a backend would sign it whose clock is the server's."""
        key = key or self.signing_key
        return token(key["id"], key["secret"], self.library.video, now=self.clock.now(), **claims)

    def play(self, viewer_token):
        """Status and JSON of the playback of the private video."""
        headers = {"Authorization": f"Bearer {self.keys['publishableKey']}", "x-moviie-playback-token": viewer_token}
        status, content, _ = self.ask("GET", f"/api/v1/embeds/{self.library.embed}/playback", headers=headers)
        return status, json.loads(content) if content else {}

    def open_session(self):
        """A playback answer to a good token."""
        status, answer = self.play(self.token())
        if status != 200:
            raise RuntimeError(f"a good token is answered {status} {answer}")
        return answer

    def fetch(self, session):
        """Status of an asset of a session."""
        return self.ask("GET", assets.root(session) + "master.m3u8")[0]

    def renew(self, session):
        """Status of a renewal by its renew token."""
        body = json.dumps({"renewToken": session["session"]["renewToken"]}).encode()
        path = urlsplit(session["session"]["renewUri"]).path
        return self.ask("POST", path, body, {"Content-Type": "application/json"})[0]

    def sign_in(self):
        """The cookie of a new sign-in to the dashboard."""
        body = urlencode({"key": self.keys["privateKey"]}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        status, _, said = self.ask("POST", "/dashboard/sign-in", body, headers)
        if status != 303:
            raise RuntimeError(f"signing in is answered {status}")
        return said["Set-Cookie"].split(";")[0]

    def is_signed_in(self, cookie):
        return self.ask("GET", "/dashboard/videos", headers={"Cookie": cookie})[0] == 200

    def guess_key(self):
        """Status and `Retry-After` of a request with a wrong private key."""
        headers = {"Authorization": "Bearer mvi_priv_" + "A" * 43}
        status, _, said = self.ask("GET", "/admin/v1/organization", headers=headers, source=GUESSER)
        return status, said.get("Retry-After")

    def upload_slowly(self, in_between):
        """Status of an upload in the midst of which something happens."""
        _, video = self.admin("POST", "/videos", {"title": "Slow"})
        admin, source = Admin(self.server, self.keys["privateKey"]), SOURCES[0]
        connection = admin.connection
        connection.putrequest("PUT", f"/admin/v1/videos/{video['id']}/source")
        connection.putheader("Authorization", f"Bearer {admin.key}")
        connection.putheader("Content-Length", str(len(source)))
        connection.endheaders(source[:5000])
        in_between()
        connection.send(source[5000:])
        status = connection.getresponse().status
        self.answers[status] = self.answers.get(status, 0) + 1
        return status
