//! Backup and restore: made while the server is written to, refused when damaged, and never a way to bring back what
//! was revoked.

use crate::support::{
    Claims, Dice, FIXTURE, Reply, Server, as_root, copy_directory, files_below, first_difference, packaged,
    progressive_uri, run, sign,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}"))
}

/// A backup of a running server, made by the command line.
fn back_up(server: &Server, name: &str) -> PathBuf {
    let directory = server.scratch().join(name);
    let report = server.verb(&["backup", "create", directory.to_str().unwrap(), "--json"]).expect(0).json();
    assert!(report["seq"].as_u64().unwrap() > 0, "{report}");
    directory
}

/// Stops the server, restores `backup` and goes on with what came of it under the old name; the report.
fn go_on_with(server: &mut Server, backup: &Path) -> Value {
    assert!(server.stop());
    let (state, into) = (server.state(), server.scratch().join("restored"));
    let arguments = ["backup", "restore", backup.to_str().unwrap(), "--into", into.to_str().unwrap(), "--json"];
    let report = server.verb(&arguments).expect(0).json();
    // The master key is not part of a backup: its keeper puts it where the configuration says.
    std::fs::copy(state.join("master.key"), into.join("master.key")).unwrap();
    let before = (1..).map(|number| state.with_extension(format!("before-{number}"))).find(|path| !path.exists());
    std::fs::rename(&state, before.unwrap()).unwrap();
    std::fs::rename(&into, &state).unwrap();
    server.serve();
    report
}

fn play_as(server: &Server, publishable_key: &str, embed: &str) -> Reply {
    let path = format!("/api/v1/embeds/{embed}/playback");
    Reply::read(server.request(Method::GET, &path).bearer_auth(publishable_key).send().unwrap())
}

#[test]
fn a_restored_backup_has_everything_it_was_made_of() {
    let mut server = Server::start();
    let (video, embed) = server.video("private");
    let (_, public_embed) = server.video("public");
    let told = server.told();
    let backup = back_up(&server, "backup");
    // It takes no room for what both have.
    for file in files_below(&backup.join("media")) {
        assert_eq!(std::fs::metadata(file).unwrap().nlink(), 2);
    }
    let verified = run(&["backup", "verify", backup.to_str().unwrap(), "--json"]).expect(0).json();
    assert_eq!((&verified["problems"], &verified["mediaFiles"]), (&json!([]), &json!(6)));
    // What happens afterwards to records that carry no revocation is undone.
    server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
    let report = go_on_with(&mut server, &backup);
    assert_eq!(
        (&report["mediaFiles"], &report["revocationsKept"], &report["keysKept"]),
        (&json!(6), &json!(0), &json!(0))
    );
    assert_eq!(first_difference(&server.told(), &told), None);
    for (embed, token) in [(&embed, Some(server.token(&video))), (&public_embed, None)] {
        let answer = server.playback(embed, token.as_deref()).expect(200).json();
        let bytes = server.get(progressive_uri(&answer)).expect(200);
        assert_eq!(bytes.body, packaged(FIXTURE));
        // The index of its segments came along, too.
        let uri = progressive_uri(&answer).replace(".mp4", "/1.m4s");
        assert!(bytes.body.ends_with(&server.get(&uri).expect(200).body));
    }
    server.playback(&embed, None).expect_code(401, "playback_token_missing");
    server.verify();
}

