use super::super::access::NO_AUDIT;
use super::super::audit_chain::chained;
use super::super::index::IndexPlace;
use super::super::op::Row;
use super::*;
use crate::domain::{
    Actor, AuditEvent, Embed, EmbedId, MediaKind, Organization, OrganizationId, Record, Settings, Subject, Video,
    VideoId, Visibility,
};
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

const OWNER: OrganizationId = OrganizationId(Uuid::from_u128(7));

fn records(seq: u64) -> Records {
    Records { seq, unfinished_bytes: 0, rows: HashMap::new() }
}

fn put<R: Record>(records: &mut Records, record: &R) {
    records.rows.insert((R::KIND, record.key()), Row::of(record).unwrap());
}

fn owner(id: OrganizationId) -> Organization {
    let settings = Settings { token_access: true, ..Settings::default() };
    Organization { id, name: String::new(), created_at: Timestamp::from_secs(0), settings }
}

fn video(visibility: Visibility) -> Video {
    Video::new(VideoId(Uuid::from_u128(8)), OWNER, String::new(), visibility, Timestamp::from_secs(0))
}

fn source(id: MediaFileId, size_bytes: u64) -> MediaFile {
    let (video, kind, created_at) = (VideoId(Uuid::from_u128(8)), MediaKind::Source, Timestamp::from_secs(0));
    MediaFile { id, organization: OWNER, video, kind, size_bytes, sha256: String::new(), created_at }
}

/// What is said on top of `backup`, as (report, operations).
fn merge(backup: &Records, known: &Records, known_state: KnownState) -> (BackupReport, Vec<Op>) {
    let mut report = BackupReport { known_state, ..BackupReport::default() };
    let ops = merged(backup, Some(known), &mut report).unwrap();
    (report, ops)
}

/// The last record of its kind that is put.
fn last_put<R: Record>(ops: &[Op]) -> Option<R> {
    ops.iter().rev().find_map(|op| match op {
        Op::Put { row, .. } if op.target().0 == R::KIND => Some(row.read().unwrap()),
        _ => None,
    })
}

#[test]
fn a_video_is_back_where_a_later_state_of_its_organization_does_not_have_it() {
    let mut backup = records(5);
    put(&mut backup, &owner(OWNER));
    put(&mut backup, &video(Visibility::Private));
    let back = |seq, of, known_state| {
        let mut known = records(seq);
        put(&mut known, &owner(of));
        merge(&backup, &known, known_state).0.videos_back
    };
    assert_eq!(back(6, OWNER, KnownState::Whole), Some(1));
    assert_eq!(back(6, OrganizationId(Uuid::from_u128(9)), KnownState::Whole), Some(0), "of another state");
    assert_eq!(back(4, OWNER, KnownState::Whole), None, "of an older state");
    assert_eq!(back(6, OWNER, KnownState::Partial), None, "of a damaged one");
}

#[test]
fn a_public_video_that_was_deleted_since_comes_back_private() {
    let mut backup = records(5);
    put(&mut backup, &owner(OWNER));
    put(&mut backup, &video(Visibility::Public));
    let back = |seq, of, known_state| {
        let mut known = records(seq);
        put(&mut known, &owner(of));
        let (report, ops) = merge(&backup, &known, known_state);
        (report.back_private, last_put::<Video>(&ops).map(|video| video.visibility))
    };
    let is_private = (1, Some(Visibility::Private));
    assert_eq!(back(6, OWNER, KnownState::Whole), is_private);
    assert_eq!(back(6, OWNER, KnownState::Partial), is_private, "it may have been deleted before the damage");
    // Where nothing tells of a deletion, it is what it was.
    assert_eq!(back(6, OrganizationId(Uuid::from_u128(9)), KnownState::Whole), (0, None), "of another state");
    assert_eq!(back(4, OWNER, KnownState::Whole), (0, None), "of an older state");
    let mut known = records(6);
    put(&mut known, &owner(OWNER));
    put(&mut known, &video(Visibility::Public));
    let (report, ops) = merge(&backup, &known, KnownState::Whole);
    assert_eq!((report.back_private, report.videos_back, last_put::<Video>(&ops)), (0, Some(0), None));
}

