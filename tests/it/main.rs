//! The real binary over real TLS sockets: one test program, one feature a file.

mod private_video;
mod support;
