//! What is packaged is what was uploaded, frame by frame: ffmpeg decodes the source, the HLS that was made of it and the
//! progressive file, and says whether they are the same.
//!
//! What is compared, exactly: hashes of all pictures shown at 0 or later, in order and number, and of all stretches of
//! sound. Sound may differ in its first and last stretch of a codec frame, where an edit list or the encoder's priming
//! cuts into one: fragmented files have no way to say so that every decoder heeds. Times agree within one frame.

use crate::judges::{Decoded, Frame, Source, ask, attribute, beside, decode, probe, published, settled, sources, uris};
use crate::support::{Server, files_below};
use serde_json::Value;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;

/// Segments are cut at the first keyframe after this, in seconds.
const TARGET_S: f64 = 2.0;

/// Runs `work` for each item in two threads, one for each core of a small machine; what went wrong, by name.
fn for_each<T: Sync>(items: Vec<&T>, name: impl Fn(&T) -> &str + Sync, work: impl Fn(&T) -> Vec<String> + Sync) {
    let (queue, wrong) = (Mutex::new(VecDeque::from(items)), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(item) = { queue.lock().unwrap().pop_front() } {
                    let found = work(item);
                    wrong.lock().unwrap().extend(found.iter().map(|one| format!("{}: {one}", name(item))));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} findings:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_source_comes_out_frame_by_frame() {
    let server = Server::start();
    let playable: Vec<&Source> = sources().iter().filter(|source| source.plays).collect();
    assert!(playable.len() >= 29, "25 made here and four that were not");
    for_each(playable, |source| &source.name, |source| judge(&server, source));
}

fn judge(server: &Server, source: &Source) -> Vec<String> {
    let (_, master) = match published(server, &source.file) {
        Ok(published) => published,
        Err(reason) => return vec![reason],
    };
    let mut wrong = Vec::new();
    let original = decode(source.file.to_str().unwrap(), source.audio_index);
    let playlist = server.get(&master).expect(200).text();
    let Some(media) = uris(&playlist).into_iter().find(|uri| uri.ends_with("index.m3u8")) else {
        return vec![format!("no media playlist in {playlist}")];
    };
    let media = beside(&master, &media);
    let rendition = media.strip_suffix("/index.m3u8").unwrap();

    let mut hls = decode(&master, 0);
    if source.is_cut_inside_gop {
        begin_with(&mut hls, &original);
    }
    compare("HLS", &original, &hls, &mut wrong);
    let progressive = format!("{rendition}.mp4");
    let mut downloaded = decode(&progressive, 0);
    if source.is_cut_inside_gop {
        begin_with(&mut downloaded, &original);
    }
    compare("progressive", &original, &downloaded, &mut wrong);

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("progressive.mp4");
    std::fs::write(&file, server.get(&progressive).expect(200).body).unwrap();
    let (probed, complaints) = probe(&file, "stream:format:stream_side_data", &["-count_packets"]);
    if !complaints.is_empty() {
        wrong.push(format!("ffprobe of the progressive file: {complaints}"));
    }
    let init = server.get(&format!("{rendition}/init.mp4")).expect(200).body;
    check_codecs(&playlist, &probed, &init, &mut wrong);
    check_shape(&source.file, source.audio_index, &file, &mut wrong);

    let segments = server.get(&media).expect(200).text();
    let is_independent = segments.contains("\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    if is_independent == source.is_open_gop {
        wrong.push(format!("segments are called independent: {is_independent}"));
    }
    let mut at = 0.0;
    let mut lines = segments.lines();
    let mut number = 0;
    while let Some(line) = lines.next() {
        let Some(lasts) = line.strip_prefix("#EXTINF:") else { continue };
        let lasts: f64 = lasts.split(',').next().unwrap().parse().unwrap();
        let Some(uri) = lines.find(|line| !line.starts_with('#')) else { break };
        number += 1;
        if uri != format!("{number}.m4s") {
            wrong.push(format!("segment {number} is named {uri}"));
        }
        let segment = server.get(&beside(&media, uri)).expect(200).body;
        check_segment(directory.path(), number, (&init, &segment), (at, lasts, is_independent), source, &mut wrong);
        at += lasts;
    }
    if number == 0 {
        wrong.push(format!("no segments: {segments}"));
    }
    wrong
}

/// Takes away what `made` shows before the first picture of `original`, and the time it takes.
fn begin_with(made: &mut Decoded, original: &Decoded) {
    let first = &original.pictures[0];
    let found = made.pictures.iter().position(|frame| frame.hash == first.hash);
    let Some(found) = found.filter(|found| *found > 0) else { return };
    let by = made.pictures[found].at - first.at;
    made.pictures.drain(..found);
    made.pictures.iter_mut().chain(&mut made.sounds).for_each(|frame| frame.at -= by);
}

/// Whether `made` shows and sounds what `original` does.
fn compare(what: &str, original: &Decoded, made: &Decoded, wrong: &mut Vec<String>) {
    if !made.complaints.is_empty() {
        wrong.push(format!("{what}: ffmpeg complains: {}", first_lines(&made.complaints)));
    }
    // Pictures before 0 are decoded and not shown.
    let shown: Vec<&Frame> = made.pictures.iter().filter(|frame| frame.at > -0.002).collect();
    let hashes = |frames: &[&Frame]| frames.iter().map(|frame| frame.hash.clone()).collect::<Vec<_>>();
    let expected: Vec<&Frame> = original.pictures.iter().collect();
    if hashes(&shown) != hashes(&expected) {
        let at = shown.iter().zip(&expected).position(|(made, expected)| made.hash != expected.hash);
        let place = expected.iter().position(|frame| shown.first().is_some_and(|first| first.hash == frame.hash));
        wrong.push(format!(
            "{what}: pictures: {} made ({} before 0), {} expected; first difference {at:?}; first made is number {place:?}, at {:?}, expected {:?}",
            shown.len(),
            made.pictures.len() - shown.len(),
            expected.len(),
            shown.first().map(|frame| frame.at),
            expected.first().map(|frame| frame.at),
        ));
    } else {
        compare_times(what, "picture", &shown, &expected, wrong);
    }
    compare_sounds(what, original, made, wrong);
}

fn compare_sounds(what: &str, original: &Decoded, made: &Decoded, wrong: &mut Vec<String>) {
    let (Some(first), true) = (original.sounds.get(1), original.sounds.len() > 3) else {
        if original.sounds.is_empty() != made.sounds.is_empty() {
            wrong.push(format!("{what}: {} sounds, expected {}", made.sounds.len(), original.sounds.len()));
        }
        return;
    };
    let whole = &original.sounds[1..original.sounds.len() - 1];
    let Some(from) = made.sounds.iter().position(|frame| frame.hash == first.hash) else {
        wrong.push(format!("{what}: the sound's second stretch is nowhere among {}", made.sounds.len()));
        return;
    };
    let heard: Vec<&Frame> = made.sounds[from..].iter().take(whole.len()).collect();
    let same = heard.iter().zip(whole).take_while(|(made, expected)| made.hash == expected.hash).count();
    if same != whole.len() {
        wrong.push(format!("{what}: sound differs from stretch {same} of {} on", whole.len()));
    }
    // One at each end may be cut by an edit list; what stands before 0 is decoded and not heard.
    let before = made.sounds[..from].iter().filter(|frame| frame.at + frame.lasts > 0.001).count();
    let behind = made.sounds.len().saturating_sub(from + whole.len());
    if before > 2 || behind > 2 {
        wrong.push(format!("{what}: {before} stretches of sound before the second one, {behind} at the end"));
    }
    compare_times(what, "sound", &heard[..same], &whole.iter().take(same).collect::<Vec<_>>(), wrong);
}

fn compare_times(what: &str, kind: &str, made: &[&Frame], expected: &[&Frame], wrong: &mut Vec<String>) {
    for (at, (made, expected)) in made.iter().zip(expected).enumerate() {
        let frame = if kind == "picture" { 0.0417 } else { expected.lasts };
        if (made.at - expected.at).abs() > frame + 0.0005 {
            wrong.push(format!("{what}: {kind} {at} at {:.4} s, expected {:.4} s", made.at, expected.at));
            return;
        }
    }
    let end = |frames: &[&Frame]| frames.last().map_or(0.0, |last| last.at + last.lasts);
    if (end(made) - end(expected)).abs() > 0.0422 {
        wrong.push(format!("{what}: the last {kind} ends at {:.4} s, expected {:.4} s", end(made), end(expected)));
    }
}

fn first_lines(text: &str) -> String {
    text.lines().take(3).collect::<Vec<_>>().join(" | ")
}

/// Whether the segment decodes alone after `init.mp4`, begins at a keyframe, and is not longer than it has to be.
fn check_segment(
    directory: &Path,
    number: usize,
    (init, segment): (&[u8], &[u8]),
    (at, lasts, is_independent): (f64, f64, bool),
    source: &Source,
    wrong: &mut Vec<String>,
) {
    let file = directory.join(format!("{number}.mp4"));
    std::fs::write(&file, [init, segment].concat()).unwrap();
    let entries =
        "stream=codec_type,codec_name,nb_read_frames,nb_read_packets:packet=codec_type,pts_time,duration_time,flags";
    let (probed, complaints) = probe(&file, entries, &["-count_frames", "-count_packets", "-show_packets"]);
    // Of what refers to the segment before, a decoder misses that.
    if !complaints.is_empty() && is_independent {
        wrong.push(format!("segment {number}: ffprobe complains: {}", first_lines(&complaints)));
    }
    let empty = Vec::new();
    for stream in probed["streams"].as_array().unwrap_or(&empty) {
        let count = |name: &str| stream[name].as_str().and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
        let (frames, packets) = (count("nb_read_frames"), count("nb_read_packets"));
        let is_video = stream["codec_type"] == "video";
        // A decoder that starts within sound may need a frame to find its feet; pictures may refer to what is not here
        // unless it is said that they don't.
        let allowed = if !is_video {
            1
        } else if is_independent {
            0
        } else {
            8
        };
        if frames + allowed < packets {
            wrong.push(format!("segment {number}: {frames} of {packets} {} decode alone", stream["codec_type"]));
        }
    }
    let packets: Vec<(f64, f64, bool)> = probed["packets"]
        .as_array()
        .unwrap_or(&empty)
        .iter()
        .filter(|packet| packet["codec_type"] == "video")
        .map(|packet| {
            let number =
                |name: &str| packet[name].as_str().and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
            let is_key = packet["flags"].as_str().is_some_and(|flags| flags.starts_with('K'));
            (number("pts_time"), number("duration_time"), is_key)
        })
        .collect();
    let Some(&(first, _, is_key)) = packets.first() else { return };
    if !is_key {
        wrong.push(format!("segment {number} does not begin at a keyframe"));
    }
    if !source.is_open_gop && packets[1..].iter().any(|(at, _, is_key)| *is_key && at - first >= TARGET_S + 0.05) {
        wrong.push(format!("segment {number} goes on behind a keyframe {TARGET_S} s after its start"));
    }
    let from = packets.iter().map(|(at, ..)| *at).fold(f64::INFINITY, f64::min);
    if (from - at).abs() > 0.6 {
        wrong.push(format!("segment {number} begins at {from}, by the playlist at {at}"));
    }
    let to = packets.iter().map(|(at, lasts, _)| at + lasts).fold(0.0, f64::max);
    // Sound may go on behind the last picture.
    if to - from > lasts + 0.6 {
        wrong.push(format!("segment {number} lasts {}, by the playlist {lasts}", to - from));
    }
}

/// Whether size, shape of pixels and turning are as they were.
fn check_shape(original: &Path, audio_index: u64, made: &Path, wrong: &mut Vec<String>) {
    let entries =
        "stream=codec_type,codec_name,width,height,sample_aspect_ratio,channels,sample_rate:stream_side_data=rotation";
    let of = |file: &Path, stream: &str| probe(file, entries, &["-select_streams", stream]).0["streams"][0].clone();
    let audio = format!("a:{audio_index}");
    for (original, made) in [(of(original, "v:0"), of(made, "v:0")), (of(original, &audio), of(made, "a:0"))] {
        if original != made {
            wrong.push(format!("the shape of {} has changed: {original}, now {made}", original["codec_type"]));
        }
    }
}

/// The first bytes of the content of a box of this type, wherever it stands.
fn content<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    let at = bytes.windows(4).position(|window| window == kind)?;
    bytes.get(at + 4..)
}

/// Whether `CODECS` says what ffprobe sees (RFC 6381 and each codec's own document).
fn check_codecs(master: &str, probed: &Value, init: &[u8], wrong: &mut Vec<String>) {
    let Some(line) = master.lines().find(|line| line.starts_with("#EXT-X-STREAM-INF:")) else {
        wrong.push(format!("no EXT-X-STREAM-INF in {master}"));
        return;
    };
    let said: Vec<&str> = attribute(line, "CODECS").unwrap_or_default().split(',').collect();
    let expected: Vec<Option<Vec<String>>> =
        probed["streams"].as_array().into_iter().flatten().map(|stream| codec_strings(stream, init)).collect();
    let known: Vec<Vec<String>> = expected.into_iter().flatten().collect();
    let fits = said.len() == known.len()
        && known.iter().all(|spellings| {
            said.iter().any(|said| {
                spellings.iter().any(|one| {
                    if let Some(head) = one.strip_suffix('*') { said.starts_with(head) } else { said == one }
                })
            })
        });
    if !fits {
        wrong.push(format!("CODECS is {said:?}, expected {known:?}"));
    }
}

/// How a stream may be called; a `*` at the end stands for anything.
fn codec_strings(stream: &Value, init: &[u8]) -> Option<Vec<String>> {
    let text = |name: &str| stream[name].as_str().unwrap_or_default().to_owned();
    let level = stream["level"].as_i64().unwrap_or_default();
    let is_deep = text("pix_fmt").contains("10");
    let one = |text: &str| Some(vec![text.to_owned()]);
    match text("codec_name").as_str() {
        "h264" => {
            let profile = match text("profile").as_str() {
                "Constrained Baseline" | "Baseline" => 66,
                "Main" => 77,
                "High" => 100,
                "High 10" => 110,
                "High 4:2:2" => 122,
                _ => return None,
            };
            // The constraint flags are not among what ffprobe shows: they are the second byte behind avcC's version.
            let flags = content(init, b"avcC").map(|bytes| bytes[2]).unwrap_or_default();
            let entry = text("codec_tag_string");
            Some(vec![
                format!("{entry}.{profile:02X}{flags:02X}{level:02X}"),
                format!("{entry}.{profile:02x}{flags:02x}{level:02x}"),
            ])
        }
        "hevc" => {
            let profile = if text("profile") == "Main 10" { "2.4" } else { "1.6" };
            Some(vec![
                format!("{}.{profile}.L{level}.*", text("codec_tag_string")),
                format!("{}.{profile}.L{level}", text("codec_tag_string")),
            ])
        }
        "av1" => Some(vec![format!("av01.0.{level:02}M.{}", if is_deep { "10" } else { "08" })]),
        "vp9" => {
            let config = content(init, b"vpcC")?;
            // Version and flags, then profile, level, and bit depth in the upper half of a byte.
            let (profile, level, depth) = (config[4], config[5], config[6] >> 4);
            Some(vec![
                format!("vp09.{profile:02}.{level:02}.{depth:02}"),
                format!("vp09.{profile:02}.{level:02}.{depth:02}.*"),
            ])
        }
        "aac" => one(match text("profile").as_str() {
            "HE-AACv2" => "mp4a.40.29",
            "HE-AAC" => "mp4a.40.5",
            _ => "mp4a.40.2",
        }),
        // By the object type of ISO/IEC 13818-3 or 11172-3, as the file itself says.
        "mp3" => Some(vec!["mp4a.6B".into(), "mp4a.69".into(), "mp4a.6b".into(), "mp4a.40.34".into()]),
        "opus" => Some(vec!["opus".into(), "Opus".into()]),
        "ac3" => one("ac-3"),
        "eac3" => one("ec-3"),
        "flac" => Some(vec!["fLaC".into(), "flac".into()]),
        _ => None,
    }
}

#[test]
fn what_cannot_be_played_is_refused_with_a_sentence_and_leaves_nothing() {
    let server = Server::start();
    let unplayable: Vec<&Source> = sources().iter().filter(|source| !source.plays).collect();
    assert!(unplayable.len() >= 8);
    for_each(
        unplayable,
        |source| &source.name,
        |source| {
            let (video, _) = server.pending_video("private");
            let reply = server.upload(&video, std::fs::read(&source.file).unwrap());
            let record = settled(&server, &video);
            let detail = record["statusDetail"].as_str().unwrap_or_default().to_owned();
            println!("{}: {} {detail}", source.name, reply.status);
            let mut wrong = Vec::new();
            // That an error's sentence is one is looked at in `Reply::read`; the record keeps its reason.
            if record["status"] != "error" || detail.len() < 20 || detail.contains('/') {
                wrong.push(format!("{} {}", reply.status, record));
            }
            if record["renditions"].as_array().is_some_and(|renditions| !renditions.is_empty()) {
                wrong.push("it has renditions".to_owned());
            }
            wrong
        },
    );
    for directory in ["media", "incoming"] {
        let left = files_below(&server.state().join(directory));
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

#[test]
fn the_judges_can_see_a_difference() {
    // A judge that finds nothing wrong with anything would be none.
    let first = sources().iter().find(|source| source.name == "index first").unwrap();
    let original = decode(first.file.to_str().unwrap(), 0);
    assert_eq!(original.pictures.len(), 150);
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("other.mp4");
    for arguments in [
        ["-vf", "noise=alls=1:all_seed=7", "-c:a", "copy"],
        ["-af", "volume=0.9", "-c:v", "copy"],
        ["-ss", "1", "-c", "copy"],
    ] {
        let (first, other) = (first.file.to_str().unwrap(), other.to_str().unwrap());
        ask("ffmpeg", &[&["-v", "error", "-y", "-i", first][..], &arguments, &[other]].concat());
        let mut wrong = Vec::new();
        compare("a changed copy", &original, &decode(other, 0), &mut wrong);
        assert!(!wrong.is_empty(), "{arguments:?} went unnoticed");
    }
}
