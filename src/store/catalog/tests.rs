//! What a catalog must survive, and what it says.

use super::super::disk::Watermarks;
use super::super::journal::compact_journal;
use super::*;
use crate::domain::{Organization, Reference, Settings, VideoId};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::AtomicU32;

const OWNER: OrganizationId = OrganizationId(Uuid::from_u128(7));

/// What a catalog must say: every record's key, and the video it names.
type Model = BTreeMap<Uuid, VideoId>;

fn open(directory: &Path) -> Result<Catalog, JournalError> {
    Catalog::open(directory, 8 << 20, Duration::from_secs(10), Arc::new(Disk::new(directory, Watermarks::OFF)))
}

/// Stores, stores over and removes records, one a commit.
fn change(directory: &Path, model: &mut Model, steps: Range<u128>) {
    let catalog = open(directory).unwrap();
    actix_web::rt::System::new().block_on(async {
        for step in steps {
            let id = Uuid::from_u128(step * 31 % 97);
            let record = Reference { id, organization: OWNER, video: VideoId(Uuid::from_u128(step)) };
            let is_removal = step % 3 == 0;
            if is_removal {
                model.remove(&id);
            } else {
                model.insert(id, record.video);
            }
            let written = catalog.write(Timestamp::from_secs(1), move |draft| {
                if is_removal {
                    draft.remove(&record);
                } else {
                    draft.put(&record);
                }
                Ok::<_, WriteError>(())
            });
            written.await.unwrap();
        }
    });
}

fn assert_says(directory: &Path, model: &Model) {
    let catalog = open(directory).unwrap();
    actix_web::rt::System::new().block_on(async {
        for key in (0..97).map(Uuid::from_u128) {
            let found = catalog.find::<Reference>(key).await.unwrap();
            assert_eq!(found.map(|record| record.video), model.get(&key).copied(), "{key}");
        }
        let (mut listed, mut cursor) = (Model::new(), None);
        loop {
            let page = catalog.list::<Reference>(OWNER, cursor, 10).await.unwrap();
            listed.extend(page.items.iter().map(|record| (record.id, record.video)));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(&listed, model);
    });
}

#[test]
fn a_search_finds_every_record_once_however_short_its_pages_and_its_looks_are() {
    let directory = tempfile::tempdir().unwrap();
    let (records, other) = (3 * limits::SEARCH_STEP as u128 + 7, OrganizationId(Uuid::from_u128(8)));
    let catalog = open(directory.path()).unwrap();
    actix_web::rt::System::new().block_on(async {
        for first in (0..records).step_by(50) {
            let written = catalog.write(Timestamp::from_secs(1), move |draft| {
                for number in first..records.min(first + 50) {
                    let (id, video) = (Uuid::from_u128(number), VideoId(Uuid::from_u128(number)));
                    draft.put(&Reference { id, organization: OWNER, video });
                }
                let id = Uuid::from_u128(1 << 64 | first);
                draft.put(&Reference { id, organization: other, video: VideoId(id) });
                Ok::<_, WriteError>(())
            });
            written.await.unwrap();
        }
        let sevenths = |record: &Reference| record.id.as_u128().is_multiple_of(7);
        let none = |_: &Reference| false;
        for (limit, scan) in [(1, 1), (1, 1000), (3, 10), (100, limits::SEARCH_STEP), (100, 51), (100, 1000)] {
            let (mut found, mut cursor, mut pages) = (Vec::new(), None, 0);
            loop {
                let page = catalog.search(OWNER, cursor, limit, scan, sevenths).await.unwrap();
                assert!(page.items.len() <= limit);
                found.extend(page.items.iter().map(|record| record.id.as_u128()));
                (cursor, pages) = (page.next, pages + 1);
                if cursor.is_none() {
                    break;
                }
                assert!(pages <= 2 * records, "{limit} of {scan}: it does not end");
            }
            found.sort_unstable();
            let expected: Vec<u128> = (0..records).filter(|number| number.is_multiple_of(7)).collect();
            assert_eq!(found, expected, "{limit} of {scan}");
            // Where nothing is found, a page says how far it has looked.
            let page = catalog.search(OWNER, None, limit, scan, none).await.unwrap();
            assert!(page.items.is_empty());
            assert_eq!(page.next.is_some(), scan < 1000, "{limit} of {scan}");
        }
    });
}

#[test]
fn whoever_reads_a_record_finds_in_memory_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(directory.path()).unwrap();
    let (is_over, looks) = (AtomicBool::new(false), AtomicU32::new(0));
    let organization = |changes: u32| {
        let settings = Settings { session_max_age_s: changes, ..Settings::default() };
        Organization { id: OWNER, name: "Acme".into(), settings, created_at: Timestamp::from_secs(1) }
    };
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            actix_web::rt::System::new().block_on(async {
                while !is_over.load(Ordering::SeqCst) {
                    let record = catalog.find::<Organization>(OWNER.0).await.unwrap();
                    let record = record.map_or(0, |record| record.settings.session_max_age_s);
                    let page = catalog.list::<Organization>(OrganizationId::APPLIANCE, None, 2).await.unwrap();
                    let listed = page.items.first().map_or(0, |listed| listed.settings.session_max_age_s);
                    let memory = catalog.access().organization(OWNER).map_or(0, |it| it.settings.session_max_age_s);
                    assert!(last <= record, "{record} was read after {last}");
                    assert!(record <= listed, "{listed} was listed after {record} was read");
                    assert!(listed <= memory, "{memory} decides, and {listed} was read before");
                    looks.fetch_add(1, Ordering::SeqCst);
                    last = record;
                }
            });
        });
        actix_web::rt::System::new().block_on(async {
            // Until enough was looked at between them, however few turns the reader gets; it ends early where it has failed.
            let goes_on =
                |changes: &u32| *changes <= 300 || looks.load(Ordering::SeqCst) <= 300 && !reader.is_finished();
            for changes in (1..).take_while(goes_on) {
                let record = organization(changes);
                let written = catalog.write(Timestamp::from_secs(1), move |draft| {
                    draft.put(&record);
                    Ok::<_, WriteError>(())
                });
                written.await.unwrap();
            }
        });
        is_over.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
}

