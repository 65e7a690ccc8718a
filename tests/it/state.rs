//! Damaged state directories: the server is ready with all that the journal says, or refuses and says why. It never
//! forgets a revocation, never shows a private video, never hangs.

use crate::support::{
    Dice, Options, Server, copy_directory, files_below, first_difference, packaged, padded, progressive_uri, run,
    wait_for,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest a start may take here: the index may hang for its two seconds, once when it is opened.
const READY: Duration = Duration::from_secs(8);

/// A server that is stopped, with what it must know when it is started again.
struct Kept {
    server: Server,
    good: PathBuf,
    /// An older state of the whole directory: the revocations were not made yet.
    older: PathBuf,
    told: Value,
    private_embed: String,
    public_embed: String,
    revoked_token: String,
    token: String,
}

impl Kept {
    fn new() -> Self {
        let environment = vec![("SCREENER__STATE__INDEX_OPEN_TIMEOUT_S".to_owned(), "2".to_owned())];
        let mut server = Server::with(Options { environment, ..Options::default() });
        let (private_video, private_embed) = server.video("private");
        let (_, public_embed) = server.video("public");
        for number in 0..40 {
            let body = json!({ "title": format!("Video {number}"), "visibility": "public" });
            let video = server.admin(Method::POST, "/videos", &body).expect(201).json();
            let path = format!("/videos/{}", video["id"].as_str().unwrap());
            server.admin(Method::PATCH, &path, &json!({ "title": format!("Renamed {number}") })).expect(200);
        }
        let key = server.admin(Method::POST, "/signing-keys", &Value::Null).expect(201).json();
        let (id, secret) = (key["id"].as_str().unwrap().to_owned(), key["secret"].as_str().unwrap().to_owned());
        let revoked_token = crate::support::sign(&id, &secret, &crate::support::Claims::of(&private_video));
        let token = server.token(&private_video);
        let (good, older) = (server.scratch().join("good"), server.scratch().join("older"));
        assert!(server.stop());
        copy_directory(&server.state(), &older);
        server.serve();
        server.admin(Method::POST, &format!("/signing-keys/{id}/revoke"), &json!({})).expect(200);
        let others = server.all("videos");
        for video in others.iter().take(10) {
            let path = format!("/videos/{}", video["id"].as_str().unwrap());
            server.admin(Method::PATCH, &path, &json!({ "visibility": "private" })).expect(200);
        }
        let told = server.told();
        assert!(server.stop());
        copy_directory(&server.state(), &good);
        Self { server, good, older, told, private_embed, public_embed, revoked_token, token }
    }

    /// The same with thousands of videos more, running.
    fn with_many_videos() -> Self {
        let mut kept = Self::new();
        kept.reset();
        add_videos(&kept.server.state().join("journal"), 4_000);
        kept.server.serve();
        kept.told = kept.server.told();
        kept
    }

    /// Puts the good state back.
    fn reset(&mut self) {
        self.server.kill();
        copy_directory(&self.good, &self.server.state());
    }

    /// Starts on what is there now, which must be ready soon and know everything.
    fn must_be_ready(&mut self, what: &str) {
        let began = Instant::now();
        if let Err(log) = self.server.try_serve() {
            panic!("{what}: the server did not start:\n{log}");
        }
        assert!(began.elapsed() < READY, "{what}: ready only after {:?}", began.elapsed());
        self.must_know_everything(what);
    }

    fn must_know_everything(&self, what: &str) {
        assert_eq!(first_difference(&self.server.told(), &self.told), None, "{what}");
        let server = &self.server;
        server.playback(&self.private_embed, Some(&self.revoked_token)).expect_code(401, "playback_token_revoked");
        server.playback(&self.private_embed, None).expect_code(401, "playback_token_missing");
        let answer = server.playback(&self.private_embed, Some(&self.token)).expect(200).json();
        server.get(answer["playback"]["uri"].as_str().unwrap()).expect(200);
        server.playback(&self.public_embed, None).expect(200);
        // What was damaged once is whole again: changes are taken, too.
        let key = server.admin(Method::POST, "/signing-keys", &Value::Null).expect(201).json();
        let path = format!("/signing-keys/{}/revoke", key["id"].as_str().unwrap());
        server.admin(Method::POST, &path, &json!({})).expect(200);
        self.change_fifty();
    }

    fn change_fifty(&self) {
        for video in self.server.all("videos").iter().take(50) {
            let path = format!("/videos/{}", video["id"].as_str().unwrap());
            self.server.admin(Method::PATCH, &path, &json!({ "title": "Changed" })).expect(200);
        }
    }

    /// Starts on what is there now, which must be refused soon; the log says each of `words`, and the journal and the
    /// master key stay as they are.
    #[track_caller]
    fn must_refuse(&mut self, what: &str, words: &[&str]) {
        let untouched = |server: &Server| {
            ["journal", "format", "master.key"].map(|name| std::fs::read(server.state().join(name)).ok())
        };
        let (before, began) = (untouched(&self.server), Instant::now());
        let Err(log) = self.server.try_serve() else { panic!("{what}: the server started") };
        assert!(began.elapsed() < READY, "{what}: refused only after {:?}", began.elapsed());
        for word in words {
            assert!(log.contains(word), "{what}: {word:?} is not in the log:\n{log}");
        }
        assert!(log.contains("screener: "), "{what}: no reason is given:\n{log}");
        assert!(!log.contains("panicked"), "{what}:\n{log}");
        assert!(untouched(&self.server) == before, "{what}: something was changed");
    }

    /// Damages one file of the good state with `damage` and expects to be ready.
    fn with_damaged(&mut self, file: &str, what: &str, damage: impl FnOnce(&Path)) {
        self.reset();
        let path = self.server.state().join(file);
        damage(&path);
        self.must_be_ready(what);
    }
}

fn flip_bit(path: &Path, at: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

fn truncate(path: &Path, length: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

/// Places in a file that hold something, spread evenly.
fn places(path: &Path, count: usize, dice: &mut Dice) -> Vec<u64> {
    let bytes = std::fs::read(path).unwrap();
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let share = used.len() / count;
    (0..count).map(|step| used[step * share + usize::try_from(dice.below(share as u64)).unwrap()] as u64).collect()
}

/// The snapshot of sled in the good state.
fn snapshot(state: &Path) -> Option<PathBuf> {
    let is_snapshot = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("snap.");
    files_below(&state.join("index")).into_iter().find(is_snapshot)
}

#[test]
fn an_index_with_a_flipped_bit_loses_nothing() {
    let mut kept = Kept::new();
    kept.must_be_ready("undamaged");
    let mut dice = Dice::seeded("flipped bits of the index");
    let places = places(&kept.good.join("index/db"), 24, &mut dice);
    for at in places {
        kept.with_damaged("index/db", &format!("bit flipped at {at}"), |db| flip_bit(db, at));
    }
}

#[test]
fn an_index_that_was_cut_off_or_overwritten_loses_nothing() {
    let mut kept = Kept::new();
    let length = std::fs::metadata(kept.good.join("index/db")).unwrap().len();
    let used = std::fs::read(kept.good.join("index/db")).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64;
    for keep in [0, 1, used / 4, used / 2, used - 100, used - 1, length - 1] {
        kept.with_damaged("index/db", &format!("cut to {keep} of {length}"), |db| truncate(db, keep));
    }
    for page in [0, used / 4 / 4096, used / 2 / 4096, used / 4096] {
        kept.with_damaged("index/db", &format!("page {page} zeroed"), |db| {
            let file = std::fs::OpenOptions::new().write(true).open(db).unwrap();
            file.write_all_at(&[0; 4096], page * 4096).unwrap();
        });
    }
    let garbage: Vec<u8> = (0..65_536_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    kept.with_damaged("index/db", "garbage", |db| std::fs::write(db, &garbage).unwrap());
    kept.with_damaged("index/db", "garbage behind", |db| {
        std::fs::OpenOptions::new().write(true).open(db).unwrap().write_all_at(&garbage, length).unwrap();
    });
    kept.with_damaged("index/conf", "conf garbage", |conf| std::fs::write(conf, b"garbage").unwrap());
    kept.with_damaged("index/conf", "conf empty", |conf| std::fs::write(conf, b"").unwrap());
    kept.with_damaged("index/conf", "conf gone", |conf| std::fs::remove_file(conf).unwrap());
    kept.with_damaged("index/db", "db gone", |db| std::fs::remove_file(db).unwrap());
}

#[test]
fn a_damaged_or_unfinished_snapshot_of_the_index_loses_nothing() {
    let mut kept = Kept::new();
    let good = snapshot(&kept.good).expect("sled left a snapshot");
    let name = format!("index/{}", good.file_name().unwrap().to_str().unwrap());
    let bytes = std::fs::read(&good).unwrap();
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        kept.with_damaged(&name, &format!("snapshot flipped at {at}"), |path| flip_bit(path, at as u64));
    }
    kept.with_damaged(&name, "snapshot cut", |path| truncate(path, bytes.len() as u64 / 2));
    kept.with_damaged(&name, "snapshot empty", |path| truncate(path, 0));
    kept.with_damaged(&name, "snapshot gone", |path| std::fs::remove_file(path).unwrap());
    let generating = format!("{name}.generating");
    kept.with_damaged(&generating, "unfinished, empty", |path| std::fs::write(path, b"").unwrap());
    kept.with_damaged(&generating, "unfinished, half", |path| {
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    });
}

#[test]
fn an_index_that_is_gone_older_or_something_else_is_rebuilt_or_caught_up() {
    let mut kept = Kept::new();
    kept.with_damaged("index", "gone", |index| std::fs::remove_dir_all(index).unwrap());
    kept.with_damaged("index", "empty", |index| {
        std::fs::remove_dir_all(index).unwrap();
        std::fs::create_dir(index).unwrap();
    });
    kept.with_damaged("index", "a file", |index| {
        std::fs::remove_dir_all(index).unwrap();
        std::fs::write(index, b"not a directory").unwrap();
    });
    let older = kept.older.join("index");
    kept.with_damaged("index", "older", |index| copy_directory(&older, index));
    let log = kept.server.log_text();
    assert!(log.contains("the index was caught up from the journal"));
}

#[test]
fn an_index_of_another_store_is_not_believed() {
    let mut kept = Kept::new();
    let mut other = Server::start();
    for _ in 0..200 {
        other.admin(Method::POST, "/signing-keys", &Value::Null).expect(201);
    }
    other.stop();
    kept.reset();
    copy_directory(&other.state().join("index"), &kept.server.state().join("index"));
    // It counts more changes than the journal has: that is refused, as an older journal would be.
    kept.must_refuse("another store's index", &["is an older copy", "journal"]);
    std::fs::remove_dir_all(kept.server.state().join("index")).unwrap();
    kept.must_be_ready("after the remedy that the message names");
}

#[test]
fn an_older_journal_is_refused_untouched_and_the_right_one_starts() {
    let mut kept = Kept::new();
    kept.reset();
    std::fs::copy(kept.older.join("journal"), kept.server.state().join("journal")).unwrap();
    kept.must_refuse("an older journal", &["was acknowledged", "is an older copy", "restore a backup"]);
    kept.must_refuse("an older journal, tried again", &["was acknowledged", "is an older copy"]);
    std::fs::copy(kept.good.join("journal"), kept.server.state().join("journal")).unwrap();
    kept.must_be_ready("the right journal");
}

#[test]
fn a_journal_that_is_empty_gone_or_another_file_is_refused_and_no_media_file_is_removed() {
    let mut kept = Kept::new();
    let media = files_below(&kept.good.join("media")).len();
    for with_index in [true, false] {
        for bytes in [None, Some(Vec::new()), Some(vec![0; 9_000]), Some(b"of something else\n".repeat(1_000))] {
            kept.reset();
            if !with_index {
                std::fs::remove_dir_all(kept.server.state().join("index")).unwrap();
            }
            let journal = kept.server.state().join("journal");
            match &bytes {
                None => std::fs::remove_file(&journal).unwrap(),
                Some(bytes) => std::fs::write(&journal, bytes).unwrap(),
            }
            let what = format!("{:?} bytes, index: {with_index}", bytes.map(|bytes| bytes.len()));
            kept.must_refuse(&what, &[journal.to_str().unwrap(), "estore a backup"]);
            assert_eq!(files_below(&kept.server.state().join("media")).len(), media);
        }
    }
}

#[test]
fn an_unfinished_record_at_the_journals_end_is_dropped() {
    let mut kept = Kept::new();
    let whole = std::fs::read(kept.good.join("journal")).unwrap();
    let starts = frames(&whole);
    let (last, end) = (starts[starts.len() - 2], starts[starts.len() - 1]);
    assert_eq!(end, whole.len());
    for length in [1, 7, 8, 9, (end - last) / 2, end - last - 1] {
        kept.with_damaged("journal", &format!("{length} bytes of a record behind the last one"), |journal| {
            std::fs::write(journal, [&whole, &whole[last..last + length]].concat()).unwrap();
        });
    }
    let told = |kept: &Kept| kept.server.log_text().matches("dropped the unfinished end of the journal").count();
    assert_eq!(told(&kept), 6);
    kept.with_damaged("journal", "zeros behind the last record", |journal| {
        std::fs::write(journal, [whole.as_slice(), &[0; 5000]].concat()).unwrap();
    });
    assert_eq!(told(&kept), 6, "the server writes zeros there itself");
}

#[test]
fn an_acknowledged_record_cut_off_at_the_journals_end_is_missed() {
    let mut kept = Kept::new();
    let whole = std::fs::read(kept.good.join("journal")).unwrap();
    let starts = frames(&whole);
    let last = starts[starts.len() - 2];
    for keep in [last, last + 1, whole.len() - 1] {
        kept.reset();
        truncate(&kept.server.state().join("journal"), keep as u64);
        kept.must_refuse(&format!("{keep} bytes kept"), &["was acknowledged", "its end is damaged"]);
    }
    kept.reset();
    flip_bit(&kept.server.state().join("journal"), whole.len() as u64 - 2);
    kept.must_refuse("the last record flipped", &["was acknowledged", "its end is damaged"]);
}

#[test]
fn a_flipped_bit_in_the_middle_of_the_journal_is_refused_with_its_position() {
    let mut kept = Kept::new();
    let whole = std::fs::read(kept.good.join("journal")).unwrap();
    let starts = frames(&whole);
    let mut dice = Dice::seeded("flipped bits of the journal");
    let places = places(&kept.good.join("journal"), 12, &mut dice);
    // Lengths, checksums and JSON alike, but not in the last record: that is another test.
    let fields = [0, 1, 2, 3, 4, 7, 8].map(|at| (starts[starts.len() / 2] + at) as u64);
    for at in places.into_iter().chain(fields).filter(|at| *at < starts[starts.len() - 2] as u64) {
        kept.reset();
        flip_bit(&kept.server.state().join("journal"), at);
        let record = starts.iter().rev().find(|start| **start as u64 <= at).unwrap();
        let position = format!("is damaged at byte {record}:");
        kept.must_refuse(&format!("bit flipped at {at}"), &[&position, "nothing was changed"]);
        let said = kept.server.verb(&["store", "verify"]).expect(1);
        assert!(said.errors.contains(&position), "{}", said.errors);
    }
}

#[test]
fn records_that_are_repeated_missing_or_out_of_order_are_refused() {
    let mut kept = Kept::new();
    let whole = std::fs::read(kept.good.join("journal")).unwrap();
    let starts = frames(&whole);
    let (a, b, c) = (starts[10], starts[11], starts[12]);
    for (what, bytes) in [
        ("repeated", [&whole[..b], &whole[a..]].concat()),
        ("missing", [&whole[..a], &whole[b..]].concat()),
        ("out of order", [&whole[..a], &whole[b..c], &whole[a..b], &whole[c..]].concat()),
        ("first one missing", whole[starts[1]..].to_vec()),
    ] {
        kept.reset();
        std::fs::write(kept.server.state().join("journal"), bytes).unwrap();
        kept.must_refuse(what, &["is damaged at byte", "does not follow the record before it"]);
    }
}

/// Where each record of a journal begins, and where the last one ends.
fn frames(journal: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    while let Some(head) = journal[starts[starts.len() - 1]..].first_chunk::<4>() {
        starts.push(starts[starts.len() - 1] + 8 + u32::from_le_bytes(*head) as usize);
    }
    starts
}

#[test]
fn a_master_key_that_is_wrong_missing_cut_or_readable_by_others_is_refused_and_nothing_is_made_up() {
    let mut kept = Kept::new();
    let right = std::fs::read_to_string(kept.good.join("master.key")).unwrap();
    let key = kept.server.state().join("master.key");
    let wrong = "00112233445566778899aabbccddeeff".repeat(2);
    for (what, text, words) in [
        ("another key", wrong.as_str(), "does not fit this state directory"),
        ("half a key", &right[..32], "does not hold a master key"),
        ("a digit short", &right[..63], "does not hold a master key"),
        ("nothing", "", "does not hold a master key"),
        ("no digits", "not a key at all", "does not hold a master key"),
    ] {
        kept.reset();
        std::fs::write(&key, text).unwrap();
        kept.must_refuse(what, &[words, "master.key"]);
    }
    kept.reset();
    std::fs::remove_file(&key).unwrap();
    kept.must_refuse("no key", &["master.key is missing"]);
    assert!(!key.exists(), "a new master key was made over existing data");
    for mode in [0o644, 0o640, 0o604, 0o660] {
        kept.reset();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        kept.must_refuse("open to others", &["is open to other users", "chmod 0600"]);
    }
    kept.with_damaged("master.key", "no line end, 0400", |key| {
        std::fs::write(key, right.trim_end()).unwrap();
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o400)).unwrap();
    });
}

#[test]
fn a_state_directory_open_to_others_newer_or_none_at_all_is_refused() {
    let mut kept = Kept::new();
    let state = kept.server.state();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
    kept.must_refuse("open to others", &["is open to other users (mode 0755)", "chmod 0700"]);
    kept.reset();
    std::fs::write(state.join("format"), "screener state 2\n").unwrap();
    kept.must_refuse("newer", &["was written by another version", "screener state 2"]);
    std::fs::remove_file(state.join("format")).unwrap();
    kept.must_refuse("no format", &["/format is missing", "Put the file back", "\"screener state 1\""]);
    std::fs::remove_file(state.join("journal")).unwrap();
    kept.must_refuse("neither format nor journal", &["is not a state directory", "screener init"]);
    std::fs::remove_dir_all(&state).unwrap();
    kept.must_refuse("nothing there", &["is not a state directory"]);
    kept.reset();
    kept.must_be_ready("put right");
}

#[test]
fn a_second_process_on_the_same_state_is_refused_and_the_first_goes_on() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    let config = server.config();
    let began = Instant::now();
    let said = run(&["serve", "--config", config.to_str().unwrap()]).expect(73);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(said.errors.contains("is in use by another screener process"), "{}", said.errors);
    let init = run(&["init", "--config", config.to_str().unwrap()]).expect(1);
    assert!(init.errors.contains("exists already"), "{}", init.errors);
    // The second one must not have taken the first one's socket with it.
    server.verb(&["status", "--json"]).expect(0);
    server.playback(&embed, None).expect(200);
}

