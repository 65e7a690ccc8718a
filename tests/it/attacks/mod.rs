//! The attack list of `docs/attacks`: what it says of itself is checked in `list`, and what no other test asks is asked here.

mod list;
