"""How a start on a damaged state directory ended, and whether what is served then is what it must be."""

import http.client
import re
import subprocess
import time

from . import assets
from .api import TUS, Admin, Gone, Hung, Refused
from .damages import READY, REFUSED
from .library import SOURCES
from .original import LISTS, first_difference
from .server import HANG_S

# Longest that a start may take.
READY_S = 5
# A refusal says what can be done.
REMEDY = re.compile(
    r"restore|put .* (back|in)|chmod|chown|move|delete|use that version|screener init|name (one|another)|give the user", re.I
)


class Verdict:
    """`faults` are (figure, sentence)."""

    def __init__(self):
        self.outcome, self.ready_s, self.message, self.faults, self.sled_panics = "", 0.0, "", [], 0

    def count_panics(self, lines):
        """sled does not survive every damage. Where it is opened it may panic: the index is set aside, and it serves."""
        panics = [line for line in lines if "panicked at" in line]
        is_set_aside = any("the index was set aside" in line for line in lines)
        foreseen = [line for line in panics if "thread 'index-open'" in line and is_set_aside]
        self.sled_panics = len(foreseen) if self.outcome == READY else 0
        for panic in panics if self.outcome != READY else [line for line in panics if line not in foreseen]:
            self.blame("panics", panic[:300])

    def blame(self, figure, sentence):
        self.faults.append((figure, sentence))

    def blame_all(self, figure, sentences):
        self.faults += [(figure, sentence) for sentence in sentences]


def judge(scene, case, server):
    verdict, before = Verdict(), contents(scene.state)
    try:
        if server.start(limit_s=HANG_S):
            verdict.outcome, verdict.ready_s = READY, server.started_s
            judge_ready(scene, case, server, verdict)
        elif server.process.poll() is None:
            verdict.outcome = "hanging"
            verdict.blame("hangs", f"neither ready nor refused after {HANG_S} s: {server.last_words()}")
        else:
            verdict.outcome = REFUSED
            judge_refusal(scene, case, server, verdict)
            if contents(scene.state) != before:
                verdict.blame("lost", "a refused start changed the journal, the format or the master key")
    except (OSError, http.client.HTTPException, Gone, Refused, RuntimeError, subprocess.TimeoutExpired) as error:
        is_late = isinstance(error, (Hung, TimeoutError, subprocess.TimeoutExpired))
        verdict.blame("hangs" if is_late else "lost", f"the checks broke off: {error!r}")
    finally:
        server.kill()
    verdict.count_panics(server.said().splitlines())
    return verdict


def contents(state):
    """What no start may change that is refused."""
    paths = [state / name for name in ["journal", "format", "master.key"]]
    return [path.read_bytes() if path.is_file() else path.exists() for path in paths]


def judge_refusal(scene, case, server, verdict):
    # What is wrong with a configuration stands in the lines that follow.
    _, found, told = server.said().partition("screener: ")
    verdict.message = found + " ".join(told.split())
    if REFUSED not in case.outcomes:
        verdict.blame("refused_wrongly", f"refused: {server.last_words()}")
    elif not verdict.message:
        verdict.blame("unnamed", f"ended with {server.process.returncode} and no reason: {server.last_words()}")
    elif scene.named not in verdict.message:
        verdict.blame("unnamed", f"does not say where ({scene.named}): {verdict.message}")
    elif not REMEDY.search(verdict.message):
        verdict.blame("unnamed", f"does not say what to do: {verdict.message}")


def judge_ready(scene, case, server, verdict):
    if READY not in case.outcomes:
        verdict.blame("believed", "it serves, and should have refused")
    if server.started_s > READY_S:
        verdict.blame("slow", f"ready only after {server.started_s:.1f} s")
    verdict.blame_all("forgotten", forgotten(scene, server))
    verdict.blame_all("lost", lost(scene, case, server))
    seen = look_at_assets(scene, server, verdict)
    if scene.upload_ceiling is not None:
        judge_upload(scene, server, verdict)
    verdict.blame_all("lost", refused_changes(scene, server))
    if not server.stop():
        verdict.blame("hangs", f"does not stop within {HANG_S} s")
    judge_check(scene, server, seen, verdict)


def forgotten(scene, server):
    """Rights that were taken away and are back, a sentence each."""
    original, connection = scene.original, server.client()
    publishable_key, found = original.keys["publishableKey"], []

    def expect(what, status, code, answer):
        if (answer[0], answer[1].get("code")) != (status, code):
            found.append(f"{what}: {answer[0]} {str(answer[1])[:200]}")

    def play(video, viewer_token=None, key=publishable_key):
        return assets.playback(connection, key, original.embed_of(video), viewer_token)

    private = original.library.video
    revoked_token = original.token(original.revoked, private)
    expect("a token of a revoked key", 401, "playback_token_revoked", play(private, revoked_token))
    expect("a private video without a token", 401, "playback_token_missing", play(private))
    expect("a revoked publishable key", 401, "publishable_key_invalid",
           play(original.shown, key=original.publishable_key["key"]))
    expect("a video made private", 401, "playback_token_missing", play(original.turned))
    expect("a deleted video", 404, "not_found", play(original.deleted))
    status = Admin(server, original.private_key["key"]).send("GET", "/organization")[0].status
    if status != 401:
        found.append(f"a revoked private key: {status}")
    for what, path in original.dead_urls.items():
        status, _ = assets.ask(connection, path)
        if status not in (403, 404):
            found.append(f"a URL {what}: {status}")
    if scene.base == "copied":
        active = {key["id"] for key in admin(scene, server).all("/signing-keys") if key["status"] != "revoked"}
        found += [f"signing key {key}, revoked before the copy" for key in original.revoked_before_copy if key in active]
    return found