#[test]
fn new_videos_stay_private_and_token_access_stays_off_where_that_was_set_since() {
    let with = |token_access, default_visibility| {
        let settings = Settings { token_access, default_visibility, ..Settings::default() };
        Organization { settings, ..owner(OWNER) }
    };
    let merged = |before: Organization, since: Organization| {
        let (mut backup, mut known) = (records(5), records(6));
        put(&mut backup, &before);
        put(&mut known, &since);
        let (report, ops) = merge(&backup, &known, KnownState::Whole);
        let settings = last_put::<Organization>(&ops)
            .map(|organization| (organization.settings.token_access, organization.settings.default_visibility));
        (report.token_access_kept_off, report.default_kept_private, settings)
    };
    let (public, private) = (Visibility::Public, Visibility::Private);
    assert_eq!(merged(with(true, public), with(true, private)), (0, 1, Some((true, private))));
    assert_eq!(merged(with(true, public), with(false, public)), (1, 0, Some((false, public))));
    assert_eq!(merged(with(true, public), with(false, private)), (1, 1, Some((false, private))));
    // What was opened since is closed again, as it was.
    assert_eq!(merged(with(false, private), with(true, public)), (0, 0, None));
}

#[test]
fn an_embed_deleted_since_stays_deleted_unless_its_video_is_back() {
    let embed = Embed {
        id: EmbedId(Uuid::from_u128(10)),
        organization: OWNER,
        video: video(Visibility::Public).id,
        created_at: Timestamp::from_secs(0),
    };
    let mut backup = records(5);
    put(&mut backup, &owner(OWNER));
    put(&mut backup, &video(Visibility::Public));
    put(&mut backup, &embed);
    let target = (Kind::Embed, embed.key());
    let removed = |seq, has_video, known_state| {
        let mut known = records(seq);
        put(&mut known, &owner(OWNER));
        if has_video {
            put(&mut known, &video(Visibility::Public));
        }
        let (report, ops) = merge(&backup, &known, known_state);
        let removals = ops.iter().filter(|op| op.target() == target).count();
        assert_eq!(removals, report.embeds_kept_deleted);
        removals
    };
    assert_eq!(removed(6, true, KnownState::Whole), 1);
    assert_eq!(removed(6, false, KnownState::Whole), 0, "its video is back, and private");
    assert_eq!(removed(4, true, KnownState::Whole), 0, "it was made since");
    assert_eq!(removed(6, true, KnownState::Partial), 0, "it may stand behind the damage");
}

#[test]
fn a_state_directory_that_is_served_is_in_use_whatever_else_is_wrong_with_it() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("state");
    let state = StateDir::create(&path).unwrap();
    let mut journal = Journal::create(&path.join("journal")).unwrap();
    append_all(&mut journal, &[Op::put(&owner(OWNER)).unwrap()], Timestamp::from_secs(1)).unwrap();
    state.finish().unwrap();
    let is_in_use =
        || matches!(read_known(Some(&path), &records(0)), Err(BackupError::StateDir(StateDirError::InUse(_))));
    assert!(is_in_use());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(is_in_use(), "it is open to others");
    std::fs::remove_file(path.join("format")).unwrap();
    assert!(is_in_use(), "its format is gone");
    std::fs::remove_file(path.join("lock")).unwrap();
    assert!(is_in_use(), "its lock's file is gone");
    // The twin: nobody serves it any more.
    drop(state);
    let known = read_known(Some(&path), &records(0)).unwrap();
    assert!(known.records.is_some() && known.state == KnownState::Whole);
    // Nor does anybody begin to, until the restore has ended.
    assert!(matches!(StateDir::lock(&path), Err(StateDirError::InUse(_))));
    drop(known);
    assert!(StateDir::lock(&path).is_ok());
}

/// A state directory with four audit entries, a commit each: where in its journal each ends.
fn served(path: &Path, actor: &Actor) -> [usize; 4] {
    let state = StateDir::create(path).unwrap();
    let mut journal = Journal::create(&path.join("journal")).unwrap();
    let mut head = (0, NO_AUDIT.to_owned());
    let ends = [(); 4].map(|()| {
        let event = AuditEvent {
            mandate: actor.clone().into(),
            organization: OWNER,
            action: "video.create",
            subject: Subject { kind: Kind::Video, id: Uuid::from_u128(8) },
            detail: serde_json::Value::Null,
        };
        let entry = chained(event, &head, Timestamp::from_secs(1));
        append_all(&mut journal, &[Op::put(&entry).unwrap()], Timestamp::from_secs(1)).unwrap();
        head = (entry.number, entry.hash);
        usize::try_from(journal.end()).unwrap()
    });
    state.finish().unwrap();
    ends
}

