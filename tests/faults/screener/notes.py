"""What was answered, and what was under way and may or may not have happened."""

import threading
from contextlib import contextmanager

from .api import Admin, Gone, Refused
from .viewer import play, token

# How many signing keys are tried as a viewer; of the others the list is asked.
KEYS_TRIED = 6


class Notes:
    """The values that each thing may have. A thing is written by one writer at a time.

    Keys are noted by id, members of a video as (video, member), and what an embed plays by the embed's id: the SHA-256
    of a file, `"pending"`, `"401 playback_token_missing"`, or `None` where there is no such embed.
    """

    def __init__(self):
        self.lock, self.count, self.faults = threading.Lock(), 0, []
        self.keys, self.members, self.plays = {}, {}, {}
        self.secrets = {}  # key → secret

    @contextmanager
    def change(self, things, thing, value):
        """Around a request: before the answer the old and the new value are right, after it the new one alone.

        A request that is refused, or that no answer comes to, may have happened: both stay right.
        """
        things[thing] = things.get(thing, set()) | {value}
        yield
        things[thing] = {value}
        self.answered()

    def is_(self, things, thing, value):
        """Notes what an answer said just now, such as the id of something new."""
        things[thing] = {value}
        self.answered()

    def answered(self):
        with self.lock:
            self.count += 1

    def run(self, writer, *arguments):
        """Runs a writer until the server is gone. Whatever else stops it is a fault."""
        try:
            writer(*arguments)
        except Gone:
            pass
        except Exception as error:  # noqa: BLE001 - a fault of any kind must be seen
            self.faults.append(f"{writer.__name__}: {error!r}")


def compare(server, library, notes):
    """What was lost, a sentence each."""
    try:
        admin = Admin(server, library.private_key)
        stored = {key["id"]: key["status"] for key in admin.all("/signing-keys")}
    except (Refused, Gone, OSError) as refused:
        return [f"nothing can be asked: {refused!r}"]
    lost = []
    for key, allowed in notes.keys.items():
        if stored.get(key) not in allowed:
            lost.append(f"signing key {key} is {stored.get(key, 'forgotten')}, answered {allowed}")
    # The gate itself, not only the list.
    for key in list(notes.keys)[-KEYS_TRIED:]:
        answer = play(server, library.publishable_key, library.embed, token(key, notes.secrets[key], library.video))
        found = {200: "active", 401: "revoked"}.get(answer[0])
        if found not in notes.keys[key] or (found == "revoked" and answer[1] != "playback_token_revoked"):
            lost.append(f"a token of key {key}, answered {notes.keys[key]}, is answered {answer}")
    for (video, member), allowed in notes.members.items():
        try:
            found = admin.call("GET", f"/videos/{video}")[member]
        except Refused as refused:
            found = str(refused)
        if found not in allowed:
            lost.append(f"{member} of {video} is {found}, answered {allowed}")
    for embed, allowed in notes.plays.items():
        status, code, digest = play(server, library.publishable_key, embed)
        found = {404: None, 409: "pending"}.get(status, digest or f"{status} {code}")
        if found not in allowed:
            lost.append(f"embed {embed} plays {found}, answered {allowed}")
    return lost
