//! Reading every media file again, slowly, for as long as the server runs: what a disk loses unnoticed is found before
//! the last backup that has it is gone. How far a round has come, and what it found, is kept in a note, so that a server
//! that is restarted each night comes to the end of one, too.

use super::App;
use crate::domain::{MediaFileId, Timestamp, limits};
use crate::store::{Damage, StateDir, read_small, replace_small};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far reading everything again has come.
pub struct Scrub {
    round: Mutex<Round>,
    note: PathBuf,
    /// The note as it is on disk. Held while it is written, so that there is one who does.
    written: tokio::sync::Mutex<Vec<u8>>,
}

/// One time that everything is read.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Round {
    began_at: Timestamp,
    /// The last file that was read, in the order of ids.
    after: Option<MediaFileId>,
    is_over: bool,
}

/// What is on disk. Without it, or where it does not read, everything is read anew.
#[derive(Serialize, Deserialize)]
struct Note {
    round: Round,
    /// What is not to be served before it was read.
    damaged: Vec<MediaFileId>,
}

impl Scrub {
    /// What is known from before, with the files that are refused until they were read.
    pub fn read(state: &Path, now: Timestamp) -> (Self, Vec<MediaFileId>) {
        let path = StateDir::scrub_note(state);
        let written = read_small(&path, limits::SCRUB_NOTE_BYTES).unwrap_or_default();
        let note =
            serde_json::from_slice(&written).unwrap_or_else(|_| Note { round: Round::begin(now), damaged: Vec::new() });
        let round = Mutex::new(note.round);
        (Self { round, note: path, written: tokio::sync::Mutex::new(written) }, note.damaged)
    }

    /// Where the round that is under way, or due, has come to.
    fn under_way(&self, now: Timestamp) -> Option<Round> {
        let mut round = self.round.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was ahead must not put it off for years.
        let is_waiting = round.began_at <= now && now < round.began_at.plus_secs(limits::SCRUB_INTERVAL_S);
        if round.is_over && !is_waiting {
            *round = Round::begin(now);
        }
        (!round.is_over).then_some(*round)
    }

    fn change(&self, change: impl FnOnce(&mut Round)) {
        change(&mut self.round.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Round {
    fn begin(now: Timestamp) -> Self {
        Self { began_at: now, after: None, is_over: false }
    }
}

impl App {
    /// Refuses what was found damaged before the last stop. It is read again at once.
    pub(super) fn refuse_as_noted(&self, files: Vec<MediaFileId>) {
        for id in files {
            // Without a trace, so that it is taken for touched.
            self.note_damage(id, Damage::Altered, None);
        }
    }

    /// Reads every media file again, and looks after what is damaged. Runs as long as the server does.
    pub async fn scrub(self: Arc<Self>) {
        futures_util::future::join(self.read_everything(), self.tend_damaged()).await;
    }

    async fn read_everything(&self) {
        let mut noted_at = Instant::now();
        loop {
            let Some(round) = self.scrub.under_way(self.now()) else {
                self.read_put_back().await;
                tokio::time::sleep(Duration::from_secs(limits::DAMAGED_LOOK_S)).await;
                continue;
            };
            let files = self.store.access().media_files_after(round.after, limits::SCRUB_FILES);
            if files.is_empty() {
                self.scrub.change(|round| round.is_over = true);
                self.write_scrub_note().await;
            }
            for id in files {
                let before = self.damaged.count();
                self.read_put_back().await;
                self.read_slowly(id).await;
                self.scrub.change(|round| round.after = Some(id));
                let is_found = self.damaged.count() != before;
                if is_found || noted_at.elapsed() >= Duration::from_secs(limits::SCRUB_NOTE_S) {
                    self.write_scrub_note().await;
                    noted_at = Instant::now();
                }
            }
        }
    }

    async fn read_put_back(&self) {
        for id in self.damaged.take_put_back() {
            self.read_slowly(id).await;
        }
    }

    async fn read_slowly(&self, id: MediaFileId) {
        let pause = async |bytes: usize| {
            let seconds = bytes.max(limits::SCRUB_FILE_BYTES) as f64 / limits::SCRUB_BYTES_PER_S as f64;
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        };
        self.read_media_again(id, pause).await;
    }

    async fn tend_damaged(self: &Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_secs(limits::DAMAGED_LOOK_S));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.look_at_damaged().await;
            if self.is_other_damage_noted().await {
                self.write_scrub_note().await;
            }
        }
    }

    /// Whether the note on disk tells of other files than those that are known to be damaged now.
    async fn is_other_damage_noted(&self) -> bool {
        let written = self.scrub.written.lock().await;
        let noted = serde_json::from_slice::<Note>(&written).map(|note| note.damaged).unwrap_or_default();
        noted != self.damaged.unread()
    }

    /// Writes down how far it has come and what was found, where that is not on disk already.
    pub async fn write_scrub_note(&self) {
        let mut written = self.scrub.written.lock().await;
        let round = *self.scrub.round.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(text) = serde_json::to_vec(&Note { round, damaged: self.damaged.unread() }) else { return };
        if *written == text {
            return;
        }
        let (path, bytes) = (self.scrub.note.clone(), text.clone());
        let replaced = tokio::task::spawn_blocking(move || replace_small(&path, &bytes)).await;
        match replaced {
            Ok(Ok(())) => *written = text,
            // A disk that takes no writes is told of elsewhere; this is tried again.
            Ok(Err(error)) => tracing::debug!(%error, "how far the media files were read again is not written down"),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_goes_on_where_it_was_and_the_next_begins_a_week_after_it_began() {
        let directory = tempfile::tempdir().unwrap();
        let (state, began_at) = (directory.path(), Timestamp::from_secs(1_800_000_000));
        let (half_way, damaged) = (MediaFileId::from_random([1; 16]), vec![MediaFileId::from_random([2; 16])]);
        let note = |is_over| {
            let round = Round { began_at, after: Some(half_way), is_over };
            let text = serde_json::to_vec(&Note { round, damaged: damaged.clone() }).unwrap();
            replace_small(&StateDir::scrub_note(state), &text).unwrap();
            Scrub::read(state, began_at.plus_secs(1))
        };
        let after = |scrub: &Scrub, seconds| scrub.under_way(began_at.plus_secs(seconds)).map(|round| round.after);
        let (scrub, known) = note(false);
        assert_eq!(known, damaged);
        assert_eq!(after(&scrub, 2 * limits::SCRUB_INTERVAL_S), Some(Some(half_way)), "one that takes weeks goes on");
        let (scrub, _) = note(true);
        assert_eq!(after(&scrub, limits::SCRUB_INTERVAL_S - 1), None);
        assert_eq!(after(&scrub, limits::SCRUB_INTERVAL_S), Some(None));
        // The clock was ahead when it began.
        let (scrub, _) = note(true);
        assert_eq!(after(&scrub, -1), Some(None));
        // Nothing is known.
        std::fs::remove_file(StateDir::scrub_note(state)).unwrap();
        let (scrub, known) = Scrub::read(state, began_at);
        assert!(known.is_empty());
        assert_eq!(after(&scrub, 0), Some(None));
    }
}