#[test]
fn a_present_journal_that_may_lack_something_is_known_in_part_and_what_it_says_counts() {
    let directory = tempfile::tempdir().unwrap();
    let (path, other) = (directory.path().join("state"), directory.path().join("other"));
    let [one, two, three, four] = served(&path, &Actor::Server);
    served(&other, &Actor::Appliance);
    let journal = path.join("journal");
    let whole = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &whole[..two]).unwrap();
    let backup = replay(&journal).unwrap();
    let known = |bytes: &[u8]| {
        std::fs::write(&journal, bytes).unwrap();
        let known = read_known(Some(&path), &backup).unwrap();
        assert_eq!(known.doubt.is_some(), known.state == KnownState::Partial);
        let records = known.records.unwrap();
        (known.state, records.seq, records.rows.len(), known.doubt.unwrap_or_default())
    };
    let in_part = |bytes: &[u8], read: u64, words: &str| {
        let (state, seq, rows, doubt) = known(bytes);
        assert_eq!((state, seq, rows as u64), (KnownState::Partial, read, read), "{doubt}");
        assert!(doubt.contains(words), "{doubt}");
    };
    let entire = |bytes: &[u8], read: u64| {
        assert_eq!(known(bytes), (KnownState::Whole, read, usize::try_from(read).unwrap(), String::new()));
    };
    entire(&whole, 4);
    entire(&whole[..two], 2);
    let mut flipped = whole.clone();
    flipped[four - 2] ^= 1;
    in_part(&flipped, 3, "bytes at its end");
    flipped[three - 2] ^= 1;
    in_part(&flipped, 2, "bytes at its end");
    in_part(&whole[..four - 1], 3, "bytes at its end");
    in_part(&[&whole[..], &[7; 100]].concat(), 4, "100 bytes at its end");
    entire(&[&whole[..], &[0; 100]].concat(), 4);
    let mut damaged = whole.clone();
    damaged[three - 2] ^= 1;
    in_part(&damaged, 2, &format!("damaged at byte {two}"));
    in_part(&[], 0, "it is empty");
    in_part(&vec![0; whole.len()], 0, "damaged at byte 0");
    in_part(b"something else, and longer than a head", 0, "damaged at byte 0");
    in_part(&whole[..one], 1, "an older copy");
    in_part(&std::fs::read(other.join("journal")).unwrap(), 4, "of another state");
    // Cut between two records, only the index knows that something is gone.
    entire(&whole[..three], 3);
    let limit = Duration::from_secs(10);
    let place = IndexPlace { path: path.join("index"), cache_bytes: 8 << 20, limit };
    // Each is opened once, and stays open.
    let index_another = || {
        let _ = std::fs::remove_dir_all(path.join("index"));
        place.open().unwrap().set_applied(4).unwrap();
    };
    index_another();
    in_part(&whole[..three], 3, "change 4 was acknowledged");
    index_another();
    entire(&whole, 4);
    // One that does not open says nothing.
    index_another();
    std::fs::write(path.join("index/conf"), "no configuration").unwrap();
    entire(&whole[..three], 3);
}