#[test]
fn what_was_revoked_or_made_private_after_the_backup_stays_so() {
    let mut server = Server::start();
    let (private_video, private_embed) = server.video("private");
    let (opened_video, opened_embed) = server.video("public");
    let (_, public_embed) = server.video("public");
    let made = |list: &str| server.admin(Method::POST, list, &Value::Null).expect(201).json();
    let (signing, publishable, private) = (made("/signing-keys"), made("/publishable-keys"), made("/private-keys"));
    let token = sign(text(&signing, "id"), text(&signing, "secret"), &Claims::of(&private_video));
    // Each of them works before.
    server.playback(&private_embed, Some(&token)).expect(200);
    play_as(&server, text(&publishable, "key"), &public_embed).expect(200);
    server.admin_as(text(&private, "key"), Method::GET, "/organization", &Value::Null).expect(200);
    let old_uris: Vec<String> = [
        server.playback(&public_embed, None),
        server.playback(&opened_embed, None),
        server.playback(&private_embed, Some(&server.token(&private_video))),
    ]
    .map(|answer| text(&answer.expect(200).json()["playback"], "uri").to_owned())
    .into();
    let paths: Vec<String> = old_uris.iter().map(|uri| uri.replacen(&server.base_url, "", 1)).collect();
    paths.iter().for_each(|path| drop(server.get(path).expect(200)));

    let deleted = server.admin(Method::POST, "/videos", &json!({ "title": "Deleted" })).expect(201).json();
    let other_embed = server.admin(Method::POST, "/embeds", &json!({ "videoId": opened_video })).expect(201).json();
    let other_embed = text(&other_embed, "id");
    let backup = back_up(&server, "backup");
    for (list, key) in [("signing-keys", &signing), ("publishable-keys", &publishable), ("private-keys", &private)] {
        server.admin(Method::POST, &format!("/{list}/{}/revoke", text(key, "id")), &json!({})).expect(200);
    }
    let path = format!("/videos/{opened_video}");
    server.admin(Method::PATCH, &path, &json!({ "visibility": "private" })).expect(200);
    let (deleted_video, deleted_embed) = (text(&deleted, "id"), text(&deleted, "embedId"));
    server.admin(Method::DELETE, &format!("/videos/{deleted_video}"), &Value::Null).expect(204);
    server.set(&json!({ "tokenAccess": false, "defaultVisibility": "private" }));
    server.admin(Method::DELETE, &format!("/embeds/{other_embed}"), &Value::Null).expect(204);
    let (newer, newer_private) = (made_now(&server, "/signing-keys"), made_now(&server, "/private-keys"));

    let report = go_on_with(&mut server, &backup);
    assert_eq!(
        (&report["revocationsKept"], &report["keysKept"], &report["keptPrivate"]),
        (&json!(3), &json!(2), &json!(1)),
        "{report}"
    );
    // A deleted video is there again, which is said, and private; token access that was turned off stays off.
    assert_eq!((&report["videosBack"], &report["tokenAccessKeptOff"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!((&report["backPrivate"], &report["defaultKeptPrivate"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!(report["embedsKeptDeleted"], json!(1), "{report}");
    server.playback(deleted_embed, None).expect_code(401, "token_access_disabled");
    server.playback(other_embed, None).expect_code(404, "not_found");
    let made = server.admin(Method::POST, "/videos", &json!({ "title": "New" })).expect(201).json();
    assert_eq!(made["visibility"], json!("private"), "{made}");
    server.playback(&private_embed, Some(&server.token(&private_video))).expect_code(401, "token_access_disabled");
    server.set(&json!({ "tokenAccess": true }));
    server.playback(&private_embed, Some(&token)).expect_code(401, "playback_token_revoked");
    play_as(&server, text(&publishable, "key"), &public_embed).expect_code(401, "publishable_key_invalid");
    server.admin_as(text(&private, "key"), Method::GET, "/organization", &Value::Null).expect(401);
    server.playback(&opened_embed, None).expect_code(401, "playback_token_missing");
    for path in &paths {
        server.get(path).expect_code(403, "asset_url_invalid");
    }
    // What was made after the backup is kept; what was valid all along still is.
    let newer_token = sign(text(&newer, "id"), text(&newer, "secret"), &Claims::of(&private_video));
    server.playback(&private_embed, Some(&newer_token)).expect(200);
    server.admin_as(text(&newer_private, "key"), Method::GET, "/organization", &Value::Null).expect(200);
    server.playback(&private_embed, Some(&server.token(&private_video))).expect(200);
    server.playback(&public_embed, None).expect(200);
    server.verify();

    // The same backup once more, over what was restored from it: still nothing comes back.
    go_on_with(&mut server, &backup);
    server.playback(&private_embed, Some(&token)).expect_code(401, "playback_token_revoked");
    server.playback(&opened_embed, None).expect_code(401, "playback_token_missing");
    server.playback(&private_embed, Some(&newer_token)).expect(200);
}

fn made_now(server: &Server, list: &str) -> Value {
    server.admin(Method::POST, list, &Value::Null).expect(201).json()
}

#[test]
fn backups_made_while_the_server_is_written_to_are_whole_prefixes_of_what_was_answered() {
    let mut server = Server::start();
    let (done, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let source: &[u8] = include_bytes!("../fixtures/h264_aac.mp4");
    let mut backups = Vec::new();
    let revoked: Vec<String> = std::thread::scope(|scope| {
        let (server, done, written) = (&server, &done, &written);
        let keys = scope.spawn(move || {
            let mut revoked = Vec::new();
            while !done.load(Ordering::SeqCst) {
                let key = made_now(server, "/signing-keys");
                let id = text(&key, "id").to_owned();
                server.admin(Method::POST, &format!("/signing-keys/{id}/revoke"), &json!({})).expect(200);
                written.fetch_add(1, Ordering::SeqCst);
                revoked.push(id);
            }
            revoked
        });
        let videos = scope.spawn(move || {
            while !done.load(Ordering::SeqCst) {
                let (video, _) = server.pending_video("public");
                // A file replaced or deleted must not disappear from under a backup that names it.
                for _ in 0..2 {
                    server.upload(&video, source).expect(200);
                }
                if written.fetch_add(1, Ordering::SeqCst) % 2 == 0 {
                    server.admin(Method::DELETE, &format!("/videos/{video}"), &Value::Null).expect(204);
                }
            }
        });
        for number in 0..8 {
            let target = written.load(Ordering::SeqCst) + 4;
            crate::support::wait_for("writes", std::time::Duration::from_secs(60), || {
                written.load(Ordering::SeqCst) >= target
            });
            let before: Vec<String> = server.all("signing-keys").iter().map(|key| text(key, "id").to_owned()).collect();
            let backup = back_up(server, &format!("backup-{number}"));
            backups.push((backup, before));
        }
        done.store(true, Ordering::SeqCst);
        videos.join().unwrap();
        keys.join().unwrap()
    });
    for (backup, _) in &backups {
        let report = run(&["backup", "verify", backup.to_str().unwrap(), "--json"]).expect(0).json();
        assert_eq!(report["problems"], json!([]));
    }
    let (backup, before) = &backups[backups.len() / 2];
    go_on_with(&mut server, backup);
    let keys = server.all("signing-keys");
    for id in before.iter().chain(&revoked) {
        let key = keys.iter().find(|key| key["id"] == **id).unwrap_or_else(|| panic!("{id} is not there"));
        assert_eq!(key["status"] == "revoked", revoked.contains(id), "{key}");
    }
    server.verify();
}

#[test]
fn a_restore_beside_a_damaged_journal_says_that_revocations_may_be_lost() {
    let mut server = Server::start();
    let backup = back_up(&server, "backup");
    let key = made_now(&server, "/signing-keys");
    server.admin(Method::POST, &format!("/signing-keys/{}/revoke", text(&key, "id")), &json!({})).expect(200);
    assert!(server.stop());
    let journal = server.state().join("journal");
    let whole = std::fs::read(&journal).unwrap();
    let restore = |bytes: &[u8], name: &str| {
        std::fs::write(&journal, bytes).unwrap();
        let into = server.scratch().join(name);
        let arguments = ["backup", "restore", backup.to_str().unwrap(), "--into", into.to_str().unwrap()];
        let said = server.verb(&arguments).expect(0).out;
        std::fs::remove_dir_all(&into).unwrap();
        (said, server.verb(&[&arguments[..], &["--json"]].concat()).expect(0).json())
    };
    let zeros = vec![0; whole.len()];
    for (name, bytes) in [("emptied", &zeros[..0]), ("zeroed", &zeros[..]), ("torn", &whole[..whole.len() - 9])] {
        let (said, report) = restore(bytes, name);
        assert!(said.contains(text(&report, "knownDoubt")) && said.contains("Revoke them again"), "{name}: {said}");
        assert_eq!(report["knownState"], json!("partial"), "{name}: {report}");
    }
    let index = server.state().join("index");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&index, Some(65_534), None).unwrap();
        let (said, report) = restore(&whole, "of another user");
        assert!(
            text(&report, "knownDoubt").contains("belongs to user 65534") && said.contains("Revoke them again"),
            "{said}"
        );
        std::os::unix::fs::chown(&index, Some(0), None).unwrap();
    }
    let (said, report) = restore(&whole, "whole");
    assert!(!said.contains("Revoke them again"), "{said}");
    assert_eq!((&report["knownState"], &report["knownDoubt"]), (&json!("whole"), &Value::Null), "{report}");
}

#[test]
fn a_backup_with_a_flipped_bit_anywhere_is_refused() {
    let server = Server::start();
    server.video("private");
    server.video("public");
    let backup = back_up(&server, "backup");
    let damaged = server.scratch().join("damaged");
    let mut dice = Dice::seeded("flipped bits of a backup");
    let files = files_below(&backup);
    assert_eq!(files.len(), 8, "journal, manifest, source, rendition and index of two videos: {files:?}");
    for file in files {
        let name = file.strip_prefix(&backup).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let is_manifest = name.ends_with("manifest.json");
        // The manifest is short: every byte of it.
        let places: Vec<usize> = if is_manifest {
            (0..bytes.len()).collect()
        } else {
            let drawn = (0..10).map(|_| usize::try_from(dice.below(bytes.len() as u64)).unwrap());
            drawn.chain([0, bytes.len() - 1]).collect()
        };
        for at in places {
            copy_directory(&backup, &damaged);
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << dice.below(8);
            // Media files are links to one inode: write a new one.
            std::fs::remove_file(damaged.join(name)).unwrap();
            std::fs::write(damaged.join(name), flipped).unwrap();
            let said = run(&["backup", "verify", damaged.to_str().unwrap()]);
            assert_eq!(said.code, 1, "{} flipped at {at} was passed", name.display());
            if at % 40 == 0 {
                refuses_to_restore(&server, &damaged);
            }
        }
    }
    run(&["backup", "verify", backup.to_str().unwrap()]).expect(0);
}

fn refuses_to_restore(server: &Server, backup: &Path) {
    let into = server.scratch().join("never");
    server.verb(&["backup", "restore", backup.to_str().unwrap(), "--into", into.to_str().unwrap()]).expect(1);
    assert!(!into.exists(), "a refused restore left something behind");
}

#[test]
fn a_backup_that_lacks_a_file_is_refused() {
    let server = Server::start();
    server.video("public");
    let backup = back_up(&server, "backup");
    let damaged = server.scratch().join("damaged");
    for file in files_below(&backup) {
        copy_directory(&backup, &damaged);
        let name = file.strip_prefix(&backup).unwrap();
        std::fs::remove_file(damaged.join(name)).unwrap();
        run(&["backup", "verify", damaged.to_str().unwrap()]).expect(1);
        refuses_to_restore(&server, &damaged);
    }
    refuses_to_restore(&server, &server.scratch().join("nothing"));
    run(&["backup", "verify", server.scratch().join("nothing").to_str().unwrap()]).expect(1);
}

#[test]
fn a_backup_of_another_format_is_refused_by_name() {
    let server = Server::start();
    let backup = back_up(&server, "backup");
    let path = backup.join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let format = serde_json::from_str::<Value>(&text).unwrap()["format"].as_u64().unwrap();
    let newer = text.replacen(&format!("\"format\": {format}"), &format!("\"format\": {}", format + 1), 1);
    assert_ne!(newer, text);
    std::fs::write(&path, newer).unwrap();
    let said = run(&["backup", "verify", backup.to_str().unwrap()]).expect(1);
    assert!(said.errors.contains(&format!("its format is {}", format + 1)), "{}", said.errors);
    refuses_to_restore(&server, &backup);
}

#[test]
fn nothing_is_restored_or_backed_up_over_what_is_there() {
    let mut server = Server::start();
    let backup = back_up(&server, "backup");
    let taken = server.scratch().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("note"), "mine").unwrap();
    let said = server.verb(&["backup", "create", taken.to_str().unwrap()]).expect(1);
    assert!(said.errors.contains("exists"), "{}", said.errors);
    assert_eq!(files_below(&taken), [taken.join("note")]);
    // Not among the server's own files either, but in their place for backups, with what leads there.
    let (place, inside) = (server.state().join("backups"), server.state().join("backups/first"));
    for among_ours in ["media/backup", "journal-of-mine", "backups", "media/../index-of-mine"] {
        let directory = server.state().join(among_ours);
        let said = server.verb(&["backup", "create", directory.to_str().unwrap()]).expect(1);
        assert!(said.errors.contains(&format!("below {}", place.display())), "{}", said.errors);
        assert!(!directory.exists());
    }
    server.verb(&["backup", "create", inside.to_str().unwrap()]).expect(0);
    run(&["backup", "verify", inside.to_str().unwrap()]).expect(0);
    // What leads elsewhere may be a disk that is not there.
    let missing = server.scratch().join("disk/backup");
    let said = server.verb(&["backup", "create", missing.to_str().unwrap()]).expect(1);
    let parent = missing.parent().unwrap();
    assert!(said.errors.contains(&format!("{}: No such file", parent.display())), "{}", said.errors);
    assert!(!parent.exists());
    // One that was cut off has not its name, and does not stand in the way of the next.
    let cut_off = server.scratch().join("again.unfinished");
    std::fs::create_dir(&cut_off).unwrap();
    std::fs::write(cut_off.join("journal"), "half").unwrap();
    let again = back_up(&server, "again");
    run(&["backup", "verify", again.to_str().unwrap()]).expect(0);
    assert!(!cut_off.exists());
    let elsewhere = server.scratch().join("elsewhere");
    let arguments = ["backup", "restore", backup.to_str().unwrap(), "--into", elsewhere.to_str().unwrap()];
    let said = server.verb(&arguments).expect(1);
    assert!(said.errors.contains("in use"), "a running server may revoke behind a restore's back: {}", said.errors);
    assert!(!elsewhere.exists());
    server.stop();
    for into in [&taken, &server.state()] {
        let arguments = ["backup", "restore", backup.to_str().unwrap(), "--into", into.to_str().unwrap()];
        let said = server.verb(&arguments).expect(1);
        assert!(said.errors.contains("not empty"), "{}", said.errors);
    }
    assert_eq!(files_below(&taken), [taken.join("note")]);
    server.verify();
    // The twin: an empty directory that is there already will do.
    let empty = server.scratch().join("empty");
    std::fs::create_dir(&empty).unwrap();
    server.verb(&["backup", "restore", backup.to_str().unwrap(), "--into", empty.to_str().unwrap()]).expect(0);
}

#[test]
fn a_restore_that_was_interrupted_does_not_start_and_is_run_again() {
    let mut server = Server::start();
    let (video, embed) = server.video("private");
    let backup = back_up(&server, "backup");
    assert!(server.stop());
    let (state, into) = (server.state(), server.scratch().join("restored"));
    let key = std::fs::read(state.join("master.key")).unwrap();
    let restore = ["backup", "restore", backup.to_str().unwrap(), "--into", into.to_str().unwrap()];
    let starts = |server: &mut Server| {
        // Its keeper puts the key there, and the directory where the configuration says.
        write_key(&into.join("master.key"), &key);
        let before = server.scratch().join("before");
        std::fs::rename(&state, &before).unwrap();
        std::fs::rename(&into, &state).unwrap();
        let started = server.try_serve();
        let is_served = started.is_ok();
        if !is_served {
            std::fs::rename(&state, &into).unwrap();
            std::fs::rename(&before, &state).unwrap();
        }
        started
    };
    // Killed at the first byte that it writes, and in the midst of the journal. The index of the state in use would be
    // written to before.
    std::fs::remove_dir_all(state.join("index")).unwrap();
    for blocks in [0, 1] {
        let script = format!("ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_screener")]).args(restore).arg("--config").arg(server.config());
        assert!(!shell.output().unwrap().status.success());
        let log = starts(&mut server).expect_err("half of a backup is served");
        assert!(log.contains("is not whole") && log.contains("screener backup restore"), "{log}");
    }
    server.verb(&restore).expect(0);
    starts(&mut server).unwrap();
    server.playback(&embed, Some(&server.token(&video))).expect(200);
    server.verify();
}

fn write_key(path: &Path, key: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, key).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn no_secret_stands_readable_in_a_backup_or_in_the_state_directory() {
    let server = Server::start();
    server.video("private");
    let other = server.other_organization();
    let key = made_now(&server, "/private-keys");
    let backup = back_up(&server, "backup");
    let secrets = [&server.secret, &server.private_key, &other.0, &text(&key, "key").to_owned()];
    // Without their prefix too, and as the raw bytes that they stand for would be short of a hash.
    let needles: Vec<&[u8]> = secrets
        .iter()
        .flat_map(|secret| [secret.as_bytes(), secret.splitn(3, '_').last().unwrap().as_bytes()])
        .chain([b"mvi_sign_".as_slice(), b"mvi_priv_"])
        .collect();
    let master = std::fs::read_to_string(server.state().join("master.key")).unwrap();
    for directory in [&backup, &server.state()] {
        for file in files_below(directory) {
            let bytes = std::fs::read(&file).unwrap();
            let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            for needle in &needles {
                assert!(!holds(needle), "{} holds {}", file.display(), String::from_utf8_lossy(needle));
            }
            let is_key = file.ends_with("master.key");
            assert_eq!(holds(master.trim_end().as_bytes()), is_key, "{}", file.display());
        }
    }
    assert!(!backup.join("master.key").exists());
}

#[test]
fn a_backup_is_for_its_owner_alone_and_opens_only_under_its_master_key() {
    use std::os::unix::fs::PermissionsExt;
    let mut server = Server::start();
    let (video, embed) = server.video("private");
    let backup = back_up(&server, "backup");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&backup), 0o700);
    for file in files_below(&backup) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    go_on_with(&mut server, &backup);
    server.playback(&embed, Some(&server.token(&video))).expect(200);
    server.kill();
    let key = server.state().join("master.key");
    let right = std::fs::read(&key).unwrap();
    std::fs::write(&key, "ab".repeat(32)).unwrap();
    let log = server.try_serve().expect_err("it starts under another master key");
    assert!(log.contains("does not fit this state directory"), "{log}");
    std::fs::write(&key, right).unwrap();
    server.serve();
    server.playback(&embed, Some(&server.token(&video))).expect(200);
}

