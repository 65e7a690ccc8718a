//! ffmpeg and ffprobe as judges from outside: the sources they make, and what they see in what comes out.

use crate::support::{Server, wait_for};
use reqwest::Method;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// A film to be judged with.
pub struct Source {
    /// What is special about it.
    pub name: String,
    /// Where it lies.
    pub file: PathBuf,
    /// Whether it is of a kind that plays.
    pub plays: bool,
    /// Whether pictures may refer to what lies before their keyframe.
    pub is_open_gop: bool,
    /// Whether its edit list begins between two keyframes: fragments can't say so, and what stands before is shown.
    pub is_cut_inside_gop: bool,
    /// Which of its sounds is played.
    pub audio_index: u64,
}

fn script(name: &str, directory: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(directory);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media").join(name);
    let status = Command::new(&script).arg(&target).status().unwrap();
    assert!(status.success(), "{} failed", script.display());
    target
}

/// The films that ffmpeg makes here and those that were not made here; made and fetched once.
pub fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let made = script("make-sources", "sources");
        let listing: Value = serde_json::from_slice(&std::fs::read(made.join("sources.json")).unwrap()).unwrap();
        let mut sources: Vec<Source> = listing["sources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|source| Source {
                name: source["name"].as_str().unwrap().to_owned(),
                file: made.join(source["file"].as_str().unwrap()),
                plays: source["plays"].as_bool().unwrap(),
                is_open_gop: source["open_gop"].as_bool().unwrap_or_default(),
                is_cut_inside_gop: source["cut_inside_gop"].as_bool().unwrap_or_default(),
                audio_index: source["audio_index"].as_u64().unwrap_or_default(),
            })
            .collect();
        let fetched = script("fetch-real", "real");
        sources.extend(["bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4", "he_aac_v2.m4a"].map(|file| {
            Source {
                name: format!("{file}, not made here"),
                file: fetched.join(file),
                plays: true,
                is_open_gop: false,
                is_cut_inside_gop: false,
                audio_index: 0,
            }
        }));
        sources
    })
}

/// What a judge said: its answer, and everything that it complained of.
pub struct Said {
    /// Its standard output.
    pub out: String,
    /// Warnings and errors.
    pub complaints: String,
}

/// Runs a judge to its end.
pub fn ask(judge: &str, arguments: &[&str]) -> Said {
    let output = Command::new(judge).args(arguments).stdin(Stdio::null()).output().unwrap();
    let mut complaints = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !output.status.success() {
        complaints.push_str(&format!(" ({judge}: {})", output.status));
    }
    Said { out: String::from_utf8_lossy(&output.stdout).into_owned(), complaints }
}

/// A decoded picture or stretch of sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// When it is shown, in seconds.
    pub at: f64,
    /// How long, in seconds.
    pub lasts: f64,
    /// MD5 of its pixels or samples.
    pub hash: String,
}

/// Everything that was decoded.
#[derive(Default)]
pub struct Decoded {
    /// Pictures, in the order of showing.
    pub pictures: Vec<Frame>,
    /// Stretches of sound.
    pub sounds: Vec<Frame>,
    /// What the judge complained of.
    pub complaints: String,
}

/// Decodes a file or URL as it is stored: no picture is repeated, dropped, turned or moved in time.
pub fn decode(input: &str, audio_index: u64) -> Decoded {
    let audio = format!("0:a:{audio_index}?");
    let said = ask(
        "ffmpeg",
        &[
            "-nostdin",
            "-hide_banner",
            "-v",
            "warning",
            "-copyts",
            "-noautorotate",
            "-i",
            input,
            "-map",
            "0:v:0?",
            "-map",
            &audio,
            "-fps_mode",
            "passthrough",
            "-enc_time_base:v",
            "-1",
            "-avoid_negative_ts",
            "disabled",
            "-f",
            "framemd5",
            "-",
        ],
    );
    let mut decoded = Decoded { complaints: said.complaints, ..Decoded::default() };
    let (mut bases, mut kinds) = ([1.0; 2], ["", ""]);
    for line in said.out.lines() {
        if let Some(base) = line.strip_prefix("#tb ") {
            let (stream, base) = base.split_once(": ").unwrap();
            let (number, scale) = base.split_once('/').unwrap();
            bases[stream.parse::<usize>().unwrap()] = number.parse::<f64>().unwrap() / scale.parse::<f64>().unwrap();
        } else if let Some(kind) = line.strip_prefix("#media_type ") {
            let (stream, kind) = kind.split_once(": ").unwrap();
            kinds[stream.parse::<usize>().unwrap()] = kind;
        } else if !line.starts_with('#') {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let stream: usize = fields[0].parse().unwrap();
            let time = |field: &str| field.parse::<f64>().unwrap() * bases[stream];
            let frame = Frame { at: time(fields[2]), lasts: time(fields[3]), hash: fields[5].to_owned() };
            if kinds[stream] == "video" { decoded.pictures.push(frame) } else { decoded.sounds.push(frame) }
        }
    }
    decoded
}

