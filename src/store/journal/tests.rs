//! What a journal must survive.

use super::super::op::Row;
use super::frames::{APPEND_BYTES, FRAME_BYTES, WINDOW_BYTES};
use super::*;
use crate::domain::Kind;
use serde_json::json;
use uuid::Uuid;

fn op(key: u128, value: u64) -> Op {
    Op::Put { kind: Kind::Video, key: Uuid::from_u128(key), v: 1, row: Row::of(&json!({ "value": value })).unwrap() }
}

fn append(journal: &mut Journal, ops: Vec<Op>) {
    let seq = journal.seq() + 1;
    let (_, bytes) = journal.frame(seq, Timestamp::from_secs(1), ops).unwrap();
    journal.append(&bytes, seq).unwrap();
}

fn commits(path: &Path) -> Result<Vec<Commit>, JournalError> {
    let mut found = Vec::new();
    Journal::inspect(path, |commit| found.push(commit)).map(|_| found)
}

fn three_commits() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let mut journal = Journal::create(&path).unwrap();
    for value in 1..=3 {
        append(&mut journal, vec![op(1, value)]);
    }
    (directory, path)
}

/// Where each frame begins, and where the last one ends.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let mut at = vec![0];
    while let Some(head) = bytes[at[at.len() - 1]..].first_chunk::<4>() {
        at.push(at[at.len() - 1] + FRAME_BYTES + u32::from_le_bytes(*head) as usize);
    }
    at
}

