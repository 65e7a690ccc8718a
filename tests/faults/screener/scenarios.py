"""What is done to a server while its system calls fail: requests one after the other, each noted as answered or not.

A scenario is given an `Attempt`. What it asks for may be answered, refused with 503 or 507, or come to nothing because
the process has ended; anything else is a fault.
"""

import http.client
import json
import subprocess
import time

from .api import Admin, Gone, Hung, Refused
from .restored import take_over
from .server import HANG_S
from .viewer import play
from .writers import create_key, delete_video, revoke_key, set_member, upload_in_pieces

# How an error of the disk may be told: not now, or no room.
REFUSALS = (503, 507)
FILM_BYTES = 300_000


class Attempt:
    """One run of a scenario: the server, what is noted, and what came of the requests."""

    def __init__(self, server, library, notes, failing_call):
        self.server, self.library, self.notes, self.failing_call = server, library, notes, failing_call
        self.refused, self.faults, self.is_gone = 0, [], False
        self.admin = None

    def request(self, step, *arguments):
        """Runs one step; what it answers, or `None`."""
        if self.is_gone:
            return None
        try:
            self.admin = self.admin or Admin(self.server, self.library.private_key)
            return step(self.admin, self.notes, *arguments)
        except Refused as refused:
            self.refused += 1
            if refused.status not in REFUSALS:
                self.faults.append(f"refused otherwise: {refused}")
        except Hung as hung:
            self.faults.append(f"hangs: {hung}")
            self.is_gone = True
        except (Gone, OSError) as gone:
            self.admin = None
            self.is_gone = has_ended(self.server.process)
            if not self.is_gone:
                self.faults.append(f"a request was not answered by a server that is there: {gone}")
        return None


    def watch(self):
        """Whoever watches needs nothing to be written, nor to hear of anything that fails to be."""
        if self.is_gone or self.failing_call == "openat":
            return
        try:
            answer = play(self.server, self.library.publishable_key, self.library.public_embed)
            if answer[0] != 200:
                self.faults.append(f"a viewer is answered {answer}")
        except (OSError, http.client.HTTPException) as gone:
            self.is_gone = has_ended(self.server.process)
            if not self.is_gone:
                self.faults.append(f"a viewer is not answered: {gone!r}")


def has_ended(process, limit_s=1.0):
    """Whether a process has ended, or does so in a moment."""
    try:
        process.wait(limit_s)
        return True
    except subprocess.TimeoutExpired:
        return False


def keys(attempt):
    for kind in ["signing key", "publishable key", "signing key", "private key"]:
        key = attempt.request(create_key, kind)
        if key:
            attempt.request(revoke_key, kind, key)
    attempt.request(create_key, "signing key")
    attempt.watch()


def settings(attempt):
    for path, member in [thing for thing in attempt.notes.allowed if thing[0].startswith("/")]:
        for value in ["private", "public"] if member == "visibility" else ["First", "Second"]:
            attempt.request(set_member, path, member, value)
    attempt.watch()


def upload(attempt):
    """Two in pieces, of which one is deleted again, and one in a single request."""
    first = attempt.request(upload_in_pieces, attempt.library, 0, FILM_BYTES)
    attempt.request(upload_in_pieces, attempt.library, 1, FILM_BYTES)
    if first:
        attempt.request(delete_video, *first)
    attempt.request(put_source, attempt.library)
    attempt.request(wait_until_packaged)
    attempt.watch()


def put_source(admin, notes, library):
    source, digest = next(iter(library.packaged.items()))
    video = admin.call("POST", "/videos", {"title": "Put", "visibility": "public"})
    notes.answer(("plays", video["embedId"]), "pending")
    with notes.change(("plays", video["embedId"]), digest):
        admin.put_source(video["id"], source)


