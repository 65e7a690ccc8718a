"""Threads that change things until the server is gone, and note each answer."""

import itertools
import threading
import time

from .api import Admin
from .library import SOURCES, padded
from .notes import Upload

# Size of the films, in bytes: several steps of what the server gathers before it writes.
PUT_BYTES, PIECES_BYTES = 1 << 20, 3 << 20
# Bytes of a piece, in turn; the last one brings the rest.
PIECES = [200_000, 1 << 20, 1]


def create_key(admin, notes, kind):
    key = admin.call("POST", f"/{kind.replace(' ', '-')}s", {"label": "fault"})
    notes.secrets[key["id"]] = key.get("secret") or key["key"]
    notes.answer((kind, key["id"]), "active")
    return key["id"]


def revoke_key(admin, notes, kind, key):
    with notes.change((kind, key), "revoked"):
        admin.call("POST", f"/{kind.replace(' ', '-')}s/{key}/revoke", {})


def write_keys(admin, notes, kinds):
    """Creates keys and revokes every second one of each kind."""
    for number in itertools.count():
        kind = kinds[number // 2 % len(kinds)]
        key = create_key(admin, notes, kind)
        if number % 2 == 0:
            revoke_key(admin, notes, kind, key)


def write_member(admin, notes, path, member, values):
    for value in values:
        set_member(admin, notes, path, member, value)


def set_member(admin, notes, path, member, value):
    with notes.change((path, member), value):
        admin.call("PATCH", path, {member: value})


def write_sources(admin, notes, library):
    """Uploads in one request each, slowly. Disks are small: most replace a source; now and then the video is new. What
    was cut off by a kill is sent again after it."""
    for number in itertools.count(1):
        if number % 4 == 0 and notes.shown:
            shown, notes.shown = notes.shown, None
            delete_video(admin, notes, shown["id"], shown["embedId"])
        if not notes.shown:
            shown = admin.call("POST", "/videos", {"title": "Upload", "visibility": "public"})
            notes.answer(("plays", shown["embedId"]), "pending")
            notes.shown = shown
        source = SOURCES[number % 2]
        film = padded(source, PUT_BYTES)
        with notes.change(("plays", notes.shown["embedId"]), library.packaged[source]):
            admin.put_source(notes.shown["id"], film, slowly(film))


def slowly(film):
    for start in range(0, len(film), 256 << 10):
        yield film[start : start + (256 << 10)]
        time.sleep(0.005)


def delete_video(admin, notes, video, embed):
    with notes.change(("plays", embed), None):
        admin.call("DELETE", f"/videos/{video}")


def write_uploads(admin, notes, library):
    """Uploads in pieces; of the films one is left to be packaged while the next one comes, older ones are deleted."""
    made = []
    for number in itertools.count():
        made.append(upload_in_pieces(admin, notes, library, number))
        if len(made) > 2:
            delete_video(admin, notes, *made.pop(0))


def upload_in_pieces(admin, notes, library, number, size_bytes=PIECES_BYTES):
    """One upload; every second piece has a checksum. Answers the video and its embed."""
    source = SOURCES[number % 2]
    film = padded(source, size_bytes)
    path, video = admin.begin_upload(len(film), title="Pieces", visibility="public")
    embed = admin.call("GET", f"/videos/{video}")["embedId"]
    notes.answer(("plays", embed), "pending")
    upload = notes.uploads[path] = Upload(path, embed, film, library.packaged[source])
    for length, is_checked in zip([*PIECES, len(film)], itertools.cycle([True, False])):
        offset = upload.answered_bytes
        piece = film[offset : offset + length]
        upload.sent_bytes = offset + len(piece)
        if upload.sent_bytes == len(film):
            break
        admin.add_piece(path, offset, piece, is_checked)
        upload.answered_bytes = upload.sent_bytes
    with notes.change(("plays", embed), upload.digest):
        admin.add_piece(path, offset, piece, is_checked)
    del notes.uploads[path]
    return video, embed


def prepare(server, library, notes):
    """What the writers write to, once for a state directory: one member each of three videos, and a setting."""
    admin = Admin(server, library.private_key)
    notes.allowed[("plays", library.embed)] = {"401 playback_token_missing"}
    for member, value in [("visibility", "public"), ("title", "Title"), ("title", "Title")]:
        video = admin.call("POST", "/videos", {"title": "Title", "visibility": "public"})["id"]
        notes.answer((f"/videos/{video}", member), value)
    notes.answer(("/organization", "name"), admin.call("GET", "/organization")["name"])


def values_of(member):
    if member == "visibility":
        return itertools.cycle(["private", "public"])
    return (f"{member} {number} of {time.monotonic_ns()}" for number in itertools.count())


def start_writers(server, library, notes):
    """Eight writers (keys of all kinds, visibility, titles, a setting) and two that upload, each with a thread and a
    connection of its own."""
    signing, others = ["signing key"], ["publishable key", "private key"]
    work = [(write_keys, kinds) for kinds in [signing, signing, signing, others]]
    for path, member in [thing for thing in notes.allowed if thing[0].startswith("/")]:
        work.append((write_member, path, member, values_of(member)))
    work += [(write_sources, library), (write_uploads, library)]
    threads = []
    for writer, *arguments in work:
        arguments = (writer, Admin(server, library.private_key), notes, *arguments)
        threads.append(threading.Thread(target=notes.run, args=arguments, daemon=True))
    for thread in threads:
        thread.start()
    return threads
