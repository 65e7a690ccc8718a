//! The table of every configuration key: the single truth behind reading, refusing, printing and the example file.
//!
//! Relies on [`Given`] to read a value. Never holds a key for a secret itself: secrets are named as files.

use super::given::{Given, toml_list, toml_text, web_origin};
use super::{Config, LogFormat};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use tracing_subscriber::filter::Targets;

/// What kind of value a key takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// A whole number, both ends included.
    Integer { min: u64, max: u64 },
    /// `true` or `false`.
    Flag,
    /// A string that must parse.
    Text,
    /// A path.
    Path,
    /// An array of strings.
    List,
}

/// What is in force when a key is not written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Preset {
    /// This TOML literal.
    Value(&'static str),
    /// No fixed value: what happens `otherwise`, and an `example` for the example file.
    Unset { example: &'static str, otherwise: &'static str },
}

/// One row: a key, what it means, and how it moves into and out of [`Config`].
pub(super) struct Key {
    /// `section.key`, lower case.
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) preset: Preset,
    /// What a number counts, or what a text must be.
    pub(super) unit: &'static str,
    /// What it does, in full sentences.
    pub(super) meaning: &'static str,
    /// Why the default or the limit is what it is.
    pub(super) reason: &'static str,
    pub(super) set: fn(&mut Config, &Given<'_>) -> Result<(), String>,
    /// The value in force as TOML, or `None` when there is none.
    pub(super) show: fn(&Config) -> Option<String>,
}

impl Key {
    /// The environment variable that overrides the file.
    pub(super) fn variable(&self) -> String {
        format!("{}{}", super::layers::VARIABLE_PREFIX, self.name.to_ascii_uppercase().replace('.', "__"))
    }

    /// The row of `name`.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Section and key within it.
    pub(super) fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').expect("every name in the table is section.key, which a test reads")
    }
}

fn path_text(path: &Path) -> String {
    toml_text(path.display())
}

fn optional_path_text(path: Option<&PathBuf>) -> Option<String> {
    path.map(|path| path_text(path))
}

/// `info`, or `info,screener::store=debug`. A bare misspelt level would be a target for [`Targets`], so refuse it.
fn log_level(text: &str) -> Option<String> {
    let is_level = |level: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&level);
    let is_directive = |part: &str| match part.trim().split_once('=') {
        Some((target, level)) => !target.is_empty() && is_level(level),
        None => is_level(part.trim()),
    };
    let text: String = text.split_whitespace().collect();
    (text.split(',').all(is_directive) && text.parse::<Targets>().is_ok()).then_some(text)
}

