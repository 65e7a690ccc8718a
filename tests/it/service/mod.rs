//! The server as a service: what it tells its manager, sockets it is handed, signals, reloads, and how it refuses to
//! start. What only a real systemd shows is `tests/faults/sandbox`.

mod activation;
mod certificates;
mod misconfigured;
mod notifications;
mod reload;
mod signals;
