//! How an organization's audit entries hang together: each carries the hash of the one before it.

use crate::domain::{AuditEntry, AuditEvent, AuditId, Timestamp, hex};
use sha2::{Digest, Sha256};

/// The entry that follows `head` in its organization's log.
pub(super) fn chained(event: AuditEvent, head: &(u64, String), now: Timestamp) -> AuditEntry {
    let AuditEvent { mandate, organization, action, subject, detail } = event;
    let number = head.0 + 1;
    let name = Sha256::digest(format!("screener audit {organization} {number}"));
    let mut entry = AuditEntry {
        id: AuditId::from_random(*name.first_chunk::<16>().unwrap_or(&[0; 16])),
        organization,
        number,
        at: now,
        actor: mandate.actor(),
        action: action.to_owned(),
        subject,
        detail,
        previous: head.1.clone(),
        hash: String::new(),
    };
    entry.hash = audit_hash(&entry);
    entry
}

/// The hash that an audit entry must carry.
pub(super) fn audit_hash(entry: &AuditEntry) -> String {
    hex(&Sha256::digest(format!("{}\n{}", entry.previous, entry.hashed_text())))
}