#[test]
fn a_media_file_cut_while_it_is_sent_ends_the_answer_early() {
    // Too long for the buffers between.
    let source = padded(64 << 20);
    let length = packaged(&source).len();
    let server = Server::start();
    let (video, embed) = server.pending_video("public");
    server.upload(&video, source);
    server.wait_until_ready(&video);
    let uri = progressive_uri(&server.playback(&embed, None).expect(200).json()).to_owned();
    let mut answer = server.new_client().get(&uri).timeout(Duration::from_secs(20)).send().unwrap();
    assert_eq!(answer.content_length(), Some(length as u64));
    let name = uri.rsplit('/').next().unwrap().trim_end_matches(".mp4");
    let file = server.state().join("media").join(name);
    truncate(&file, 4096);
    let mut received = Vec::new();
    let outcome = std::io::copy(&mut answer, &mut received);
    assert!(outcome.is_err(), "{} bytes of {length} were passed off as the whole", received.len());
    assert!(received.len() < length);
    for _ in 0..2 {
        server.get(&uri).expect_code(503, "media_unavailable");
    }
    let told = || server.log_text().matches("a media file is damaged").count();
    wait_for("the log to say so", Duration::from_secs(10), || told() > 0);
    assert_eq!(told(), 1, "{}", server.log_text());
    server.admin(Method::GET, "/organization", &Value::Null).expect(200);
}