#[test]
fn what_can_not_be_linked_is_copied_where_there_is_room_for_all_of_it() {
    let (here, elsewhere) = (tempfile::tempdir_in("target").unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    assert_ne!(here.path().metadata().unwrap().dev(), elsewhere.path().metadata().unwrap().dev());
    let mut records = records(0);
    let names: Vec<String> = (1..=3_u128).map(|number| Uuid::from_u128(number).to_string()).collect();
    for name in &names {
        let id = MediaFileId(name.parse().unwrap());
        let file = source(id, name.len() as u64);
        put(&mut records, &file);
        std::fs::write(here.path().join(name), name).unwrap();
    }
    let bytes = names.iter().map(String::len).sum::<usize>() as u64;
    let refused = link_media(&records, here.path(), elsewhere.path(), &HashSet::new(), |asked| {
        assert_eq!(asked, bytes);
        Err(BackupError::NotEmpty(PathBuf::from("full")))
    });
    assert!(matches!(refused, Err(BackupError::NotEmpty(_))));
    assert_eq!(elsewhere.path().read_dir().unwrap().count(), 0);
    assert_eq!(
        link_media(&records, here.path(), elsewhere.path(), &HashSet::new(), |_| Ok(())).unwrap(),
        (3, Vec::new())
    );
    for name in &names {
        assert_eq!(std::fs::read_to_string(elsewhere.path().join(name)).unwrap(), *name);
    }
    // What can be linked asks for no room.
    let beside = tempfile::tempdir_in("target").unwrap();
    let nobody_asks = |_| Err(BackupError::NotEmpty(PathBuf::from("full")));
    assert_eq!(
        link_media(&records, here.path(), beside.path(), &HashSet::new(), nobody_asks).unwrap(),
        (3, Vec::new())
    );
    // A file that is there already is no reason to copy over it.
    let refused = link_media(&records, here.path(), beside.path(), &HashSet::new(), |_| Ok(()));
    assert!(matches!(refused, Err(BackupError::Io { path, .. }) if path.starts_with(beside.path())));
}

#[test]
fn a_disk_that_does_not_take_a_copy_is_named_not_the_file_that_was_read() {
    let (here, elsewhere) = (tempfile::tempdir_in("target").unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    let (id, mut records) = (MediaFileId(Uuid::from_u128(1)), records(0));
    let file = source(id, 4);
    put(&mut records, &file);
    std::fs::write(here.path().join(id.to_string()), "film").unwrap();
    let copy = elsewhere.path().join(id.to_string());
    // Between the attempt to link and the copy, what has no room takes its place.
    let refused = link_media(&records, here.path(), elsewhere.path(), &HashSet::new(), |_| {
        std::os::unix::fs::symlink("/dev/full", &copy).unwrap();
        Ok(())
    });
    match refused {
        Err(BackupError::Io { path, error }) => assert_eq!((path, error.kind()), (copy, io::ErrorKind::StorageFull)),
        other => panic!("{other:?}"),
    }
}

/// A backup by hand of a journal that names three media files, of which only the first can be had; and those it lacks.
fn lacking_backup(directory: &Path) -> (PathBuf, Vec<MissingMedia>) {
    let (state, backup) = (directory.join("state"), directory.join("backup"));
    let media = state.join("media");
    std::fs::create_dir_all(&media).unwrap();
    let mut journal = Journal::create(&state.join("journal")).unwrap();
    let files: Vec<MediaFile> = (1..=3_u128)
        .map(|number| MediaFile {
            id: MediaFileId(Uuid::from_u128(number)),
            organization: OWNER,
            video: VideoId(Uuid::from_u128(8)),
            kind: MediaKind::Source,
            size_bytes: 4,
            sha256: hex(&Sha256::digest("film")),
            created_at: Timestamp::from_secs(0),
        })
        .collect();
    let ops: Vec<Op> = files.iter().map(|file| Op::put(file).unwrap()).collect();
    append_all(&mut journal, &ops, Timestamp::from_secs(1)).unwrap();
    std::fs::write(media.join(files[0].id.to_string()), "film").unwrap();
    std::fs::create_dir(media.join(files[1].id.to_string())).unwrap();
    std::fs::create_dir(&backup).unwrap();
    let disk = Disk::new(&state, super::super::disk::Watermarks::OFF);
    let report = write_backup(&journal.freeze().unwrap(), &media, &disk, &backup, Timestamp::from_secs(2)).unwrap();
    let missing: Vec<MissingMedia> = files[1..].iter().map(MissingMedia::of).collect();
    assert_eq!((report.media_files, &report.missing_media), (1, &missing));
    (backup, missing)
}

#[test]
fn a_backup_without_what_can_not_be_had_is_made_checked_and_restored_and_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let (backup, missing) = lacking_backup(directory.path());
    let told = verify_backup(&backup).unwrap();
    assert_eq!((told.media_files, &told.missing, told.problems), (1, &missing, Vec::new()));
    let into = directory.path().join("restored");
    let locked = std::fs::Permissions::from_mode(0o400);
    std::fs::set_permissions(backup.join("journal"), locked).unwrap();
    let report = restore_backup(&backup, &into, None, false, Timestamp::from_secs(3)).unwrap();
    assert_eq!((report.media_files, &report.missing_media), (1, &missing));
    assert_eq!(replay(&into.join("journal")).unwrap().rows.len(), 3);
    assert_eq!(into.join("journal").metadata().unwrap().permissions().mode() & 0o777, 0o600, "it is the server's own");
    // One that is put back is missed no more; a wrong one is damage.
    let put_back = backup.join("media").join(missing[0].file.to_string());
    std::fs::write(&put_back, "film").unwrap();
    let told = verify_backup(&backup).unwrap();
    assert_eq!((told.media_files, told.missing, told.problems), (2, missing[1..].to_vec(), Vec::new()));
    std::fs::write(&put_back, "fiml").unwrap();
    assert_eq!(verify_backup(&backup).unwrap().problems.len(), 1);
    // The rest can be restored all the same, by whoever says so.
    let into = directory.path().join("rest");
    let refused = restore_backup(&backup, &into, None, false, Timestamp::from_secs(4)).unwrap_err().to_string();
    assert!(refused.contains("--without-damaged") && !into.exists(), "{refused}");
    let report = restore_backup(&backup, &into, None, true, Timestamp::from_secs(4)).unwrap();
    assert_eq!((report.media_files, &report.missing_media), (1, &missing));
    // The twin: what was in it and is gone is damage, too.
    std::fs::remove_file(&put_back).unwrap();
    std::fs::remove_file(backup.join("media").join(Uuid::from_u128(1).to_string())).unwrap();
    assert_eq!(verify_backup(&backup).unwrap().problems.len(), 1);
}

#[test]
fn where_most_of_the_media_is_gone_no_backup_is_made() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lacking = |count: usize| {
        let mut records = records(0);
        for number in 1..=count {
            let file = source(MediaFileId(Uuid::from_u128(number as u128)), 1);
            put(&mut records, &file);
        }
        link_media(&records, from.path(), to.path(), &HashSet::new(), |_| Ok(()))
    };
    let (count, missing) = lacking(limits::BACKUP_MISSING_FILES).unwrap();
    assert_eq!((count, missing.len()), (0, limits::BACKUP_MISSING_FILES));
    assert!(matches!(lacking(limits::BACKUP_MISSING_FILES + 1), Err(BackupError::MediaGone(_))));
    let manifest = Manifest {
        format: FORMAT,
        created_at: Timestamp::from_secs(0).to_string(),
        seq: u64::MAX,
        journal_bytes: u64::MAX,
        journal_sha256: "0".repeat(64),
        media_files: usize::MAX,
        missing_media: missing,
        sha256: String::new(),
    };
    assert!(manifest.text().unwrap().len() as u64 <= limits::BACKUP_MANIFEST_BYTES / 2, "it would not be read");
}

