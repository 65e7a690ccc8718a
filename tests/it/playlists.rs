//! Playlists: what stands in them, who may have them, and that ffmpeg finds in each range what they promise.

use crate::judges::{attribute, beside, probe, published, settled, sources, uris};
use crate::support::{Reply, Server, path_of};
use reqwest::Method;
use serde_json::Value;

/// A film that plays, with captions in two languages: its video, and the URL of its master playlist.
fn captioned(server: &Server, name: &str) -> (String, String) {
    let source = sources().iter().find(|source| source.name == name).unwrap();
    let (video, _) = published(server, &source.file).unwrap();
    for language in ["en", "pt-BR"] {
        let path = format!("/admin/v1/videos/{video}/captions/{language}");
        let body = include_bytes!("../fixtures/captions.vtt").as_slice();
        let sent = server.request(Method::PUT, &path).bearer_auth(&server.private_key).body(body).send().unwrap();
        assert!(Reply::read(sent).status < 300);
    }
    settled(server, &video);
    let master = viewer(server, &video);
    (video, master)
}

/// A new viewer's URL of the master playlist.
fn viewer(server: &Server, video: &str) -> String {
    let record = server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json();
    let embed = record["embedId"].as_str().unwrap().to_owned();
    let answer = server.playback(&embed, Some(&server.token(video))).expect(200).json();
    answer["playback"]["uri"].as_str().unwrap().to_owned()
}

