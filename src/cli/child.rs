//! `run-child`, which the server runs itself by: steps back, ties its life to the server's, and becomes another program.

use crate::domain::NOT_STARTED_CODE;
use anyhow::{Context, bail};
use clap::Args;
use rustix::process::{Pid, Signal, getppid, nice, set_parent_process_death_signal};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What to become.
#[derive(Args)]
pub struct ChildArgs {
    /// Steps of nice(1)
    #[arg(long)]
    nice: i32,
    /// The process whose end ends this one
    #[arg(long)]
    parent: i32,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    program: Vec<OsString>,
}

/// Returns only if it failed. A program that can't be started ends this one with [`NOT_STARTED_CODE`] and without a
/// word: words would name paths of this machine.
pub fn run(args: &ChildArgs) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("the server's end can't be noticed")?;
    // It may have ended before that.
    if getppid() != Pid::from_raw(args.parent) {
        bail!("the server has ended");
    }
    // A sandbox may forbid it; then it runs as it is.
    let _ = nice(args.nice);
    let (program, arguments) = args.program.split_first().context("no program was named")?;
    let _ = Command::new(program).args(arguments).exec();
    std::process::exit(NOT_STARTED_CODE)
}
