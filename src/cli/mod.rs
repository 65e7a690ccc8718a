//! The command line. Verbs that change a running server speak to its socket; the others work on files.

mod backup;
mod child;
mod demo;
mod exit;
mod init;
mod output;
mod socket;
mod token;

use crate::app::App;
use crate::config::{Config, Loaded, process_environment};
use crate::domain::limits;
use crate::server::{self, Reload, ServeError};
use crate::store::{StateDir, verify_store};
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use exit::Misconfigured;
use output::{Output, line};
use serde_json::json;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A private-video server: only viewers your backend authorises can watch.
#[derive(Parser)]
#[command(name = "screener", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve two sample videos, one public and one private, and print what to try
    Demo(demo::DemoArgs),
    /// Make the state directory, the master key, and an organization with its first keys
    Init(init::InitArgs),
    /// Run the server
    Serve(Common),
    /// Say all that is wrong with the configuration
    CheckConfig(CheckArgs),
    /// Organizations of a running server
    #[command(subcommand)]
    Organization(OrganizationVerb),
    /// Signing keys, and the secrets of the server itself
    #[command(subcommand)]
    Key(KeyVerb),
    /// Viewer tokens
    #[command(subcommand)]
    Token(token::TokenVerb),
    /// The records and media on disk
    #[command(subcommand)]
    Store(StoreVerb),
    /// Backups
    #[command(subcommand)]
    Backup(backup::BackupVerb),
    /// What a running server says of itself
    Status(Common),
    /// The version
    Version(JsonArgs),
    /// Become another program, for the server alone
    #[command(hide = true)]
    RunChild(child::ChildArgs),
}

/// What most verbs take.
#[derive(Args)]
struct Common {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    #[command(flatten)]
    output: JsonArgs,
}

#[derive(Args, Clone, Copy)]
struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct CheckArgs {
    #[command(flatten)]
    common: Common,
    /// Print every value with where it came from
    #[arg(long)]
    print: bool,
    /// Print a configuration file with every key at its default, explained
    #[arg(long)]
    example: bool,
}

#[derive(Subcommand)]
enum OrganizationVerb {
    /// Make another organization and print its first keys, once
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// List them
    List(Common),
}

