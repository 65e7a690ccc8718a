//! Media files that are not what was stored: refused, named once, and served again when they are whole.

use crate::dashboard::Browser;
use crate::support::{Options, Reply, Server, progressive_uri, wait_for};
use reqwest::Method;
use rustix::process::geteuid;
use serde_json::{Value, json};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What the one line about a damaged file says.
const NAMED: &str = "a media file is damaged and is not served";
/// How soon what was put back is served: it is looked for every five seconds.
const SOON: Duration = Duration::from_secs(9);

/// A public video with what is served of it.
struct Film {
    id: String,
    /// Where its packaged file is served.
    uri: String,
    /// The same of its playlist, which is made from the index.
    playlist: String,
    /// Its packaged file, and the index beside it.
    file: PathBuf,
    index: PathBuf,
}

impl Film {
    fn of(server: &Server) -> Self {
        let files_before = media_files(server);
        let (id, embed) = server.video("public");
        let (uri, playlist) = Self::uris(server, &embed);
        let name = uri.rsplit('/').next().unwrap().trim_end_matches(".mp4");
        let file = server.state().join("media").join(name);
        // Of the three files of a video, the index is by far the smallest.
        let files = media_files(server).into_iter().filter(|path| !files_before.contains(path));
        let index = files.min_by_key(|path| path.metadata().unwrap().len()).unwrap();
        Self { id, uri, playlist, file, index }
    }

    fn uris(server: &Server, embed: &str) -> (String, String) {
        let answer = server.playback(embed, None).expect(200).json();
        let uri = progressive_uri(&answer).to_owned();
        let playlist = format!("{}/index.m3u8", uri.trim_end_matches(".mp4"));
        (uri, playlist)
    }
}

fn media_files(server: &Server) -> Vec<PathBuf> {
    fs::read_dir(server.state().join("media")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn flip_a_bit(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let (mut byte, middle) = ([0], file.metadata().unwrap().len() / 2);
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 4], middle).unwrap();
}

/// Lines of the log that name this file as damaged.
fn lines_about(server: &Server, path: &Path) -> usize {
    let name = path.to_str().unwrap();
    server.log_text().lines().filter(|line| line.contains(NAMED) && line.contains(name)).count()
}

/// The log, which is written after the answer, comes to have so many lines that name this file, and no more.
fn assert_named(server: &Server, path: &Path, times: usize, what: &str) {
    wait_for(what, SOON, || lines_about(server, path) >= times);
    assert_eq!(lines_about(server, path), times, "{what}");
}

/// As `media/…`, what `GET /system` says is damaged.
fn damaged(server: &Server) -> Vec<String> {
    let told = server.admin(Method::GET, "/system", &Value::Null).expect(200).json();
    let items = told["damagedMedia"]["items"].as_array().unwrap();
    assert_eq!(told["damagedMedia"]["count"], items.len());
    items.iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect()
}

fn below_state(path: &Path) -> String {
    format!("media/{}", path.file_name().unwrap().to_str().unwrap())
}

/// The file's path on a server that is started again.
fn path_of(server: &Server, uri: &str) -> String {
    let path = uri.split_once("/media/").unwrap().1;
    format!("{}/media/{path}", server.base_url)
}

