//! Everything at rest: the catalog (a fsynced journal, sled as its index, a write-through copy in memory of what
//! decides access) and the media directory.
//!
//! The journal is the promise: a change is answered after its record is on disk. Knows nothing of HTTP or tokens, and
//! never opens a secret.

mod access;
mod appending;
mod audit_chain;
mod backup;
mod catalog;
mod damage;
mod disk;
mod draft;
mod filling;
mod guarded;
mod index;
mod journal;
mod known_synced;
mod lists;
mod media_dir;
mod op;
mod opening;
mod remedy;
mod rows;
mod small_file;
mod state_dir;
mod tending;
mod upload_dir;
mod verify;
mod write_error;
mod writer;

pub use access::{Access, MediaFacts, Tally, Unmade, Usage, VideoAccess};
pub use appending::{Appended, Appending, Checksum, RunningHash};
pub use backup::{BackupError, BackupReport, KnownState, create_backup, restore_backup, verify_backup};
pub use catalog::{Catalog, Cursor, Page, StoreHealth};
pub use damage::{Damage, Trace, Unavailable};
pub use disk::{Disk, Fullness, Room, Watermarks};
pub use draft::Draft;
pub use index::IndexError;
pub use journal::{JournalError, compact_journal};
pub use media_dir::{Incoming, MediaDir, MediaError, Received, StoredMedia, WorkDir};
pub use remedy::with_remedy;
pub use small_file::{read_small, replace_small};
pub use state_dir::{StateDir, StateDirError, read_master_key, write_master_key};
pub use upload_dir::{UploadDir, UploadProgress};
pub use verify::{MissingMedia, VerifyReport, verify_store};
pub use write_error::WriteError;
