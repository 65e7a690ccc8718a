//! The real binary, initialised and serving in a directory of its own.

use super::client::Reply;
use super::token::{Claims, sign};
use reqwest::Method;
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// What a server is started with besides the usual.
#[derive(Default, Clone)]
pub struct Options {
    /// More TOML for the configuration, sections and all.
    pub config: String,
    /// Environment of the server.
    pub environment: Vec<(String, String)>,
    /// A program that becomes the server, and its arguments, such as `prlimit --nofile=256`.
    pub under: Vec<&'static str>,
}

/// A running server with one organization, token access on, and one signing key.
pub struct Server {
    process: Option<Child>,
    /// Copies its standard error into the log until the process ends.
    copying: Option<std::thread::JoinHandle<()>>,
    directory: tempfile::TempDir,
    /// What its next process is started with; the configuration is written already.
    pub options: Options,
    log: PathBuf,
    /// Base of its URLs.
    pub base_url: String,
    /// `mvi_priv_…`
    pub private_key: String,
    /// `mvi_pub_…`
    pub publishable_key: String,
    /// The signing key's id.
    pub kid: String,
    /// The signing key's secret.
    pub secret: String,
    client: Client,
}

/// Runs the binary's command line and answers its standard output as JSON.
pub fn screener(arguments: &[&str]) -> Result<Value, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_screener")).args(arguments).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

/// Where every server of a test run leaves its log.
pub fn log_directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("logs");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);