#[test]
fn a_flipped_bit_is_found_named_once_and_refused_until_the_file_is_put_back() {
    let mut server = Server::start();
    let (film, other) = (Film::of(&server), Film::of(&server));
    let (stranger, _) = server.other_organization();
    let right = fs::read(&film.file).unwrap();
    assert!(server.stop());
    // Where there is no note of how far it has come, everything is read from the start on.
    let note = server.state().join("scrub");
    fs::remove_file(&note).unwrap();
    flip_a_bit(&film.file);
    server.serve();
    let (uri, other_uri) = (path_of(&server, &film.uri), path_of(&server, &other.uri));
    wait_for("the flipped bit to be found", SOON, || lines_about(&server, &film.file) == 1);
    for range in ["bytes=0-9", "bytes=-1", "bytes=0-"] {
        let request = server.new_client().get(&uri).header("range", range);
        Reply::read(request.send().unwrap()).expect_code(503, "media_unavailable");
    }
    // The twins: what else there is of this video, and other videos.
    server.get(&path_of(&server, &film.playlist)).expect(200);
    server.get(&other_uri).expect(200);
    // It is told wherever an operator looks, and to no other organization's.
    let ready = server.get("/readyz").expect(200).json();
    assert_eq!(ready, json!({ "status": "degraded", "causes": ["media_damaged"] }));
    let told = server.admin(Method::GET, "/system", &Value::Null).expect(200).json();
    let item = &told["damagedMedia"]["items"][0];
    assert_eq!((&told["damagedMedia"]["count"], &told["healthy"]), (&json!(1), &json!(true)));
    assert_eq!((&item["path"], &item["videoId"]), (&json!(below_state(&film.file)), &json!(film.id)));
    assert_eq!(item["problem"], "its bytes are not those that were stored");
    let theirs = server.admin_as(&stranger, Method::GET, "/system", &Value::Null).expect(200).json();
    assert_eq!(theirs["damagedMedia"], json!({ "count": 0, "items": [] }));
    let status = server.verb(&["status", "--json"]).expect(0).json();
    assert_eq!(status["damagedMedia"]["items"][0]["path"], below_state(&film.file));
    let page = Browser::sign_in(&server).page("/dashboard/system");
    assert!(page.contains(&below_state(&film.file)) && page.contains("Put them back from a backup"), "{page}");
    // A restart does not have to find it first.
    let name = film.file.file_name().unwrap().to_str().unwrap();
    wait_for("it to be written down", SOON, || fs::read_to_string(&note).is_ok_and(|text| text.contains(name)));
    server.kill();
    server.serve();
    let uri = path_of(&server, &film.uri);
    server.get(&uri).expect_code(503, "media_unavailable");
    assert_named(&server, &film.file, 2, "named once for each start");
    // Something else of the same length is not what was stored.
    fs::write(&film.file, vec![0; right.len()]).unwrap();
    server.verb(&["store", "verify"]).expect(1);
    server.get(&uri).expect_code(503, "media_unavailable");
    let restored = film.file.with_extension("restored");
    fs::write(&restored, &right).unwrap();
    fs::rename(&restored, &film.file).unwrap();
    wait_for("it to be served again", SOON, || server.get(&uri).status == 200);
    assert_eq!(server.get(&uri).body, right);
    assert_eq!(damaged(&server), Vec::<String>::new());
    assert_eq!(server.get("/readyz").expect(200).json(), json!({ "status": "ok" }));
    assert_named(&server, &film.file, 2, "named no more");
}

