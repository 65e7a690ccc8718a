//! `screener token`: minting viewer tokens from a shell, and asking a server what it makes of one.

use super::Common;
use super::JsonArgs;
use super::output::Output;
use crate::app::{Clock, SystemClock};
use crate::auth::{Secret, mint_token};
use crate::domain::{SigningKeyId, VideoId};
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Read;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(super) enum TokenVerb {
    /// Sign a viewer token, as a backend would
    Mint(MintArgs),
    /// Say what a running server makes of a token, check by check
    Explain(ExplainArgs),
}

#[derive(Args)]
pub(super) struct MintArgs {
    /// The video's id
    #[arg(long, value_parser = video_id)]
    video: VideoId,
    /// The signing key's id
    #[arg(long, value_parser = signing_key_id)]
    key_id: SigningKeyId,
    /// A file with the signing key's secret (mvi_sign_…), or - for standard input
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// How long it is good, such as 90s, 5m or 1h
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = seconds)]
    expires_in: i64,
    #[command(flatten)]
    output: JsonArgs,
}

#[derive(Args)]
pub(super) struct ExplainArgs {
    /// The embed's id
    #[arg(long)]
    embed: String,
    /// The page's origin, such as https://acme.com
    #[arg(long)]
    origin: Option<String>,
    /// A file with the token, or - for standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    token_file: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl TokenVerb {
    pub(super) fn json(&self) -> bool {
        match self {
            Self::Mint(args) => args.output.json,
            Self::Explain(args) => args.common.output.json,
        }
    }
}

pub(super) fn run(verb: TokenVerb) -> anyhow::Result<()> {
    match verb {
        TokenVerb::Mint(args) => mint(&args),
        TokenVerb::Explain(args) => explain(&args),
    }
}

fn mint(args: &MintArgs) -> anyhow::Result<()> {
    let secret = Secret::new(read_text(&args.secret_file)?);
    if !secret.expose().starts_with("mvi_sign_") {
        return Err(anyhow!("{} does not hold a signing key's secret (mvi_sign_…)", args.secret_file.display()));
    }
    let issued_at = SystemClock.now().secs();
    let token = mint_token(args.key_id, secret.expose().as_bytes(), args.video, issued_at, args.expires_in)
        .ok_or_else(|| anyhow!("the token could not be signed"))?;
    let body = json!({ "token": token, "expiresAt": issued_at.saturating_add(args.expires_in) });
    Output::new(args.output.json).print(&body, &token)
}

fn explain(args: &ExplainArgs) -> anyhow::Result<()> {
    let token = read_text(&args.token_file)?;
    let body = json!({ "embedId": args.embed, "token": token, "origin": args.origin });
    let body: Value = body
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let explained = args.common.connect()?.post("/appliance/v1/explain", &body)?;
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let checks = explained.get("checks").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut lines = vec![format!("{} {}", text(&explained, "outcome"), text(&explained, "code"))];
    lines.extend(
        checks.iter().map(|check| {
            format!("  {:4}  {:20} {}", text(check, "result"), text(check, "check"), text(check, "detail"))
        }),
    );
    Output::new(args.common.output.json).print(&explained, &lines.join("\n"))
}

/// The first line of a file or of standard input.
fn read_text(path: &std::path::Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if path == std::path::Path::new("-") {
        std::io::stdin().take(1 << 20).read_to_string(&mut text)?;
    } else {
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        file.take(1 << 20).read_to_string(&mut text).with_context(|| path.display().to_string())?;
    }
    Ok(text.trim().to_owned())
}

fn video_id(text: &str) -> Result<VideoId, String> {
    VideoId::parse(text).ok_or_else(|| "this is not a video's id".to_owned())
}

fn signing_key_id(text: &str) -> Result<SigningKeyId, String> {
    SigningKeyId::parse(text).ok_or_else(|| "this is not a signing key's id".to_owned())
}

fn seconds(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is not a time such as 90s, 5m or 1h");
    let (digits, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(digits) => (digits, text.chars().last()),
        None => (text, None),
    };
    let number: i64 = digits.parse().map_err(|_| wrong())?;
    let factor = match unit {
        Some('m') => 60,
        Some('h') => 3600,
        _ => 1,
    };
    number.checked_mul(factor).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}
