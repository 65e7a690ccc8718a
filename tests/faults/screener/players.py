"""Viewers and backends in processes of their own: plays, assets, reads and ends of sessions, as many as the machine gives.

A player has several connections and asks on all of them at once, then takes the answers in turn. Each answered question is
a record in the player's file; what the record's numbers stand for is said by the announcements of whoever made the things.
"""

import json
import os
import random
import socket
import ssl
import struct
import time
from collections import deque
from typing import NamedTuple

from .registers import NEVER
from .viewer import token

# What was asked, the outcome, when it was sent and answered, then numbers: key, signing key, video, epoch, session.
RECORD = struct.Struct("=BBqqIIIII")
NONE = 0xFFFF_FFFF
PLAY, PLAY_BARE, PLAY_ASTRAY, ASSET, READ, END = range(6)
ASKED = ["play", "play without a token", "play with another video's token", "asset", "read", "end"]
OUTCOMES = [
    *("200", "206", "204", "401 publishable_key_invalid", "401 private_key_invalid", "401 playback_token_missing"),
    *("401 playback_token_revoked", "403 playback_token_wrong_video", "403 asset_url_revoked", "404 not_found"),
    "409 video_not_ready",
]
NUMBERS = {words: number for number, words in enumerate(OUTCOMES)}
# What may come of each question at all.
PLAYED = {"200", "401 publishable_key_invalid", "404 not_found", "409 video_not_ready"}
POSSIBLE = {
    PLAY: PLAYED | {"401 playback_token_revoked"},
    PLAY_BARE: PLAYED | {"401 playback_token_missing"},
    PLAY_ASTRAY: PLAYED | {"401 playback_token_revoked", "403 playback_token_wrong_video"},
    ASSET: {"206", "403 asset_url_revoked"},
    READ: {"200", "401 private_key_invalid", "404 not_found"},
    END: {"204", "404 not_found"},
}
# Sessions that a player goes on asking with, the newest; and how long it looks for a server that is gone.
SESSIONS, SEARCH_S = 48, 30
# Longest that it waits for an answer, in seconds: a disk that everybody writes to may hold up a change for many.
WAIT_S = 60
# Tokens that are kept for another time, and how long they are good, in seconds: longer than the campaign goes on.
TOKENS, TOKEN_S = 1_000, 43_200
# A lying player notes one refusal in so many as let in.
LIES = 50
READ_BYTES = 64 << 10


class Session(NamedTuple):
    """One that a player opened: its number, those of its signing key and its video, the video's epoch; its id, and the
    path of an asset."""

    number: int
    signer: int
    video: int
    epoch: int
    name: str
    path: str


class Lost(Exception):
    """No answer, or not all of it; because of a time-out, or because the connection ended."""


class Line:
    """One connection, kept for as long as the server keeps it.

    `media` are the sessions of its last two questions, where these were for assets: bytes of theirs may still be on it.
    """

    def __init__(self, port, context):
        self.port, self.context, self.socket, self.media = port, context, None, [None, None]

    def open(self):
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = self.context.wrap_socket(plain, server_hostname="127.0.0.1")
        self.opened, self.media = time.monotonic_ns(), [None, None]

    def send(self, wanted):
        try:
            self.socket.sendall(wanted)
        except OSError as error:
            raise Lost(repr(error)) from error

    def receive(self):
        """Status and body."""
        try:
            answer = self.socket.recv(READ_BYTES)
            while (end := answer.find(b"\r\n\r\n")) < 0:
                answer += self.more()
            head = answer[:end].lower()
            at = head.find(b"content-length: ")
            length = int(head[at + 16 :].split(b"\r", 1)[0]) if at >= 0 else 0
            while len(answer) < end + 4 + length:
                answer += self.more()
        except OSError as error:
            raise Lost(repr(error)) from error
        if b"\nconnection: close" in head:
            # The server says so: it keeps no more than so many viewings of one connection in mind.
            self.socket.close()
            self.socket = None
        return int(head[9:12]), answer[end + 4 :]

    def more(self):
        piece = self.socket.recv(READ_BYTES)
        if not piece:
            raise Lost("the connection ended")
        return piece


