//! Looking at the clock while the server runs.

use super::manager::Patience;
use crate::app::{App, Clock, ClockBehind, check_clock};
use crate::domain::limits;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::os::fd::OwnedFd;
use std::sync::{Weak, mpsc};
use std::time::Duration;
use std::{fmt, io};

/// Worth starting again: somebody may set the clock.
const CLOCK_BEHIND_CODE: i32 = 1;

/// Somebody who reads the last line has it long before that; who reads nothing holds up no end.
const TELLING: Duration = Duration::from_millis(100);

/// Refuses a clock that can't be right; where a service manager would start us again and again, and give up before
/// anybody has set the clock, waits for it instead.
pub async fn await_right(clock: &dyn Clock, is_managed: bool) -> Result<(), ClockBehind> {
    let mut patience = None;
    while let Err(behind) = check_clock(clock.now()) {
        if !is_managed {
            return Err(behind);
        }
        patience.get_or_insert_with(|| {
            tracing::warn!(now = %behind.0, "the clock stands before this program was written; it is waited for: set it");
            Patience::ask_for("Waiting for the clock, which can't be right, to be set")
        });
        tokio::time::sleep(Duration::from_secs(limits::CLOCK_LOOK_S.unsigned_abs())).await;
    }
    Ok(())
}

/// Looks at the clock whenever somebody has set it, and every second, on a thread of its own; ends the process when the
/// clock can no longer be right.
///
/// It ends on the spot, as by a kill, which loses nothing. Nothing that would still be answered were right, and before
/// 1970 nobody below us can tell what time it is: actix, every half second for the `Date` line, and TLS panic.
pub fn watch(app: Weak<App>) -> io::Result<()> {
    let setting = Setting::new()?;
    let look = move || {
        loop {
            // First, so that what is set after the look is noticed.
            setting.arm();
            let Some(app) = app.upgrade() else { return };
            if let Err(behind) = app.look_at_clock() {
                end(&behind);
            }
            drop(app);
            setting.wait(limits::CLOCK_LOOK_S);
        }
    };
    std::thread::Builder::new().name("clock".into()).spawn(look).map(drop)
}

/// Says why past the log, whose thread would have to be waited for, and ends whether or not anybody reads it.
#[expect(clippy::print_stderr, reason = "there is no time for the log")]
fn end(why: &dyn fmt::Display) -> ! {
    let why = why.to_string();
    let (told, is_told) = mpsc::channel();
    let tell = std::thread::Builder::new().name("clock-end".into()).spawn(move || {
        eprintln!("{why}");
        let _ = told.send(());
    });
    if tell.is_ok() {
        let _ = is_told.recv_timeout(TELLING);
    }
    std::process::exit(CLOCK_BEHIND_CODE)
}

/// Tells when somebody sets the clock: a timer that never goes off, which the kernel then takes back (timerfd_create(2),
/// `TFD_TIMER_CANCEL_ON_SET`).
struct Setting(OwnedFd);

impl Setting {
    fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(rustix::time::timerfd_create(TimerfdClockId::Realtime, flags)?))
    }

    /// From here on it is told. To be done again each time.
    fn arm(&self) {
        let never = Timespec { tv_sec: i64::MAX, tv_nsec: 0 };
        self.go_off(TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, never);
    }

    fn go_off(&self, flags: TimerfdTimerFlags, it_value: Timespec) {
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        if let Err(error) = rustix::time::timerfd_settime(&self.0, flags, &Itimerspec { it_interval, it_value }) {
            tracing::debug!(%error, "nothing tells when the clock is set; it is looked at every second");
        }
    }

    /// Waits until the clock has been set, or for so many seconds at most; whether it was set.
    fn wait(&self, limit_s: i64) -> bool {
        let limit = Timespec { tv_sec: limit_s, tv_nsec: 0 };
        let is_set = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&limit)).is_ok_and(|count| count > 0);
        // Fails with ECANCELED where the timer was taken back. That is all there is to read.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
        is_set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// A clock that is right from the second look on.
    #[derive(Default)]
    struct SetLate(AtomicI64);

    impl Clock for SetLate {
        fn now(&self) -> Timestamp {
            let is_right = self.0.fetch_add(1, Ordering::Relaxed) >= 1;
            Timestamp::from_secs(if is_right { limits::EARLIEST_CLOCK_S } else { 10 })
        }
    }

    #[actix_web::test]
    async fn a_wrong_clock_is_waited_for_where_a_manager_would_give_up_and_refused_at_once_elsewhere() {
        assert!(await_right(&SetLate::default(), false).await.is_err());
        assert!(await_right(&SetLate::default(), true).await.is_ok());
    }

    #[test]
    fn whoever_waits_for_the_clock_to_be_set_is_told_once_each_time() {
        let setting = Setting::new().unwrap();
        for _ in 0..2 {
            setting.arm();
            assert!(!setting.wait(0));
            // No test may set the clock; a timer that goes off is told in the same way.
            setting.go_off(TimerfdTimerFlags::empty(), Timespec { tv_sec: 0, tv_nsec: 1 });
            assert!(setting.wait(60));
            assert!(!setting.wait(0));
        }
    }
}
