//! What is promised of how decoding can begin with a segment: in the file's own index (ISO/IEC 14496-12 §8.16.3), in HLS
//! and in DASH. ffprobe says what is true.

use crate::judges::{beside, probe, published, sources, uris};
use crate::support::Server;
use serde_json::Value;

/// What `sidx` says of a segment: whether it starts with an access point, of which type, and how long it takes until
/// that is shown, in seconds.
#[derive(Debug)]
struct Promise {
    starts: bool,
    sap_type: u32,
    delay_s: f64,
}

fn promises(file: &[u8]) -> Vec<Promise> {
    let at = file.windows(4).position(|name| name == b"sidx").unwrap() + 4;
    let word = |at: usize| u32::from_be_bytes(*file[at..].first_chunk().unwrap());
    let (timescale, count) = (word(at + 8), word(at + 20) & 0xffff);
    let entries = (0..count as usize).map(|number| word(at + 24 + number * 12 + 8));
    entries
        .map(|word| Promise {
            starts: word >> 31 == 1,
            sap_type: word >> 28 & 7,
            delay_s: f64::from(word & 0x0fff_ffff) / f64::from(timescale),
        })
        .collect()
}

/// What ffprobe finds in a segment behind its initialization part: how many pictures there are, how many of them it
/// decodes, and how much later than the earliest the first one is shown, in seconds.
fn found(init: &[u8], segment: &[u8]) -> (usize, usize, f64) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("segment.mp4");
    std::fs::write(&file, [init, segment].concat()).unwrap();
    let more = ["-count_frames", "-select_streams", "v", "-show_packets"];
    let (probed, _) = probe(&file, "stream=nb_read_frames:packet=pts_time", &more);
    let times: Vec<f64> = probed["packets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|packet| packet["pts_time"].as_str().unwrap().parse().unwrap())
        .collect();
    let decoded = probed["streams"][0]["nb_read_frames"].as_str().unwrap().parse().unwrap();
    let earliest = times.iter().copied().fold(f64::INFINITY, f64::min);
    (times.len(), decoded, times[0] - earliest)
}

/// Whether the playlists call the segments independent, master and media, and what the manifest says they start with.
fn listed(server: &Server, master: &str) -> (bool, bool, Option<String>) {
    let tag = "\n#EXT-X-INDEPENDENT-SEGMENTS\n";
    let text = server.get(master).expect(200).text();
    let media = server.get(&beside(master, &uris(&text)[0])).expect(200).text();
    let manifest = server.get(&beside(master, "manifest.mpd")).expect(200).text();
    let said = manifest.split_once("startWithSAP=\"").map(|(_, rest)| rest[..1].to_owned());
    (text.contains(tag), media.contains(tag), said)
}

#[test]
fn what_is_promised_of_a_segments_beginning_is_true() {
    let server = Server::start();
    for (name, types, is_independent) in [
        ("index first", &[1, 1, 1][..], true),
        ("H.264, open GOP", &[1, 3, 3], false),
        ("HEVC hvc1, closed GOP", &[1, 1, 1], true),
        ("HEVC hev1, open GOP", &[1, 3, 3], false),
        ("VP9 with Opus", &[1, 1, 1], true),
    ] {
        let source = sources().iter().find(|source| source.name == name).unwrap();
        let (_, master) = published(&server, &source.file).unwrap();
        let said = types.iter().max().unwrap().to_string();
        assert_eq!(listed(&server, &master), (is_independent, is_independent, Some(said)), "{name}");
        let media = beside(&master, &uris(&server.get(&master).expect(200).text())[0]);
        let file = server.get(&format!("{}.mp4", media.strip_suffix("/index.m3u8").unwrap())).expect(200).body;
        let promises = promises(&file);
        assert_eq!(promises.iter().map(|one| one.sap_type).collect::<Vec<_>>(), types, "{name}");
        let init = server.get(&beside(&media, "init.mp4")).expect(200).body;
        for (number, promise) in (1..).zip(&promises) {
            let segment = server.get(&beside(&media, &format!("{number}.m4s"))).expect(200).body;
            let (pictures, decoded, delay_s) = found(&init, &segment);
            assert!(
                promise.starts && (promise.delay_s - delay_s).abs() < 0.001,
                "{name}: {number}: {promise:?} {delay_s}"
            );
            if promise.sap_type < 3 {
                assert_eq!((pictures, delay_s), (decoded, 0.0), "{name}: {number}");
            } else {
                assert!(decoded < pictures && delay_s > 0.0, "{name}: {number}: all {pictures} can be decoded");
            }
        }
    }
}

#[test]
fn one_quality_in_open_groups_takes_the_promise_from_its_video() {
    let server = Server::start();
    let file = |name: &str| &sources().iter().find(|source| source.name == name).unwrap().file;
    // A film of closed groups that lasts as long.
    let closed = crate::support::film(server.scratch(), "160x120", 14, &[]);
    let path = server.scratch().join("closed.mp4");
    std::fs::write(&path, closed).unwrap();
    let (video, master) = published(&server, &path).unwrap();
    assert_eq!(listed(&server, &master), (true, true, Some("1".to_owned())));
    let open = std::fs::read(file("H.264, open GOP")).unwrap();
    let path = format!("/admin/v1/videos/{video}/renditions/open");
    let request = server.request(reqwest::Method::PUT, &path).bearer_auth(&server.private_key).body(open);
    let added: Value = request.send().unwrap().json().unwrap();
    assert_eq!(added["renditions"].as_array().unwrap().len(), 2, "{added}");
    let text = server.get(&master).expect(200).text();
    assert!(!text.contains("INDEPENDENT-SEGMENTS"), "{text}");
    // Each quality's own list speaks for itself.
    let lists: Vec<String> = uris(&text).into_iter().filter(|uri| uri.ends_with("index.m3u8")).collect();
    let calls = |uri: &String| server.get(&beside(&master, uri)).expect(200).text().contains("INDEPENDENT-SEGMENTS");
    assert_eq!(lists.iter().filter(|uri| calls(uri)).count(), 1);
    let manifest = server.get(&beside(&master, "manifest.mpd")).expect(200).text();
    assert!(manifest.contains("startWithSAP=\"3\""), "{manifest}");
}
