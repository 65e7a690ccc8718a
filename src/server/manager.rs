//! What is told to the service manager (systemd), in the words of sd_notify(3). Where there is none, nobody hears it. One
//! that does not read is waited for by nobody: what it is to hear is kept for it.

use crate::domain::limits;
use rustix::net::SendFlags;
use sd_notify::NotifyState;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where the manager listens (sd_notify(3)).
const SOCKET: &str = "NOTIFY_SOCKET";

static UNTOLD: Mutex<Untold> = Mutex::new(Untold { messages: VecDeque::new(), is_unread: false });

/// What the manager had no room for yet.
struct Untold {
    /// In the order in which it is to hear them.
    messages: VecDeque<String>,
    /// Whether it was told in the log that it does not read.
    is_unread: bool,
}

/// Whether there is one: it starts again what ends, and gives up on what ends too often.
pub(super) fn is_there() -> bool {
    std::env::var_os(SOCKET).is_some()
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

/// It is alive. Nobody is told so later: it may not be true then.
pub(super) fn alive() {
    if catch_up()
        && let Err(error) = send(&message(&[NotifyState::Watchdog]))
    {
        tracing::debug!(%error, "the service manager did not take a notification");
    }
}

/// Tells what there was no room for before; whether nothing is left of it. To be called now and then; never waits.
pub(super) fn catch_up() -> bool {
    untold().catch_up(send)
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
            // Where there is no thread for it, the unit's own time must do.
            let _ = std::thread::Builder::new().name("patience".into()).spawn(move || ask_until(&ended, what));
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
    if is_there() {
        let mut untold = untold();
        untold.add(message(states));
        untold.catch_up(send);
    }
}

fn untold() -> MutexGuard<'static, Untold> {
    UNTOLD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Untold {
    fn add(&mut self, message: String) {
        // The last ones say how it is now.
        if self.messages.len() == limits::NOTIFICATIONS {
            self.messages.pop_front();
        }
        self.messages.push_back(message);
    }

    /// Sends as many as are taken at once; whether all were.
    fn catch_up(&mut self, send: impl Fn(&str) -> io::Result<()>) -> bool {
        while let Some(message) = self.messages.front() {
            match send(message) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !std::mem::replace(&mut self.is_unread, true) {
                        tracing::warn!("the service manager reads no notifications; it is told as soon as it does");
                    }
                    return false;
                }
                Err(error) => tracing::warn!(%error, told = message.trim_end(), "the service manager was not told"),
            }
            self.messages.pop_front();
        }
        self.is_unread = false;
        true
    }
}

fn message(states: &[NotifyState<'_>]) -> String {
    states.iter().fold(String::new(), |mut text, state| {
        // A string takes whatever is written to it.
        let _ = writeln!(text, "{state}");
        text
    })
}

/// Sends one message, or fails with [`io::ErrorKind::WouldBlock`] where there is no room for it. `sd_notify::notify` would
/// wait, and knows no abstract names.
fn send(message: &str) -> io::Result<()> {
    let Some(name) = std::env::var_os(SOCKET) else { return Ok(()) };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address(&name)?)?;
    rustix::net::send(&socket, message.as_bytes(), SendFlags::DONTWAIT)?;
    Ok(())
}

/// A path, or behind `@` a name that is in no file system (unix(7)).
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    #[test]
    fn what_is_not_read_is_kept_in_order_up_to_a_number_and_the_last_is_never_lost() {
        let mut untold = Untold { messages: VecDeque::new(), is_unread: false };
        let (reads, heard) = (Cell::new(false), RefCell::new(Vec::new()));
        let send = |message: &str| -> io::Result<()> {
            if !reads.get() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            heard.borrow_mut().push(message.to_owned());
            Ok(())
        };
        let last = limits::NOTIFICATIONS + 1;
        for number in 0..=last {
            untold.add(number.to_string());
            assert!(!untold.catch_up(send));
        }
        reads.set(true);
        assert!(untold.catch_up(send));
        assert_eq!(*heard.borrow(), (2..=last).map(|number| number.to_string()).collect::<Vec<_>>());
        // One that is not there at all is not waited for.
        untold.add("another".into());
        assert!(untold.catch_up(|_| Err(io::ErrorKind::ConnectionRefused.into())));
    }
}