#[test]
fn a_journal_past_the_threshold_is_compacted_and_says_the_same_also_after_a_kill_in_the_midst_of_it() {
    let mut kept = Kept::new();
    kept.reset();
    let journal = kept.server.state().join("journal");
    grow(&journal, 17 << 20);
    let grown = std::fs::read(&journal).unwrap();
    kept.server.serve();
    assert_eq!(first_difference(&kept.server.told(), &kept.told), None);
    // Cut off in the midst: the change was answered, its compaction begins.
    let compacting = kept.server.state().join("journal.compacting");
    let mut revoked = Vec::new();
    for _ in 0..3 {
        let key = kept.server.admin(Method::POST, "/signing-keys", &Value::Null).expect(201).json();
        let id = key["id"].as_str().unwrap().to_owned();
        let is_small = || journal.metadata().unwrap().len() < grown.len() as u64 / 2;
        wait_for("compaction", Duration::from_secs(30), || compacting.exists() || is_small());
        kept.server.kill();
        kept.server.serve();
        kept.server.admin(Method::POST, &format!("/signing-keys/{id}/revoke"), &json!({})).expect(200);
        revoked.push(id);
    }
    let is_small = || journal.metadata().unwrap().len() < grown.len() as u64 / 2;
    wait_for("compaction", Duration::from_secs(30), is_small);
    let all_revoked = |kept: &Kept| {
        let keys = kept.server.all("signing-keys");
        let is_revoked = |id: &String| keys.iter().any(|key| key["id"] == **id && key["status"] == "revoked");
        assert!(revoked.iter().all(is_revoked), "{keys:?}");
        assert_eq!(first_difference(&kept.server.told()["videos"], &kept.told["videos"]), None);
        kept.server.verify();
    };
    all_revoked(&kept);
    kept.server.kill();
    kept.server.serve();
    all_revoked(&kept);
    // An index from before the compaction can't be caught up, since a compacted journal tells of no removals.
    kept.server.kill();
    copy_directory(&kept.older.join("index"), &kept.server.state().join("index"));
    kept.server.serve();
    all_revoked(&kept);
    kept.server.kill();
    std::fs::remove_dir_all(kept.server.state().join("index")).unwrap();
    kept.server.serve();
    all_revoked(&kept);
    kept.server.playback(&kept.private_embed, Some(&kept.revoked_token)).expect_code(401, "playback_token_revoked");
}

