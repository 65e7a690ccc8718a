//! Figures and deeds in words.

use crate::domain::{Timestamp, VideoStatus};

/// A moment: for machines, and for people.
pub struct Moment {
    /// RFC 3339.
    pub machine: String,
    /// As in `26 Nov 2026, 10:42 UTC`.
    pub person: String,
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        let machine = at.to_string();
        let part = |range: std::ops::Range<usize>| machine.get(range).unwrap_or_default();
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let month = part(5..7).parse::<usize>().ok().and_then(|month| months.get(month.saturating_sub(1)));
        let day = part(8..10).trim_start_matches('0');
        let person = format!("{day} {} {}, {} UTC", month.unwrap_or(&""), part(0..4), part(11..16));
        Self { machine, person }
    }
}

/// A length of time, as players write it.
pub fn duration(millis: u64) -> String {
    let seconds = millis.div_ceil(1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A number of bytes in decimal units, as disks are sold.
pub fn bytes(count: u64) -> String {
    let units = [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.into_iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        None => format!("{count} bytes"),
    }
}

/// Bits a second.
pub fn bit_rate(bits_per_s: u64) -> String {
    if bits_per_s >= 1_000_000 {
        format!("{}.{} Mbit/s", bits_per_s / 1_000_000, bits_per_s % 1_000_000 / 100_000)
    } else {
        format!("{} kbit/s", bits_per_s / 1_000)
    }
}

/// How long something takes or lasts, in the largest unit that says it whole.
pub fn seconds(count: u32) -> String {
    let units = [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];
    let fits = |size: u32| count >= size && count.is_multiple_of(size);
    let (unit, size) = units.into_iter().find(|(_, size)| fits(*size)).unwrap_or(("second", 1));
    let number = count / size;
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// `count` of something.
pub fn counted(count: usize, one: &str, several: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {several}") }
}

/// Where a video stands.
pub fn status(status: VideoStatus) -> &'static str {
    match status {
        VideoStatus::PendingUpload => "Waiting for its film",
        VideoStatus::Processing => "Processing",
        VideoStatus::Ready => "Ready",
        VideoStatus::Error => "Can't be played",
    }
}

/// The sentence for a deed that an address names; none for anything else.
pub fn of_deed(name: &str) -> Option<&'static str> {
    Some(match name {
        "saved" => "Saved.",
        "signed_out" => "You are signed out.",
        "video_deleted" => "The video, its files and its embeds are deleted.",
        "uploaded" => "Uploaded. It plays as soon as it is processed.",
        "upload_discarded" => "The unfinished upload is discarded.",
        "private" => "The video is private now. Whatever was signed for it before no longer works.",
        "public" => "The video is public now.",
        "all_private" => "Every video is private now.",
        "all_public" => "Every video is public now.",
        "poster" => "The poster is stored.",
        "poster_deleted" => "The poster is deleted.",
        "captions" => "The captions are stored.",
        "captions_deleted" => "The captions are deleted.",
        "quality" => "The quality is stored.",
        "quality_deleted" => "The quality is deleted.",
        "transcoding_cancelled" => "Nothing more is made of this film.",
        "transcoding_begun" => "What is missing is made in the background.",
        "session_ended" => "The session is ended: its viewer's player stops within a second.",
        "key_revoked" => "The key is revoked. It no longer opens anything.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        assert_eq!(Moment::from(Timestamp::from_secs(1_795_689_720)).person, "26 Nov 2026, 10:42 UTC");
        assert_eq!([duration(0), duration(5_280), duration(3_725_000)], ["0:00", "0:06", "1:02:05"]);
        assert_eq!(
            [bytes(0), bytes(999), bytes(1_250_000), bytes(20_000_000_000)],
            ["0 bytes", "999 bytes", "1.2 MB", "20.0 GB"]
        );
        assert_eq!([bit_rate(640_000), bit_rate(4_250_000)], ["640 kbit/s", "4.2 Mbit/s"]);
        assert_eq!(
            [seconds(1), seconds(300), seconds(86_400), seconds(90)],
            ["1 second", "5 minutes", "1 day", "90 seconds"]
        );
    }
}
