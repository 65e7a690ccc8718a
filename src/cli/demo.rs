//! `screener demo`: the main job in one command. A server with a public and a private video, and what to try.
//!
//! Sets everything up through the admin API, as an operator would.

use super::init::create_state;
use super::output::{line, start_logging};
use super::socket::Client;
use crate::app::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::auth::mint_token;
use crate::config::{Config, DiskConfig, LogFormat};
use crate::domain::{SigningKeyId, VideoId, hex};
use crate::server::{self, Ready};
use crate::store::StateDir;
use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Value, json};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Ten seconds of our own making, so that the demo needs nothing else (`tests/fixtures/make-sample.sh`).
static SAMPLE: &[u8] = include_bytes!("../../static/sample.mp4");
/// Life of the printed token, in seconds: long enough to look around.
const TOKEN_LIFETIME_S: i64 = 3_600;

#[derive(Args)]
pub(super) struct DemoArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where to keep everything; a fresh temporary directory unless given
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// A video of your own instead of the sample
    #[arg(long, value_name = "FILE")]
    video: Option<PathBuf>,
    /// Print one line of JSON instead
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(args: DemoArgs) -> anyhow::Result<()> {
    let (directory, is_temporary) = match &args.state_dir {
        Some(directory) => (std::path::absolute(directory)?, false),
        None => (fresh_directory()?, true),
    };
    let mut config = Config::default_for(directory.clone());
    config.server.listen = args.listen;
    config.server.public_url = config.server.url_of_address(args.listen);
    // It may be tried on a full laptop; what it makes is small and goes again.
    config.disk = DiskConfig { warn_percent: 100, uploads_percent: 100, changes_percent: 100, reserve_mib: 0 };
    // A demo is there to be tried at will, attacks included; whoever does so shares one address.
    config.limits.playback_per_second = 0;
    config.limits.admin_failures_per_minute = 0;
    let (format, level) = if args.json { (LogFormat::Json, "info") } else { (LogFormat::Text, "warn") };
    let (_, _rest_of_log) = start_logging(format, level)?;
    let state = if directory.join("format").exists() {
        StateDir::open(&directory)?
    } else {
        create_state(&directory, &config.state.master_key_file)?
    };
    // Left behind, it would only be clutter below the temporary directory.
    let clear_away = move || is_temporary.then(|| std::fs::remove_dir_all(&directory));
    let when_failed = clear_away.clone();
    let on_ready = move |ready: Ready| {
        // The server goes on while a thread of its own sets the demo up as any client would.
        std::thread::spawn(move || {
            if let Err(error) = set_up_and_print(&ready, &args) {
                super::output::failure(&error.context("the demo could not be set up"), args.json);
                when_failed();
                std::process::exit(1);
            }
        });
    };
    let outcome =
        server::system(&config).and_then(|system| system.block_on(server::run(config, state, None, on_ready)));
    clear_away();
    Ok(outcome?)
}

/// A directory below the temporary one that nobody could have made before us.
fn fresh_directory() -> anyhow::Result<PathBuf> {
    let entropy: &dyn Entropy = &SystemEntropy;
    let name = hex(&entropy.random::<8>());
    let directory = std::env::temp_dir().join(format!("screener-demo-{name}"));
    std::fs::DirBuilder::new().mode(0o700).create(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}

fn set_up_and_print(ready: &Ready, args: &DemoArgs) -> anyhow::Result<()> {
    let made = set_up(ready, args.video.as_deref())?;
    if args.json { line(&made.to_string()) } else { line(&words(&made)) }
}

fn set_up(ready: &Ready, video: Option<&Path>) -> anyhow::Result<Value> {
    let socket = Client::new(ready.socket.clone())?;
    let organization = socket.post("/appliance/v1/organizations", &json!({ "name": "Demo" }))?;
    let admin = socket.with_key(text(&organization, "/privateKey")?);
    admin.patch("/admin/v1/organization", &json!({ "tokenAccess": true }))?;
    let key = admin.post("/admin/v1/signing-keys", &json!({ "label": "demo" }))?;
    let public = import(&admin, "A public video", "public", video)?;
    let private = import(&admin, "A private video", "private", video)?;
    let kid = SigningKeyId::parse(text(&key, "/id")?).context("the signing key's id")?;
    let private_id = VideoId::parse(text(&private, "/id")?).context("the video's id")?;
    let now = SystemClock.now().secs();
    let token = mint_token(kid, text(&key, "/secret")?.as_bytes(), private_id, now, TOKEN_LIFETIME_S)
        .ok_or_else(|| anyhow!("the token could not be signed"))?;
    Ok(json!({
        "baseUrl": ready.base_url,
        "caCertificate": ready.ca_certificate,
        "privateKey": text(&organization, "/privateKey")?,
        "publishableKey": text(&organization, "/publishableKey")?,
        "signingKey": { "id": text(&key, "/id")?, "secret": text(&key, "/secret")? },
        "publicVideo": { "videoId": text(&public, "/id")?, "embedId": text(&public, "/embedId")? },
        "privateVideo": { "videoId": text(&private, "/id")?, "embedId": text(&private, "/embedId")? },
        "token": token
    }))
}

fn import(admin: &Client, title: &str, visibility: &str, file: Option<&Path>) -> anyhow::Result<Value> {
    let video = admin.post("/admin/v1/videos", &json!({ "title": title, "visibility": visibility }))?;
    let path = format!("/admin/v1/videos/{}/source", text(&video, "/id")?);
    match file {
        None => admin.put(&path, SAMPLE.len() as u64, &mut &*SAMPLE)?,
        Some(file) => {
            let mut source = File::open(file).with_context(|| file.display().to_string())?;
            let length = source.metadata()?.len();
            admin.put(&path, length, &mut source).with_context(|| file.display().to_string())?
        }
    };
    Ok(video)
}

fn text<'a>(value: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).ok_or_else(|| anyhow!("the server's answer lacks {pointer}"))
}

fn words(made: &Value) -> String {
    let text = |pointer| made.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    let (base, ca, token) = (text("/baseUrl"), text("/caCertificate"), text("/token"));
    let (public, private) = (text("/publicVideo/embedId"), text("/privateVideo/embedId"));
    let (publishable, admin, kid) = (text("/publishableKey"), text("/privateKey"), text("/signingKey/id"));
    format!(
        "Screener is running at {base}. Its certificate is self-made: your browser will ask once.

Open in a browser
  public video                  {base}/embed/{public}
  private video, with a token   {base}/embed/{private}?token={token}
  private video, without one    {base}/embed/{private}
  the dashboard                 {base}/dashboard
    to sign in                  {admin}

Ask the playback API, as an app or another player would
  curl --cacert {ca} \\
    -H 'Authorization: Bearer {publishable}' \\
    -H 'x-moviie-playback-token: {token}' \\
    {base}/api/v1/embeds/{private}/playback

Revoke the key that signed the token: the private video stops at once
  curl --cacert {ca} -X POST \\
    -H 'Authorization: Bearer {admin}' \\
    {base}/admin/v1/signing-keys/{kid}/revoke

The token is good for an hour. Ctrl-C ends the demo."
    )
}
