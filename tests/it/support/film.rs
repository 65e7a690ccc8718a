//! Films of any size and length, made by ffmpeg for one test, and what ffprobe says of an answer.

use std::path::Path;
use std::process::{Command, Stdio};

/// Makes a film with ffmpeg: a moving picture of this size, with sound unless it is silent, and whatever else is asked.
pub fn film(directory: &Path, size: &str, seconds: u32, more: &[&str]) -> Vec<u8> {
    let path = directory.join("film.mp4");
    let picture = format!("testsrc2=size={size}:rate=25:duration={seconds}");
    let sound = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50", "-sc_threshold", "0"])
        .args(["-c:a", "aac"])
        .args(more)
        .arg(&path)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(path).unwrap()
}

/// Runs ffprobe over these bytes and answers what it prints.
pub fn probe(directory: &Path, bytes: &[u8], arguments: &[&str]) -> String {
    let path = directory.join("probed");
    std::fs::write(&path, bytes).unwrap();
    let output = Command::new("ffprobe").args(["-v", "error"]).args(arguments).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Times of the keyframes, in seconds.
pub fn keyframes(directory: &Path, bytes: &[u8]) -> Vec<f64> {
    let asked = ["-select_streams", "v", "-show_entries", "packet=pts_time,flags", "-of", "csv=p=0"];
    let lines = probe(directory, bytes, &asked);
    lines
        .lines()
        .filter(|line| line.contains('K'))
        .map(|line| line.split(',').next().unwrap().parse().unwrap())
        .collect()
}