#[test]
fn a_fifo_in_the_place_of_a_manifest_is_refused_by_name() {
    let backup = tempfile::tempdir().unwrap();
    let path = backup.path().join("manifest.json");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let error = verify_backup(backup.path()).unwrap_err().to_string();
    assert!(error.contains("manifest.json") && error.contains("not a regular file"), "{error}");
}

#[test]
fn a_fifo_in_the_place_of_the_present_journal_holds_no_restore_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    served(&path, &Actor::Server);
    let journal = path.join("journal");
    std::fs::remove_file(&journal).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &journal, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let known = read_known(Some(&path), &records(0)).unwrap();
    assert_eq!(known.state, KnownState::Partial);
    assert!(known.doubt.unwrap().contains("not a regular file"));
}

#[test]
fn a_name_that_leaves_no_room_for_its_ending_is_too_long_and_the_longest_one_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let media = directory.path().join("state/media");
    std::fs::create_dir_all(&media).unwrap();
    let longest = LONGEST_NAME_BYTES - UNFINISHED.len();
    assert!(prepare(&media, &directory.path().join("n".repeat(longest))).is_ok());
    for length in [longest + 1, LONGEST_NAME_BYTES, LONGEST_NAME_BYTES + 1] {
        let error = prepare(&media, &directory.path().join("n".repeat(length))).unwrap_err();
        assert!(matches!(error, BackupError::NameTooLong(_)), "{length}: {error}");
        assert!(error.to_string().contains("at most 244 bytes"), "{error}");
    }
}