def admin(scene, server):
    return Admin(server, scene.original.keys["privateKey"])


def lost(scene, case, server):
    """What the journal says and the server does not, a sentence each."""
    wanted = scene.original.told[scene.base]
    found = scene.original.tell(server)
    written_since = {"signing-keys", "audit"} if scene.base == "copied" else set()
    names = [name for name in [*LISTS, "organization", "audit"] if name not in case.spared | written_since]
    differences = [first_difference(name, found[name], wanted[name]) for name in names]
    admin(scene, server).call("GET", "/system")
    return [difference for difference in differences if difference]


def look_at_assets(scene, server, verdict):
    """What each asset of the damaged video is: all those of other videos must be right."""
    original, connection, damaged = scene.original, server.client(), {}
    for video, wanted in original.assets.items():
        seen = assets.look_at(server, assets.root(original.play(connection, video)), wanted)
        if video == scene.video:
            damaged = seen
        wrong = {name: what for name, what in seen.items() if what != "right"}
        if "no answer" in wrong.values():
            verdict.blame("hangs", f"no answer within {HANG_S} s: {wrong}")
        elif wrong and video != scene.video:
            figure = "wrong_bytes" if "wrong" in wrong.values() else "lost"
            verdict.blame(figure, f"assets of an undamaged video: {wrong}")
    strange = {name: what for name, what in damaged.items() if what not in ("right", "wrong", "cut", 404, 503)}
    if strange:
        verdict.blame("lost", f"assets of the damaged video: {strange}")
    if 503 in damaged.values() and not server.says("store verify"):
        verdict.blame("unnamed", "an asset is not served, and the log does not say why")
    return damaged


def judge_check(scene, server, seen, verdict):
    """`store verify` finds what was damaged, and nothing else."""
    checked = server.run("store", "verify", limit_s=HANG_S)
    report = checked.stdout + checked.stderr
    if not scene.file:
        if checked.returncode:
            verdict.blame("lost", f"store verify: {report[:300]}")
    elif not checked.returncode or scene.file not in report:
        wrong = [name for name, what in seen.items() if what == "wrong"]
        verdict.blame("wrong_bytes", f"store verify does not name {scene.file}; {wrong} is served: {report[:300]}")


def judge_upload(scene, server, verdict):
    """The upload goes on from where it truly is, or can be thrown away and begun anew."""
    original, connection = scene.original, admin(scene, server)
    path = f"/uploads/{original.upload}"
    answer, _ = connection.send("HEAD", path, headers=TUS)
    if answer.status in (404, 410):
        return
    if answer.status == 200:
        offset = int(answer.headers["Upload-Offset"])
        if offset > scene.upload_ceiling:
            verdict.blame("wrong_bytes", f"the upload is said to be at {offset}, {scene.upload_ceiling} at most is right")
        try:
            connection.add_piece(path, offset, SOURCES[0][offset:])
        except Refused as refused:
            status = refused.status
        else:
            status = 204
            if not scene.is_upload_spoilt:
                await_upload(scene, server, connection, verdict)
    else:
        status = answer.status
    if status >= 500:
        # What can't be read may be refused so, if it can be thrown away and the log says why.
        if not server.says(original.upload, "upload"):
            verdict.blame("unnamed", f"the upload is answered {status}, and the log does not say why")
        thrown, _ = connection.send("DELETE", path, headers=TUS)
        if thrown.status != 204:
            verdict.blame("lost", f"the upload is answered {status}, and can't be thrown away: {thrown.status}")


def await_upload(scene, server, connection, verdict):
    original, until = scene.original, time.monotonic() + HANG_S
    while time.monotonic() < until:
        video = connection.call("GET", f"/videos/{original.upload_video}")
        if video["status"] in ("ready", "error"):
            break
        time.sleep(0.02)
    embed = next(one["id"] for one in connection.all("/embeds") if one["videoId"] == video["id"])
    status, answer = assets.playback(server.client(), original.keys["publishableKey"], embed)
    if status != 200:
        verdict.blame("lost", f"the upload was completed, and its video is {video['status']}: {status} {answer}")
        return
    wanted = {f"{answer['variants'][0]['id']}.mp4": original.library.packaged[SOURCES[0]]}
    seen = assets.look_at(server, assets.root(answer), wanted)
    if set(seen.values()) != {"right"}:
        verdict.blame("wrong_bytes", f"the upload was completed, and is {seen}")


def refused_changes(scene, server):
    """Changes that are not taken any more, a sentence each."""
    connection, found = admin(scene, server), []
    try:
        key = connection.call("POST", "/signing-keys", {})
        connection.call("POST", f"/signing-keys/{key['id']}/revoke", {})
        for video in scene.original.videos[:3]:
            connection.call("PATCH", f"/videos/{video}", {"title": "Changed afterwards"})
    except Refused as refused:
        found.append(f"a change is refused: {refused}")
    return found
