//! Running ffmpeg: a child that steps back behind others, tells how far it is, says little, and ends when it is told
//! to or falls silent. The only place that starts a process.

use crate::domain::NOT_STARTED_CODE;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often it is asked whether to go on.
const STEP: Duration = Duration::from_millis(100);
/// Bytes of standard error that are kept, the last ones.
const SAID_BYTES: usize = 4 << 10;
/// Characters of it that a sentence quotes.
const QUOTED_CHARS: usize = 300;
/// Longest line of progress that is read, in bytes; ffmpeg's have under 40.
const LINE_BYTES: usize = 256;

/// What to run and when to give up.
pub(super) struct Run<'a> {
    pub(super) program: &'a Path,
    pub(super) arguments: Vec<OsString>,
    pub(super) directory: &'a Path,
    pub(super) nice: i32,
    /// Longest time without progress.
    pub(super) stall: Duration,
    /// Longest time in all.
    pub(super) limit: Duration,
    /// What is said instead of what: paths that nobody outside is to read.
    pub(super) hidden: Vec<(String, &'static str)>,
}

/// How far it is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Told {
    /// How much of the film is done, in microseconds.
    done_us: u64,
    frames: u64,
    written_bytes: u64,
}

/// Why it did not end well.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// It could not be started: it is being replaced, or the system has no room for another process.
    NotStarted(String),
    /// The sentence is for the operator.
    Failed(String),
}

impl Run<'_> {
    /// Runs it to its end; the thread waits. `go_on` hears how much of the film is done, in microseconds.
    pub(super) fn wait(self, go_on: &mut dyn FnMut(u64) -> bool) -> Result<(), Ended> {
        let mut child =
            self.start().map_err(|error| Ended::NotStarted(format!("ffmpeg could not be started: {error}")))?;
        let (sender, told) = mpsc::sync_channel(16);
        let said = Arc::new(Mutex::new(Vec::new()));
        let silent = listen(&mut child, &sender, &said).map_err(|error| {
            end(&mut child);
            Ended::NotStarted(format!("ffmpeg could not be listened to: {error}"))
        })?;
        let began = Instant::now();
        let (mut last, mut moved) = (Told::default(), began);
        let ended = loop {
            if let Ok(told) = told.recv_timeout(STEP)
                && told != last
            {
                (last, moved) = (told, Instant::now());
            }
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) => {}
                Err(error) => break Err(Ended::Failed(format!("ffmpeg was lost: {error}"))),
            }
            if !go_on(last.done_us) {
                break Err(Ended::Stopped);
            }
            if moved.elapsed() > self.stall {
                break Err(Ended::Failed(format!(
                    "ffmpeg made no progress for {} s and was ended",
                    self.stall.as_secs()
                )));
            }
            if began.elapsed() > self.limit {
                break Err(Ended::Failed(format!(
                    "ffmpeg was not done after {} s and was ended",
                    self.limit.as_secs()
                )));
            }
        };
        // Also when it has ended: a script may have left something behind.
        end(&mut child);
        let status = ended?;
        if status.success() {
            return Ok(());
        }
        // What it said last may still be on its way; whoever holds the pipe beyond that is not waited for.
        if let Some(silent) = silent {
            let until = Instant::now() + Duration::from_secs(1);
            while !silent.is_finished() && Instant::now() < until {
                let _ = told.recv_timeout(STEP);
            }
        }
        let said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let sentence = sentence(status, &said, &self.hidden);
        Err(if status.code() == Some(NOT_STARTED_CODE) { Ended::NotStarted(sentence) } else { Ended::Failed(sentence) })
    }

    /// Through this very program, which steps back, ties itself to us and then becomes ffmpeg: what a killed server
    /// was running ends with it.
    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new("/proc/self/exe");
        command.args([
            "run-child",
            "--nice",
            &self.nice.to_string(),
            "--parent",
            &std::process::id().to_string(),
            "--",
        ]);
        command.arg(self.program).args(&self.arguments);
        command.current_dir(self.directory).env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).spawn()
    }
}

/// Has threads read what it tells and what it says; the second one, which ends when it says no more.
fn listen(
    child: &mut Child,
    sender: &SyncSender<Told>,
    said: &Arc<Mutex<Vec<u8>>>,
) -> io::Result<Option<JoinHandle<()>>> {
    if let Some(output) = child.stdout.take() {
        let sender = sender.clone();
        thread::Builder::new().spawn(move || read_progress(output, &sender))?;
    }
    let Some(errors) = child.stderr.take() else { return Ok(None) };
    let said = Arc::clone(said);
    thread::Builder::new().spawn(move || keep_last(errors, &said)).map(Some)
}

