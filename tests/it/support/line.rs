//! Many requests over few connections: each is opened anew when the server has closed it.

use super::server::Server;
use super::wire::{Exchange, Wire};
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections that a series is asked over at once.
const LINES: usize = 4;

/// One connection after the other.
pub struct Line<'a> {
    server: &'a Server,
    address: Option<IpAddr>,
    wire: Option<Wire>,
}

impl<'a> Line<'a> {
    /// To a server.
    pub fn to(server: &'a Server) -> Self {
        Self { server, address: None, wire: None }
    }

    /// The same from another address of this machine.
    pub fn from_address(server: &'a Server, address: IpAddr) -> Self {
        Self { server, address: Some(address), wire: None }
    }

    /// One request and its answer; `None` if the server closes a fresh connection over it without a word.
    pub fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<Exchange> {
        let kept = self.wire.take();
        if let Some(answer) = kept.and_then(|wire| self.ask_on(wire, method, target, headers)) {
            return Some(answer);
        }
        let fresh = match self.address {
            Some(address) => Wire::from_address(self.server, address),
            None => Wire::connect(self.server),
        };
        self.ask_on(fresh, method, target, headers)
    }

    fn ask_on(&mut self, mut wire: Wire, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<Exchange> {
        let answer = wire.try_exchange(method, target, headers).ok()?;
        // After 400 nobody can tell where the next request begins.
        if answer.status() != 400 && answer.header("connection") != Some("close") {
            self.wire = Some(wire);
        }
        Some(answer)
    }
}

/// Asks for everything in `series` over a few connections at once. What `judge` finds wrong, at most a hundred of it.
pub fn ask_all<T: Sync>(
    server: &Server,
    series: &[T],
    judge: impl Fn(&mut Line, &T) -> Result<(), String> + Sync,
) -> Vec<String> {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..LINES {
            scope.spawn(|| {
                let mut line = Line::to(server);
                while let Some(item) = series.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Err(fault) = judge(&mut line, item) else { continue };
                    let mut wrong = wrong.lock().unwrap();
                    wrong.push(fault);
                    if wrong.len() >= 100 {
                        next.store(series.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}