#[test]
fn what_was_appended_is_read_back() {
    let (_directory, path) = three_commits();
    let found = commits(&path).unwrap();
    assert_eq!(found.iter().map(|commit| commit.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(found[2].ops, [op(1, 3)]);
}

#[test]
fn a_torn_last_record_is_dropped_wherever_it_was_cut() {
    let (_directory, path) = three_commits();
    let whole = std::fs::read(&path).unwrap();
    let two = boundaries(&whole)[2];
    for cut in two + 1..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let journal = Journal::open(&path, 0, |_| {}).unwrap();
        assert_eq!(journal.seq(), 2, "cut at {cut}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), two as u64);
    }
}

#[test]
fn a_journal_that_lacks_an_acknowledged_change_stops_the_start_untouched() {
    let (_directory, path) = three_commits();
    let whole = std::fs::read(&path).unwrap();
    let cut = &whole[..whole.len() - 1];
    std::fs::write(&path, cut).unwrap();
    assert!(matches!(Journal::open(&path, 3, |_| {}), Err(JournalError::Older { seq: 2, known_seq: 3, .. })));
    assert_eq!(std::fs::read(&path).unwrap(), cut);
}

#[test]
fn zeros_behind_the_last_record_mean_nothing() {
    let (_directory, path) = three_commits();
    let bytes = std::fs::read(&path).unwrap();
    let behind = |tail: &[u8]| std::fs::write(&path, [&bytes, tail].concat()).unwrap();
    for zeros in [1, 7, 4096, WINDOW_BYTES + 1] {
        behind(&vec![0; zeros]);
        assert_eq!(Journal::inspect(&path, |_| {}).unwrap(), (3, 0));
        let mut journal = Journal::open(&path, 3, |_| {}).unwrap();
        assert_eq!(journal.end(), bytes.len() as u64);
        append(&mut journal, vec![op(1, 4)]);
        assert_eq!(commits(&path).unwrap().len(), 4);
        // Anything else behind them was begun and never acknowledged, whatever follows.
        for more in [&[1][..], &[1, 0, 0]] {
            behind(&[&vec![0; zeros], more].concat());
            assert_eq!(Journal::inspect(&path, |_| {}).unwrap(), (3, zeros as u64 + 1));
            Journal::open(&path, 3, |_| {}).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }
    // More than are ever written ahead.
    let most = limits::JOURNAL_PREPARED_BYTES as usize / 4 * 5;
    for (zeros, unfinished) in [(most, 0), (most + 1, most + 1)] {
        behind(&vec![0; zeros]);
        assert_eq!(Journal::inspect(&path, |_| {}).unwrap(), (3, unfinished as u64));
    }
}

#[test]
fn a_journal_that_is_appended_to_while_it_is_read_is_whole() {
    let (_directory, path) = three_commits();
    let mut journal = Journal::open(&path, 0, |_| {}).unwrap();
    journal.prepare().unwrap();
    let mut read = 0;
    Journal::inspect(&path, |_| {
        // Two, the second of which tells what was on disk before it.
        append(&mut journal, vec![op(2, 4)]);
        append(&mut journal, vec![op(2, 5)]);
        read += 1;
    })
    .unwrap();
    assert_eq!(read, 3);
}

#[test]
fn what_is_appended_overwrites_zeros_that_were_written_before() {
    let (_directory, path) = three_commits();
    let mut journal = Journal::open(&path, 0, |_| {}).unwrap();
    let length = || std::fs::metadata(&path).unwrap().len();
    let from = journal.end();
    assert!(journal.wants_preparing(true));
    journal.prepare().unwrap();
    assert_eq!(length(), from + limits::JOURNAL_PREPARED_BYTES);
    append(&mut journal, vec![op(2, 4)]);
    assert!(!journal.wants_preparing(false), "there are enough left");
    assert_eq!(length(), from + limits::JOURNAL_PREPARED_BYTES);
    // A cut in the midst of an append leaves zeros where the rest would be.
    let (whole, end) = (std::fs::read(&path).unwrap(), journal.end() as usize);
    let last = boundaries(&whole[..end])[3];
    for cut in last..end {
        let mut bytes = whole.clone();
        bytes[cut..end].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Journal::open(&path, 3, |_| {}).unwrap().seq(), 3, "cut at {cut}");
        assert_eq!(length(), if cut == last { whole.len() } else { last } as u64, "cut at {cut}");
    }
    std::fs::write(&path, &whole).unwrap();
    let mut journal = Journal::open(&path, 4, |_| {}).unwrap();
    journal.prepare().unwrap();
    // More than there are zeros for.
    let row = Row::of(&json!({ "value": "x".repeat(limits::COMMIT_BYTES * 2 / 3) })).unwrap();
    for _ in 0..2 {
        append(&mut journal, vec![Op::Put { kind: Kind::Video, key: Uuid::from_u128(1), v: 1, row: row.clone() }]);
        assert_eq!(journal.wants_preparing(false), journal.end() == length(), "a third is left");
    }
    assert!(length() == journal.end() && journal.wants_preparing(true));
    journal.prepare().unwrap();
    journal.renew().unwrap();
    assert_eq!(length(), journal.end(), "another file has none yet");
    assert!(journal.wants_preparing(true));
    journal.prepare().unwrap();
    append(&mut journal, vec![op(2, 5)]);
    let end = journal.end();
    assert!(length() > end);
    journal.close();
    assert_eq!(length(), end, "it ends with its last commit");
    assert_eq!(Journal::open(&path, 7, |_| {}).unwrap().end(), end);
}

#[test]
fn a_journal_that_can_not_be_prepared_goes_on_as_it_is() {
    for what in ["read-only", "full", "unsynced"] {
        let (_directory, path) = three_commits();
        let mut journal = Journal::open(&path, 0, |_| {}).unwrap();
        journal.file = failing_file(what, &path);
        let refused = journal.prepare().unwrap_err();
        assert!(matches!(refused, AppendError::NotWritten(_)) && journal.is_sound(), "{what}: {refused:?}");
        assert!(!journal.wants_preparing(true), "{what}: each time the whole journal may be written anew");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), journal.end(), "{what}");
        append(&mut journal, vec![op(2, 4)]);
        assert_eq!(commits(&path).unwrap().last().unwrap().ops, [op(2, 4)], "{what}");
    }
}

