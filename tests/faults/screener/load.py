"""Clients that ask without a pause while a server is stopped and started: each request is answered, or lost.

A new connection's request must be answered at the first try. One on a connection that was used before may find it closed
by the server in that moment; whoever gets not a byte of an answer then asks once more on a new one, as browsers do (RFC 9110
§9.2.2, RFC 9112 §9.3.1). How often that happened is counted.
"""

import http.client
import json
import threading
import time

from .viewer import token

# A body is read in steps of this many bytes where it is read slowly.
STEP_BYTES = 32 << 10


class Lost(Exception):
    """A request that was not answered."""


class Load:
    """Threads that ask until `stop`. `server` has `client()`; `library` the keys and videos; figures go to `made`."""

    def __init__(self, made, server, library, new=6, kept=6, writers=2):
        self.made, self.server, self.library = made, server, library
        self.ended, self.keys, self.lock = threading.Event(), [], threading.Lock()
        work = [self.ask_anew] * new + [self.ask_again] * kept + [self.write] * writers
        self.threads = [threading.Thread(target=self.guard, args=(step,), daemon=True) for step in work]
        made.add(requests=0, lost=0, asked_twice=0)
        made.highest(longest_wait_s=0.0)

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(timeout=60)
            if thread.is_alive():
                self.made.fault("a client hangs")

    def guard(self, step):
        while not self.ended.is_set():
            try:
                step()
            except Lost as lost:
                self.made.add(lost=1)
                self.made.fault(f"lost: {lost}")
            except Exception as error:  # noqa: BLE001 - a fault of any kind must be seen
                self.made.fault(f"a client broke off: {error!r}")
                return

    def playback(self):
        library = self.library
        headers = {
            "Authorization": f"Bearer {library.publishable_key}",
            "x-moviie-playback-token": token(library.key_id, library.key_secret, library.video),
        }
        return "GET", f"/api/v1/embeds/{library.embed}/playback", headers, None

    def ask_anew(self):
        """A playback and the first bytes of its film, each on a new connection."""
        body = json.loads(self.ask(self.connect(), *self.playback())[1])
        path = "/media/" + body["variants"][0]["uri"].split("/media/", 1)[1]
        self.ask(self.connect(), "GET", path, {"Range": "bytes=0-65535"}, None, status=206)

    def ask_again(self):
        """Playbacks on one connection, for as long as the server keeps it."""
        connection, uses = self.connect(), 0
        while not self.ended.is_set():
            request = self.playback()
            try:
                answer, _ = self.ask(connection, *request)
            except Lost:
                if not uses or getattr(connection, "had_answer_begun", False):
                    raise
                self.made.add(asked_twice=1)
                connection, uses = self.connect(), 0
                answer, _ = self.ask(connection, *request)
            uses += 1
            if answer.will_close:
                connection, uses = self.connect(), 0
            time.sleep(0.01)

    def write(self):
        """Makes a signing key; every one that was answered must be there in the end."""
        headers = {"Authorization": f"Bearer {self.library.private_key}", "Content-Type": "application/json"}
        made = self.ask(self.connect(), "POST", "/admin/v1/signing-keys", headers, b'{"label": "load"}', status=201)
        with self.lock:
            self.keys.append(json.loads(made[1])["id"])
        time.sleep(0.05)

    def connect(self):
        began = time.monotonic()
        try:
            return self.server.client()
        except OSError as error:
            raise Lost(f"no connection: {error!r}") from error
        finally:
            self.made.highest(longest_wait_s=time.monotonic() - began)

    def ask(self, connection, method, path, headers, body, status=200):
        """The answer and its body."""
        began, connection.had_answer_begun = time.monotonic(), False
        where = path.split("/")[1]
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            connection.had_answer_begun = True
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Lost(f"{method} /{where}: {error!r}") from error
        self.made.highest(longest_wait_s=time.monotonic() - began)
        self.made.add(requests=1)
        if answer.status != status:
            raise Lost(f"{method} /{where}: {answer.status} {text[:200]!r}")
        if answer.will_close:
            connection.close()
        return answer, text
