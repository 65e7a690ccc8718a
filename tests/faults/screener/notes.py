"""What was answered, and what was under way and may or may not have happened."""

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

from .api import Gone, Hung


@dataclass
class Upload:
    """An upload in pieces that is under way: what of it was answered, and how much was ever sent."""

    path: str
    embed: str
    film: bytes
    digest: str
    answered_bytes: int = 0
    sent_bytes: int = 0


class Notes:
    """The values that each thing may have. A thing is written by one writer at a time.

    Things are `("signing key", id)`, `("publishable key", id)` and `("private key", id)`, which are `"active"` or
    `"revoked"`; `(path, member)` for a member of a resource of the admin API; and `("plays", embed)`, which is the
    SHA-256 of a file, `"pending"`, `"401 playback_token_missing"`, or `None` where there is no such embed.
    """

    def __init__(self):
        self.lock, self.count, self.faults = threading.Lock(), 0, []
        # When a request that was never answered began, by its fault.
        self.hung = {}
        self.allowed, self.secrets, self.uploads = {}, {}, {}
        # The video that sources are uploaded to, and what was answered last of all: a thing and its value.
        self.shown = self.latest = None

    def copy(self):
        """The same, to go on from: for a copy of the state directory."""
        other = Notes()
        other.allowed, other.secrets = dict(self.allowed), dict(self.secrets)
        return other

    @contextmanager
    def change(self, thing, value):
        """Around a request: before the answer the old and the new value are right, after it the new one alone.

        A request that no answer comes to, or that the server could not carry out, may have happened: both stay right.
        """
        self.allowed[thing] = self.allowed.get(thing, set()) | {value}
        yield
        self.answer(thing, value)

    def answer(self, thing, value):
        """Notes what an answer has just said."""
        self.allowed[thing] = {value}
        with self.lock:
            self.count += 1
        self.latest = thing, value

    def wait_for(self, is_wanted, limit_s=10):
        """Until `is_wanted(thing, value)` is true of an answer, or nothing is answered any more."""
        self.latest, until = None, time.monotonic() + limit_s
        while time.monotonic() < until and not self.faults:
            latest = self.latest
            if latest and is_wanted(*latest):
                return
            time.sleep(0.0003)

    def settle(self, thing, value):
        """What was found after a restart stays so; whether it is one of the right values."""
        is_right = value in self.allowed[thing]
        self.allowed[thing] = {value}
        return is_right

    def of(self, kind):
        """The ids of all things of a kind, in the order in which they were made."""
        return [thing[1] for thing in list(self.allowed) if thing[0] == kind]

    def forget(self, thing):
        self.allowed.pop(thing, None)

    def run(self, writer, *arguments):
        """Runs a writer until the server is gone. Whatever else stops it is a fault."""
        try:
            writer(*arguments)
        except Hung as hung:
            sentence = f"{writer.__name__}: {hung}"
            self.hung[sentence] = hung.began
            self.faults.append(sentence)
        except Gone:
            pass
        except Exception as error:  # noqa: BLE001 - a fault of any kind must be seen
            self.faults.append(f"{writer.__name__}: {error!r}")
