//! The server's configuration: one TOML file, the environment over it, every value typed and checked.
//!
//! Relies on the table in `keys`, which alone says what keys there are. Never holds a secret, only the paths of files
//! that do; never reads the process environment by itself (but `PATH`, to find ffmpeg), so that tests need none.

mod changes;
mod check;
mod example;
mod given;
mod keys;
mod layers;
mod load;
mod names;
mod problem;
mod syntax;
#[cfg(test)]
mod tests;
mod tls_pair;

pub use changes::Changes;
pub use example::render_example;
pub use layers::process_environment;
pub use load::Loaded;
pub use problem::{Problem, Source};
pub use tls_pair::read_tls_pair;

use self::layers::Layer;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Everything an operator decides. Built by [`Config::load`], or in code from [`Config::default_for`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Listening, TLS, and what the server is called.
    pub server: ServerConfig,
    /// Where the server keeps what it knows.
    pub state: StateConfig,
    /// How full the disk may become.
    pub disk: DiskConfig,
    /// Uploads.
    pub media: MediaConfig,
    /// Making more of what is uploaded.
    pub transcode: TranscodeConfig,
    /// Pages.
    pub ui: UiConfig,
    /// Rates per client address, organization and private key.
    pub limits: LimitsConfig,
    /// Log lines.
    pub log: LogConfig,
}

/// Section `[server]`.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Address to accept connections on.
    pub listen: SocketAddr,
    /// Base of every absolute URL: an origin without trailing slash, in lower case, without a default port.
    pub public_url: String,
    /// Certificate chain in PEM; set if and only if `tls_key_file` is.
    pub tls_certificate_file: Option<PathBuf>,
    /// Private key in PEM; set if and only if `tls_certificate_file` is.
    pub tls_key_file: Option<PathBuf>,
    /// Serve HTTP without TLS.
    pub plain_http: bool,
    /// `plain_http` may be on an address that other machines reach.
    pub insecure_http: bool,
    /// Threads that answer requests; 0 is one per core.
    pub workers: usize,
    /// Connections open at once, over all workers.
    pub max_connections: usize,
    /// Connections open at once of one client address; 0 is a quarter of them.
    pub max_connections_per_address: usize,
    /// Seconds running requests may take after SIGTERM.
    pub shutdown_grace_s: u64,
    /// Addresses whose `X-Forwarded-For` is believed; IPv4-mapped ones are held as IPv4.
    pub trusted_proxies: Vec<IpAddr>,
}

impl ServerConfig {
    /// Whether it would serve without TLS on `address` where other machines may listen in, and was not told to.
    pub fn is_exposed_on(&self, address: SocketAddr) -> bool {
        self.plain_http && !self.insecure_http && !address.ip().to_canonical().is_loopback()
    }

    /// The URL of a server that only knows its own `address`: what `public_url` is when not set.
    ///
    /// Whoever listens on port 0 sets `public_url` to this once the port is known.
    pub fn url_of_address(&self, address: SocketAddr) -> String {
        let scheme = if self.plain_http { "http" } else { "https" };
        let url = format!("{scheme}://{address}");
        given::web_origin(&url).unwrap_or(url)
    }
}

/// Section `[state]`.
#[derive(Clone, Debug)]
pub struct StateConfig {
    /// Directory of journal, index, media and the self-signed certificate.
    pub dir: PathBuf,
    /// File of the key that seals signing keys at rest.
    pub master_key_file: PathBuf,
    /// Seconds the index may take to open before it is set aside and rebuilt.
    pub index_open_timeout_s: u64,
    /// Memory the index may use as cache, in MiB.
    pub index_cache_mib: u64,
}

/// Section `[disk]`: of the file system of `state.dir`, in per cent of the room that users have.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// Used share from which on it is told.
    pub warn_percent: u8,
    /// Used share from which on nothing large is taken; not below `warn_percent`.
    pub uploads_percent: u8,
    /// Used share from which on only what revokes or removes is taken; not below `uploads_percent`.
    pub changes_percent: u8,
    /// Room held for that, in MiB.
    pub reserve_mib: u64,
}

/// Section `[media]`.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Largest accepted upload, in MiB.
    pub max_source_mib: u64,
    /// Room in MiB that uploads leave free, where the disk's share is less.
    pub min_free_mib: u64,
    /// Room that one organization's files may take, in GiB; 0 is no limit.
    pub quota_gib: u64,
    /// Length of a segment that packaging aims at, in seconds.
    pub segment_s: u32,
}