/// Ends it, with whatever it has started, and waits for that.
fn end(child: &mut Child) {
    kill_group(child);
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads the `name=value` lines of `-progress`, and tells each report.
fn read_progress(mut output: impl Read, sender: &SyncSender<Told>) {
    let (mut told, mut line, mut step) = (Told::default(), Vec::new(), [0; 1024]);
    while let Ok(count @ 1..) = output.read(&mut step) {
        for byte in step.iter().take(count) {
            if *byte != b'\n' {
                // What is too long for a line of progress is none.
                line.truncate(LINE_BYTES);
                line.push(*byte);
                continue;
            }
            let text = String::from_utf8_lossy(&line);
            if let Some((name, value)) = text.trim().split_once('=') {
                let number = value.parse().ok();
                match name {
                    "out_time_us" => told.done_us = number.unwrap_or(told.done_us),
                    "frame" => told.frames = number.unwrap_or(told.frames),
                    "total_size" => told.written_bytes = number.unwrap_or(told.written_bytes),
                    "progress" => drop(sender.send(told)),
                    _ => {}
                }
            }
            line.clear();
        }
    }
}

/// Keeps the last [`SAID_BYTES`] of what is said.
fn keep_last(mut errors: impl Read, said: &Mutex<Vec<u8>>) {
    let mut step = [0; 1024];
    while let Ok(count @ 1..) = errors.read(&mut step) {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend(step.iter().take(count));
        let excess = said.len().saturating_sub(SAID_BYTES);
        said.drain(..excess);
    }
}

fn kill_group(child: &Child) {
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        // There may be nobody left in it.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// How it ended and what it said last, on one line.
fn sentence(status: ExitStatus, said: &[u8], hidden: &[(String, &str)]) -> String {
    let how = match status.code() {
        Some(NOT_STARTED_CODE) => "ffmpeg could not be started".to_owned(),
        Some(code) => format!("ffmpeg ended with exit code {code}"),
        None => "ffmpeg was killed, perhaps for lack of memory".to_owned(),
    };
    // Before it is cut: half a path could not be found.
    let text = hidden.iter().fold(String::from_utf8_lossy(said).into_owned(), |text, (path, instead)| {
        if path.is_empty() { text } else { text.replace(path, instead) }
    });
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let text = words.join(" ");
    let skipped = text.chars().count().saturating_sub(QUOTED_CHARS);
    let last: String = text.chars().skip(skipped).collect();
    if last.is_empty() { how } else { format!("{how}: {last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_line_by_line_and_nonsense_is_not_kept() {
        let text = format!(
            "frame=10\nout_time_us=N/A\nprogress=continue\n{}\nout_time_us=1500000\ntotal_size=99\nprogress=end\n",
            "x".repeat(1 << 20)
        );
        let (sender, receiver) = mpsc::sync_channel(8);
        read_progress(text.as_bytes(), &sender);
        drop(sender);
        let told: Vec<(u64, u64, u64)> =
            receiver.iter().map(|told| (told.done_us, told.frames, told.written_bytes)).collect();
        assert_eq!(told, [(0, 10, 0), (1_500_000, 10, 99)]);
    }

    #[test]
    fn of_what_is_said_the_last_is_kept_and_told_on_one_line() {
        let said = Mutex::new(Vec::new());
        keep_last(format!("{}\n\u{1b}[31mNo\nroom", "y".repeat(1 << 20)).as_bytes(), &said);
        let said = said.into_inner().unwrap();
        assert_eq!(said.len(), SAID_BYTES);
        let failed = std::os::unix::process::ExitStatusExt::from_raw(1 << 8);
        let told = sentence(failed, &said, &[]);
        assert!(told.starts_with("ffmpeg ended with exit code 1: y") && told.ends_with("y [31mNo room"), "{told}");
        assert!(told.len() < 340);
        assert_eq!(
            sentence(std::os::unix::process::ExitStatusExt::from_raw(9), b"", &[]),
            "ffmpeg was killed, perhaps for lack of memory"
        );
        let not_started = std::os::unix::process::ExitStatusExt::from_raw(NOT_STARTED_CODE << 8);
        assert_eq!(sentence(not_started, b"no libx264", &[]), "ffmpeg could not be started: no libx264");
    }

    #[test]
    fn paths_are_hidden_before_the_words_are_cut() {
        let path = format!("/srv/{}/media/1", "long/".repeat(60));
        let said = format!("file:{path}: Invalid data");
        let failed = std::os::unix::process::ExitStatusExt::from_raw(1 << 8);
        let hidden = [(format!("file:{path}"), "the source")];
        assert_eq!(
            sentence(failed, said.as_bytes(), &hidden),
            "ffmpeg ended with exit code 1: the source: Invalid data"
        );
    }
}