/// Every key, in the order of the example file.
pub(super) static KEYS: [Key; 38] = [
    Key {
        name: "server.listen",
        form: Form::Text,
        preset: Preset::Value("\"127.0.0.1:8443\""),
        unit: "an IP address and port",
        meaning: "Address the server accepts connections on. Not used where systemd hands over a socket.",
        reason: "Only this machine by default: opening a server to the world is a decision. Use \"0.0.0.0:443\" or \
                 \"[::]:443\" for that.",
        set: |config, given| given.parsed().map(|value| config.server.listen = value),
        show: |config| Some(toml_text(config.server.listen)),
    },
    Key {
        name: "server.public_url",
        form: Form::Text,
        preset: Preset::Unset {
            example: "\"https://video.example.com\"",
            otherwise: "https:// (http:// with plain_http) and the listen address",
        },
        unit: "an origin: scheme://host or scheme://host:port, no path, no trailing slash",
        meaning: "The base of every absolute URL in answers. Never taken from a request's Host header.",
        reason: "A Host header is the visitor's word: links made from it could lead viewers elsewhere.",
        set: |config, given| {
            let url = given.unless_empty(|given| given.accepted(web_origin))?;
            config.server.public_url = url.unwrap_or_default();
            Ok(())
        },
        show: |config| Some(toml_text(&config.server.public_url)),
    },
    Key {
        name: "server.tls_certificate_file",
        form: Form::Path,
        preset: Preset::Unset {
            example: "\"/etc/screener/tls/fullchain.pem\"",
            otherwise: "a self-signed certificate made in state.dir",
        },
        unit: "the path of a PEM file",
        meaning: "Certificate chain in PEM, the server's own certificate first. Goes with tls_key_file.",
        reason: "The self-signed fallback lets a new server be tried at once; browsers warn about it.",
        set: |config, given| given.unless_empty(Given::path).map(|value| config.server.tls_certificate_file = value),
        show: |config| optional_path_text(config.server.tls_certificate_file.as_ref()),
    },
    Key {
        name: "server.tls_key_file",
        form: Form::Path,
        preset: Preset::Unset {
            example: "\"/etc/screener/tls/privkey.pem\"",
            otherwise: "a self-signed certificate made in state.dir",
        },
        unit: "the path of a PEM file",
        meaning: "Private key of the certificate, in PEM. Goes with tls_certificate_file.",
        reason: "A file, so that the key shows in no process list and no configuration backup.",
        set: |config, given| given.unless_empty(Given::path).map(|value| config.server.tls_key_file = value),
        show: |config| optional_path_text(config.server.tls_key_file.as_ref()),
    },
    Key {
        name: "server.plain_http",
        form: Form::Flag,
        preset: Preset::Value("false"),
        unit: "true or false",
        meaning: "Serve HTTP without TLS, for a proxy on the same machine. Refused on any address but loopback \
                  unless insecure_http is true.",
        reason: "Keys and playback grants would cross the network readable by anyone on the way.",
        set: |config, given| given.flag().map(|value| config.server.plain_http = value),
        show: |config| Some(config.server.plain_http.to_string()),
    },
    Key {
        name: "server.insecure_http",
        form: Form::Flag,
        preset: Preset::Value("false"),
        unit: "true or false",
        meaning: "Allow plain_http on addresses other machines can reach. Does nothing by itself.",
        reason: "For container networks where a proxy in front ends TLS; a second key, so that nobody gets there by \
                 one slip.",
        set: |config, given| given.flag().map(|value| config.server.insecure_http = value),
        show: |config| Some(config.server.insecure_http.to_string()),
    },
    Key {
        name: "server.workers",
        form: Form::Integer { min: 0, max: 256 },
        preset: Preset::Value("0"),
        unit: "threads, 0 = one per core",
        meaning: "Threads that answer requests.",
        reason: "Workers are event loops: more than one per core gains nothing.",
        set: |config, given| given.number().map(|value| config.server.workers = value),
        show: |config| Some(config.server.workers.to_string()),
    },
    Key {
        name: "server.max_connections",
        form: Form::Integer { min: 16, max: 100_000 },
        preset: Preset::Value("8192"),
        unit: "connections",
        meaning: "Connections open at once, over all workers. Further ones wait in the kernel's queue. Fewer where the \
                  limit on open files does not allow two for each and 256 besides.",
        reason: "Each may hold a send buffer and file handles; 8192 viewers at 1.2 Mbit/s fill a 10 Gbit/s line.",
        set: |config, given| given.number().map(|value| config.server.max_connections = value),
        show: |config| Some(config.server.max_connections.to_string()),
    },
    Key {
        name: "server.max_connections_per_address",
        form: Form::Integer { min: 0, max: 100_000 },
        preset: Preset::Value("0"),
        unit: "connections, 0 = a quarter of them",
        meaning: "Connections open at once per client address (IPv6: per /64). Trusted proxies have no limit, nor, at 0, \
                  has this machine itself.",
        reason: "One address must not have them all. A browser opens up to six.",
        set: |config, given| given.number().map(|value| config.server.max_connections_per_address = value),
        show: |config| Some(config.server.max_connections_per_address.to_string()),
    },
    Key {
        name: "server.shutdown_grace_s",
        form: Form::Integer { min: 0, max: 600 },
        preset: Preset::Value("25"),
        unit: "seconds",
        meaning: "How long running requests may finish after SIGTERM before they are cut off.",
        reason: "The whole stop is over within 30 seconds. Players resume by Range, uploads only by tus. With a socket \
                 from systemd new viewers wait for it, so that a shorter one restarts sooner.",
        set: |config, given| given.number().map(|value| config.server.shutdown_grace_s = value),
        show: |config| Some(config.server.shutdown_grace_s.to_string()),
    },
    Key {
        name: "server.trusted_proxies",
        form: Form::List,
        preset: Preset::Value("[]"),
        unit: "a list of single IP addresses",
        meaning: "Addresses whose X-Forwarded-For is believed. In the environment separate them by commas.",
        reason: "From anyone else the header is a visitor's invention and would dodge every limit per address. At \
                 most 256, no networks.",
        set: |config, given| {
            // 0.0.0.0 is nobody's address, and not everybody's.
            let address = |text: &str| {
                let address: Option<IpAddr> = text.parse().ok();
                address.map(|address| address.to_canonical()).filter(|address| !address.is_unspecified())
            };
            given.list(address).map(|value| config.server.trusted_proxies = value)
        },
        show: |config| Some(toml_list(&config.server.trusted_proxies)),
    },
    Key {
        name: "state.dir",
        form: Form::Path,
        preset: Preset::Value("\"/var/lib/screener\""),
        unit: "the path of a directory",
        meaning: "Directory of everything the server keeps: journal, index, media, its own certificate.",
        reason: "One directory is one thing to back up. It must belong to the server alone (mode 0700).",
        set: |config, given| given.path().map(|value| config.state.dir = value),
        show: |config| Some(path_text(&config.state.dir)),
    },
    Key {
        name: "state.master_key_file",
        form: Form::Path,
        preset: Preset::Unset { example: "\"/var/lib/screener/master.key\"", otherwise: "master.key in state.dir" },
        unit: "the path of a file",
        meaning: "File of the key that seals signing keys at rest. Readable by the server only (mode 0600).",
        reason: "Keep it outside state.dir, for instance with systemd's LoadCredential, and a stolen backup of \
                 state.dir opens nothing.",
        set: |config, given| {
            let path = given.unless_empty(Given::path)?;
            config.state.master_key_file = path.unwrap_or_default();
            Ok(())
        },
        show: |config| Some(path_text(&config.state.master_key_file)),
    },
    Key {
        name: "state.index_open_timeout_s",
        form: Form::Integer { min: 1, max: 600 },
        preset: Preset::Value("10"),
        unit: "seconds",
        meaning: "How long the index (sled) may compute or stand still at one thing, such as opening, before it is set \
                  aside and rebuilt from the journal. Time for which others have the processor does not count.",
        reason: "A damaged index can hang instead of failing. Opening takes about 4 s per million videos.",
        set: |config, given| given.number().map(|value| config.state.index_open_timeout_s = value),
        show: |config| Some(config.state.index_open_timeout_s.to_string()),
    },
    Key {
        name: "state.index_cache_mib",
        form: Form::Integer { min: 8, max: 4096 },
        preset: Preset::Value("16"),
        unit: "MiB",
        meaning: "Memory the index may use to cache records.",
        reason: "Holds the records of about 25,000 videos; of a larger library some are read from disk, which takes well \
                 below a millisecond. What decides who may watch is always in memory.",
        set: |config, given| given.number().map(|value| config.state.index_cache_mib = value),
        show: |config| Some(config.state.index_cache_mib.to_string()),
    },
    Key {
        name: "disk.warn_percent",
        form: Form::Integer { min: 1, max: 100 },
        preset: Preset::Value("85"),
        unit: "per cent of the room users have, as df shows it",
        meaning: "Used share of the file system of state.dir from which on it is told: in the log, by readyz, status and \
                  the dashboard. 100 is a full disk, here and below.",
        reason: "Soon enough to delete videos or to buy a disk before anybody is refused.",
        set: |config, given| given.number().map(|value| config.disk.warn_percent = value),
        show: |config| Some(config.disk.warn_percent.to_string()),
    },
    Key {
        name: "disk.uploads_percent",
        form: Form::Integer { min: 1, max: 100 },
        preset: Preset::Value("90"),
        unit: "per cent of the room users have, as df shows it",
        meaning: "Used share from which on nothing large is taken: uploads are refused with 507, before their first byte, \
                  when they and what they are packaged into would go beyond it; packaging and ffmpeg wait.",
        reason: "The journal shares the disk, and file systems slow down when they are nearly full.",
        set: |config, given| given.number().map(|value| config.disk.uploads_percent = value),
        show: |config| Some(config.disk.uploads_percent.to_string()),
    },
    Key {
        name: "disk.changes_percent",
        form: Form::Integer { min: 1, max: 100 },
        preset: Preset::Value("95"),
        unit: "per cent of the room users have, as df shows it",
        meaning: "Used share from which on changes are refused with 507, all but those that revoke, remove, or make a \
                  video private. Playback goes on.",
        reason: "What is left then is for revocations, which must not fail, and for removals, which make room.",
        set: |config, given| given.number().map(|value| config.disk.changes_percent = value),
        show: |config| Some(config.disk.changes_percent.to_string()),
    },
    Key {
        name: "disk.reserve_mib",
        form: Form::Integer { min: 0, max: 1_048_576 },
        preset: Preset::Value("256"),
        unit: "MiB, 0 = no reserve",
        meaning: "Room held by the file reserve in state.dir, at most a twentieth of the disk. It is given up when the \
                  journal has no room any more, and made again when there is room; until then it counts as used.",
        reason: "Something else may fill the disk to its last byte. 256 MiB are some 100,000 revocations, or another \
                 index of the records.",
        set: |config, given| given.number().map(|value| config.disk.reserve_mib = value),
        show: |config| Some(config.disk.reserve_mib.to_string()),
    },
    Key {
        name: "media.max_source_mib",
        form: Form::Integer { min: 1, max: 16_777_216 },
        preset: Preset::Value("1048576"),
        unit: "MiB",
        meaning: "Largest upload that is accepted.",
        reason: "1 TiB is above any camera master; 16 TiB is the largest file of a common ext4.",
        set: |config, given| given.number().map(|value| config.media.max_source_mib = value),
        show: |config| Some(config.media.max_source_mib.to_string()),
    },
    Key {
        name: "media.min_free_mib",
        form: Form::Integer { min: 0, max: 1_073_741_824 },
        preset: Preset::Value("0"),
        unit: "MiB",
        meaning: "Room that uploads and what they are packaged into leave free, where that is more than what \
                  disk.uploads_percent leaves.",
        reason: "The share suits most disks; this is for one that others fill as well, by known amounts.",
        set: |config, given| given.number().map(|value| config.media.min_free_mib = value),
        show: |config| Some(config.media.min_free_mib.to_string()),
    },
    Key {
        name: "media.quota_gib",
        form: Form::Integer { min: 0, max: 16_777_216 },
        preset: Preset::Value("0"),
        unit: "GiB, 0 = no quota",
        meaning: "Room that one organization's files may take. An upload that would go beyond is refused with 403 \
                  before its first byte; of several at once, those that end last. Everything stored counts, and \
                  what open uploads have announced.",
        reason: "One tenant must not fill the disk of all. What is made of an upload, its packaged copy for one, counts \
                 from then on and is never refused.",
        set: |config, given| given.number().map(|value| config.media.quota_gib = value),
        show: |config| Some(config.media.quota_gib.to_string()),
    },
    Key {
        name: "media.segment_s",
        form: Form::Integer { min: 1, max: 10 },
        preset: Preset::Value("2"),
        unit: "seconds",
        meaning: "Length of a segment that packaging aims at; it cuts only where the video has a keyframe.",
        reason: "Two seconds start fast and change quality soon. It applies to what is packaged from then on.",
        set: |config, given| given.number().map(|value| config.media.segment_s = value),
        show: |config| Some(config.media.segment_s.to_string()),
    },
    Key {
        name: "transcode.enabled",
        form: Form::Flag,
        preset: Preset::Value("false"),
        unit: "true or false",
        meaning: "Make lower qualities, a poster and a storyboard of every video with ffmpeg, one at a time, in the \
                  background.",
        reason: "It takes hours of CPU for a long film, and ffmpeg reads files that strangers made.",
        set: |config, given| given.flag().map(|value| config.transcode.enabled = value),
        show: |config| Some(config.transcode.enabled.to_string()),
    },
    Key {
        name: "transcode.ffmpeg",
        form: Form::Path,
        preset: Preset::Unset { example: "\"/usr/bin/ffmpeg\"", otherwise: "the ffmpeg found in PATH" },
        unit: "the path of a program",
        meaning: "The ffmpeg to run. It needs libx264; 5.1 or later.",
        reason: "A build of your own may lie elsewhere.",
        set: |config, given| given.unless_empty(Given::path).map(|value| config.transcode.ffmpeg = value),
        show: |config| optional_path_text(config.transcode.ffmpeg.as_ref()),
    },
    Key {
        name: "transcode.nice",
        form: Form::Integer { min: 0, max: 19 },
        preset: Preset::Value("15"),
        unit: "steps of nice(1)",
        meaning: "How far ffmpeg steps back behind everything else on the machine.",
        reason: "Viewers come first; at 15 it gets what they leave.",
        set: |config, given| given.number().map(|value| config.transcode.nice = value),
        show: |config| Some(config.transcode.nice.to_string()),
    },
    Key {
        name: "transcode.threads",
        form: Form::Integer { min: 0, max: 64 },
        preset: Preset::Value("0"),
        unit: "threads, 0 = as many as ffmpeg finds useful",
        meaning: "Threads that ffmpeg may decode and encode with.",
        reason: "Fewer take less memory: 2160p needs about 100 MiB for each.",
        set: |config, given| given.number().map(|value| config.transcode.threads = value),
        show: |config| Some(config.transcode.threads.to_string()),
    },
    Key {
        name: "transcode.stall_s",
        form: Form::Integer { min: 1, max: 3600 },
        preset: Preset::Value("300"),
        unit: "seconds",
        meaning: "How long ffmpeg may go without progress before it is ended and the attempt counted as failed.",
        reason: "A slow disk may pause for a minute; a damaged file can hang a decoder for ever.",
        set: |config, given| given.number().map(|value| config.transcode.stall_s = value),
        show: |config| Some(config.transcode.stall_s.to_string()),
    },
    Key {
        name: "ui.static_dir",
        form: Form::Path,
        preset: Preset::Unset { example: "\"/etc/screener/static\"", otherwise: "only the built-in page assets" },
        unit: "the path of a directory",
        meaning: "Directory of files laid over the built-in page assets, by the same names.",
        reason: "A logo or a stylesheet changes without a new build. Everything in it is public.",
        set: |config, given| given.unless_empty(Given::path).map(|value| config.ui.static_dir = value),
        show: |config| optional_path_text(config.ui.static_dir.as_ref()),
    },
    Key {
        name: "limits.playback_per_second",
        form: Form::Integer { min: 0, max: 1_000_000 },
        preset: Preset::Value("1000"),
        unit: "requests per second, 0 = off",
        meaning: "Playback, embed and renewal requests per client address (IPv6: per /64).",
        reason: "A whole company may watch from one address at one request per viewer and few seconds.",
        set: |config, given| given.number().map(|value| config.limits.playback_per_second = value),
        show: |config| Some(config.limits.playback_per_second.to_string()),
    },
    Key {
        name: "limits.playback_burst",
        form: Form::Integer { min: 1, max: 1_000_000 },
        preset: Preset::Value("5000"),
        unit: "requests",
        meaning: "Requests an address may make at once before playback_per_second paces it.",
        reason: "An event that starts on the minute brings its audience within seconds.",
        set: |config, given| given.number().map(|value| config.limits.playback_burst = value),
        show: |config| Some(config.limits.playback_burst.to_string()),
    },
    Key {
        name: "limits.organization_per_second",
        form: Form::Integer { min: 0, max: 1_000_000 },
        preset: Preset::Value("5000"),
        unit: "viewers per second, 0 = off",
        meaning: "Viewers of one organization who are let in, by playback and embed requests: so many of its private \
                  videos, and as many of its public ones.",
        reason: "One tenant's event must leave room for the others. Refused viewers don't count, and public videos' count \
                 apart: nobody without a token can keep out those who have one.",
        set: |config, given| given.number().map(|value| config.limits.organization_per_second = value),
        show: |config| Some(config.limits.organization_per_second.to_string()),
    },
    Key {
        name: "limits.organization_burst",
        form: Form::Integer { min: 1, max: 1_000_000 },
        preset: Preset::Value("20000"),
        unit: "viewers",
        meaning: "Viewers of an organization who may come at once before organization_per_second paces them.",
        reason: "Twice as many as there are connections: all of them may come back after a restart.",
        set: |config, given| given.number().map(|value| config.limits.organization_burst = value),
        show: |config| Some(config.limits.organization_burst.to_string()),
    },
    Key {
        name: "limits.admin_per_second",
        form: Form::Integer { min: 0, max: 1_000_000 },
        preset: Preset::Value("1000"),
        unit: "requests per second, 0 = off",
        meaning: "Requests from one client address with one private key, and with the sign-ins that stand on it.",
        reason: "A loop in one backend must leave the others their turn at the disk: every change waits for it. Whoever \
                 floods with a key that has leaked doesn't keep the operator from revoking it.",
        set: |config, given| given.number().map(|value| config.limits.admin_per_second = value),
        show: |config| Some(config.limits.admin_per_second.to_string()),
    },
    Key {
        name: "limits.admin_burst",
        form: Form::Integer { min: 1, max: 1_000_000 },
        preset: Preset::Value("5000"),
        unit: "requests",
        meaning: "Requests that one address may make at once with a private key before admin_per_second paces them.",
        reason: "A script that brings a library over works through it without a pause.",
        set: |config, given| given.number().map(|value| config.limits.admin_burst = value),
        show: |config| Some(config.limits.admin_burst.to_string()),
    },
    Key {
        name: "limits.admin_failures_per_minute",
        form: Form::Integer { min: 0, max: 1_000_000 },
        preset: Preset::Value("60"),
        unit: "failures per minute, 0 = off",
        meaning: "Wrong private keys per client address before it is answered with 429.",
        reason: "Keys cannot be guessed; this keeps a misconfigured client from filling log and CPU.",
        set: |config, given| given.number().map(|value| config.limits.admin_failures_per_minute = value),
        show: |config| Some(config.limits.admin_failures_per_minute.to_string()),
    },
    Key {
        name: "log.format",
        form: Form::Text,
        preset: Preset::Value("\"json\""),
        unit: "\"json\" or \"text\"",
        meaning: "How log lines are written to standard error.",
        reason: "Machines read logs more often than people; \"text\" is for a terminal.",
        set: |config, given| given.accepted(LogFormat::named).map(|value| config.log.format = value),
        show: |config| Some(toml_text(config.log.format.name())),
    },
    Key {
        name: "log.level",
        form: Form::Text,
        preset: Preset::Value("\"info\""),
        unit: "a level (off, error, warn, info, debug, trace) or target=level, several separated by commas",
        meaning: "What is logged, for instance \"info,screener::store=debug\". Of the HTTP library nothing, unless it is named.",
        reason: "info is enough to run a server; debug explains single requests and grows fast.",
        set: |config, given| given.accepted(log_level).map(|value| config.log.level = value),
        show: |config| Some(toml_text(&config.log.level)),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_stands_once_as_section_dot_key_in_lower_case() {
        let names: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), KEYS.len());
        for key in &KEYS {
            let (section, name) = key.parts();
            let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(is_plain(section) && is_plain(name), "{}", key.name);
        }
    }

    #[test]
    fn no_key_holds_a_secret_itself() {
        for key in KEYS.iter().filter(|key| super::super::names::sounds_secret(key.name)) {
            assert!(key.name.ends_with("_file"), "{}", key.name);
        }
    }

    #[test]
    fn a_misspelt_log_level_is_refused_instead_of_read_as_a_target() {
        assert_eq!(log_level("info, screener::store=debug").as_deref(), Some("info,screener::store=debug"));
        for wrong in ["", "inof", "INFO=", "screener=loud", "=debug", "info,,warn"] {
            assert_eq!(log_level(wrong), None, "{wrong}");
        }
    }
}