/// Section `[transcode]`.
#[derive(Clone, Debug)]
pub struct TranscodeConfig {
    /// Make qualities, posters and storyboards.
    pub enabled: bool,
    /// The program; `None` is the one in `PATH`.
    pub ffmpeg: Option<PathBuf>,
    /// How far it steps back behind other processes: 0 to 19.
    pub nice: i32,
    /// Threads it may use; 0 leaves it to ffmpeg.
    pub threads: u32,
    /// Seconds without progress after which a run is given up.
    pub stall_s: u64,
}

/// Section `[ui]`.
#[derive(Clone, Debug)]
pub struct UiConfig {
    /// Directory of files laid over the built-in page assets.
    pub static_dir: Option<PathBuf>,
}

/// Section `[limits]`; a client address is an IPv4 address or an IPv6 /64.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// Playback, embed and renewal requests per second and client address; 0 is no limit.
    pub playback_per_second: u32,
    /// Requests a client address may make at once before it is paced.
    pub playback_burst: u32,
    /// Viewers let in per second and organization, by playback, embed and renewal requests; 0 is no limit.
    pub organization_per_second: u32,
    /// Viewers of an organization who may come at once before they are paced.
    pub organization_burst: u32,
    /// Requests per second and private key; 0 is no limit.
    pub admin_per_second: u32,
    /// Requests a private key may make at once before it is paced.
    pub admin_burst: u32,
    /// Wrong private keys per minute and client address before 429; 0 is no limit.
    pub admin_failures_per_minute: u32,
}

/// Section `[log]`.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// How lines are written.
    pub format: LogFormat,
    /// Known to parse as `tracing_subscriber::filter::Targets`.
    pub level: String,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people at a terminal.
    Text,
}

impl LogFormat {
    /// The format as it is written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Json, Self::Text].into_iter().find(|format| format.name() == name)
    }
}

impl Config {
    /// Every default, with all state below `state_dir`.
    pub fn default_for(state_dir: PathBuf) -> Self {
        let mut problems = Vec::new();
        let mut config = load::read(None, Layer::default(), Layer::default(), &mut problems).config;
        debug_assert!(problems.is_empty(), "the defaults in the table are valid: {problems:?}");
        config.state.master_key_file = state_dir.join(MASTER_KEY);
        config.state.dir = state_dir;
        config
    }

    /// A place to read values into. What the table has no default for is right already.
    fn blank() -> Self {
        Self {
            server: ServerConfig {
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                public_url: String::new(),
                tls_certificate_file: None,
                tls_key_file: None,
                plain_http: false,
                insecure_http: false,
                workers: 0,
                max_connections: 0,
                max_connections_per_address: 0,
                shutdown_grace_s: 0,
                trusted_proxies: Vec::new(),
            },
            state: StateConfig {
                dir: PathBuf::new(),
                master_key_file: PathBuf::new(),
                index_open_timeout_s: 0,
                index_cache_mib: 0,
            },
            disk: DiskConfig { warn_percent: 0, uploads_percent: 0, changes_percent: 0, reserve_mib: 0 },
            media: MediaConfig { max_source_mib: 0, min_free_mib: 0, quota_gib: 0, segment_s: 0 },
            transcode: TranscodeConfig { enabled: false, ffmpeg: None, nice: 0, threads: 0, stall_s: 0 },
            ui: UiConfig { static_dir: None },
            limits: LimitsConfig {
                playback_per_second: 0,
                playback_burst: 0,
                organization_per_second: 0,
                organization_burst: 0,
                admin_per_second: 0,
                admin_burst: 0,
                admin_failures_per_minute: 0,
            },
            log: LogConfig { format: LogFormat::Json, level: String::new() },
        }
    }

    /// Fills in what depends on other values.
    fn complete(&mut self) {
        if self.server.public_url.is_empty() {
            self.server.public_url = self.server.url_of_address(self.server.listen);
        }
        if self.state.master_key_file.as_os_str().is_empty() {
            self.state.master_key_file = self.state.dir.join(MASTER_KEY);
        }
    }
}

/// Name of the master key's file in the state directory when the configuration names none.
const MASTER_KEY: &str = "master.key";
