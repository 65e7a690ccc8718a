//! A journal written to from outside, checksums right: the cheap way to a large one, or to one of another version.

use serde_json::{Value, json};
use std::path::Path;

/// What a journal holds, to be added to.
pub struct Forged {
    bytes: Vec<u8>,
    seq: u64,
    at: Value,
    ops: Vec<Value>,
}

impl Forged {
    /// What a journal holds now.
    pub fn on(journal: &Path) -> Self {
        let bytes = std::fs::read(journal).unwrap();
        let starts = frames(&bytes);
        let commits: Vec<Value> =
            starts.windows(2).map(|frame| serde_json::from_slice(&bytes[frame[0] + 8..frame[1]]).unwrap()).collect();
        let (seq, at) = (commits.last().unwrap()["seq"].as_u64().unwrap(), commits[0]["at"].clone());
        let ops = commits.iter().flat_map(|commit| commit["ops"].as_array().unwrap()).cloned().collect();
        Self { bytes, seq, at, ops }
    }

    /// Every operation that was in it.
    pub fn ops(&self) -> &[Value] {
        &self.ops
    }

    /// How long it is, in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a commit.
    pub fn commit(&mut self, ops: &[Value]) {
        self.seq += 1;
        let commit = json!({ "seq": self.seq, "durable": self.bytes.len(), "at": self.at, "ops": ops });
        let text = commit.to_string();
        self.bytes.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        self.bytes.extend(crc32c::crc32c(text.as_bytes()).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    /// Puts it in the place of the journal.
    pub fn write(self, journal: &Path) {
        std::fs::write(journal, self.bytes).unwrap();
    }
}

/// Where each record of a journal begins, and where the last one ends.
pub fn frames(journal: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    while let Some(head) = journal[starts[starts.len() - 1]..].first_chunk::<4>() {
        starts.push(starts[starts.len() - 1] + 8 + u32::from_le_bytes(*head) as usize);
    }
    starts
}
