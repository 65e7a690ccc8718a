"""Who makes and changes things in the model campaign: each thing has one owner, a thread, that changes it at a steady rate.

An owner repeats a change until it is answered, over a kill of the server too: all of them may be done twice.
"""

import itertools
import random
import threading
import time

from .api import Admin, Gone, Refused
from .history import Pace
from .library import SOURCES
from .registers import Register

# Slots of things of each kind; a slot's newest two are asked for.
SLOTS = {"signing key": 3, "publishable key": 2, "private key": 2, "video": 6}
# Requests a second in all, at most, and for keys in all: of a kind an organization has at most 10,000.
KEYS_PER_S, KEYS, VIDEOS_PER_S = 40, 36_000, 24


class Video:
    """`epoch` counts its classifications; `stage` is 0 until it is ready, 1, and 2 when it is deleted."""

    def __init__(self, name, is_private):
        self.is_private = is_private
        self.epoch, self.stage = Register(f"visibility of {name}"), Register(f"being there of {name}")


class World:
    """All that was ever made, by kind and number: registers of keys (0 is active, 1 revoked), and videos."""

    def __init__(self, server, library, seconds, seed, players):
        self.server, self.library, self.players, self.ended = server, library, players, threading.Event()
        self.things, self.lock, self.faults, self.answered = {kind: [] for kind in SLOTS}, threading.Lock(), [], 0
        keys, videos = Pace(min(KEYS_PER_S, KEYS / seconds)), Pace(VIDEOS_PER_S)
        self.threads = []
        for number, (kind, slot) in enumerate((kind, slot) for kind, count in SLOTS.items() for slot in range(count)):
            work, pace = (own_videos, videos) if kind == "video" else (own_keys, keys)
            owner = Owner(self, pace, random.Random(seed + number))
            self.threads.append(threading.Thread(target=owner.run, args=(work, kind, slot), daemon=True))

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(timeout=60)
            if thread.is_alive():
                self.faults.append("an owner hangs")

    def announce(self, kind, slot, thing, *words):
        with self.lock:
            number = len(self.things[kind])
            self.things[kind].append(thing)
            for player in self.players:
                player.send((kind, slot, number, *words))

    def registers(self):
        for kind, things in self.things.items():
            for thing in things:
                yield from (thing.epoch, thing.stage) if kind == "video" else (thing,)


class Ended(Exception):
    """The campaign is over."""


class Owner:
    def __init__(self, world, pace, dice):
        self.world, self.pace, self.dice, self.admin = world, pace, dice, None

    def run(self, work, kind, slot):
        try:
            work(self, kind, slot)
        except Ended:
            pass
        except Exception as error:  # noqa: BLE001 - a fault of any kind must be seen
            self.world.faults.append(f"the owner of {kind} {slot}: {error!r}")

    def wait(self):
        self.pace.wait()
        if self.world.ended.is_set():
            raise Ended

    def call(self, method, path, body=None):
        """The answer's JSON; repeated until there is one."""
        return self.insist(lambda: self.admin.call(method, path, body))

    def insist(self, ask):
        while True:
            try:
                self.admin = self.admin or Admin(self.world.server, self.world.library.private_key)
                answer = ask()
            except (Gone, OSError):
                self.admin = None
                if self.world.ended.wait(0.02):
                    raise Ended from None
            else:
                with self.world.lock:
                    self.world.answered += 1
                return answer


def own_keys(owner, kind, slot):
    """One key after the other; each is revoked when the next has been there for a moment."""
    path, older = f"/{kind.replace(' ', '-')}s", None
    for turn in itertools.count():
        owner.wait()
        if older and kind == "signing key" and turn % 2:
            # Makes a new key, and leaves the old one as it is.
            made = owner.call("POST", f"{path}/{older[0]}/rotate", {})
        else:
            made = owner.call("POST", path, {"label": "model"})
        key = Register(f"{kind} {made['id']}")
        secret = made.get("secret") or made["key"]
        owner.world.announce(kind, slot, key, *((made["id"], secret) if kind == "signing key" else (secret,)))
        if older:
            owner.wait()
            with older[1].change():
                owner.call("POST", f"{path}/{older[0]}/revoke", {})
        older = made["id"], key


def own_videos(owner, kind, slot):
    """One video after the other: made, filled, re-classified some dozens of times, deleted."""
    while True:
        owner.wait()
        is_private = owner.dice.random() < 0.5
        made = owner.call("POST", "/videos", {"title": "Model", "visibility": words(is_private)})
        video = Video(made["id"], is_private)
        owner.world.announce(kind, slot, video, made["id"], made["embedId"], is_private)
        owner.wait()
        path, is_filled = f"/videos/{made['id']}", fill(owner, video, made["id"])
        for _ in range(owner.dice.randrange(5, 40) if is_filled else 0):
            owner.wait()
            if owner.dice.random() < 0.2:
                # What it is already: no change.
                owner.call("PATCH", path, {"visibility": words(is_private), "title": f"Model {time.monotonic_ns()}"})
                continue
            is_private = not is_private
            with video.epoch.change():
                answer = owner.call("PATCH", path, {"visibility": words(is_private)})
            if answer["visibility"] != words(is_private):
                owner.world.faults.append(f"{path} was made {words(is_private)}, answered {answer['visibility']}")
        owner.wait()
        with video.stage.change():
            owner.insist(lambda: delete(owner.admin, path))


def fill(owner, video, name):
    """Whether the upload was answered. It is not repeated: a second one would take the place of what the first one brought,
    and of its URLs."""
    try:
        with video.stage.change():
            owner.admin.put_source(name, SOURCES[0])
    except Gone:
        owner.admin = None
        return False
    return True


def words(is_private):
    return "private" if is_private else "public"


def delete(admin, path):
    """Whether it was there: an answer that was lost is asked for again."""
    try:
        admin.call("DELETE", path)
    except Refused as refused:
        if refused.status != 404:
            raise