impl Server {
    /// A new server.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    /// A new server with a configuration of its own.
    pub fn with(options: Options) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        Self::in_directory(options, directory)
    }

    /// A new server whose state lies below `directory`.
    pub fn in_directory(options: Options, directory: tempfile::TempDir) -> Self {
        let state = directory.path().join("state");
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[state]\ndir = {state:?}\n[log]\nlevel = \"info,screener=debug\"\n{}",
            options.config
        );
        std::fs::write(directory.path().join("config.toml"), config).unwrap();
        let config = directory.path().join("config.toml");
        let made = screener(&["init", "--json", "--config", config.to_str().unwrap()]).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let log = log_directory().join(format!("{}-{number}.log", std::process::id()));
        let mut server = Self {
            process: None,
            copying: None,
            directory,
            options,
            log,
            base_url: String::new(),
            private_key: text("privateKey"),
            publishable_key: text("publishableKey"),
            kid: String::new(),
            secret: String::new(),
            client: Client::new(),
        };
        server.serve();
        server.admin(Method::PATCH, "/organization", &json!({ "tokenAccess": true })).expect(200);
        let key = server.admin(Method::POST, "/signing-keys", &json!({ "label": "test" })).expect(201).json();
        server.kid = key["id"].as_str().unwrap().to_owned();
        server.secret = key["secret"].as_str().unwrap().to_owned();
        server
    }

    /// Starts the process and waits until it serves.
    pub fn serve(&mut self) {
        self.try_serve().unwrap_or_else(|log| panic!("the server did not start:\n{log}"));
    }

    /// Starts the process; the log if it ends instead of serving.
    pub fn try_serve(&mut self) -> Result<(), String> {
        let binary = env!("CARGO_BIN_EXE_screener");
        let words: Vec<&str> = self.options.under.iter().copied().chain([binary]).collect();
        let mut process = Command::new(words[0])
            .args(&words[1..])
            .args(["serve", "--config", self.config().to_str().unwrap()])
            // Many servers run here at once, and none of them is to be prepared for a full disk.
            .env("SCREENER__DISK__RESERVE_MIB", "1")
            .envs(self.options.environment.iter().cloned())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = process.stderr.take().unwrap();
        let mut log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let (sender, receiver) = mpsc::channel();
        self.copying = Some(std::thread::spawn(move || {
            let mut all = String::new();
            for line in BufReader::new(errors).lines() {
                let line = line.unwrap_or_default();
                let _ = writeln!(log, "{line}");
                if line.contains("\"message\":\"serving\"") {
                    let event: Value = serde_json::from_str(&line).unwrap();
                    let _ = sender.send(Ok(event["base_url"].as_str().unwrap().to_owned()));
                }
                all.push_str(&line);
                all.push('\n');
            }
            let _ = sender.send(Err(all));
        }));
        self.process = Some(process);
        match receiver.recv_timeout(Duration::from_secs(30)) {
            Ok(Ok(base_url)) => {
                self.base_url = base_url;
                self.client = self.new_client();
                Ok(())
            }
            Ok(Err(log)) => {
                self.process.take().unwrap().wait().unwrap();
                Err(log)
            }
            Err(_) => {
                self.kill();
                Err(format!("nothing within 30 s:\n{}", self.log_text()))
            }
        }
    }

    /// A client that trusts this server alone, follows no redirects and keeps no cookies.
    pub fn new_client(&self) -> Client {
        // A server without TLS has made no certificate.
        let pem = std::fs::read(self.ca()).ok();
        Client::builder()
            .tls_certs_only(pem.map(|pem| reqwest::Certificate::from_pem(&pem).unwrap()))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap()
    }

    /// The authority of its certificate.
    pub fn ca(&self) -> PathBuf {
        self.state().join("tls/ca.pem")
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("config.toml")
    }

    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// A directory of the test's own.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// All it has logged so far.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Waits for the end that something else brought about, and tells which it was.
    pub fn ended(&mut self) -> ExitStatus {
        let status = self.process.take().unwrap().wait().unwrap();
        self.finish_log();
        status
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            process.wait().unwrap();
        }
        self.finish_log();
    }

    /// Waits until everything that the ended process wrote is in the log.
    fn finish_log(&mut self) {
        if let Some(copying) = self.copying.take() {
            let _ = copying.join();
        }
    }

    /// SIGTERM, and waits for the end; whether it ended well.
    pub fn stop(&mut self) -> bool {
        let Some(mut process) = self.process.take() else { return true };
        let pid = process.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        let ended_well = process.wait().unwrap().success();
        self.finish_log();
        ended_well
    }

    /// A request to a path of this server.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base_url))
    }

    /// GET of a path or of an absolute URL.
    pub fn get(&self, url: &str) -> Reply {
        let url = if url.starts_with("https://") { url.to_owned() } else { format!("{}{url}", self.base_url) };
        Reply::read(self.client.get(url).send().unwrap())
    }

    /// A call of the admin API.
    pub fn admin(&self, method: Method, path: &str, body: &Value) -> Reply {
        let request = self.request(method, &format!("/admin/v1{path}")).bearer_auth(&self.private_key);
        let request = if body.is_null() { request } else { request.json(body) };
        Reply::read(request.send().unwrap())
    }

    /// A video with the small fixture as its source; its id and its embed's.
    pub fn video(&self, visibility: &str) -> (String, String) {
        self.video_from(visibility, include_bytes!("../../fixtures/h264_aac.mp4"))
    }

    /// A video with these bytes as its source.
    pub fn video_from(&self, visibility: &str, source: &'static [u8]) -> (String, String) {
        let (video, embed) = self.pending_video(visibility);
        self.upload(&video, source).expect(200);
        (video, embed)
    }

    /// A video without a source.
    pub fn pending_video(&self, visibility: &str) -> (String, String) {
        let body = json!({ "title": "A test video", "visibility": visibility });
        let video = self.admin(Method::POST, "/videos", &body).expect(201).json();
        (video["id"].as_str().unwrap().to_owned(), video["embedId"].as_str().unwrap().to_owned())
    }

    /// Uploads a source.
    pub fn upload(&self, video: &str, source: impl Into<reqwest::blocking::Body>) -> Reply {
        let path = format!("/admin/v1/videos/{video}/source");
        let request = self.request(Method::PUT, &path).bearer_auth(&self.private_key).body(source);
        Reply::read(request.timeout(Duration::from_secs(600)).send().unwrap())
    }

    /// Waits until a video plays.
    pub fn wait_until_ready(&self, video: &str) {
        super::wait_for("the video to be packaged", Duration::from_secs(120), || {
            let read = self.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json();
            read["status"] == "ready"
        });
    }

    /// A token for a video, good for five minutes.
    pub fn token(&self, video: &str) -> String {
        sign(&self.kid, &self.secret, &Claims::of(video))
    }

    /// The playback API, with a token or without.
    pub fn playback(&self, embed: &str, token: Option<&str>) -> Reply {
        let request = self.playback_request(embed);
        let request = match token {
            Some(token) => request.header("x-moviie-playback-token", token),
            None => request,
        };
        Reply::read(request.send().unwrap())
    }

    /// The playback API, to be added to.
    pub fn playback_request(&self, embed: &str) -> RequestBuilder {
        self.request(Method::GET, &format!("/api/v1/embeds/{embed}/playback")).bearer_auth(&self.publishable_key)
    }

    /// The embed page, with a token or without.
    pub fn embed_page(&self, embed: &str, token: Option<&str>) -> Reply {
        match token {
            Some(token) => self.get(&format!("/embed/{embed}?token={token}")),
            None => self.get(&format!("/embed/{embed}")),
        }
    }

    /// Another organization, made over the socket: its private and publishable key.
    pub fn other_organization(&self) -> (String, String) {
        let config = self.config();
        let made =
            screener(&["organization", "create", "--name", "Other", "--json", "--config", config.to_str().unwrap()])
                .unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("privateKey"), text("publishableKey"))
    }

    /// A call of the admin API with another key.
    pub fn admin_as(&self, key: &str, method: Method, path: &str, body: &Value) -> Reply {
        let request = self.request(method, &format!("/admin/v1{path}")).bearer_auth(key);
        let request = if body.is_null() { request } else { request.json(body) };
        Reply::read(request.send().unwrap())
    }
}

/// What no log line may hold: keys, tokens, grants.
const SECRET_PREFIXES: [&str; 6] = ["mvi_sign_", "mvi_priv_", "mvi_pub_", "eyJ", "p1.", "r1."];

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("log of the server: {}", self.log.display());
            return;
        }
        let log = self.log_text();
        for prefix in SECRET_PREFIXES {
            let line = log.lines().find(|line| line.contains(prefix));
            assert!(line.is_none(), "{prefix} stands in the log: {line:?}");
        }
        // sled panics over some damage; the thread that opens it is made to bear that.
        let contained = |line: &str| line.contains("thread 'index-open'") && log.contains("the index was set aside");
        let panic = log.lines().find(|line| line.contains("panicked at") && !contained(line));
        assert!(panic.is_none(), "the server panicked: {panic:?} in {}", self.log.display());
    }
}
