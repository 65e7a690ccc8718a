//! Printing: results to standard output, errors and the log to standard error.

use crate::config::LogFormat;
use crate::domain::limits;
use crate::store::{MissingMedia, VerifyReport};
use anyhow::anyhow;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, reload};

/// The target of actix-http's own lines.
const ACTIX_HTTP: &str = "actix_http";

/// How results are printed.
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints `body` as one line of JSON, or `text` for people.
    pub(super) fn print(&self, body: &Value, text: &str) -> anyhow::Result<()> {
        if self.json { line(&body.to_string()) } else { line(text) }
    }
}

/// Prints a line; a reader that went away is an error, not a panic.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Prints why the command failed.
pub(super) fn failure(error: &anyhow::Error, as_json: bool) {
    let text =
        if as_json { json!({ "error": format!("{error:#}") }).to_string() } else { format!("screener: {error:#}") };
    // Nothing is left to do for a standard error that is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

/// A list as columns.
pub(super) fn table(body: &Value, list: &str, columns: &[&str]) -> String {
    let cell = |item: &Value, column: &str| match item.get(column) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    let rows = body.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut lines = vec![columns.join("\t")];
    lines
        .extend(rows.iter().map(|item| columns.iter().map(|column| cell(item, column)).collect::<Vec<_>>().join("\t")));
    lines.join("\n")
}

/// What is said of media files that a backup lacks.
pub(super) fn lacking(missing: &[MissingMedia]) -> Option<String> {
    let videos: BTreeSet<_> = missing.iter().map(|missing| missing.video).collect();
    let named: Vec<String> = videos.iter().take(limits::DAMAGED_LISTED).map(ToString::to_string).collect();
    let rest = videos.len().saturating_sub(named.len());
    let rest = if rest > 0 { format!(" and of {rest} more") } else { String::new() };
    (!missing.is_empty()).then(|| {
        format!(
            "WARNING: {} media files were gone or unreadable when the backup was made, and are not in it. They are of \
             these videos: {}{rest}. Look for the files in older backups, or upload the sources again.",
            missing.len(),
            named.join(", ")
        )
    })
}

/// Prints what a check found; problems make the command fail.
pub(super) fn print_verified(report: &VerifyReport, as_json: bool) -> anyhow::Result<()> {
    let body = json!({
        "seq": report.seq, "unfinishedBytes": report.unfinished_bytes, "records": report.records,
        "auditEntries": report.audit_entries, "mediaFiles": report.media_files, "missingMedia": report.missing,
        "problems": report.problems
    });
    let text = format!(
        "{} records as of change {}, {} audit entries in an unbroken chain, {} media files with the right hash.",
        report.records, report.seq, report.audit_entries, report.media_files
    );
    let lacking = lacking(&report.missing).map(|lacking| format!("\n{lacking}")).unwrap_or_default();
    Output::new(as_json).print(&body, &format!("{text}{lacking}"))?;
    if report.problems.is_empty() { Ok(()) } else { Err(anyhow!("{}", report.problems.join("\n"))) }
}

/// Starts the log, which goes to standard error; answers what changes its level, and what writes out the rest of it when it
/// is dropped. A panic becomes a line of it that says where; what the panic says is left out, for it may quote what
/// somebody sent.
///
/// Nobody waits for whoever reads it: a thread of its own writes it, and what is too much for it is counted and told.
pub(super) fn start_logging(format: LogFormat, level: &str) -> anyhow::Result<(impl Fn(&str) + use<>, WorkerGuard)> {
    let (targets, handle) = reload::Layer::new(targets_of(level)?);
    let lost = Arc::new(OnceLock::new());
    let (writer, rest) = NonBlockingBuilder::default()
        .buffered_lines_limit(limits::LOG_LINES)
        .thread_name("log")
        .finish(LogWriter { lost: Arc::clone(&lost), told: 0 });
    lost.get_or_init(|| writer.error_counter());
    let layer = fmt::layer().with_writer(writer);
    let layer = match format {
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        LogFormat::Text => layer.with_ansi(false).with_target(false).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(targets)).try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        let (thread, place) = (std::thread::current(), panic.location().map(ToString::to_string));
        tracing::error!("thread '{}' panicked at {}", thread.name().unwrap_or("unnamed"), place.unwrap_or_default());
    }));
    let set_level = move |level: &str| {
        let changed = targets_of(level).map_err(anyhow::Error::from).and_then(|targets| Ok(handle.reload(targets)?));
        if let Err(error) = changed {
            tracing::error!(%error, level, "the log level was not changed");
        }
    };
    Ok((set_level, rest))
}

/// What is logged. actix-http calls an error what any stranger sends, without saying who; our own line says it.
fn targets_of(level: &str) -> Result<Targets, ParseError> {
    let targets = level.parse::<Targets>()?;
    Ok(if level.contains(ACTIX_HTTP) { targets } else { targets.with_target(ACTIX_HTTP, LevelFilter::OFF) })
}

/// Standard error as the log's thread sees it.
struct LogWriter {
    /// How many lines it was too slow for.
    lost: Arc<OnceLock<ErrorCounter>>,
    /// How many of them were told.
    told: usize,
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write(bytes)
    }

    /// When all that waited was written: there is room for a line.
    fn flush(&mut self) -> io::Result<()> {
        let lost = self.lost.get().map_or(0, ErrorCounter::dropped_lines);
        if lost > self.told {
            tracing::warn!(lines = lost - self.told, "lines of the log were lost: whoever reads it was too slow");
            self.told = lost;
        }
        Ok(())
    }
}