/// A journal being written to from outside, checksums right: the cheap way to a large one.
struct Forged {
    bytes: Vec<u8>,
    seq: u64,
    at: Value,
    /// An operation that stores a video.
    video: Value,
}

impl Forged {
    fn on(journal: &Path) -> Self {
        let bytes = std::fs::read(journal).unwrap();
        let starts = frames(&bytes);
        let commits: Vec<Value> =
            starts.windows(2).map(|frame| serde_json::from_slice(&bytes[frame[0] + 8..frame[1]]).unwrap()).collect();
        let (seq, at) = (commits.last().unwrap()["seq"].as_u64().unwrap(), commits[0]["at"].clone());
        let mut ops = commits.iter().flat_map(|commit| commit["ops"].as_array().unwrap());
        let video = ops.rfind(|op| op["kind"] == "video").expect("a video").clone();
        Self { bytes, seq, at, video }
    }

    fn commit(&mut self, ops: &[Value]) {
        self.seq += 1;
        let commit = json!({ "seq": self.seq, "durable": self.bytes.len(), "at": self.at, "ops": ops });
        let text = commit.to_string();
        self.bytes.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        self.bytes.extend(crc32c::crc32c(text.as_bytes()).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }
}

/// Appends commits that say what is already said, over and over, until a journal is over `bytes` long.
fn grow(journal: &Path, bytes: usize) {
    let mut forged = Forged::on(journal);
    let ops = vec![forged.video.clone(); 1_000_000 / forged.video.to_string().len()];
    while forged.bytes.len() < bytes {
        forged.commit(&ops);
    }
    std::fs::write(journal, forged.bytes).unwrap();
}

/// Adds videos to a journal, in commits of a hundred.
fn add_videos(journal: &Path, count: u128) {
    let mut forged = Forged::on(journal);
    let numbers: Vec<u128> = (1..=count).collect();
    for some in numbers.chunks(100) {
        let video = |number: &u128| {
            // Spread over the whole range, as random ids are.
            let id = uuid::Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).to_string();
            let mut video = forged.video.clone();
            video["key"] = json!(id);
            video["row"]["id"] = json!(id);
            video["row"]["title"] = json!(format!("Video {number}"));
            video["row"]["source"] = Value::Null;
            video
        };
        let ops: Vec<Value> = some.iter().map(video).collect();
        forged.commit(&ops);
    }
    std::fs::write(journal, forged.bytes).unwrap();
}