/// Every URI that an asset of this kind names.
fn named(asset: &str, text: &str) -> Vec<String> {
    if asset.ends_with(".m3u8") {
        return uris(text);
    }
    if asset.ends_with(".mpd") {
        let mut found: Vec<String> =
            text.split("<BaseURL>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect();
        for name in ["media", "initialization", "sourceURL"] {
            for rest in text.split(&format!("{name}=\"")).skip(1) {
                let template = rest.split('"').next().unwrap();
                found.push(template.replace("$Number$", "1"));
            }
        }
        // Templates hold for each representation but captions, which have an address of their own.
        let ids: Vec<&str> = text
            .split("<Representation ")
            .skip(1)
            .filter_map(|rest| rest.strip_prefix("id=\""))
            .map(|rest| rest.split('"').next().unwrap())
            .filter(|id| !id.starts_with("captions-"))
            .collect();
        return found
            .iter()
            .flat_map(|one| {
                if one.contains("$RepresentationID$") {
                    ids.iter().map(|id| one.replace("$RepresentationID$", id)).collect()
                } else {
                    vec![one.clone()]
                }
            })
            .collect();
    }
    Vec::new()
}

/// `base/relative`, with `..` resolved.
fn joined(base: &str, relative: &str) -> String {
    let mut url = beside(base, "");
    url.pop();
    for part in relative.split('/') {
        if part == ".." {
            url.truncate(url.rfind('/').unwrap());
        } else {
            url = format!("{url}/{part}");
        }
    }
    url
}

/// The same URL under a grant of which one character is another.
fn tampered(url: &str) -> String {
    let mut parts: Vec<String> = url.split('/').map(str::to_owned).collect();
    let at = parts.iter().position(|part| part == "media").unwrap() + 2;
    let last = parts[at].pop().unwrap();
    // The last character but one carries whole bits of the MAC.
    let other = parts[at].pop().unwrap();
    parts[at].push(if other == 'A' { 'B' } else { 'A' });
    parts[at].push(last);
    parts.join("/")
}

#[test]
fn every_uri_is_relative_and_opens_with_the_grant_alone() {
    let server = Server::start();
    for name in ["irregular keyframes", "sound only"] {
        let (_, master) = captioned(&server, name);
        let mut waiting = vec![master.clone(), beside(&master, "manifest.mpd")];
        let mut seen = std::collections::BTreeSet::new();
        let root = beside(&master, "");
        while let Some(url) = waiting.pop() {
            if !seen.insert(url.clone()) {
                continue;
            }
            assert!(url.starts_with(&root), "{url} leaves its grant");
            let reply = server.get(&url);
            assert_eq!(reply.status, 200, "{} after {seen:?}", url.replace(&root, ""));
            let refused = server.get(&tampered(&url));
            refused.expect_code(403, "asset_url_invalid");
            for uri in named(&url, &String::from_utf8_lossy(&reply.body)) {
                assert!(!uri.contains("://") && !uri.starts_with('/') && !uri.contains('?'), "{uri} in {url}");
                waiting.push(joined(&url, &uri));
            }
        }
        println!("{name}: {} assets", seen.len());
        let count = |suffix: &str| seen.iter().filter(|url| url.ends_with(suffix)).count();
        assert!(count(".m4s") >= 3 && count("init.mp4") == 1 && count(".vtt") == 2, "{seen:?}");
        assert!(seen.contains(&beside(&master, "captions/pt-br.m3u8")), "{seen:?}");
        let others = ["nothing.m3u8", "captions/de.vtt", "captions/de.m3u8", "storyboard.vtt"];
        for other in others {
            server.get(&beside(&master, other)).expect(404);
        }
        let media = seen.iter().find(|url| url.ends_with("/index.m3u8")).unwrap();
        for other in ["0.m4s", "01.m4s", "999.m4s", "-1.m4s", "1.m4s/", "init.mp4.m4s", "4294967297.m4s"] {
            server.get(&beside(media, other)).expect(404);
        }
    }
}

#[test]
fn playlists_are_the_same_for_every_viewer() {
    let server = Server::start();
    let (video, first) = captioned(&server, "index first");
    let second = viewer(&server, &video);
    assert_ne!(first, second);
    let master = server.get(&first).expect(200).text();
    let all = uris(&master).into_iter().filter(|uri| uri.ends_with(".m3u8"));
    let mut count = 0;
    for name in all.chain(["master.m3u8".to_owned(), "manifest.mpd".to_owned()]) {
        let (one, other) =
            (server.get(&beside(&first, &name)).expect(200), server.get(&beside(&second, &name)).expect(200));
        assert_eq!(one.body, other.body, "{name}");
        assert_eq!(one.header("etag"), other.header("etag"), "{name}");
        count += 1;
    }
    assert!(count >= 6, "{master}");
}

#[test]
fn the_master_playlist_tells_all_that_a_player_asks() {
    let server = Server::start();
    let (_, url) = captioned(&server, "29.97 pictures a second");
    let reply = server.get(&url).expect(200);
    assert_eq!(reply.header("content-type"), Some("application/vnd.apple.mpegurl"));
    let master = reply.text();
    assert!(master.starts_with("#EXTM3U\n") && master.contains("\n#EXT-X-INDEPENDENT-SEGMENTS\n"), "{master}");
    let stream = master.lines().find(|line| line.starts_with("#EXT-X-STREAM-INF:")).unwrap();
    let number = |line: &str, name: &str| attribute(line, name).and_then(|text| text.parse::<f64>().ok());
    assert!(
        number(stream, "BANDWIDTH") >= number(stream, "AVERAGE-BANDWIDTH")
            && number(stream, "AVERAGE-BANDWIDTH") > Some(0.0)
    );
    assert_eq!(attribute(stream, "RESOLUTION"), Some("160x120"));
    assert_eq!(number(stream, "FRAME-RATE"), Some(29.970), "{stream}");
    assert!(attribute(stream, "STABLE-VARIANT-ID").is_some_and(|id| !id.is_empty()));
    assert_eq!(attribute(stream, "CODECS").unwrap().split(',').count(), 2);
    let group = attribute(stream, "SUBTITLES").unwrap();
    let captions: Vec<&str> = master.lines().filter(|line| line.starts_with("#EXT-X-MEDIA:")).collect();
    assert_eq!(captions.len(), 2, "{master}");
    for line in captions {
        assert_eq!((attribute(line, "TYPE"), attribute(line, "GROUP-ID")), (Some("SUBTITLES"), Some(group)));
        assert!(
            attribute(line, "NAME").is_some()
                && attribute(line, "LANGUAGE").is_some()
                && attribute(line, "URI").is_some()
        );
    }
    let keyframes = master.lines().find(|line| line.starts_with("#EXT-X-I-FRAME-STREAM-INF:")).unwrap();
    assert!(number(keyframes, "BANDWIDTH") > Some(0.0) && attribute(keyframes, "URI").is_some());
    assert_eq!(attribute(keyframes, "CODECS").unwrap().split(',').count(), 1, "keyframes are silent: {keyframes}");
    let (_, url) = captioned(&server, "sound only");
    let master = server.get(&url).expect(200).text();
    let stream = master.lines().find(|line| line.starts_with("#EXT-X-STREAM-INF:")).unwrap();
    assert!(attribute(stream, "RESOLUTION").is_none() && attribute(stream, "FRAME-RATE").is_none(), "{stream}");
    assert!(!master.contains("I-FRAME"), "{master}");
}

/// The segments of a media playlist: how long, and their URIs.
fn segments(playlist: &str) -> Vec<(f64, String)> {
    let mut found = Vec::new();
    let mut lasts = None;
    for line in playlist.lines() {
        if let Some(rest) = line.strip_prefix("#EXTINF:") {
            lasts = rest.split(',').next().unwrap().parse().ok();
        } else if !line.starts_with('#') && !line.is_empty() {
            found.push((lasts.take().unwrap(), line.to_owned()));
        }
    }
    found
}

#[test]
fn lengths_and_rates_hold() {
    let server = Server::start();
    for name in [
        "index first",
        "irregular keyframes",
        "a single keyframe",
        "variable frame rate",
        "sound only",
        "sound that begins later",
        "bigbuckbunny",
    ] {
        let source = sources().iter().find(|source| source.name.contains(name)).unwrap();
        let (video, master_url) = published(&server, &source.file).unwrap();
        let master = server.get(&master_url).expect(200).text();
        let stream = master.lines().find(|line| line.starts_with("#EXT-X-STREAM-INF:")).unwrap();
        let bandwidth: f64 = attribute(stream, "BANDWIDTH").unwrap().parse().unwrap();
        let average: f64 = attribute(stream, "AVERAGE-BANDWIDTH").unwrap().parse().unwrap();
        let media_url = beside(&master_url, uris(&master).iter().find(|uri| uri.ends_with("index.m3u8")).unwrap());
        let media = server.get(&media_url).expect(200).text();
        assert!(media.contains("#EXT-X-PLAYLIST-TYPE:VOD") && media.trim_end().ends_with("#EXT-X-ENDLIST"), "{media}");
        let target = media.lines().find_map(|line| line.strip_prefix("#EXT-X-TARGETDURATION:")).unwrap();
        let target: f64 = target.parse().unwrap();
        let (mut total_s, mut total_bits) = (0.0, 0.0);
        for (lasts, uri) in segments(&media) {
            let bits = server.get(&beside(&media_url, &uri)).expect(200).body.len() as f64 * 8.0;
            assert!(lasts > 0.0 && lasts.round() <= target, "{name}: {uri} lasts {lasts}, target {target}");
            // RFC 8216 §4.1: the peak is over contiguous segments of half to one and a half target durations.
            if lasts >= target / 2.0 {
                assert!(
                    bandwidth >= bits / lasts - 1.0,
                    "{name}: {uri} has {} bits a second, told {bandwidth}",
                    bits / lasts
                );
            }
            total_s += lasts;
            total_bits += bits;
        }
        let record = server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json();
        let told = record["durationSeconds"].as_f64().unwrap();
        assert!((total_s - told).abs() < 0.1, "{name}: segments last {total_s}, the video {told}");
        let (probed, _) = probe(&source.file, "format=duration", &[]);
        let real: f64 = probed["format"]["duration"].as_str().unwrap().parse().unwrap();
        assert!((total_s - real).abs() < 0.1, "{name}: segments last {total_s}, by ffprobe {real}");
        let rate = total_bits / total_s;
        assert!((average / rate - 1.0).abs() < 0.02, "{name}: {rate} bits a second on average, told {average}");
    }
}

#[test]
fn every_range_of_a_keyframe_playlist_is_one_picture() {
    let server = Server::start();
    for name in
        ["index first", "irregular keyframes", "HEVC hvc1, closed GOP", "AV1 with Opus", "VP9 with Opus", "no sound"]
    {
        let source = sources().iter().find(|source| source.name == name).unwrap();
        let (_, master_url) = published(&server, &source.file).unwrap();
        let master = server.get(&master_url).expect(200).text();
        let line = master.lines().find(|line| line.starts_with("#EXT-X-I-FRAME-STREAM-INF:")).unwrap();
        let list_url = beside(&master_url, attribute(line, "URI").unwrap());
        let list = server.get(&list_url).expect(200).text();
        assert!(list.contains("#EXT-X-I-FRAMES-ONLY"), "{list}");
        let map = list.lines().find(|line| line.starts_with("#EXT-X-MAP:")).unwrap();
        let init = server.get(&joined(&list_url, attribute(map, "URI").unwrap())).expect(200).body;
        let (mut range, mut next, mut count) = (None, 0, 0);
        for line in list.lines() {
            if let Some(text) = line.strip_prefix("#EXT-X-BYTERANGE:") {
                let (length, from) = text.split_once('@').map_or((text, None), |(length, from)| (length, Some(from)));
                let from = from.map_or(next, |from| from.parse::<u64>().unwrap());
                next = from + length.parse::<u64>().unwrap();
                range = Some(from..next);
            } else if !line.starts_with('#') && !line.is_empty() {
                let url = joined(&list_url, line);
                let path = path_of(&url).to_owned();
                let mut request = server.request(Method::GET, &path);
                if let Some(range) = range.take() {
                    request = request.header("range", format!("bytes={}-{}", range.start, range.end - 1));
                }
                let piece = Reply::read(request.send().unwrap());
                assert!(piece.status == 206 || piece.status == 200, "{}", piece.text());
                let directory = tempfile::tempdir().unwrap();
                let file = directory.path().join("picture.mp4");
                std::fs::write(&file, [init.as_slice(), &piece.body].concat()).unwrap();
                let (probed, _) =
                    probe(&file, "stream=nb_read_frames,codec_type", &["-count_frames", "-select_streams", "v"]);
                assert_eq!(probed["streams"][0]["nb_read_frames"], "1", "{name}: {line} in {list}: {probed}");
                count += 1;
            }
        }
        assert!(count >= 3, "{name}: {list}");
    }
}