#[test]
fn a_server_refuses_at_once_what_store_verify_finds_and_serves_at_once_what_it_finds_whole() {
    let server = Server::start();
    let film = Film::of(&server);
    for (path, uri, other_uri) in [(&film.file, &film.uri, &film.playlist), (&film.index, &film.playlist, &film.uri)] {
        let right = fs::read(path).unwrap();
        flip_a_bit(path);
        let report = server.verb(&["store", "verify", "--json"]).expect(1).json();
        assert!(report["problems"].to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{report}");
        server.get(uri).expect_code(503, "media_unavailable");
        server.get(other_uri).expect(200);
        assert_eq!(damaged(&server), [below_state(path)]);
        assert_named(&server, path, 1, "named");
        fs::write(path, right).unwrap();
        server.verify();
        server.get(uri).expect(200);
        assert!(damaged(&server).is_empty());
        assert_named(&server, path, 1, "named once");
    }
    // What is deleted is not damaged.
    fs::remove_file(&film.file).unwrap();
    server.get(&film.uri).expect_code(503, "media_unavailable");
    server.admin(Method::DELETE, &format!("/videos/{}", film.id), &Value::Null).expect(204);
    wait_for("it to be forgotten", SOON, || damaged(&server).is_empty());
}

#[test]
fn a_file_that_is_gone_cut_closed_or_no_file_fails_alone_and_at_once_and_is_named_once() {
    // A superuser may read what has no rights at all.
    let is_root = geteuid().is_root();
    let under = if is_root { vec!["setpriv", "--bounding-set=-all", "--inh-caps=-all"] } else { Vec::new() };
    let server = Server::with(Options { under, ..Options::default() });
    let (film, healthy) = (Film::of(&server), Film::of(&server));
    let cut = |path: &Path, length| File::options().write(true).open(path).unwrap().set_len(length).unwrap();
    type Damage<'a> = &'a dyn Fn(&Path);
    let damages: [(&str, Damage); 8] = [
        ("gone", &|path| fs::remove_file(path).unwrap()),
        ("cut in half", &|path| cut(path, path.metadata().unwrap().len() / 2)),
        ("empty", &|path| cut(path, 0)),
        ("longer", &|path| cut(path, path.metadata().unwrap().len() + 1)),
        ("closed", &|path| fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap()),
        ("a directory", &|path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("a FIFO", &|path| {
            fs::remove_file(path).unwrap();
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        }),
        ("a link", &|path| {
            fs::remove_file(path).unwrap();
            symlink("/etc/passwd", path).unwrap();
        }),
    ];
    for (number, (what, damage)) in damages.into_iter().enumerate() {
        // A file, and the index beside it, of which nothing is in memory any more when it was damaged.
        let (path, uri) = if number % 2 == 0 { (&film.file, &film.uri) } else { (&film.index, &film.playlist) };
        let right = fs::read(path).unwrap();
        server.get(uri).expect(200);
        if number % 2 == 1 {
            flip_a_bit(path);
            server.verb(&["store", "verify"]).expect(1);
            fs::write(path, &right).unwrap();
            server.verify();
        }
        let lines = lines_about(&server, path);
        damage(path);
        let began = Instant::now();
        for range in [None, Some("bytes=0-9"), Some("bytes=-5")] {
            let request = server.new_client().get(uri).timeout(Duration::from_secs(10));
            let request = range.into_iter().fold(request, |request, range| request.header("range", range));
            let reply = Reply::read(request.send().unwrap_or_else(|error| panic!("{what}, {range:?}: {error}")));
            assert_eq!((reply.status, reply.code().as_str()), (503, "media_unavailable"), "{what}, {range:?}");
        }
        server.get(&healthy.uri).expect(200);
        server.get(&healthy.playlist).expect(200);
        assert_eq!(damaged(&server), [below_state(path)], "{what}");
        assert_named(&server, path, lines + 1, what);
        // The check runs with all rights of whoever runs this.
        if !(is_root && what == "closed") {
            let report = server.verb(&["store", "verify", "--json"]).expect(1).json();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(report["problems"].to_string().contains(name), "{what}: {report}");
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{what}: it took {:?}", began.elapsed());
        // Put back, it is served at once.
        if path.is_dir() {
            fs::remove_dir(path).unwrap();
        }
        let restored = path.with_extension("restored");
        fs::write(&restored, right).unwrap();
        fs::rename(&restored, path).unwrap();
        server.get(uri).expect(200);
        assert!(damaged(&server).is_empty(), "{what}");
        assert_named(&server, path, lines + 1, what);
    }
    server.verify();
}

#[test]
fn a_file_whose_note_is_damaged_is_found_again() {
    let mut server = Server::start();
    let film = Film::of(&server);
    flip_a_bit(&film.file);
    server.verb(&["store", "verify"]).expect(1);
    let note = server.state().join("scrub");
    for bytes in [&b"{\"round\":"[..], &[0xff; 300], b""] {
        server.kill();
        fs::write(&note, bytes).unwrap();
        server.serve();
        let uri = path_of(&server, &film.uri);
        // An answer under way when it is found breaks off.
        let status = || {
            Some(Reply::try_read(server.request(Method::GET, uri.strip_prefix(&server.base_url)?).send().ok()?)?.status)
        };
        wait_for("the flipped bit to be found again", SOON, || status() == Some(503));
    }
}