class Player:
    """`news` brings announcements `(kind, slot, number, …)`, and `None` in the end; to it goes then what is no record."""

    def __init__(self, port, ca_file, private_key, news, file, seed, connections, is_lying):
        self.news, self.file, self.dice, self.private_key = news, file, random.Random(seed), private_key
        context = ssl.create_default_context(cafile=ca_file)
        self.lines = [Line(port, context) for _ in range(connections)]
        # By kind and slot, the newest two: of each the number and what is announced with it, which is the secret of a key;
        # id and secret of a signing key; id, embed and first visibility of a video.
        self.world = {"publishable key": {}, "private key": {}, "signing key": {}, "video": {}}
        self.sessions, self.opened, self.tokens, self.again = deque(maxlen=SESSIONS), 0, {}, []
        self.ends, self.cuts, self.strange, self.lies = {}, [], [], LIES if is_lying else 0
        self.operations = self.slowest_ns = 0

    def run(self):
        with open(self.file, "wb", buffering=1 << 20) as records:
            self.write = records.write
            while self.learn():
                self.ask_on_all_lines()
        self.news.send({
            "operations": self.operations, "slowest_ns": self.slowest_ns, "ends": self.ends, "cuts": self.cuts,
            "strange": self.strange[:20], "strange_count": len(self.strange),
        })

    def learn(self):
        """Takes in what is new; whether it goes on. Waits until there is something of every kind."""
        while self.news.poll() or not all(self.world.values()):
            told = self.news.recv()
            if told is None:
                return False
            kind, slot, *thing = told
            self.world[kind].setdefault(slot, deque(maxlen=2)).append(thing)
        return True

    def ask_on_all_lines(self):
        asked = []
        for line in self.lines:
            if line.socket is None and not self.search(line):
                continue
            question, about, wanted, *numbers = self.choose()
            sent = time.monotonic_ns()
            if question == END:
                # What is sent again after a lost answer was begun when it was sent first.
                sent = self.ends.setdefault(about.number, (sent, NEVER))[0]
            line.media = [line.media[1], about if question == ASSET else None]
            try:
                line.send(wanted)
                asked.append((line, question, about, sent, numbers))
            except Lost as lost:
                self.lose(line, question, about, lost)
        for line, question, about, sent, numbers in asked:
            try:
                status, body = line.receive()
            except Lost as lost:
                self.lose(line, question, about, lost)
            else:
                self.note(question, about, sent, time.monotonic_ns(), numbers, status, body)

    def search(self, line):
        until = time.monotonic() + SEARCH_S
        while time.monotonic() < until:
            try:
                line.open()
                return True
            except OSError:
                line.socket = None
                time.sleep(0.02)
                if self.news.poll():
                    return False
        raise RuntimeError(f"no connection within {SEARCH_S} s")

    def lose(self, line, question, about, lost):
        """The server cuts connections that may still carry what was just revoked; the judge looks whether it was that."""
        if isinstance(lost.__cause__, TimeoutError):
            self.strange.append(f"{ASKED[question]}: not answered within {WAIT_S} s")
        else:
            sessions = [session for session in line.media if session]
            self.cuts.append((line.opened, time.monotonic_ns(), sessions, f"{ASKED[question]}: {lost}"))
        line.socket = None
        if question == END:
            self.again.append(about)

    def choose(self):
        """What is asked, the session it is about (of a play: its video and its signing key), the request, and the numbers of
        its record."""
        dice = self.dice.random()
        if self.again:
            return self.end(self.again.pop())
        if self.sessions and dice < 0.55:
            return self.ask_asset()
        if self.sessions and dice < 0.56:
            session = self.dice.choice(self.sessions)
            if session.number not in self.ends:
                return self.end(session)
        if dice < 0.65:
            return self.ask_read()
        return self.ask_play(PLAY_ASTRAY if dice < 0.68 else PLAY_BARE if dice < 0.75 else PLAY)

    def pick(self, kind):
        slots = self.world[kind]
        return self.dice.choice(slots[self.dice.choice(list(slots))])

    def ask_play(self, question):
        key, (signer, kid, secret), video = self.pick("publishable key"), self.pick("signing key"), self.pick("video")
        path = f"/api/v1/embeds/{video[2]}/playback"
        if question == PLAY_BARE:
            return question, (video, None), get(path, authorized(key[1])), key[0], NONE, video[0], NONE, NONE
        subject = video[1] if question == PLAY else kid
        signed = self.tokens.get((kid, subject))
        if not signed:
            if len(self.tokens) > TOKENS:
                self.tokens.clear()
            signed = self.tokens[kid, subject] = token(kid, secret, subject, exp=int(time.time()) + TOKEN_S)
        asked = get(path, authorized(key[1]), f"x-moviie-playback-token: {signed}")
        return question, (video, (signer, kid)), asked, key[0], signer, video[0], NONE, NONE

    def ask_asset(self):
        # Half of the questions are for the newest sessions.
        low = max(0, len(self.sessions) - 8) if self.dice.random() < 0.5 else 0
        session = self.sessions[self.dice.randrange(low, len(self.sessions))]
        first = self.dice.randrange(1_000)
        asked = get(session.path, f"Range: bytes={first}-{first + 7}")
        return ASSET, session, asked, NONE, session.signer, session.video, session.epoch, session.number

    def ask_read(self):
        key, video = self.pick("private key"), self.pick("video")
        return READ, None, get(f"/admin/v1/videos/{video[1]}", authorized(key[1])), key[0], NONE, video[0], NONE, NONE

    def end(self, session):
        path = f"/admin/v1/sessions/{session.name}?videoId={session.path.split('/')[2]}"
        asked = request("DELETE", path, authorized(self.private_key))
        return END, session, asked, NONE, NONE, session.video, NONE, session.number

    def note(self, question, about, sent, answered, numbers, status, body):
        outcome = str(status) if status < 400 else f"{status} {code_of(body)}"
        if outcome not in POSSIBLE[question]:
            self.strange.append(f"{ASKED[question]}: {outcome} {body[:200]!r}")
            return
        key, signer, video, epoch, number = numbers
        if outcome == "200" and question == READ:
            epoch = int(json.loads(body)["visibility"] == "private")
        elif outcome == "200":
            signer, epoch, number = self.begin(*about, json.loads(body))
        elif question == END:
            self.ends[number] = sent, answered if outcome == "204" else NEVER
        elif outcome == "403 asset_url_revoked" and self.lies and self.dice.randrange(self.lies) == 0:
            outcome = "206"
        self.operations += 1
        self.slowest_ns = max(self.slowest_ns, answered - sent)
        self.write(RECORD.pack(question, NUMBERS[outcome], sent, answered, key, signer, video, epoch, number))

    def begin(self, video, signer, answer):
        """A session that was opened: its signing key, its video's epoch, its number."""
        path = "/media/" + answer["variants"][0]["uri"].split("/media/", 1)[1]
        _, _, epoch, session, authority, *_ = path.split("/")[3].split(".")
        is_private = answer["visibility"] == "private"
        if is_private != (video[3] ^ (int(epoch) % 2 == 1)):
            self.strange.append(f"epoch {epoch} of a video is {answer['visibility']}; it was private={video[3]} at first")
        if authority != (signer[1] if is_private and signer else "-") or is_private and not signer:
            self.strange.append(f"a {answer['visibility']} video was opened by {authority}, asked with {signer}")
        stands_on = signer[0] if is_private and signer else NONE
        self.opened += 1
        self.sessions.append(Session(self.opened, stands_on, video[0], int(epoch), session, path))
        return signer[0] if signer else NONE, int(epoch), self.opened


def request(method, path, *lines):
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", "")).encode()


def get(path, *lines):
    return request("GET", path, *lines)


def authorized(key):
    return f"Authorization: Bearer {key}"


def code_of(body):
    try:
        return json.loads(body)["code"]
    except (ValueError, KeyError, TypeError):
        return "without a code"


def play_on(*arguments):
    """The body of a process."""
    news = arguments[3]
    try:
        Player(*arguments).run()
    except Exception as error:  # noqa: BLE001 - whatever it was, the judge must hear of it
        news.send({"broke_off": f"player {os.getpid()}: {error!r}"})