#[test]
fn a_damaged_record_in_the_middle_stops_the_start_with_its_position() {
    let (_directory, path) = three_commits();
    let whole = std::fs::read(&path).unwrap();
    let (one, two) = (boundaries(&whole)[1], boundaries(&whole)[2]);
    for at in one..two {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        match Journal::open(&path, 0, |_| {}) {
            Err(JournalError::Damaged { offset, .. }) => assert_eq!(offset, one as u64, "byte {at}"),
            other => panic!("byte {at}: {:?}", other.map(|journal| journal.seq())),
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "a damaged journal is left as it is");
    }
}

#[test]
fn a_group_that_reached_the_disk_out_of_order_is_dropped_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let mut journal = Journal::create(&path).unwrap();
    append(&mut journal, vec![op(1, 1)]);
    let good = journal.durable;
    // Two commits of one group: the first never reached the disk, the second did.
    let (_, lost) = journal.frame(2, Timestamp::from_secs(1), vec![op(2, 2)]).unwrap();
    let (_, kept) = journal.frame(3, Timestamp::from_secs(1), vec![op(3, 3)]).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(vec![0; lost.len()]);
    bytes.extend(kept);
    std::fs::write(&path, &bytes).unwrap();
    let journal = Journal::open(&path, 0, |_| {}).unwrap();
    assert_eq!((journal.seq(), journal.durable), (1, good));
}

#[test]
fn missing_and_repeated_records_stop_the_start() {
    let (_directory, path) = three_commits();
    let whole = std::fs::read(&path).unwrap();
    let (one, two) = (boundaries(&whole)[1], boundaries(&whole)[2]);
    for bytes in [
        [&whole[..one], &whole[two..]].concat(),
        [&whole[..two], &whole[one..]].concat(),
        [&whole[one..two], &whole[..one]].concat(),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(Journal::open(&path, 0, |_| {}), Err(JournalError::Damaged { .. })));
    }
}

#[test]
fn compaction_keeps_the_latest_of_each_record_and_goes_on_counting() {
    let (_directory, path) = three_commits();
    let mut journal = Journal::open(&path, 0, |_| {}).unwrap();
    append(&mut journal, vec![op(2, 4), op(3, 5)]);
    append(&mut journal, vec![Op::Remove { kind: Kind::Video, key: Uuid::from_u128(2) }]);
    journal.renew().unwrap();
    append(&mut journal, vec![op(4, 6)]);
    let found = commits(&path).unwrap();
    let ops: Vec<Op> = found.iter().flat_map(|commit| commit.ops.clone()).collect();
    assert_eq!(ops, [op(1, 3), op(3, 5), op(4, 6)]);
    assert_eq!(found.last().unwrap().seq, 6);
    assert!(found[..found.len() - 1].iter().all(|commit| commit.snapshot && commit.seq == 5));
    assert_eq!(Journal::open(&path, 0, |_| {}).unwrap().seq(), 6);
}

fn says(path: &Path) -> Vec<Op> {
    commits(path).unwrap().into_iter().flat_map(|commit| commit.ops).collect()
}