#[test]
fn a_media_file_that_is_gone_is_left_out_and_named_and_its_backup_is_kept() {
    let mut server = Server::start();
    let embeds = [server.video("public"), server.video("public")];
    let key = made_now(&server, "/signing-keys");
    server.admin(Method::POST, &format!("/signing-keys/{}/revoke", text(&key, "id")), &json!({})).expect(200);
    let lost = files_below(&server.state().join("media")).remove(0);
    let lost_name = lost.file_name().unwrap().to_str().unwrap();
    std::fs::remove_file(&lost).unwrap();
    let backup = server.scratch().join("backup");
    let create = ["backup", "create", backup.to_str().unwrap(), "--json"];
    let made = server.verb(&create).expect(1);
    let (report, warned) = (made.json(), made.errors.clone());
    assert_eq!((&report["mediaFiles"], report["missingMedia"].as_array().unwrap().len()), (&json!(5), 1), "{report}");
    let missing = &report["missingMedia"][0];
    assert_eq!(text(missing, "file"), lost_name);
    assert!(warned.contains("WARNING") && warned.contains(text(missing, "video")), "{warned}");
    // It is known to lack the file, which is no damage.
    let verified = run(&["backup", "verify", backup.to_str().unwrap(), "--json"]).expect(0).json();
    assert_eq!((&verified["problems"], &verified["missingMedia"]), (&json!([]), &report["missingMedia"]));
    let said = run(&["backup", "verify", backup.to_str().unwrap()]).expect(0);
    assert!(said.out.contains(text(missing, "video")), "{}", said.out);
    // What is in it comes back, with the latest revocation.
    let restored = go_on_with(&mut server, &backup);
    assert_eq!(restored["missingMedia"], report["missingMedia"], "{restored}");
    let (_, whole) = embeds.iter().find(|(video, _)| video != text(missing, "video")).unwrap();
    let answer = server.playback(whole, None).expect(200).json();
    assert_eq!(server.get(progressive_uri(&answer)).expect(200).body, packaged(FIXTURE));
    let keys = server.all("signing-keys");
    assert!(keys.iter().any(|other| other["id"] == key["id"] && other["status"] == "revoked"), "{keys:?}");
    let said = server.verb(&["store", "verify"]).expect(1);
    assert!(said.errors.contains(lost_name), "{}", said.errors);
}

