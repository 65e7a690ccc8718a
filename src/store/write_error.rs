//! Why a change of the catalog was not made.

use super::index::IndexError;
use crate::domain::limits;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk did not take it; nothing changed.
    #[error("the change was not written: {0}")]
    NotWritten(String),
    /// The disk failed in a way that leaves unknown what it holds. No more changes until the next start.
    #[error("the journal can no longer be trusted to be written; restart the server when the disk is sound")]
    Poisoned,
    /// The change says more than one commit may.
    #[error("the change is over the limit of {ops} operations or {bytes} bytes", ops = limits::COMMIT_OPERATIONS, bytes = limits::COMMIT_BYTES)]
    TooLarge,
    /// Too many changes are waiting.
    #[error("too many changes are waiting for the disk")]
    Busy,
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A record could not be turned into JSON.
    #[error("a record does not read: {0}")]
    Record(#[from] serde_json::Error),
}
