//! Names behind a grant, and what each of them stands for.

use super::problem::Problem;
use crate::app::{App, WrittenText};
use crate::domain::{Captions, MediaFileId, Playable, Rendition, Timestamp, VideoId};
use crate::media::{SegmentIndex, captions_playlist, master_playlist};
use std::ops::Range;
use std::sync::Arc;

/// Media type of a playlist (RFC 8216 §4).
const PLAYLIST: &str = "application/vnd.apple.mpegurl";
/// Media type of a DASH manifest (ISO/IEC 23009-1 Annex C).
const MANIFEST: &str = "application/dash+xml";
const CAPTIONS: &str = "text/vtt; charset=utf-8";

/// Name of the playlist of all qualities.
pub const MASTER: &str = "master.m3u8";

/// What a name stands for.
pub struct Found {
    /// The bytes.
    pub content: Content,
    /// When they were stored; `None` where others may come to stand under the name.
    pub fixed_since: Option<Timestamp>,
    /// Their media type.
    pub content_type: &'static str,
}

/// Where an asset's bytes are.
pub enum Content {
    /// In a stored file: all of it, or a part.
    File(MediaFileId, Option<Range<u64>>),
    /// Written from what is stored, the same for every viewer.
    Text(Arc<WrittenText>),
}

/// Looks a name up among everything that a grant for the video opens.
pub async fn find(app: &App, video: VideoId, name: &str) -> Result<Found, Problem> {
    let playable = app.store.access().video(video).map(|video| video.playable).ok_or_else(Problem::not_found)?;
    match name.split_once('/') {
        None => find_at_top(app, video, &playable, name).await?,
        Some(("captions", name)) => find_captions(&playable, name),
        Some(("storyboard", name)) => find_sheet(&playable, name),
        Some((id, part)) => match playable.renditions.iter().find(|rendition| rendition.file.to_string() == id) {
            Some(rendition) => find_part(app, rendition, part).await?,
            None => None,
        },
    }
    .ok_or_else(Problem::not_found)
}

async fn find_at_top(
    app: &App,
    video: VideoId,
    playable: &Arc<Playable>,
    name: &str,
) -> Result<Option<Found>, Problem> {
    let text = |text, content_type| Found { content: Content::Text(text), fixed_since: None, content_type };
    Ok(match name {
        MASTER if !playable.renditions.is_empty() => Some(text(written(master_playlist(playable)), PLAYLIST)),
        "manifest.mpd" if !playable.renditions.is_empty() => Some(text(app.manifest(video, playable).await?, MANIFEST)),
        "storyboard.vtt" => playable.storyboard.as_ref().map(|storyboard| Found {
            content: Content::File(storyboard.list, None),
            fixed_since: None,
            content_type: CAPTIONS,
        }),
        _ => name.strip_suffix(".mp4").and_then(|id| find_progressive(playable, id)).or_else(|| {
            let poster = playable.poster.as_ref().filter(|poster| poster.name() == name);
            poster.map(|poster| Found {
                content: Content::File(poster.file, None),
                fixed_since: None,
                content_type: poster.format.content_type(),
            })
        }),
    })
}

fn find_progressive(playable: &Playable, id: &str) -> Option<Found> {
    let renditions = playable.renditions.iter().map(|rendition| (rendition.file, rendition.stored_at, mp4(rendition)));
    let source = playable.source.iter().map(|source| (source.file, source.stored_at, "video/mp4"));
    let mut files = renditions.chain(source);
    let (file, stored_at, content_type) = files.find(|(file, ..)| file.to_string() == id)?;
    Some(Found { content: Content::File(file, None), fixed_since: Some(stored_at), content_type })
}

async fn find_part(app: &App, rendition: &Rendition, part: &str) -> Result<Option<Found>, Problem> {
    let of_file = |range| (Content::File(rendition.file, Some(range)), mp4(rendition));
    let (content, content_type) = match (part, part.strip_suffix(".m4s").and_then(segment_number)) {
        ("index.m3u8", _) => (Content::Text(app.segments_playlist(rendition).await?), PLAYLIST),
        ("iframes.m3u8", _) if rendition.video.is_some() => {
            (Content::Text(app.keyframes_playlist(rendition).await?), PLAYLIST)
        }
        ("init.mp4", _) => of_file(0..app.segment_index(rendition).await?.init_bytes.into()),
        (_, Some(number)) => {
            let index: Arc<SegmentIndex> = app.segment_index(rendition).await?;
            let Some(segment) = index.segment(number) else { return Ok(None) };
            of_file(segment.range())
        }
        _ => return Ok(None),
    };
    // A list of a file that never changes says it in other words after an upgrade.
    let fixed_since = matches!(content, Content::File(..)).then_some(rendition.stored_at);
    Ok(Some(Found { content, fixed_since, content_type }))
}

fn find_captions(playable: &Playable, name: &str) -> Option<Found> {
    let (language, kind) = name.rsplit_once('.')?;
    let captions: &Captions = playable.captions.iter().find(|captions| captions.language == language)?;
    let (content, content_type) = match kind {
        "vtt" => (Content::File(captions.file, None), CAPTIONS),
        "m3u8" => {
            let duration_ms = playable.renditions.iter().map(|rendition| rendition.duration_ms).max()?;
            (Content::Text(written(captions_playlist(captions, duration_ms))), PLAYLIST)
        }
        _ => return None,
    };
    Some(Found { content, fixed_since: None, content_type })
}

fn find_sheet(playable: &Playable, name: &str) -> Option<Found> {
    let storyboard = playable.storyboard.as_ref()?;
    let number = name.strip_suffix(".jpg").and_then(segment_number)?;
    let sheet = storyboard.sheets.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
    Some(Found { content: Content::File(*sheet, None), fixed_since: None, content_type: "image/jpeg" })
}

/// A text that is short enough to be written for whoever asks.
fn written(text: String) -> Arc<WrittenText> {
    Arc::new(WrittenText::from(text))
}

/// A number from 1 on in its one spelling.
fn segment_number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn mp4(rendition: &Rendition) -> &'static str {
    if rendition.video.is_some() { "video/mp4" } else { "audio/mp4" }
}