#[test]
fn a_full_disk_takes_what_is_urgent_and_says_no_to_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let full = Watermarks { warn_percent: 1, uploads_percent: 1, changes_percent: 1, ..Watermarks::OFF };
    let disk = Arc::new(Disk::new(directory.path(), full));
    let catalog = Catalog::open(directory.path(), 8 << 20, Duration::from_secs(10), disk).unwrap();
    assert_eq!(catalog.health(), StoreHealth::Working(Fullness::NoChanges));
    let record = |id| Reference { id: Uuid::from_u128(id), organization: OWNER, video: VideoId(Uuid::from_u128(1)) };
    let put = move |id| {
        move |draft: &mut Draft<'_>| {
            draft.put(&record(id));
            Ok::<_, WriteError>(())
        }
    };
    actix_web::rt::System::new().block_on(async {
        let (now, nothing) = (Timestamp::from_secs(1), |_: &mut Draft<'_>| Ok::<_, WriteError>(()));
        assert!(matches!(catalog.write(now, put(1)).await, Err(WriteError::NoSpace)));
        catalog.write_urgent(now, put(2)).await.unwrap();
        // What changes nothing takes no room.
        catalog.write(now, nothing).await.unwrap();
        // One that is refused takes nobody with it, and its number is free.
        let (refused, urgent) =
            futures_util::future::join(catalog.write(now, put(3)), catalog.write_urgent(now, put(4))).await;
        assert!(matches!(refused, Err(WriteError::NoSpace)) && urgent.is_ok());
        for (id, is_there) in [(1, false), (2, true), (3, false), (4, true)] {
            let found = catalog.find::<Reference>(Uuid::from_u128(id)).await.unwrap();
            assert_eq!(found.is_some(), is_there, "{id}");
        }
    });
    drop(catalog);
    // The next start finds room, and the same.
    let catalog = open(directory.path()).unwrap();
    assert_eq!(catalog.health(), StoreHealth::Working(Fullness::Roomy));
    actix_web::rt::System::new().block_on(async {
        assert!(catalog.find::<Reference>(Uuid::from_u128(4)).await.unwrap().is_some());
        catalog.write(Timestamp::from_secs(1), put(5)).await.unwrap();
    });
}

