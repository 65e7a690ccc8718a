"""What is looked at before, during and after a jump of the clock."""

import json
import re
import subprocess
import time
from email.utils import parsedate_to_datetime

DAY_S, YEAR_S, HOUR_S = 86_400, 365 * 86_400, 3_600
# Unless set otherwise: life of an asset URL, of a sign-in, and of one that lies unused. And of the tokens here.
URL_TTL_S, SIGN_IN_S, SIGN_IN_IDLE_S, TOKEN_S = 300, 12 * HOUR_S, 2 * HOUR_S, 300
# How far ahead a token's `iat` may be.
SKEW_S = 60
# Just before the second after which 31 or 32 bits are too few, so that it passes meanwhile.
JUMPS = {
    "a day ahead": lambda now: now + DAY_S,
    "ten years ahead": lambda now: now + 10 * YEAR_S,
    "to 2038-01-19": lambda now: (1 << 31) - 1,
    "to 2106-02-07": lambda now: (1 << 32) - 1,
    "an hour back": lambda now: now - HOUR_S,
    "a day back": lambda now: now - DAY_S,
    "to 1970-01-01T00:00:10": lambda now: 10,
    "before 1970": lambda now: -DAY_S,
}
# How long it may take to see that it can't go on.
GIVES_UP_S = 2
# What a refusal to go on, or to start, speaks of.
CLOCK_WORDS = re.compile("clock|1970")
# In these, what is made by the wrong clock comes from the future when it is right again.
AHEAD = list(JUMPS)[:4]
# In these the clock may be right, and what expired may be good again: operators are told.
SUSPECT = list(JUMPS)[4:6]
# How often the server looks at the clock, and some more.
SEEN_S = 10
# None of these can be right.
BEHIND = list(JUMPS)[-2:]