#[test]
fn a_damaged_index_of_thousands_of_records_loses_nothing() {
    let mut kept = Kept::with_many_videos();
    assert!(kept.server.stop());
    damage_index_of(kept, "stopped");
}

#[test]
fn a_damaged_index_of_a_server_that_was_killed_loses_nothing() {
    let mut kept = Kept::with_many_videos();
    // Written to while it runs, and killed: there is more in the log of the index than in its last snapshot.
    kept.change_fifty();
    kept.told = kept.server.told();
    kept.server.kill();
    damage_index_of(kept, "killed");
}

fn damage_index_of(mut kept: Kept, how: &str) {
    copy_directory(&kept.server.state(), &kept.good);
    kept.must_be_ready("undamaged");
    let db = kept.good.join("index/db");
    let used = std::fs::read(&db).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64;
    let mut dice = Dice::seeded(&format!("damages of a large index, {how}"));
    for at in places(&db, 12, &mut dice) {
        kept.with_damaged("index/db", &format!("bit flipped at {at} of {used}"), |db| flip_bit(db, at));
    }
    for at in places(&db, 8, &mut dice) {
        let page = at / 4096;
        kept.with_damaged("index/db", &format!("page {page} of {} zeroed", used / 4096), |db| {
            let file = std::fs::OpenOptions::new().write(true).open(db).unwrap();
            file.write_all_at(&[0; 4096], page * 4096).unwrap();
        });
    }
    for _ in 0..3 {
        let keep = dice.below(used);
        kept.with_damaged("index/db", &format!("cut to {keep} of {used}"), |db| truncate(db, keep));
    }
}