#[test]
fn only_what_decides_access_wakes_those_who_wait_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open(directory.path()).unwrap();
    let changes = catalog.changes();
    let (now, id) = (Timestamp::from_secs(1), Uuid::from_u128(1));
    actix_web::rt::System::new().block_on(async {
        let reference = Reference { id, organization: OWNER, video: VideoId(id) };
        let written = catalog.write(now, move |draft| {
            draft.put(&reference);
            Ok::<_, WriteError>(())
        });
        written.await.unwrap();
        assert!(!changes.has_changed().unwrap());
        let owner = Organization { id: OWNER, name: "Acme".into(), settings: Settings::default(), created_at: now };
        let written = catalog.write(now, move |draft| {
            draft.put(&owner);
            Ok::<_, WriteError>(())
        });
        written.await.unwrap();
        assert!(changes.has_changed().unwrap());
    });
}

fn compact(directory: &Path) {
    compact_journal(directory).unwrap();
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).unwrap();
    }
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn lose_index(directory: &Path) {
    std::fs::remove_dir_all(directory.join("index")).unwrap();
}

#[test]
fn a_compacted_journal_says_the_same_with_its_index_and_without() {
    let directory = tempfile::tempdir().unwrap();
    let (path, mut model) = (directory.path(), Model::new());
    change(path, &mut model, 1..400);
    let before = std::fs::metadata(path.join("journal")).unwrap().len();
    compact(path);
    assert!(std::fs::metadata(path.join("journal")).unwrap().len() < before / 2);
    assert_says(path, &model);
    lose_index(path);
    assert_says(path, &model);
    // It goes on: changes behind the compacted head, and compaction of a compacted journal.
    change(path, &mut model, 400..500);
    assert_says(path, &model);
    lose_index(path);
    assert_says(path, &model);
    compact(path);
    compact(path);
    change(path, &mut model, 500..510);
    lose_index(path);
    assert_says(path, &model);
}

#[test]
fn an_index_behind_is_caught_up_and_one_behind_a_compacted_head_is_built_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (path, mut model) = (directory.path(), Model::new());
    let (index, older) = (path.join("index"), path.join("older"));
    change(path, &mut model, 1..200);
    copy(&index, &older);
    // Among what follows are removals, of which a compacted head tells nothing.
    change(path, &mut model, 200..400);
    copy(&older, &index);
    assert_says(path, &model);
    assert!(!path.join("index.set-aside-1").exists());
    compact(path);
    copy(&older, &index);
    assert_says(path, &model);
    assert!(path.join("index.set-aside-1").exists(), "an index behind the head was caught up");
    // As far as the head is not behind it.
    copy(&index, &older);
    change(path, &mut model, 400..450);
    copy(&older, &index);
    assert_says(path, &model);
    assert!(!path.join("index.set-aside-2").exists());
}

#[test]
fn an_index_that_is_let_go_of_late_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (path, mut model) = (directory.path(), Model::new());
    change(path, &mut model, 1..50);
    // As a thread of sled's own may hold it after it was closed.
    let lock = std::fs::File::open(path.join("index/db")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::park_timeout(Duration::from_millis(200));
            drop(lock);
        });
        assert_says(path, &model);
    });
    assert!(!path.join("index.set-aside-1").exists(), "a good index was set aside");
}

#[test]
fn an_index_that_can_not_be_set_aside_refuses_the_start_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (path, mut model) = (directory.path(), Model::new());
    let (index, older, aside) = (path.join("index"), path.join("older"), path.join("index.set-aside-1"));
    change(path, &mut model, 1..200);
    copy(&index, &older);
    change(path, &mut model, 200..400);
    compact(path);
    copy(&older, &index);
    // A directory is not renamed to what is a link, of which it is said that nothing is there.
    std::os::unix::fs::symlink("nowhere", &aside).unwrap();
    for _ in 0..2 {
        match open(path) {
            Err(JournalError::Io { path, error }) => {
                assert_eq!(path, index);
                assert!(error.to_string().contains("can't be set aside"), "{error}");
            }
            other => panic!("it goes on with an index of another time: {:?}", other.err()),
        }
    }
    std::fs::remove_file(&aside).unwrap();
    assert_says(path, &model);
    assert!(aside.exists());
}