class Visit:
    """A site before, during and after one jump."""

    def __init__(self, made, site, name):
        self.made, self.site, self.clock, self.name = made, site, site.clock, name
        # What is made by the wrong clock.
        self.new_key = self.session = self.cookie = None

    def blame(self, figure, sentence):
        self.made.add(**{figure: 1})
        self.made.fault(f"{self.name}: {figure}: {sentence}")

    def must(self, is_so, figure, sentence):
        if not is_so:
            self.blame(figure, sentence)

    def run(self):
        site = self.site
        if self.name in SUSPECT:
            # It has seen later times than now, by the jumps before.
            site.restart()
        self.before = site.open_session()
        self.token_before = site.token()
        self.issued_at = self.clock.now()
        self.cookie_before = site.sign_in()
        self.drain()
        self.clock.set(JUMPS[self.name](time.time()))
        if self.clock.now() < YEAR_S and self.gives_up():
            self.clock.shift(0)
            site.restart()
        else:
            self.during()
            self.clock.shift(0)
            self.after()

    def gives_up(self):
        """Whether it ended because of such a clock, and said so: whoever runs it starts it again."""
        try:
            self.site.server.process.wait(GIVES_UP_S)
        except subprocess.TimeoutExpired:
            return False
        return bool(CLOCK_WORDS.search(self.site.server.last_words(1)))

    def drain(self):
        """Guesses keys until the rate limit says no."""
        for _ in range(200):
            if self.site.guess_key()[0] == 429:
                return
        self.blame("errors", "guessing keys is not limited")

    def during(self):
        site, now = self.site, self.clock.now()
        if self.name in SUSPECT:
            self.must(self.is_told(True), "errors", "nobody is told that the clock was set back")
        # One more is let through each second.
        guesses = [site.guess_key() for _ in range(8)]
        self.must(sum(status == 429 for status, _ in guesses) >= 3, "errors", f"the jump opened a rate limit: {guesses}")
        self.must(all(0 < int(wait) <= 60 for _, wait in guesses if wait), "errors", f"a rate limit asks to wait {guesses}")
        age = now - self.issued_at
        self.expect_token(self.token_before, -SKEW_S <= age < TOKEN_S, "a token from before")
        status = site.fetch(self.before)
        self.must(status == 403 or age < URL_TTL_S, "expired_accepted", f"a URL from {age:.0f} s before is answered {status}")
        if age > SIGN_IN_IDLE_S:
            self.must(not site.is_signed_in(self.cookie_before), "expired_accepted", "a sign-in from before is good")
        bad = {"expired a second ago": (-600, -1), "expiring now": (-600, 0), "of an hour ahead": (HOUR_S, 2 * HOUR_S)}
        for what, (iat, exp) in bad.items():
            self.expect_token(site.token(iat=int(now) + iat, exp=int(now) + exp), False, f"a token {what}")
        # Before 1970 there is no time that a token could name.
        self.expect_token(site.token(), now > 0, "a good token")
        self.new_key = self.change_things()
        status, session = site.play(site.token())
        self.session = session if status == 200 else None
        if self.session:
            self.must(site.fetch(session) == 200, "refused", "a URL issued just now")
            self.must(site.renew(session) == 200, "refused", "a renewal of a session begun just now")
        self.cookie = site.sign_in() if now > 0 else None

    def expect_token(self, viewer_token, is_good, what):
        status, answer = self.site.play(viewer_token)
        if status == 200 and not is_good:
            self.blame("expired_accepted", f"{what} is let in")
        elif status != 200 and is_good:
            self.blame("refused", f"{what}: {status} {answer}")

    def change_things(self):
        """What an operator does all day; the signing key that was made."""
        site = self.site
        answers = [site.admin("POST", "/signing-keys", {}), site.admin("POST", "/signing-keys", {})]
        made = [key for status, key in answers if status == 201]
        if len(made) == 2:
            answers.append(site.admin("POST", f"/signing-keys/{made[1]['id']}/revoke", {}))
            self.expect_token(site.token(made[1]), False, "a token of a key revoked just now")
        answers += [site.admin("GET", path) for path in ["/system", "/audit?limit=5", "/sessions", "/videos", "/uploads"]]
        answers.append(site.admin("POST", f"/videos/{site.library.video}/preview-token", {}))
        bad = [status for status, _ in answers if not 200 <= status < 300]
        self.must(not bad, "errors", f"the admin API answers {bad}")
        for path in ["/healthz", "/dashboard/sign-in", f"/embed/{site.library.embed}"]:
            status = site.ask("GET", path)[0]
            self.must(0 < status < 500, "errors", f"{path} answers {status}")
        return made[0] if made else None

    def after(self):
        """The clock is right again."""
        site = self.site
        if self.name in SUSPECT:
            self.must(self.is_told(False), "errors", "the clock is right, and told to be suspect")
        self.expect_token(site.token(), True, "a good token, when the clock is right again")
        self.must(site.fetch(self.before) == 200, "refused", "a URL from before, when the clock is right again")
        if self.new_key:
            self.expect_token(site.token(self.new_key), True, "a token of a key made by the wrong clock")
        if self.session:
            for what, status in [("URL", site.fetch(self.session)), ("renewal", site.renew(self.session))]:
                if status == 200 and self.name in AHEAD:
                    self.blame("regained", f"a {what} issued by a clock that was ahead is good until that time comes")
        until = time.monotonic() + 5
        while site.guess_key()[0] == 429:
            if time.monotonic() > until:
                self.blame("errors", "the rate limit stays shut")
                break
            time.sleep(0.1)
        self.must(self.has_date(), "errors", "Date is another time's, when the clock is right again")

    def is_told(self, is_suspect):
        """Whether operators soon see that the clock was set back, or no more."""
        until = time.monotonic() + SEEN_S
        while time.monotonic() < until:
            if ("clock_suspect" in json.dumps(self.site.admin("GET", "/system")[1])) == is_suspect:
                return True
            time.sleep(0.1)
        return False

    def has_date(self):
        """Whether `Date`, which is renewed every half second, follows the clock."""
        until = time.monotonic() + 3
        while time.monotonic() < until:
            _, _, said = self.site.ask("GET", "/healthz")
            if said.get("Date") and abs(parsedate_to_datetime(said["Date"]).timestamp() - self.clock.now()) < 3:
                return True
            time.sleep(0.1)
        return False
