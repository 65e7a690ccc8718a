"""A server that was started again, compared with the notes of what the one before had answered."""

import json
import time

from .api import Admin, Gone, Refused
from .viewer import play, token

# How many keys of each kind are tried, the newest; of the others the list is asked.
KEYS_TRIED = 6
# How long a film whose last piece was answered may take to play, in seconds.
PACKAGED_S = 20
CODE_OF_REVOKED = {
    "signing key": "playback_token_revoked",
    "publishable key": "publishable_key_invalid",
    "private key": "private_key_invalid",
}


def compare(server, library, notes, keys_tried=KEYS_TRIED):
    """What was lost, a sentence each. What is found of keys and members is noted: from now on it stays."""
    return gather(server, library, [
        lambda admin, viewer: compare_keys_of(admin, viewer, notes, keys_tried),
        lambda admin, _: compare_members(admin, notes),
        lambda admin, _: compare_uploads(admin, notes),
        lambda _, viewer: compare_embeds(viewer, notes),
        lambda admin, _: half_made(admin),
    ])


def compare_keys(server, library, notes, keys_tried=KEYS_TRIED):
    """The same, of keys alone."""
    return gather(server, library, [lambda admin, viewer: compare_keys_of(admin, viewer, notes, keys_tried)])


def gather(server, library, parts):
    lost = []
    try:
        admin, viewer = Admin(server, library.private_key), Viewer(server, library, server.client())
        for part in parts:
            lost.extend(part(admin, viewer))
    except (Refused, Gone, OSError) as refused:
        lost.append(f"a question after the restart was not answered: {refused!r}")
    return lost


class Viewer:
    """What a library opens, with keys of all kinds, over one connection."""

    def __init__(self, server, library, connection):
        self.server, self.library, self.connection = server, library, connection

    def plays(self, embed):
        """What is noted of an embed: the SHA-256 of a file, or why it does not play."""
        status, code, digest = self.play(self.library.publishable_key, embed)
        if status == 200:
            return digest
        return {(404, "not_found"): None, (409, "video_not_ready"): "pending"}.get((status, code), f"{status} {code}")

    def play(self, publishable_key, embed, viewer_token=None):
        return play(self.server, publishable_key, embed, viewer_token, self.connection)

    def standing(self, kind, key, secret):
        """Whether a key opens what it is for."""
        library = self.library
        if kind == "signing key":
            status, code, _ = self.play(library.publishable_key, library.embed, token(key, secret, library.video))
        elif kind == "publishable key":
            status, code, _ = self.play(secret, library.public_embed)
        else:
            answer, text = Admin(self.server, secret, self.connection).send("GET", "/organization")
            status, code = answer.status, None if answer.status == 200 else json.loads(text)["code"]
        if status == 200:
            return "active"
        return "revoked" if (status, code) == (401, CODE_OF_REVOKED[kind]) else f"{status} {code}"


def compare_keys_of(admin, viewer, notes, keys_tried):
    for kind in CODE_OF_REVOKED:
        ids = notes.of(kind)
        if not ids:
            continue
        items = admin.all(f"/{kind.replace(' ', '-')}s")
        # A signing key has a status, the others when they were revoked.
        stored = {key["id"]: key.get("status") or ("revoked" if key["revokedAt"] else "active") for key in items}
        for key in ids:
            allowed = notes.allowed[(kind, key)]
            if not notes.settle((kind, key), stored.get(key)):
                yield f"{kind} {key} is {stored.get(key, 'forgotten')}, answered {allowed}"
        # The gate itself, not only the list.
        for key in ids[-keys_tried:]:
            found = viewer.standing(kind, key, notes.secrets[key])
            if {found} != notes.allowed[(kind, key)]:
                yield f"{kind} {key}, answered {notes.allowed[(kind, key)]}, opens as {found}"


def compare_members(admin, notes):
    for path, member in [thing for thing in notes.allowed if thing[0].startswith("/")]:
        allowed = notes.allowed[(path, member)]
        try:
            found = admin.call("GET", path)[member]
        except Refused as refused:
            found = str(refused)
        if not notes.settle((path, member), found):
            yield f"{member} of {path} is {found}, answered {allowed}"


def compare_uploads(admin, notes):
    """Every upload that was under way is where it was answered to be, and goes on to its end."""
    for upload in list(notes.uploads.values()):
        try:
            offset = admin.offset(upload.path)
            if not upload.answered_bytes <= offset <= upload.sent_bytes:
                yield (
                    f"upload {upload.path} is at {offset}, answered {upload.answered_bytes}, "
                    f"sent {upload.sent_bytes} of {len(upload.film)}"
                )
            if offset < len(upload.film):
                admin.add_piece(upload.path, offset, upload.film[offset:])
            notes.answer(("plays", upload.embed), upload.digest)
        except Refused as refused:
            yield f"an upload, of which {upload.answered_bytes} bytes were answered, can't go on: {refused}"
        del notes.uploads[upload.path]


def compare_embeds(viewer, notes):
    for embed in notes.of("plays"):
        allowed, until = notes.allowed[("plays", embed)], time.monotonic() + PACKAGED_S
        found = viewer.plays(embed)
        # A film that came whole is packaged in a moment, and the one that it takes the place of is gone in that moment.
        while found in ("pending", "404 media") and found not in allowed and time.monotonic() < until:
            time.sleep(0.02)
            found = viewer.plays(embed)
        # Not settled: what was under way may be packaged later.
        if found not in allowed:
            yield f"embed {embed} plays {found}, answered {allowed}"
        elif found is None:
            notes.forget(("plays", embed))


def half_made(admin):
    """Nothing that takes several records is there in part."""
    embeds = {embed["videoId"] for embed in admin.all("/embeds")}
    for video in admin.all("/videos"):
        if video["id"] not in embeds:
            yield f"video {video['id']} has no embed"