/// What ffprobe says of a file, as JSON; with its complaints.
pub fn probe(file: &Path, entries: &str, more: &[&str]) -> (Value, String) {
    let file = file.to_str().unwrap();
    let said =
        ask("ffprobe", &[&["-v", "warning", "-of", "json", "-show_entries", entries][..], more, &[file]].concat());
    (serde_json::from_str(&said.out).unwrap_or_default(), said.complaints)
}

/// Waits until a video is not in the making any more; its record.
pub fn settled(server: &Server, video: &str) -> Value {
    let mut record = Value::Null;
    wait_for("packaging ends", Duration::from_secs(120), || {
        record = server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json();
        record["status"] != "processing"
    });
    record
}

/// A video that plays, of this file: its id, and the URL of its master playlist under a grant.
pub fn published(server: &Server, file: &Path) -> Result<(String, String), String> {
    let (video, embed) = server.pending_video("private");
    let reply = server.upload(&video, std::fs::File::open(file).unwrap());
    if reply.status != 200 && reply.status != 202 {
        return Err(format!("refused: {} {}", reply.status, reply.text()));
    }
    let record = settled(server, &video);
    if record["status"] != "ready" {
        return Err(format!("not ready: {record}"));
    }
    let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let uri = answer["playback"]["uri"].as_str().unwrap().to_owned();
    if answer["playback"]["contentType"] != "hls" || !uri.ends_with("/master.m3u8") {
        return Err(format!("no HLS: {}", answer["playback"]));
    }
    Ok((video, uri))
}

/// The URL of `name` beside `base`.
pub fn beside(base: &str, name: &str) -> String {
    let (directory, _) = base.rsplit_once('/').unwrap();
    format!("{directory}/{name}")
}

/// An attribute of a playlist's tag, without its quotes.
pub fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, list) = line.split_once(':')?;
    let mut rest = list;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"')?;
                (value, next.strip_prefix(',').unwrap_or(next))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key == name {
            return Some(value);
        }
        rest = next;
    }
}

/// The lines of a playlist that are URIs, and the values of `URI` attributes, in order.
pub fn uris(playlist: &str) -> Vec<String> {
    playlist
        .lines()
        .filter_map(|line| match line.strip_prefix("#EXT") {
            Some(_) => attribute(line, "URI").map(str::to_owned),
            None => (!line.starts_with('#') && !line.is_empty()).then(|| line.to_owned()),
        })
        .collect()
}

/// A film made to do harm.
pub struct HostileFilm {
    /// What is wrong with it.
    pub name: String,
    /// Where it lies.
    pub file: PathBuf,
    /// What must become of it, `plays` or `refused`; `None` where either will do.
    pub verdict: Option<String>,
}

/// The hostile films; made once.
pub fn corpus() -> Vec<HostileFilm> {
    sources();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let made = target.join("hostile");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/make-hostile");
    let status = Command::new(script).args([&made, &target.join("sources")]).status().unwrap();
    assert!(status.success(), "make-hostile failed");
    let listing: Value = serde_json::from_slice(&std::fs::read(made.join("hostile.json")).unwrap()).unwrap();
    let films = listing["films"].as_array().unwrap().iter().enumerate();
    films
        .map(|(at, film)| HostileFilm {
            name: film["name"].as_str().unwrap().to_owned(),
            file: made.join(format!("{:04}.mp4", at + 1)),
            verdict: film["verdict"].as_str().map(str::to_owned),
        })
        .collect()
}
