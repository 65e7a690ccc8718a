//! `screener init`: everything a first start needs, made once.

use super::Common;
use super::exit::Misconfigured;
use super::output::Output;
use crate::app::{App, Entropy, SystemClock, SystemEntropy, new_organization};
use crate::domain::{Actor, is_name, limits};
use crate::store::{StateDir, write_master_key};
use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};
use std::path::Path;

#[derive(Args)]
pub(super) struct InitArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// What people call the organization
    #[arg(long, default_value = "My organization", value_parser = name)]
    name: String,
}

/// The same as the API takes.
fn name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let wrong = || format!("must be 1 to {} characters, none of them control characters", limits::NAME_CHARS);
    if is_name(name) { Ok(name.to_owned()) } else { Err(wrong()) }
}

pub(super) fn run(args: &InitArgs) -> anyhow::Result<()> {
    let loaded = args.common.load()?;
    let problems = loaded.check_before_init();
    if !problems.is_empty() {
        return Err(Misconfigured(problems).into());
    }
    let config = loaded.config;
    let name = args.name.clone();
    let made = actix_web::rt::System::new().block_on(async move {
        let state = create_state(&config.state.dir, &config.state.master_key_file)?;
        let app = App::start(config, state, Box::new(SystemClock), Box::new(SystemEntropy)).await?;
        let keys = new_organization(&app, Actor::Appliance, name).await?;
        app.state().finish()?;
        app.store.close();
        Ok::<_, anyhow::Error>(json!({
            "organizationId": keys.organization.id.to_string(),
            "name": keys.organization.name,
            "privateKey": keys.private_key.expose(),
            "publishableKey": keys.publishable_key.expose(),
            "stateDir": app.state().path(),
            "masterKeyFile": app.config.state.master_key_file,
            "dashboardUrl": app.url("/dashboard")
        }))
    })?;
    print_first_keys(&made, args.common.output.json)
}

/// A new state directory, to be finished, and a master key. Neither may exist: `init` never runs twice, unless the first
/// was interrupted.
pub(super) fn create_state(directory: &Path, master_key: &Path) -> anyhow::Result<StateDir> {
    let has_key = master_key.exists();
    if has_key && !StateDir::is_unfinished(directory) {
        return Err(anyhow!(
            "{} exists already: this was initialised before. Start with `screener serve`, and make keys with \
             `screener organization create` if the first ones were never seen; to begin anew, name another state.dir",
            master_key.display()
        ));
    }
    let state = StateDir::create(directory)?;
    if !has_key {
        let entropy: &dyn Entropy = &SystemEntropy;
        write_master_key(master_key, &entropy.random())?;
    }
    Ok(state)
}

/// Prints an organization's first keys.
pub(super) fn print_first_keys(made: &Value, json: bool) -> anyhow::Result<()> {
    let text = |name| made.get(name).and_then(Value::as_str).unwrap_or("-");
    let mut lines = format!(
        "Organization {} ({})\n\n  private key      {}\n  publishable key  {}\n\n\
         The private key is shown this once: keep it on your server. The publishable key may stand in web pages.",
        text("name"),
        text("organizationId"),
        text("privateKey"),
        text("publishableKey"),
    );
    if let Some(file) = made.get("masterKeyFile").and_then(Value::as_str) {
        lines.push_str(&format!("\nKeep a copy of the master key apart from your backups: {file}"));
    }
    if let Some(url) = made.get("dashboardUrl").and_then(Value::as_str) {
        lines.push_str(&format!(
            "\n\nNext: start the server with `screener serve`, and sign in at {url} with the private key."
        ));
    }
    Output::new(json).print(made, &lines)
}