def wait_until_packaged(admin, _notes):
    """Until nothing is being packaged any more, but not as long as what fails is tried again."""
    until = time.monotonic() + 1
    while time.monotonic() < until:
        if all(video["status"] != "processing" for video in admin.all("/videos")):
            return
        time.sleep(0.01)


def compaction(attempt):
    """The journal is just below where it is compacted."""
    for number in range(6):
        attempt.request(set_member, "/organization", "name", f"Name {number}")
    keys(attempt)


def backup(attempt):
    """A backup among changes; if it is answered it is whole."""
    server = attempt.server
    target = server.directory / "backup"
    attempt.request(create_key, "signing key")
    made = run(attempt, "backup", "create", target)
    attempt.request(create_key, "signing key")
    if made is not None and made.returncode == 0:
        checked = subprocess.run([server.binary, "backup", "verify", target], capture_output=True, text=True)
        if checked.returncode:
            attempt.faults.append(f"a backup that was answered is not whole: {checked.stderr.strip()}")


def run(attempt, *words, under=()):
    """Another verb: `None` if it hung. It fails with a sentence or not at all."""
    try:
        done = attempt.server.run(*words, under=under, limit_s=HANG_S)
    except subprocess.TimeoutExpired:
        attempt.faults.append(f"{words[0]} hangs: it took more than {HANG_S} s")
        return None
    if done.returncode and "panicked" in done.stderr:
        attempt.faults.append(f"{words[0]}: {done.stderr.strip()}")
    if done.returncode > 0 and not done.stderr.strip():
        attempt.faults.append(f"{words[0]} failed without a word")
    attempt.refused += done.returncode > 0
    attempt.is_gone |= has_ended(attempt.server.process, 0.0) if attempt.server.process else False
    return done


def init(attempt, under):
    """`init` under the fault, then once more without it, unless the first made it whole. Answers the first keys."""
    server = attempt.server
    server.write_config()
    for strace in [under, ()]:
        made = run(attempt, "init", under=strace)
        if made is not None and made.returncode == 0:
            return json.loads(made.stdout)
    # The keys were never seen, but the rest may be whole.
    if server.start():
        again = server.run("organization", "create", "--name", "Again")
        server.kill()
        if again.returncode == 0:
            return json.loads(again.stdout)
    refusal = made.stderr.strip() if made else "init hangs"
    attempt.faults.append(f"neither init nor serve goes on after an init that failed: {refusal}; {server.last_words()}")
    return None


def start(attempt, under):
    """`serve` under the fault. It serves, or ends and says why."""
    server = attempt.server
    if server.start(limit_s=HANG_S, under=under):
        attempt.request(create_key, "signing key")
        return
    attempt.is_gone = has_ended(server.process)
    if not attempt.is_gone:
        attempt.faults.append(f"a start hangs: it took more than {HANG_S} s: {server.last_words()}")
    elif server.process.returncode > 0 and not server.said().strip():
        attempt.faults.append("a start failed without a word")


def restore(attempt, under):
    """`backup restore` under the fault, then once more without it, unless the first made it whole."""
    server, why_not = attempt.server, ""
    for name, strace in [("restored", under), ("restored again", ())]:
        into = server.directory / name
        made = run(attempt, "backup", "restore", server.directory / "older backup", "--into", into, under=strace)
        is_answered = made is not None and made.returncode == 0
        why_not, lost = take_over(server, into, attempt.library, attempt.notes)
        if lost:
            attempt.faults.append(f"{name} starts and lacks what was in the backup ({len(lost)} times): {lost[0]}")
        elif not why_not:
            return
        if is_answered:
            attempt.faults.append(f"a restore that was answered does not start: {why_not}")
    attempt.faults.append(f"it can't be restored again: {made.stderr.strip() if made else why_not}")


# Scenarios whose server runs already when its calls begin to fail, and those that run something under the fault.
SERVED = {"keys": keys, "settings": settings, "upload": upload, "backup": backup, "compaction": compaction}
RUN = {"init": init, "start": start, "restore": restore}