#[test]
fn what_is_appended_while_the_journal_is_compacted_follows_the_head() {
    let (_directory, path) = three_commits();
    let mut journal = Journal::open(&path, 0, |_| {}).unwrap();
    let before = journal.end();
    let compaction = journal.begin_compaction().unwrap();
    append(&mut journal, vec![op(2, 4)]);
    let compacted = compaction.run().unwrap().expect("two of three go");
    append(&mut journal, vec![op(1, 5)]);
    assert_eq!(journal.bytes_behind(&compacted), journal.end() - before);
    let compacted = compacted.follow(&journal.freeze().unwrap()).unwrap();
    assert_eq!(journal.bytes_behind(&compacted), 0);
    append(&mut journal, vec![Op::Remove { kind: Kind::Video, key: Uuid::from_u128(2) }, op(3, 6)]);
    assert!(journal.finish_compaction(compacted).unwrap());
    append(&mut journal, vec![op(4, 7)]);
    let removal = Op::Remove { kind: Kind::Video, key: Uuid::from_u128(2) };
    let all = [op(1, 3), op(2, 4), op(1, 5), removal, op(3, 6), op(4, 7)];
    assert_eq!(says(&path), all);
    let found = commits(&path).unwrap();
    let numbers: Vec<(u64, bool)> = found.iter().map(|commit| (commit.seq, commit.snapshot)).collect();
    assert_eq!(numbers, [(3, true), (3, true), (4, false), (5, false), (6, false), (7, false)]);
    // What was on disk when the file got its name is known to have been, down to its last commit.
    let whole = std::fs::read(&path).unwrap();
    let ends = boundaries(&whole);
    for frame in 0..ends.len() - 2 {
        let mut bytes = whole.clone();
        bytes[ends[frame] + FRAME_BYTES] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        let opened = Journal::open(&path, 0, |_| {});
        let offset = ends[frame] as u64;
        assert!(matches!(opened, Err(JournalError::Damaged { offset: at, .. }) if at == offset), "frame {frame}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(Journal::open(&path, 0, |_| {}).unwrap().seq(), 7);
}

#[test]
fn a_journal_of_which_less_than_half_would_go_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let mut journal = Journal::create(&path).unwrap();
    for key in 1..=3 {
        append(&mut journal, vec![op(key, 1)]);
    }
    let before = std::fs::read(&path).unwrap();
    assert!(journal.begin_compaction().unwrap().run().unwrap().is_none());
    journal.give_up_compaction();
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(!path.with_extension(COMPACTING).exists());
    for value in 2..=9 {
        append(&mut journal, vec![op(1, value)]);
    }
    let compacted = journal.begin_compaction().unwrap().run().unwrap().expect("most of it goes");
    assert!(journal.finish_compaction(compacted).unwrap());
    assert_eq!(says(&path), [op(2, 1), op(3, 1), op(1, 9)]);
}

#[test]
fn a_compaction_of_a_file_that_is_the_journal_no_more_changes_nothing() {
    let (_directory, path) = three_commits();
    let mut journal = Journal::open(&path, 0, |_| {}).unwrap();
    let late = journal.begin_compaction().unwrap();
    let compaction = journal.begin_compaction().unwrap();
    // Mended meanwhile, to another file; and that takes a change.
    journal.renew().unwrap();
    append(&mut journal, vec![op(2, 4)]);
    let before = std::fs::read(&path).unwrap();
    for compaction in [late, compaction] {
        let compacted = compaction.run().unwrap().expect("two of three go");
        assert!(!journal.finish_compaction(compacted).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    append(&mut journal, vec![op(2, 5)]);
    assert_eq!(says(&path), [op(1, 3), op(2, 4), op(2, 5)]);
}

#[test]
fn a_compacted_head_that_was_cut_short_stops_the_start() {
    let (_directory, path) = three_commits();
    let mut journal = Journal::open(&path, 0, |_| {}).unwrap();
    append(&mut journal, vec![op(2, 4)]);
    journal.renew().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let ends = boundaries(&whole);
    for cut in [ends[ends.len() - 2], ends[1], ends[1] + 3] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let opened = Journal::open(&path, 0, |_| {});
        assert!(matches!(opened, Err(JournalError::Damaged { .. })), "cut at {cut} of {}", whole.len());
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(Journal::open(&path, 0, |_| {}).unwrap().seq(), 4);
}

#[test]
fn a_record_of_a_compacted_head_that_is_missing_repeated_or_out_of_order_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let mut journal = Journal::create(&path).unwrap();
    for key in 1..=3 {
        append(&mut journal, vec![op(key, key.try_into().unwrap())]);
    }
    journal.renew().unwrap();
    append(&mut journal, vec![op(4, 4)]);
    let whole = std::fs::read(&path).unwrap();
    let ends = boundaries(&whole);
    let frames: Vec<&[u8]> = ends.windows(2).map(|ends| &whole[ends[0]..ends[1]]).collect();
    // Three records, what closes the head, and what was appended.
    let orders: [(&[usize], usize); 10] = [
        (&[1, 2, 3, 4], 0),
        (&[0, 2, 3, 4], 1),
        (&[0, 1, 3, 4], 2),
        (&[0, 1, 2, 4], 3),
        (&[3, 4], 0),
        (&[0, 1, 2, 2, 3, 4], 3),
        (&[0, 1, 2, 3, 3, 4], 4),
        (&[1, 0, 2, 3, 4], 0),
        (&[0, 2, 1, 3, 4], 1),
        (&[0, 1, 3, 2, 4], 2),
    ];
    for (order, first_bad) in orders {
        let bytes = order.iter().map(|at| frames[*at]).collect::<Vec<_>>().concat();
        let position: usize = order[..first_bad].iter().map(|at| frames[*at].len()).sum();
        std::fs::write(&path, &bytes).unwrap();
        match Journal::open(&path, 0, |_| {}) {
            Err(JournalError::Damaged { offset, .. }) => assert_eq!(offset, position as u64, "{order:?}"),
            other => panic!("{order:?}: {:?}", other.map(|journal| journal.seq())),
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "a damaged journal is left as it is");
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(Journal::open(&path, 0, |_| {}).unwrap().seq(), 4);
}

#[test]
fn a_record_that_claims_more_before_it_than_there_is_stops_the_start() {
    for (more, opens) in [(0, true), (1, false)] {
        let (_directory, path) = three_commits();
        let mut bytes = std::fs::read(&path).unwrap();
        let durable = bytes.len() as u64 + more;
        let at = Timestamp::from_secs(1);
        bytes.extend(frame(&Commit { seq: 4, snapshot: false, durable, at, ops: vec![op(1, 4)] }).unwrap());
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Journal::open(&path, 0, |_| {}).is_ok(), opens, "{more}");
    }
}

#[test]
fn megabytes_of_garbage_behind_the_last_record_are_dropped_or_refused_without_delay() {
    const GARBAGE_BYTES: usize = 16 << 20;
    let numbers = [1 << 8, 0x0001_0101, 1 << 19, (1 << 20) - 1];
    let dropped = numbers.map(|number: u32| number.to_le_bytes().to_vec());
    // What seems to begin a record at every few bytes, with lengths that fit.
    let lengths = [0_u32, 1 << 10, 1 << 20];
    let made_up = lengths.map(|length| [&length.to_le_bytes(), b"\0\0\0\0".as_slice(), br#"{"seq":"#].concat());
    for (unit, opens) in dropped.iter().zip([true; 4]).chain(made_up.iter().zip([true, false, false])) {
        let (_directory, path) = three_commits();
        let mut bytes = std::fs::read(&path).unwrap();
        let end = bytes.len();
        bytes.extend(unit.iter().cycle().take(GARBAGE_BYTES));
        std::fs::write(&path, &bytes).unwrap();
        let began = std::time::Instant::now();
        let opened = Journal::open(&path, 0, |_| {});
        assert!(began.elapsed().as_secs() < 2, "{unit:?}: {:?}", began.elapsed());
        match opened {
            Ok(journal) => assert!(opens && journal.seq() == 3, "{unit:?}"),
            Err(JournalError::Damaged { offset, .. }) => assert!(!opens && offset == end as u64, "{unit:?}"),
            Err(error) => panic!("{unit:?}: {error}"),
        }
    }
}

#[test]
fn a_damaged_record_before_megabytes_of_records_stops_the_start() {
    let (_directory, path) = three_commits();
    let mut journal = Journal::open(&path, 0, |_| {}).unwrap();
    let row = Row::of(&json!({ "value": "x".repeat(limits::COMMIT_BYTES / 2) })).unwrap();
    for _ in 0..20 {
        append(&mut journal, vec![Op::Put { kind: Kind::Video, key: Uuid::from_u128(1), v: 1, row: row.clone() }]);
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let three = boundaries(&bytes)[3];
    bytes[three + FRAME_BYTES] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let opened = Journal::open(&path, 0, |_| {});
    assert!(matches!(opened, Err(JournalError::Damaged { offset, .. }) if offset == three as u64));
}

#[test]
fn a_record_that_tells_of_damage_before_it_is_found_wherever_it_begins() {
    // At the last places of what is looked through first, and at the first of what comes then.
    for before in 0..32 {
        let (_directory, path) = three_commits();
        let mut bytes = std::fs::read(&path).unwrap();
        let bad = bytes.len();
        bytes.resize(bad + WINDOW_BYTES + 8 - before, 0);
        let (durable, at) = (bytes.len() as u64, Timestamp::from_secs(1));
        bytes.extend(frame(&Commit { seq: 5, snapshot: false, durable, at, ops: vec![op(1, 5)] }).unwrap());
        std::fs::write(&path, &bytes).unwrap();
        let opened = Journal::open(&path, 0, |_| {});
        assert!(matches!(opened, Err(JournalError::Damaged { offset, .. }) if offset == bad as u64), "{before}");
    }
}

#[test]
fn an_end_longer_than_any_append_is_refused_whatever_it_is_and_one_as_long_is_dropped() {
    let (_directory, path) = three_commits();
    let end = std::fs::metadata(&path).unwrap().len();
    for (more, opens) in [(1, false), (1 << 40, false), (0, true)] {
        let length = end + APPEND_BYTES + more;
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        match Journal::open(&path, 0, |_| {}) {
            Ok(journal) => assert!(opens && journal.seq() == 3, "{more}"),
            Err(JournalError::Damaged { offset, .. }) => assert!(!opens && offset == end, "{more}"),
            Err(error) => panic!("{more}: {error}"),
        }
        let left = std::fs::metadata(&path).unwrap().len();
        assert_eq!(left, if opens { end } else { length }, "{more}");
    }
}

#[test]
fn room_that_is_held_behind_its_end_is_no_part_of_a_journal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let mut journal = Journal::create(&path).unwrap();
    append(&mut journal, vec![]);
    let (end, room) = (journal.end(), 1 << 20);
    journal.hold_room(room);
    let held = || std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&path).unwrap()) * 512;
    assert_eq!((std::fs::metadata(&path).unwrap().len(), journal.room()), (end, room));
    assert!(held() >= room);
    // What is written takes of it, and what a failed write took away is held again.
    append(&mut journal, vec![]);
    assert!(journal.room() < room);
    let left = journal.room();
    journal.cut_back().unwrap();
    assert!(journal.room() == left && held() >= left);
    let (end, seq) = (journal.end(), journal.seq());
    drop(journal);
    let opened = Journal::open(&path, seq, |_| {}).unwrap();
    assert_eq!((opened.end(), opened.seq()), (end, seq));
    assert!(held() >= left, "a start gave it back");
}

#[test]
fn a_record_of_a_version_we_do_not_know_stops_the_start_and_is_kept() {
    let (_directory, path) = three_commits();
    let mut bytes = std::fs::read(&path).unwrap();
    let json = br#"{"from":"the future"}"#;
    bytes.extend(u32::try_from(json.len()).unwrap().to_le_bytes());
    bytes.extend(crc32c::crc32c(json).to_le_bytes());
    bytes.extend(json);
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(Journal::open(&path, 0, |_| {}), Err(JournalError::Damaged { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_frozen_journal_is_as_of_its_commit_whatever_follows() {
    let (directory, path) = three_commits();
    let mut journal = Journal::open(&path, 0, |_| {}).unwrap();
    let frozen = journal.freeze().unwrap();
    append(&mut journal, vec![op(9, 9)]);
    journal.renew().unwrap();
    let copy = directory.path().join("copy");
    frozen.copy_to(&copy).unwrap();
    assert_eq!(commits(&copy).unwrap().len(), 3);
    assert_eq!(frozen.seq, 3);
}

/// A descriptor that takes no write, one that has no room, and one that does not sync what it took.
fn failing_file(what: &str, path: &Path) -> File {
    let device = |name| OpenOptions::new().read(true).write(true).open(name).unwrap();
    match what {
        "full" => device("/dev/full"),
        "unsynced" => device("/dev/null"),
        _ => File::open(path).unwrap(),
    }
}

fn try_append(journal: &mut Journal, ops: Vec<Op>) -> Result<(), AppendError> {
    let seq = journal.seq() + 1;
    let (_, bytes) = journal.frame(seq, Timestamp::from_secs(1), ops).unwrap();
    journal.append(&bytes, seq)
}

#[test]
fn after_a_failed_write_or_sync_the_descriptor_is_another_and_nothing_of_it_is_there() {
    for what in ["read-only", "full", "unsynced"] {
        let (_directory, path) = three_commits();
        let mut journal = Journal::open(&path, 0, |_| {}).unwrap();
        journal.file = failing_file(what, &path);
        let refused = try_append(&mut journal, vec![op(9, 9)]).unwrap_err();
        assert!(matches!(refused, AppendError::NotWritten(_)), "{what}: {refused:?}");
        assert_eq!(refused.is_for_room(), what == "full");
        assert!(journal.is_sound(), "{what}");
        append(&mut journal, vec![op(2, 4)]);
        let ops: Vec<Op> = commits(&path).unwrap().iter().flat_map(|commit| commit.ops.clone()).collect();
        assert_eq!(ops, [op(1, 3), op(2, 4)], "{what}");
        assert_eq!(Journal::open(&path, 0, |_| {}).unwrap().seq(), 4, "{what}");
    }
}

#[test]
fn a_journal_that_can_not_be_mended_takes_nothing_until_it_is() {
    let (_directory, path) = three_commits();
    let before = std::fs::read(&path).unwrap();
    let mut journal = Journal::open(&path, 0, |_| {}).unwrap();
    let in_the_way = path.with_extension(COMPACTING);
    std::fs::create_dir(&in_the_way).unwrap();
    journal.file = failing_file("unsynced", &path);
    // What the page cache has of it would be read by the next start.
    let (_, unsynced) = journal.frame(4, Timestamp::from_secs(1), vec![op(9, 9)]).unwrap();
    std::fs::write(&path, [before.clone(), unsynced].concat()).unwrap();
    let refused = try_append(&mut journal, vec![op(9, 9)]).unwrap_err();
    assert!(matches!(refused, AppendError::Unknown(_)), "{refused:?}");
    assert!(!journal.is_sound());
    assert_eq!(Journal::inspect(&path, |_| {}).unwrap(), (3, 0));
    assert!(journal.mend().is_err() && !journal.is_sound());
    assert_eq!(std::fs::read(&path).unwrap(), before);
    std::fs::remove_dir(&in_the_way).unwrap();
    journal.mend().unwrap();
    assert!(journal.is_sound());
    append(&mut journal, vec![op(2, 4)]);
    let ops: Vec<Op> = commits(&path).unwrap().iter().flat_map(|commit| commit.ops.clone()).collect();
    assert_eq!(ops, [op(1, 3), op(2, 4)]);
}

#[test]
fn compaction_stops_at_an_acknowledged_record_that_is_damaged_and_leaves_the_journal_as_it_is() {
    let (_directory, path) = three_commits();
    let mut journal = Journal::open(&path, 0, |_| {}).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // The last one, where a start could take it for the unfinished end.
    let at = bytes.len() - 2;
    bytes[at] ^= 0x10;
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(journal.renew(), Err(JournalError::Damaged { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(journal.is_sound());
}
