//! What must hold whatever bytes a stranger sends. Each module has one function, `hold`, and the texts that it begins
//! with, `SEEDS`; it panics where something does not hold.

pub mod configuration;
pub mod extras;
pub mod grant;
pub mod headers;
pub mod media;
pub mod requests;
pub mod token;
pub mod tus;