#[derive(Subcommand)]
enum KeyVerb {
    /// List the signing keys of every organization
    List(Common),
    /// Make a new secret for signing asset URLs; URLs signed by the old ones stay good until they expire
    RotateAsset {
        /// Remove the old ones at once, and every URL and session with them: one has leaked
        #[arg(long)]
        drop_old: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Seal every key anew under another master key, while no server runs; go on with that if it was interrupted
    RotateMaster {
        /// The other master key's file, made if missing; to be put in the old one's place afterwards
        new_file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Revoke one: tokens signed by it stop working at once
    Revoke {
        /// The key's id (a token's kid)
        id: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Subcommand)]
enum StoreVerb {
    /// Check the journal, the audit log's chain and every media file's hash; a running server is told what is damaged
    Verify(Common),
}

const DEFAULT_CONFIG: &str = "/etc/screener/config.toml";

/// Runs the command; exit codes: 0 done, 1 failed, 2 wrong usage, 73 a state directory that can't be used now, 78 a wrong
/// configuration.
pub fn main() -> ExitCode {
    // One crypto library for TLS and tokens. A second installation is the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Whoever else runs as this user is not to look into this memory, and no core file is to keep it (prctl(2)).
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let cli = Cli::parse();
    // Whatever is made from here on is for this user alone.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let json = wants_json(&cli.verb);
    match run(cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(&error, json);
            exit::code(&error)
        }
    }
}

fn wants_json(verb: &Verb) -> bool {
    match verb {
        Verb::Demo(args) => args.json,
        Verb::Init(args) => args.common.output.json,
        Verb::Serve(common) | Verb::Status(common) => common.output.json,
        Verb::CheckConfig(args) => args.common.output.json,
        Verb::Organization(OrganizationVerb::Create { common, .. } | OrganizationVerb::List(common)) => {
            common.output.json
        }
        Verb::Key(
            KeyVerb::List(common)
            | KeyVerb::Revoke { common, .. }
            | KeyVerb::RotateAsset { common, .. }
            | KeyVerb::RotateMaster { common, .. },
        ) => common.output.json,
        Verb::Token(verb) => verb.json(),
        Verb::Store(StoreVerb::Verify(common)) => common.output.json,
        Verb::Backup(verb) => verb.json(),
        Verb::Version(args) => args.json,
        Verb::RunChild(_) => false,
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Demo(args) => demo::run(args),
        Verb::Init(args) => init::run(&args),
        Verb::Serve(common) => serve(&common),
        Verb::CheckConfig(args) => check_config(&args),
        Verb::Organization(OrganizationVerb::Create { name, common }) => {
            let made = common.connect()?.post("/appliance/v1/organizations", &json!({ "name": name }))?;
            init::print_first_keys(&made, common.output.json)
        }
        Verb::Organization(OrganizationVerb::List(common)) => {
            let list = common.connect()?.get_all("/appliance/v1/organizations")?;
            common.print(&list, "items", &["id", "name", "createdAt"])
        }
        Verb::Key(KeyVerb::List(common)) => {
            let list = common.connect()?.get("/appliance/v1/signing-keys")?;
            common.print(&list, "items", &["id", "status", "label", "organizationId", "lastUsedAt"])
        }
        Verb::Key(KeyVerb::Revoke { id, common }) => {
            let path = format!("/appliance/v1/signing-keys/{}/revoke", socket::path_segment(&id)?);
            let key = common.connect()?.post(&path, &json!({}))?;
            Output::new(common.output.json)
                .print(&key, &format!("Signing key {id} is revoked. Tokens signed by it no longer work."))
        }
        Verb::Key(KeyVerb::RotateAsset { drop_old, common }) => {
            let body = json!({ "dropOld": drop_old });
            let key = common.connect()?.post("/appliance/v1/asset-keys/rotate", &body)?;
            let old = if drop_old { "Every URL signed before is refused." } else { "URLs signed before stay good." };
            Output::new(common.output.json).print(&key, &format!("Asset URLs are signed by a new key. {old}"))
        }
        Verb::Key(KeyVerb::RotateMaster { new_file, common }) => rotate_master(&new_file, &common),
        Verb::Token(verb) => token::run(verb),
        Verb::Store(StoreVerb::Verify(common)) => verify(&common),
        Verb::Backup(verb) => backup::run(verb),
        Verb::Status(common) => {
            let status = common.connect()?.get("/appliance/v1/status")?;
            let text = serde_json::to_string_pretty(&status)?;
            Output::new(common.output.json).print(&status, &text)
        }
        Verb::RunChild(args) => child::run(&args),
        Verb::Version(args) => {
            let version = env!("CARGO_PKG_VERSION");
            let body = json!({ "version": version, "format": 1 });
            Output::new(args.json).print(&body, &format!("screener {version}"))
        }
    }
}

impl Common {
    fn load(&self) -> anyhow::Result<Loaded> {
        load(&self.config)
    }

    fn connect(&self) -> anyhow::Result<socket::Client> {
        let config = self.load()?.config;
        socket::Client::new(StateDir::socket(&config.state.dir))
    }