/// Runs what `screener-backup.service` runs, for `server`; its exit code.
fn back_up_daily(server: &Server) -> Option<i32> {
    let unit = include_str!("../../systemd/screener-backup.service");
    let (_, script) = unit.split_once("ExecStart=/bin/sh -euc '").unwrap();
    let (script, _) = script.split_once("'\n").unwrap();
    let script = script
        .replace("\\\n", "")
        .replace("$$", "$")
        .replace("%%", "%")
        .replace("/usr/local/bin/screener", env!("CARGO_BIN_EXE_screener"))
        .replace("/etc/screener/config.toml", server.config().to_str().unwrap());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-euc", &script]).env("STATE_DIRECTORY", server.state()).output().unwrap().status.code()
}

#[test]
fn a_backup_of_the_day_that_lacks_a_file_fails_until_one_that_has_it_takes_its_place() {
    let server = Server::start();
    server.video("public");
    let (lost, kept) = (files_below(&server.state().join("media")).remove(0), server.scratch().join("kept"));
    std::fs::rename(&lost, &kept).unwrap();
    let backups = || -> Vec<PathBuf> {
        std::fs::read_dir(server.state().join("backups")).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    assert_eq!(back_up_daily(&server), Some(1));
    let made = backups();
    let lacks = || std::fs::read_to_string(made[0].join("manifest.json")).unwrap().contains("missingMedia");
    assert_eq!((made.len(), back_up_daily(&server), lacks()), (1, Some(1), true));
    assert_eq!(backups(), made);
    std::fs::rename(&kept, &lost).unwrap();
    assert_eq!((back_up_daily(&server), lacks()), (Some(0), false));
    assert_eq!(backups(), made);
    // Cut off before it had its place.
    std::fs::rename(&made[0], made[0].with_extension("again")).unwrap();
    std::fs::create_dir(made[0].with_extension("unfinished")).unwrap();
    assert_eq!(back_up_daily(&server), Some(0));
    assert_eq!(backups(), made);
    run(&["backup", "verify", made[0].to_str().unwrap()]).expect(0);
}

#[test]
fn a_path_that_no_json_holds_is_refused_by_name() {
    use std::os::unix::ffi::OsStrExt;
    let server = Server::start();
    let name = server.scratch().join(std::ffi::OsStr::from_bytes(b"back\xffup"));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_screener"));
    command.args(["backup", "create"]).arg(&name).arg("--config").arg(server.config());
    let said = command.output().unwrap();
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code() == Some(1) && errors.contains("is not UTF-8"), "{said:?}");
    let long = server.scratch().join("n".repeat(250));
    let said = server.verb(&["backup", "create", long.to_str().unwrap()]).expect(1);
    assert!(said.errors.contains("the name is too long"), "{}", said.errors);
}

