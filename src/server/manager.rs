//! What is told to the service manager (systemd), in the words of sd_notify(3). Where there is none, nobody hears it.

use crate::domain::limits;
use sd_notify::NotifyState;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Whether there is one: it starts again what ends, and gives up on what ends too often.
pub(super) fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Requests are answered.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again; [`ready`] ends it.
pub(super) fn reloading() {
    // systemd 253 and later want to know since when; older ones pass over it.
    let since = NotifyState::monotonic_usec_now().ok();
    tell(&[Some(NotifyState::Reloading), since].into_iter().flatten().collect::<Vec<_>>());
}

/// No more connections are taken, and running answers have `grace` to finish.
pub(super) fn stopping(grace: Duration) {
    let seconds = grace.as_secs();
    let status = format!("Stopping: running answers have {seconds} s to finish");
    let needed = microseconds(grace + Duration::from_secs(limits::STOP_MARGIN_S));
    tell(&[NotifyState::Stopping, NotifyState::Status(&status), NotifyState::ExtendTimeoutUsec(needed)]);
}

/// It is alive.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How long it waits to hear [`alive`]; `None` where it does not listen for it.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
}

/// Asks for more time while a start takes long; ends when dropped.
pub(super) struct Patience {
    _end: mpsc::Sender<()>,
}

impl Patience {
    /// Says what takes long, and asks for more time until dropped, or for [`limits::START_MAX_S`].
    pub fn ask_for(what: &'static str) -> Self {
        let (end, ended) = mpsc::channel();
        if is_there() {
            std::thread::spawn(move || ask_until(&ended, what));
        }
        Self { _end: end }
    }
}

fn ask_until(ended: &mpsc::Receiver<()>, what: &str) {
    let step = Duration::from_secs(limits::START_STEP_S);
    let mut waited = Duration::ZERO;
    while waited < Duration::from_secs(limits::START_MAX_S) {
        let status = if waited.is_zero() { what.to_owned() } else { format!("{what}, {} s so far", waited.as_secs()) };
        tell(&[NotifyState::Status(&status), NotifyState::ExtendTimeoutUsec(microseconds(step * 3))]);
        if ended.recv_timeout(step) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        waited += step;
    }
}

fn microseconds(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager did not take a notification");
    }
}