    /// Prints a list as JSON, or as a table of these members.
    fn print(&self, body: &serde_json::Value, list: &str, columns: &[&str]) -> anyhow::Result<()> {
        Output::new(self.output.json).print(body, &output::table(body, list, columns))
    }
}

/// Reads the configuration; the error lists every problem.
fn load(path: &Path) -> anyhow::Result<Loaded> {
    Ok(Config::load(Some(path), process_environment()).map_err(Misconfigured)?)
}

fn serve(common: &Common) -> anyhow::Result<()> {
    let loaded = common.load()?;
    let problems = loaded.check_before_serving();
    if !problems.is_empty() {
        return Err(Misconfigured(problems).into());
    }
    let config = loaded.config;
    let (set_log_level, _rest_of_log) = output::start_logging(config.log.format, &config.log.level)?;
    let system = server::system(&config)?;
    let state = StateDir::open(&config.state.dir).map_err(ServeError::from)?;
    let path = common.config.clone();
    let read = move || match Config::load(Some(&path), process_environment()) {
        Ok(loaded) => Ok(loaded.config),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    };
    let reload = Reload { read: Box::new(read), set_log_level: Box::new(set_log_level) };
    system.block_on(server::run(config, state, Some(reload), greet))?;
    Ok(())
}

fn rotate_master(new_file: &Path, common: &Common) -> anyhow::Result<()> {
    let config = common.load()?.config;
    let state = StateDir::open(&config.state.dir)?;
    let count = actix_web::rt::System::new().block_on(App::reseal(&config, &state, new_file))?;
    let (new, old) = (new_file.display(), config.state.master_key_file.display());
    let text = format!(
        "{count} keys are sealed anew. {new} is the master key now: put it in the old one's place before the server starts, \
         and keep a copy of it apart from your backups. Keep the old one, {old}, as long as backups of before."
    );
    let body =
        json!({ "sealedKeys": count, "newMasterKeyFile": new_file, "oldMasterKeyFile": config.state.master_key_file });
    Output::new(common.output.json).print(&body, &text)
}

/// Tells a person where to go. Whoever reads the log finds it there.
fn greet(ready: server::Ready) {
    if !std::io::stdout().is_terminal() {
        return;
    }
    let asks =
        if ready.ca_certificate.is_some() { " Its certificate is self-made: your browser will ask once." } else { "" };
    let url = ready.base_url;
    // A terminal that is gone is no reason not to serve.
    let _ = line(&format!("\nScreener serves {url}. The dashboard: {url}/dashboard{asks}\n"));
}

fn check_config(args: &CheckArgs) -> anyhow::Result<()> {
    if args.example {
        return line(crate::config::render_example().trim_end());
    }
    let json = args.common.output.json;
    let (loaded, mut problems) = match Config::load(Some(&args.common.config), process_environment()) {
        Ok(loaded) => (Some(loaded), Vec::new()),
        Err(problems) => (None, problems),
    };
    if let Some(loaded) = &loaded {
        problems = loaded.check_environment();
        if args.print && !json {
            line(loaded.print().trim_end())?;
        }
    }
    let mut body = json!({ "ok": problems.is_empty(), "problems": problems.iter().map(|problem| json!({
        "key": problem.key, "value": problem.value, "source": problem.source.to_string(), "message": problem.message
    })).collect::<Vec<_>>() });
    if let (Some(loaded), true, Some(members)) = (&loaded, args.print, body.as_object_mut()) {
        members.insert("values".into(), loaded.print().into());
    }
    if problems.is_empty() {
        let is_read_only = loaded.is_some_and(|loaded| loaded.config.is_state_read_only());
        let but = if is_read_only { " But state.dir is mounted read-only: no change can be made there." } else { "" };
        return Output::new(json).print(&body, &format!("{} is right.{but}", args.common.config.display()));
    }
    if json {
        line(&body.to_string())?;
    }
    Err(Misconfigured(problems).into())
}

fn verify(common: &Common) -> anyhow::Result<()> {
    let config = common.load()?.config;
    let mut report = verify_store(&config.state.dir).context("the store can't be checked")?;
    let server = common.connect()?;
    if server.is_answered() {
        // What it holds for damaged and is whole again is looked at with any request.
        let chunks = report.damaged.chunks(limits::CHECKED_FILES).map(<[_]>::to_vec);
        for files in chunks.chain(report.damaged.is_empty().then(Vec::new)) {
            let told = server.post_patiently("/appliance/v1/media/check", &json!({ "files": files }));
            report.problems.extend(told.err().map(|error| format!("the running server did not take this in: {error}")));
        }
    }
    output::print_verified(&report, common.output.json)
}