#[test]
fn a_start_under_a_wrong_master_key_after_a_restore_spoils_nothing() {
    let mut server = Server::start();
    let (video, embed) = server.video("private");
    let backup = back_up(&server, "backup");
    assert!(server.stop());
    let (state, into) = (server.state(), server.scratch().join("restored"));
    let arguments = ["backup", "restore", backup.to_str().unwrap(), "--into", into.to_str().unwrap()];
    server.verb(&arguments).expect(0);
    std::fs::rename(&state, server.scratch().join("before")).unwrap();
    std::fs::rename(&into, &state).unwrap();
    let key = state.join("master.key");
    write_key(&key, "ab".repeat(32).as_bytes());
    let log = server.try_serve().expect_err("it starts under another master key");
    assert!(log.contains("does not open signing key"), "{log}");
    std::fs::remove_file(&key).unwrap();
    write_key(&key, &std::fs::read(server.scratch().join("before/master.key")).unwrap());
    server.serve();
    server.playback(&embed, Some(&server.token(&video))).expect(200);
}

#[test]
fn who_may_not_look_into_the_present_state_restores_nothing() {
    let server = Server::start();
    let backup = back_up(&server, "backup");
    let key = made_now(&server, "/signing-keys");
    server.admin(Method::POST, &format!("/signing-keys/{}/revoke", text(&key, "id")), &json!({})).expect(200);
    // The backup and the program are everybody's, the state is not.
    let open = tempfile::tempdir().unwrap();
    copy_directory(&backup, &open.path().join("backup"));
    std::fs::copy(env!("CARGO_BIN_EXE_screener"), open.path().join("screener")).unwrap();
    std::fs::write(open.path().join("config.toml"), format!("[state]\ndir = {:?}\n", server.state())).unwrap();
    let opened = as_root("chmod").arg("-R").arg("a+rwX").arg(open.path()).status().unwrap();
    assert!(opened.success());
    let into = open.path().join("restored");
    let said = as_root("setpriv")
        .args(["--reuid=65534", "--clear-groups"])
        .arg(open.path().join("screener"))
        .args(["backup", "restore"])
        .arg(open.path().join("backup"))
        .arg("--into")
        .arg(&into)
        .arg("--config")
        .arg(open.path().join("config.toml"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(1), "{errors}");
    assert!(errors.contains(server.state().to_str().unwrap()) && errors.contains("ermission denied"), "{errors}");
    assert!(!into.exists(), "it was restored without what the present state knows");
}
