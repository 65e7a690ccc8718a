"""Writers at a steady rate, what each was answered and when, and the audit log, which puts it all in one order."""

import threading
import time
from bisect import bisect_right
from collections import defaultdict
from contextlib import contextmanager

from .api import Admin
from .notes import Notes
from .writers import values_of, write_keys, write_member, write_sources

UNANSWERED = float("inf")


class Pace:
    """Turns for several threads, so many a second in all."""

    def __init__(self, per_s):
        self.step_s, self.lock, self.next_at = 1 / per_s, threading.Lock(), time.monotonic()

    def wait(self):
        with self.lock:
            # What was missed is made up for, but not in a burst.
            at = self.next_at = max(self.next_at + self.step_s, time.monotonic() - 10 * self.step_s)
        time.sleep(max(0.0, at - time.monotonic()))


class PacedAdmin(Admin):
    """The admin API, changed at a steady rate."""

    def __init__(self, server, key, pace):
        super().__init__(server, key)
        self.pace = pace

    def succeed(self, method, *more):
        if method != "GET":
            self.pace.wait()
        return super().succeed(method, *more)


class History(Notes):
    """Notes with times: for each thing its values in order, as [value, sent, answered]."""

    def __init__(self):
        super().__init__()
        self.timeline, self.slowest_s = defaultdict(list), 0.0

    @contextmanager
    def change(self, thing, value):
        self.timeline[thing].append([value, time.monotonic(), UNANSWERED])
        with super().change(thing, value):
            yield

    def answer(self, thing, value):
        entries, now = self.timeline[thing], time.monotonic()
        if entries and entries[-1][2] == UNANSWERED:
            entries[-1][2] = now
            self.slowest_s = max(self.slowest_s, now - entries[-1][1])
        else:
            # Its id was not known before: whatever has it has it by this.
            entries.append([value, 0, now])
        super().answer(thing, value)

    def possible(self, thing, began, ended):
        """The values that it may have had at some moment between two times; `None` before the first."""
        entries = [[None, 0, 0], *self.timeline[thing], [None, UNANSWERED, UNANSWERED]]
        pairs = zip(entries, entries[1:])
        return {value for (value, sent, _), (_, _, replaced) in pairs if sent < ended and replaced > began}

    def members(self):
        """(path, member) of what is written to all the time."""
        return [thing for thing in list(self.allowed) if thing[0].startswith("/")]


class AuditLog:
    """What a server says was changed, in order: each change of a key or of a video's member is one entry."""

    def __init__(self, server, key):
        self.server, self.key = server, key
        self.hashes, self.by_subject = {}, defaultdict(list)

    def head(self):
        """Number of the newest entry."""
        return Admin(self.server, self.key).call("GET", "/audit?limit=2")["items"][0]["number"]

    def read_on(self):
        """Reads what is new."""
        admin, found, query = Admin(self.server, self.key), [], "?limit=100"
        while True:
            page = admin.call("GET", f"/audit{query}")
            found += [entry for entry in page["items"] if entry["number"] not in self.hashes]
            if not page["pageInfo"]["nextCursor"] or page["items"][-1]["number"] in self.hashes:
                break
            query = f"?limit=100&cursor={page['pageInfo']['nextCursor']}"
        for entry in reversed(found):
            self.hashes[entry["number"]] = entry["hash"]
            self.by_subject[entry["subject"]["id"], entry["action"]].append(entry["number"])

    def count(self, subject, actions, number):
        """How often one of these things had been done when the entry with this number was made."""
        return sum(bisect_right(self.by_subject[subject, action], number) for action in actions)


def start_paced_writers(server, library, notes, per_s):
    """Two writers of keys, three each of visibility and titles, one of sources."""
    pace, setup, threads = Pace(per_s), Admin(server, library.private_key), []
    work = [
        (write_keys, ["signing key"]), (write_keys, ["signing key", "publishable key", "private key"]),
        (write_sources, library),
    ]
    for member in ["visibility", "title"] * 3:
        values = values_of(member)
        first = next(values)
        video = setup.call("POST", "/videos", {"title": "Title", "visibility": "public", member: first})["id"]
        notes.answer((f"/videos/{video}", member), first)
        work.append((write_member, f"/videos/{video}", member, values))
    for writer, *more in work:
        arguments = (writer, PacedAdmin(server, library.private_key, pace), notes, *more)
        threads.append(threading.Thread(target=notes.run, args=arguments, daemon=True))
    for thread in threads:
        thread.start()
    return threads
