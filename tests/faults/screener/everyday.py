"""The everyday life of a site, ten times as busy: viewers, an operator, writers, uploads. It can pause."""

import itertools
import json
import threading
import time
from collections import Counter, deque
from urllib.parse import urljoin, urlsplit

from . import assets
from .api import Admin, Gone
from .history import PacedAdmin, Pace
from .viewer import token
from .writers import values_of, write_keys, write_member, write_sources, write_uploads

# A small site, and its tenfold: viewers who come, changes of titles and visibility, of keys, requests that bring films, and
# lists that are looked at, a second each.
VIEWERS_PER_S, MEMBERS_PER_S, KEYS_PER_S, FILMS_PER_S, LISTS_PER_S = 10, 30, 2, 1, 2
VIEWING, MEMBERS = 8, 6
# A viewer's connection serves so many viewers, then comes a new one.
VIEWERS_OF_A_CONNECTION = 5
# A session is renewed when its thread has served so many more viewers: some seconds later.
RENEWED_LATER = 3
RANGE_BYTES = 64 << 10


class Turns(Pace):
    """Turns until the round is over."""

    def __init__(self, per_s, ended):
        super().__init__(per_s)
        self.ended = ended

    def wait(self):
        super().wait()
        if self.ended.is_set():
            raise Gone("the round is over")


class Everyday:
    """`film` is the id of a private video that is watched, and its embed; `key` a signing key. `counts` tells what was
    done, `errors` what was not answered as it ought to be."""

    def __init__(self, server, library, notes, film, key):
        self.server, self.library, self.notes, self.film, self.key = server, library, notes, film, key
        self.counts, self.errors, self.lock, self.threads = Counter(), [], threading.Lock(), []
        self.ended = threading.Event()
        setup = Admin(server, library.private_key)
        self.members = []
        for member in ["visibility", "title"] * (MEMBERS // 2):
            video = setup.call("POST", "/videos", {"title": "Title", "visibility": "public"})["id"]
            self.members.append((f"/videos/{video}", member))

    def begin(self):
        """Everybody comes."""
        self.ended.clear()
        work = [(self.watch, turns) for turns in [Turns(VIEWERS_PER_S, self.ended)] for _ in range(VIEWING)]
        work += [(self.look_through, Turns(LISTS_PER_S, self.ended))]
        members = Turns(MEMBERS_PER_S, self.ended)
        for path, member in self.members:
            work.append((write_member, self.writer(members), self.notes, path, member, values_of(member)))
        kinds = ["signing key", "publishable key", "private key"]
        work.append((write_keys, self.writer(Turns(KEYS_PER_S, self.ended)), self.notes, kinds))
        for write in [write_sources, write_uploads]:
            work.append((write, self.writer(Turns(FILMS_PER_S, self.ended)), self.notes, self.library))
        self.threads = [threading.Thread(target=self.notes.run, args=words, daemon=True) for words in work]
        for thread in self.threads:
            thread.start()

    def end(self):
        """Everybody goes, and closes what they have open."""
        self.ended.set()
        for thread in self.threads:
            thread.join(timeout=30)
            if thread.is_alive():
                self.errors.append("a client hangs")
        self.threads.clear()
        self.errors += self.notes.faults
        self.notes.faults.clear()

    def writer(self, turns):
        return PacedAdmin(self.server, self.library.private_key, turns)

    def watch(self, turns):
        """One viewer after the other: a playback, its playlists, its segments in parts; later its URLs are renewed."""
        connection, sessions = self.server.client(), deque()
        for number in itertools.count(1):
            turns.wait()
            if number % VIEWERS_OF_A_CONNECTION == 0:
                connection.close()
                connection = self.server.client()
            headers = {
                "Authorization": f"Bearer {self.library.publishable_key}",
                "x-moviie-playback-token": token(self.key["id"], self.key["secret"], self.film["id"]),
            }
            path = f"/api/v1/embeds/{self.film['embedId']}/playback"
            session = json.loads(self.ask(connection, "GET", path, 200, headers))
            self.play(connection, session)
            self.count(viewers=1)
            sessions.append(session)
            if len(sessions) > RENEWED_LATER:
                self.renew(connection, sessions.popleft())

    def play(self, connection, session):
        base = assets.root(session)
        lists = [base + "master.m3u8"]
        for path in lists:
            for uri in assets.uris(self.ask(connection, "GET", path, 200).decode()):
                if uri.endswith("index.m3u8"):
                    lists.append(urljoin(path, uri))
                elif uri.endswith(".m4s"):
                    part = self.ask(connection, "GET", urljoin(path, uri), 206, {"Range": f"bytes=0-{RANGE_BYTES - 1}"})
                    self.count(segments=1, media_bytes=len(part))

    def renew(self, connection, session):
        body = json.dumps({"renewToken": session["session"]["renewToken"]}).encode()
        path = urlsplit(session["session"]["renewUri"]).path
        renewed = json.loads(self.ask(connection, "POST", path, 200, {"Content-Type": "application/json"}, body))
        self.ask(connection, "GET", assets.root({"playback": renewed}) + "master.m3u8", 200)
        self.count(renewals=1)

    def look_through(self, turns):
        admin = Admin(self.server, self.library.private_key)
        for path in itertools.cycle(["/videos", "/audit", "/signing-keys", "/uploads"]):
            turns.wait()
            admin.call("GET", path)
            self.count(requests=1)

    def ask(self, connection, method, path, status, headers=None, body=None):
        """The body of an answer, which is to have this status."""
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read()
        self.count(requests=1)
        if answer.status != status:
            raise RuntimeError(f"{method} /{path.split('/')[1]}: {answer.status} {text[:200]!r}")
        return text

    def count(self, **counts):
        with self.lock:
            self.counts.update(counts)


def settled(read, is_settled, limit_s):
    """What `read` answers once `is_settled` says so of it, or when the time is over."""
    until = time.monotonic() + limit_s
    while not is_settled(value := read()) and time.monotonic() < until:
        time.sleep(0.1)
    return value
