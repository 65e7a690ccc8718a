//! Exit codes beyond 1, so that whoever starts the server again and again can tell what that is good for.

use crate::app::StartError;
use crate::config::Problem;
use crate::server::ServeError;
use crate::store::StateDirError;
use std::fmt;
use std::process::ExitCode;

/// What is configured is wrong, and stays wrong however often it is tried: `EX_CONFIG` of sysexits.h.
const CONFIGURATION: u8 = 78;
/// The state directory can't be used now; it may be, later: `EX_CANTCREAT` of sysexits.h.
const STATE: u8 = 73;

/// All that is wrong with a configuration.
#[derive(Debug)]
pub(super) struct Misconfigured(pub Vec<Problem>);

impl fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not right:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl std::error::Error for Misconfigured {}

/// The code for a command that failed.
pub(super) fn code(error: &anyhow::Error) -> ExitCode {
    if error.is::<Misconfigured>() {
        return ExitCode::from(CONFIGURATION);
    }
    match error.downcast_ref::<ServeError>() {
        Some(ServeError::Tls(_) | ServeError::Inherited(_) | ServeError::Descriptors { .. }) => {
            ExitCode::from(CONFIGURATION)
        }
        Some(ServeError::Start(StartError::WrongMasterKey(..) | StartError::PublicUrl)) => {
            ExitCode::from(CONFIGURATION)
        }
        Some(ServeError::Start(StartError::StateDir(error))) => match error {
            StateDirError::InUse(_) | StateDirError::Io { .. } => ExitCode::from(STATE),
            StateDirError::Missing(_)
            | StateDirError::Exists(_)
            | StateDirError::Unfinished(_)
            | StateDirError::NoFormat(_)
            | StateDirError::Format { .. }
            | StateDirError::OtherMount { .. }
            | StateDirError::TooOpen { .. }
            | StateDirError::MasterKey(_)
            | StateDirError::NoMasterKey(_) => ExitCode::from(CONFIGURATION),
        },
        _ => ExitCode::FAILURE,
    }
}
