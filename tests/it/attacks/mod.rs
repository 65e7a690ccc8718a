//! The attack list of `docs/attacks`, row by row.

mod capacity;
mod connections;
mod framing;
mod rates;
mod tls;
mod uploads;
