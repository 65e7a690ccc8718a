//! Everything on the wire: routes, extractors, answers. Handlers read *extract, admit, act, answer*.
//!
//! Relies on actix-web, and on the gate for every decision. Never touches sled or files itself.

mod admin;
mod answer_lines;
mod appliance;
mod assets;
mod blocked;
mod body;
mod chunk_line;
pub mod conditional;
mod cors;
mod dashboard;
mod embed;
mod extract;
mod flights;
mod form;
mod headers;
mod health;
mod intake;
mod media;
mod oembed;
mod part;
mod playback;
mod problem;
pub mod range;
mod rate;
mod refusal;
mod routes;
mod sessions;
mod trace;
mod trace_id;
mod trailer_line;
pub mod tus;
mod ui;

pub use flights::{Carrier, Connection, Flights, cut_when_revoked, release_drained};
pub use intake::{Consent, Intake, Stage};
pub use rate::RateLimits;
pub use refusal::Refusal;
pub use routes::{appliance, public};
pub use trace::request;
pub use ui::Ui;
