//! Why a change of the catalog was not made.

use super::index::IndexError;
use crate::domain::limits;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk did not take it; nothing changed, nor will.
    #[error("the change was not written: {0}")]
    NotWritten(String),
    /// The disk is full, or so nearly that only what revokes or removes is taken; nothing changed, nor will.
    #[error("there is no room on the disk for the change")]
    NoSpace,
    /// The disk failed in a way that leaves unknown what it holds. Memory does not have the change; a restart may.
    #[error("the disk failed while the change was written: whether it was made shows when the journal is mended")]
    Unknown,
    /// No more changes are taken: the server is stopping.
    #[error("the catalog is closed")]
    Closed,
    /// The change says more than one commit may.
    #[error("the change is over the limit of {ops} operations or {bytes} bytes", ops = limits::COMMIT_OPERATIONS, bytes = limits::COMMIT_BYTES)]
    TooLarge,
    /// Too many changes are waiting.
    #[error("too many changes are waiting for the disk")]
    Busy,
    /// Whoever asked for the change was shut out meanwhile.
    #[error("the private key was revoked, or its sign-in ended, before the change was made")]
    Revoked,
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A record could not be turned into JSON.
    #[error("a record does not read: {0}")]
    Record(#[from] serde_json::Error),
}
