"""A server that was started again, compared with the notes of what the one before had answered."""

import time

from .api import Admin, Gone, Refused
from .viewer import play, token

# How many keys of each kind are tried, the newest; of the others the list is asked.
KEYS_TRIED = 6
# How long a film whose last piece was answered may take to play, in seconds.
PACKAGED_S = 20


def compare(server, library, notes, keys_tried=KEYS_TRIED):
    """What was lost, a sentence each. What is found is noted: from now on it stays."""
    lost = []
    try:
        admin = Admin(server, library.private_key)
        lost.extend(compare_keys(admin, server, library, notes, keys_tried))
        lost.extend(compare_members(admin, notes))
        lost.extend(compare_uploads(admin, notes))
        lost.extend(compare_embeds(server, library, notes))
        lost.extend(half_made(admin))
    except (Refused, Gone, OSError) as refused:
        lost.append(f"a question after the restart was not answered: {refused!r}")
    return lost


def compare_keys(admin, server, library, notes, keys_tried):
    tries = {"signing key": try_signing_key, "publishable key": try_publishable_key, "private key": try_private_key}
    for kind, try_key in tries.items():
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
            found = try_key(server, library, key, notes.secrets[key])
            if {found} != notes.allowed[(kind, key)]:
                yield f"{kind} {key}, answered {notes.allowed[(kind, key)]}, opens as {found}"


def try_signing_key(server, library, key, secret):
    status, code, _ = play(server, library.publishable_key, library.embed, token(key, secret, library.video))
    return verdict(status, code, "playback_token_revoked")


def try_publishable_key(server, library, _, secret):
    status, code, _ = play(server, secret, library.public_embed)
    return verdict(status, code, "publishable_key_invalid")


def try_private_key(server, _library, _key, secret):
    answer, text = Admin(server, secret).send("GET", "/organization")
    return verdict(answer.status, text.decode(errors="replace"), None)


def verdict(status, code, code_of_revoked):
    if status == 200:
        return "active"
    is_revoked = status == 401 and (code_of_revoked is None or code == code_of_revoked)
    return "revoked" if is_revoked else f"{status} {code}"


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


def compare_embeds(server, library, notes):
    for embed in notes.of("plays"):
        allowed, until = notes.allowed[("plays", embed)], time.monotonic() + PACKAGED_S
        found = what_plays(server, library, embed)
        # A film that came whole is packaged in a moment, if nothing else than that was answered.
        while found == "pending" and "pending" not in allowed and time.monotonic() < until:
            time.sleep(0.02)
            found = what_plays(server, library, embed)
        if not notes.settle(("plays", embed), found):
            yield f"embed {embed} plays {found}, answered {allowed}"
        elif found is None:
            notes.forget(("plays", embed))


def what_plays(server, library, embed):
    status, code, digest = play(server, library.publishable_key, embed)
    if status == 200:
        return digest
    return {(404, "not_found"): None, (409, "video_not_ready"): "pending"}.get((status, code), f"{status} {code}")


def half_made(admin):
    """Nothing that takes several records is there in part."""
    embeds = {embed["videoId"] for embed in admin.all("/embeds")}
    for video in admin.all("/videos"):
        if video["id"] not in embeds:
            yield f"video {video['id']} has no embed"
