//! `screener backup`: made by the running server, checked and restored on files.

use super::output::{Output, lacking, print_verified};
use super::{Common, JsonArgs};
use crate::app::{Clock, SystemClock};
use crate::store::{KnownState, MissingMedia, restore_backup, verify_backup};
use anyhow::{Context, anyhow};
use clap::Subcommand;
use serde_json::json;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(super) enum BackupVerb {
    /// Back a running server up into a new directory; media are linked where the file system allows
    Create {
        /// A directory that does not exist yet
        directory: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Check a backup: journal, audit chain, every media file
    Verify {
        /// The backup
        directory: PathBuf,
        #[command(flatten)]
        output: JsonArgs,
    },
    /// Restore a backup into an empty directory, keeping every revocation that the present state directory knows
    Restore {
        /// The backup
        directory: PathBuf,
        /// The directory to restore into, missing or empty; name it as state.dir afterwards
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
        /// Leave out media files that are damaged in the backup, and name them
        #[arg(long)]
        without_damaged: bool,
        #[command(flatten)]
        common: Common,
    },
}

impl BackupVerb {
    pub(super) fn json(&self) -> bool {
        match self {
            Self::Create { common, .. } | Self::Restore { common, .. } => common.output.json,
            Self::Verify { output, .. } => output.json,
        }
    }
}

pub(super) fn run(verb: BackupVerb) -> anyhow::Result<()> {
    match verb {
        BackupVerb::Create { directory, common } => {
            let directory = std::path::absolute(&directory)?;
            // The server is told by JSON, which has no other bytes.
            let Some(name) = directory.to_str() else {
                return Err(anyhow!("{} is not UTF-8; name another directory", directory.display()));
            };
            let report = common.connect()?.post_patiently("/appliance/v1/backup", &json!({ "directory": name }))?;
            let missing = report.get("missingMedia").cloned().unwrap_or_else(|| json!([]));
            let missing: Vec<MissingMedia> = serde_json::from_value(missing)?;
            let text = format!(
                "Backed up to {}. The master key is not in it: keep a copy of it elsewhere.",
                directory.display()
            );
            Output::new(common.output.json).print(&report, &text)?;
            // It is kept all the same; whoever made it must hear of it, also from a timer.
            lacking(&missing).map_or(Ok(()), |sentence| Err(anyhow!(sentence)))
        }
        BackupVerb::Verify { directory, output } => print_verified(&verify_backup(&directory)?, output.json),
        BackupVerb::Restore { directory, into, without_damaged, common } => {
            let known = common.load()?.config.state.dir;
            let report = restore_backup(&directory, &into, Some(&known), without_damaged, SystemClock.now())
                .with_context(|| format!("{} was not restored", directory.display()))?;
            let text = format!(
                "Restored {} as of change {} into {}: {} media files; {} revocations newer than the backup kept, \
                 {} newer keys kept, {} videos kept private, {} embeds kept deleted, token access kept off for {} \
                 organizations, new videos kept private for {}. {}{}Name it as state.dir and start the server.",
                directory.display(),
                report.seq,
                into.display(),
                report.media_files,
                report.revocations_kept,
                report.keys_kept,
                report.kept_private,
                report.embeds_kept_deleted,
                report.token_access_kept_off,
                report.default_kept_private,
                report
                    .videos_back
                    .map(|count| format!("{count} videos that were deleted since are there again, private. "))
                    .unwrap_or_default(),
                match (report.back_private, report.videos_back) {
                    (0, _) => String::new(),
                    (count, Some(_)) => format!("{count} of them were public in the backup. "),
                    (count, None) => format!(
                        "{count} videos that were public in the backup, and may have been deleted since, are private. "
                    ),
                },
            );
            let text = match report.known_state {
                KnownState::Whole => text,
                KnownState::Partial => format!(
                    "{text}\nWhat the journal in {} says was taken over, and may not be all that was done since the backup \
                     ({}): revocations that it lacks are not known. Revoke them again.",
                    known.display(),
                    report.known_doubt.as_deref().unwrap_or_default()
                ),
                KnownState::Absent => format!(
                    "{text}\nThere is no journal in {}: revocations made after the backup are not known. Revoke them again.",
                    known.display()
                ),
            };
            let text = match lacking(&report.missing_media) {
                Some(sentence) => format!("{text}\n{sentence}"),
                None => text,
            };
            Output::new(common.output.json).print(&json!(report), &text)
        }
    }
}
