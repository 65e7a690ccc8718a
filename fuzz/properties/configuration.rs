//! A configuration file and the environment: taken, or refused with sentences that can be printed.

use screener::config::Config;
use std::cell::RefCell;
use std::io::{Seek, Write};
use tempfile::NamedTempFile;

/// What configurations begin with; what follows a line `---` is the environment.
pub const SEEDS: &[&[u8]] = &[
    include_bytes!("../../config.example.toml"),
    b"[server]\nlisten = \"0.0.0.0:443\"\npublic_url = \"https://video.example.com\"\ntrusted_proxies = [\"127.0.0.1\"]\n[media]\nquota_gib = 10\n",
    b"[log]\nlevel = \"info,screener::store=debug\"\n---\nSCREENER__SERVER__LISTEN=127.0.0.1:1\nSCREENER__SERVER__TRUSTED_PROXIES=10.0.0.1,::1",
    b"server.listen = 3\n\"server.listen\" = 4\n[state]\ndir = \"\"\nmaster_key = \"secret\"\n",
];

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("a temporary file"));
}

/// Checks one configuration.
pub fn hold(bytes: &[u8]) {
    let split = bytes.windows(5).position(|window| window == b"\n---\n");
    let (file, environment) = split.map_or((bytes, &b""[..]), |at| (&bytes[..at], &bytes[at + 5..]));
    let environment = String::from_utf8_lossy(environment);
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    let variables: Vec<_> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    FILE.with_borrow_mut(|written| {
        written.as_file().set_len(0).expect("a temporary file");
        written.rewind().expect("a temporary file");
        written.write_all(file).expect("a temporary file");
        match Config::load(Some(written.path()), variables) {
            Ok(loaded) => assert!(!loaded.print().is_empty()),
            Err(problems) => {
                assert!(!problems.is_empty());
                for problem in problems {
                    let sentence = problem.to_string();
                    let is_printable = !sentence.chars().any(|letter| letter.is_control() && letter != '\n');
                    assert!(!sentence.is_empty() && is_printable, "{sentence:?}");
                }
            }
        }
    });
}
