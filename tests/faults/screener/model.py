"""The sequential model: what each answer says of the things it was about, and whether all answers have one order.

A play is about a publishable key, an embed's video, and for a private one the key of its token; an asset about the session
it was granted to, its signing key, and the video's epoch. The first check that fails answers, so that an answer tells of
everything up to it. `asset_url_revoked` has several possible reasons: one of them must be possible, and where only one is,
it has been seen. All in time linear in the number of answers, but for the look-up of an epoch.

An answer about several things is held against each of them alone: there is an order for each thing, which need not be one
order for all of them together. Whatever is called a violation is one.
"""

from .players import ASKED, ASSET, END, NONE, OUTCOMES, PLAY_ASTRAY, READ, RECORD
from .registers import NEVER, Register

# A version that is not bounded above.
NEWEST = 1 << 31
# What an answer to a play, a read or an end that got past its key says of how far the video is.
STAGES = {"404 not_found": (2, 2), "409 video_not_ready": (0, 0)}
# Records read at once, in bytes.
CHUNK = RECORD.size << 15


class Model:
    def __init__(self, world, reports, kills):
        """`reports` are what each player sent in the end; `kills` when the server was killed, and when it was gone."""
        self.things, self.registers, self.kills, self.reports = world.things, list(world.registers()), kills, reports
        # Answers that leave open what was seen, with their player; sessions that were ended, by player and number.
        self.wrong, self.later, self.ended = [], [], {}
        self.counts = {"admitted": 0, "refused": 0}
        # Reports count from the first change.
        self.began = min((register.earliest[1] for register in self.registers if register.earliest[1:]), default=0)
        for player, report in enumerate(reports):
            for number, (sent, answered) in report["ends"].items():
                register = Register(f"session {number} of player {player}")
                register.earliest.append(sent)
                register.latest.append(answered)
                self.ended[player, number] = register
                self.registers.append(register)

    def forget_a_revocation(self):
        """What a judge must not do, to show that it would be noticed."""
        key = next(key for key in self.things["signing key"] if key.latest[1:] and key.latest[1] != NEVER)
        del key.earliest[1:], key.latest[1:]

    def judge(self, files):
        """Every violation, in words."""
        for player, file in enumerate(files):
            with open(file, "rb") as records:
                while chunk := records.read(CHUNK):
                    for record in RECORD.iter_unpack(chunk):
                        self.look(player, record)
        # Bounds that were narrowed by questions asked while a change was under way.
        self.counts["narrowed"] = sum(len(one.seen_before) + len(one.seen_after) for one in self.registers)
        self.settle()
        for player, record in self.later:
            self.look_again(player, record)
        self.settle()
        for register in self.registers:
            for number, missing_ms, before, after in register.contradictions():
                self.wrong.append(
                    f"{register.name}, change {number}: {self.words(after) or 'answered'}; "
                    f"still not there {missing_ms:.3f} ms later: {self.words(before) or 'not even sent'}"
                )
        for report in self.reports:
            self.wrong += [sentence for cut in report["cuts"] for sentence in self.cut(*cut, report["number"])]
        return self.wrong

    def settle(self):
        for register in self.registers:
            register.settle()

    def see(self, register, low, high, record):
        if not register.see(low, high, record[2], record[3], record):
            self.wrong.append(f"{register.name}: seen in version {low}, which nobody had made: {self.words(record)}")

    def look(self, player, record):
        """What an answer says by itself."""
        question, words, video = record[0], OUTCOMES[record[1]], self.things["video"][record[6]]
        self.counts["admitted" if words < "3" else "refused"] += 1
        if question == ASSET:
            self.look_at_asset(player, record, words, video)
            return
        if question != END:
            key = self.things["private key" if question == READ else "publishable key"][record[4]]
            is_refused = words.endswith("_key_invalid")
            self.see(key, int(is_refused), NEWEST if is_refused else 0, record)
            if is_refused:
                return
        is_played = words == "200" and question != READ
        self.see(video.stage, *STAGES.get(words, (1, 1) if is_played else (0, 1)), record)
        self.look_at_visibility(player, record, words, video)

    def look_at_asset(self, player, record, words, video):
        _, _, _, _, _, signer, _, epoch, session = record
        if words != "206":
            self.later.append((player, record))
            return
        self.see(video.stage, 1, 1, record)
        self.see(video.epoch, epoch, epoch, record)
        if signer != NONE:
            self.see(self.things["signing key"][signer], 0, 0, record)
        if (player, session) in self.ended:
            self.see(self.ended[player, session], 0, 0, record)

    def look_at_visibility(self, player, record, words, video):
        """And at the key that opened a private video, or did not."""
        question, _, _, _, _, signer, _, epoch, _ = record
        if words == "200" and question != READ:
            self.see(video.epoch, epoch, epoch, record)
            is_private = video.is_private ^ (epoch % 2 == 1)
            if is_private and question == PLAY_ASTRAY:
                self.wrong.append(f"a private video was opened with another's token: {self.words(record)}")
            elif is_private:
                self.see(self.things["signing key"][signer], 0, 0, record)
        elif "playback_token" in words or question == READ and words == "200":
            self.later.append((player, record))
            if words == "401 playback_token_revoked":
                self.see(self.things["signing key"][signer], 1, NEWEST, record)
            elif words == "403 playback_token_wrong_video":
                self.see(self.things["signing key"][signer], 0, 0, record)

    def look_again(self, player, record):
        """Answers that leave it open what was seen, by what is known from all others."""
        question, _, sent, answered, _, signer, number, epoch, session = record
        video = self.things["video"][number]
        if question == ASSET:
            reasons = self.reasons(player, session, signer, video, epoch, answered)
            if not reasons:
                self.wrong.append(f"nothing was revoked: {self.words(record)}")
            elif len(reasons) == 1:
                register, version = reasons[0]
                self.see(register, version, NEWEST, record)
            return
        # Of a read the record has the answer, of the others it is that the video is private.
        is_private = epoch == 1 if question == READ else True
        low, high = video.epoch.possible(int(is_private != video.is_private), sent, answered)
        if low > high:
            self.wrong.append(f"{video.epoch.name}: was never private={is_private} at the time: {self.words(record)}")
        else:
            self.see(video.epoch, low, high, record)

    def reasons(self, player, number, signer, video, epoch, moment):
        """Which registers, from which version on, may have taken a session its right at some moment until then."""
        every = [(video.stage, 2), (video.epoch, epoch + 1)]
        if signer != NONE:
            every.append((self.things["signing key"][signer], 1))
        if (player, number) in self.ended:
            every.append((self.ended[player, number], 1))
        return [(register, version) for register, version in every if register.can_be(version, moment)]

    def cut(self, opened, noticed, sessions, question, player):
        """A connection that ended: the server was killed, or one of the sessions with bytes on it had lost its right."""
        is_killed = any(opened <= dead and kill <= noticed for kill, dead in self.kills)
        videos = self.things["video"]
        if not is_killed and not any(
            self.reasons(player, one.number, one.signer, videos[one.video], one.epoch, noticed) for one in sessions
        ):
            yield f"a connection of player {player} ended at {self.ms(noticed)} ms for no reason, {question}"

    def words(self, record):
        if record is None:
            return ""
        question, outcome, sent, answered, key, signer, video, epoch, session = record
        shown = {"key": key, "signing key": signer, "video": video, "epoch": epoch, "session": session}
        about = ", ".join(f"{name} {value}" for name, value in shown.items() if value != NONE)
        return f"{ASKED[question]} ({about}), {self.ms(sent)} to {self.ms(answered)} ms: {OUTCOMES[outcome]}"

    def ms(self, moment):
        return f"{(moment - self.began) / 1e6:.3f}"