#[test]
fn a_catalog_closes_while_somebody_waits_for_an_answer_and_is_never_asked_again() {
    // Whoever is answered before the second look has not waited: another catalog, then.
    let has_waited = || {
        let directory = tempfile::tempdir().unwrap();
        let catalog = open(directory.path()).unwrap();
        let mut waiting = Box::pin(catalog.freeze_journal());
        let mut writing = Box::pin(catalog.write(Timestamp::from_secs(0), |_| Ok::<_, WriteError>(())));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let are_asked = waiting.as_mut().poll(&mut context).is_pending();
        if !are_asked || writing.as_mut().poll(&mut context).is_ready() {
            return false;
        }
        catalog.close();
        assert!(waiting.as_mut().poll(&mut context).is_ready());
        assert!(writing.as_mut().poll(&mut context).is_ready());
        true
    };
    assert!((0..100).any(|_| has_waited()));
}

#[test]
fn an_index_ahead_of_the_journal_refuses_the_start_and_both_stay_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let (path, mut model) = (directory.path(), Model::new());
    let journal = path.join("journal");
    for compacted in [false, true] {
        change(path, &mut model, 1..100);
        if compacted {
            compact(path);
        }
        let older = std::fs::read(&journal).unwrap();
        change(path, &mut model, 100..120);
        let right = std::fs::read(&journal).unwrap();
        std::fs::write(&journal, &older).unwrap();
        for _ in 0..2 {
            assert!(matches!(open(path), Err(JournalError::Older { .. })));
            assert_eq!(std::fs::read(&journal).unwrap(), older);
        }
        std::fs::write(&journal, right).unwrap();
        assert_says(path, &model);
    }
}

#[test]
fn a_journal_without_a_record_is_refused_untouched_in_a_directory_that_was_made_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (path, mut model) = (directory.path(), Model::new());
    let journal = path.join("journal");
    // Until then it is made, and one that was only just made is opened.
    assert_says(path, &model);
    assert_says(path, &model);
    change(path, &mut model, 1..3);
    std::fs::write(path.join("format"), "").unwrap();
    assert_says(path, &model);
    let whole = std::fs::read(&journal).unwrap();
    for with_index in [true, false] {
        if !with_index {
            lose_index(path);
        }
        std::fs::remove_file(&journal).unwrap();
        assert!(matches!(open(path), Err(JournalError::Missing(missing)) if missing == journal));
        assert!(!journal.exists(), "another one was made");
        for bytes in [Vec::new(), vec![0; whole.len()], whole[1..].to_vec(), b"of something else\n".repeat(100_000)] {
            std::fs::write(&journal, &bytes).unwrap();
            match open(path) {
                Err(JournalError::Missing(_)) => assert!(bytes.is_empty()),
                Err(JournalError::Damaged { offset: 0, .. }) => assert!(!bytes.is_empty()),
                other => panic!("{:?}", other.err()),
            }
            assert!(std::fs::read(&journal).unwrap() == bytes, "it was changed");
        }
    }
    std::fs::write(&journal, &whole).unwrap();
    assert_says(path, &model);
}

#[test]
fn a_journal_that_can_not_be_looked_at_is_not_called_missing() {
    let directory = tempfile::tempdir().unwrap();
    let (path, mut model) = (directory.path(), Model::new());
    change(path, &mut model, 1..3);
    let (journal, kept) = (path.join("journal"), path.join("kept"));
    std::fs::rename(&journal, &kept).unwrap();
    std::os::unix::fs::symlink("journal", &journal).unwrap();
    match open(path) {
        Err(JournalError::Io { path, error }) => {
            assert_eq!(path, journal);
            assert!(error.to_string().contains("move the link away"), "{error}");
        }
        other => panic!("{:?}", other.err()),
    }
    // The twin.
    std::fs::rename(&kept, &journal).unwrap();
    assert_says(path, &model);
}
