//! Indexes of packaged renditions, and the playlists and manifests that are written from them: read or written once,
//! kept in memory while they are asked for, and shared by everyone who is being sent one.

use super::{App, Unserved};
use crate::auth::sha256_hex;
use crate::domain::{MediaFileId, Playable, Rendition, VideoId, limits};
use crate::media::{SegmentIndex, dash_manifest, iframe_playlist, media_playlist};
use crate::store::Damage;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What is in memory: at most [`limits::SEGMENT_INDEXES_BYTES`] of it. An index never changes under its id, nor does what
/// is written from it alone; a manifest is kept with what it was written from.
#[derive(Default)]
pub struct SegmentIndexes(Mutex<Kept>);

/// A text that is the same for every viewer.
#[derive(Debug)]
pub struct WrittenText {
    /// The text; a clone is the same memory.
    pub bytes: Bytes,
    /// SHA-256 of it, in hexadecimal.
    pub sha256: String,
}

impl From<String> for WrittenText {
    fn from(text: String) -> Self {
        let sha256 = sha256_hex(text.as_bytes());
        Self { bytes: text.into(), sha256 }
    }
}

/// What something in memory is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Name {
    Index(MediaFileId),
    /// The playlist of the segments of an index.
    Segments(MediaFileId),
    /// The playlist of its keyframes.
    Keyframes(MediaFileId),
    Manifest(VideoId),
}

#[derive(Clone)]
enum Held {
    Index(Arc<SegmentIndex>),
    Text(Arc<WrittenText>),
    Manifest(Arc<WrittenText>, Arc<Playable>),
}

impl Held {
    fn size_bytes(&self) -> usize {
        match self {
            Self::Index(index) => size_in_memory(index),
            // What a manifest was written from is the access index's.
            Self::Text(text) | Self::Manifest(text, _) => size_of::<WrittenText>() + text.bytes.len(),
        }
    }

    /// Whether it was read or written from the index in that file.
    fn is_of(&self, name: Name, file: MediaFileId) -> bool {
        match (self, name) {
            (Self::Manifest(_, playable), _) => playable.renditions.iter().any(|rendition| rendition.index == file),
            (_, Name::Index(one) | Name::Segments(one) | Name::Keyframes(one)) => one == file,
            (_, Name::Manifest(_)) => false,
        }
    }
}

#[derive(Default)]
struct Kept {
    /// Each with the turn in which it was last asked for.
    held: HashMap<Name, (Held, u64)>,
    turn: u64,
    bytes: usize,
}

impl SegmentIndexes {
    fn get(&self, name: Name) -> Option<Held> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.turn += 1;
        let turn = kept.turn;
        kept.held.get_mut(&name).map(|(held, last)| {
            *last = turn;
            held.clone()
        })
    }

    fn keep(&self, name: Name, held: Held) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.turn += 1;
        let turn = kept.turn;
        kept.bytes += held.size_bytes();
        if let Some((before, _)) = kept.held.insert(name, (held, turn)) {
            kept.bytes -= before.size_bytes();
        }
        if kept.bytes > limits::SEGMENT_INDEXES_BYTES {
            kept.forget_down_to(limits::SEGMENT_INDEXES_BYTES / 4 * 3);
        }
    }

    /// Forgets one whose file is damaged, and what was written from it: what is in memory may be of that.
    pub(super) fn forget(&self, file: MediaFileId) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = kept.held.iter().filter(|(name, (held, _))| held.is_of(**name, file));
        let of_it: Vec<Name> = of_it.map(|(name, _)| *name).collect();
        of_it.into_iter().for_each(|name| kept.remove(name));
    }
}

impl Kept {
    fn remove(&mut self, name: Name) {
        if let Some((held, _)) = self.held.remove(&name) {
            self.bytes -= held.size_bytes();
        }
    }

    /// Forgets those that were not asked for the longest, all but the last: so many at once that looking for them is
    /// rare.
    fn forget_down_to(&mut self, bytes: usize) {
        let mut turns: Vec<(u64, Name)> = self.held.iter().map(|(name, (_, turn))| (*turn, *name)).collect();
        turns.sort_unstable_by_key(|(turn, _)| *turn);
        turns.pop();
        for (_, name) in turns {
            if self.bytes <= bytes {
                break;
            }
            self.remove(name);
        }
    }
}

fn size_in_memory(index: &SegmentIndex) -> usize {
    size_of::<SegmentIndex>() + size_of_val(index.segments.as_slice())
}

impl App {
    /// Where the segments of a rendition stand.
    pub async fn segment_index(&self, rendition: &Rendition) -> Result<Arc<SegmentIndex>, Unserved> {
        let file = rendition.index;
        if let Some(Held::Index(index)) = self.segment_indexes.get(Name::Index(file)) {
            return Ok(index);
        }
        let media = self.open_media(file)?;
        let length = usize::try_from(media.size_bytes()).unwrap_or(usize::MAX);
        let bytes = media.read(0, length).await.map_err(|error| self.note_unreadable(file, error))?;
        let ends_within = |index: &SegmentIndex| {
            let end = index.segments.last().map_or(0, |last| last.range().end);
            end.max(index.init_bytes.into()) <= rendition.size_bytes
        };
        let index = SegmentIndex::decode(&bytes).filter(ends_within);
        let index = index.ok_or_else(|| self.note_damage(file, Damage::Altered, self.media.trace(file)))?;
        let index = Arc::new(index);
        self.segment_indexes.keep(Name::Index(file), Held::Index(Arc::clone(&index)));
        Ok(index)
    }

    /// The playlist of a rendition's segments.
    pub async fn segments_playlist(&self, rendition: &Rendition) -> Result<Arc<WrittenText>, Unserved> {
        self.written(Name::Segments(rendition.index), rendition, media_playlist).await
    }

    /// The playlist of a rendition's keyframes.
    pub async fn keyframes_playlist(&self, rendition: &Rendition) -> Result<Arc<WrittenText>, Unserved> {
        self.written(Name::Keyframes(rendition.index), rendition, iframe_playlist).await
    }

    async fn written(
        &self,
        name: Name,
        rendition: &Rendition,
        write: impl Fn(&SegmentIndex) -> String,
    ) -> Result<Arc<WrittenText>, Unserved> {
        if let Some(Held::Text(text)) = self.segment_indexes.get(name) {
            return Ok(text);
        }
        let text = Arc::new(WrittenText::from(write(&*self.segment_index(rendition).await?)));
        self.segment_indexes.keep(name, Held::Text(Arc::clone(&text)));
        Ok(text)
    }

    /// The manifest of what plays of a video.
    pub async fn manifest(&self, video: VideoId, playable: &Arc<Playable>) -> Result<Arc<WrittenText>, Unserved> {
        let name = Name::Manifest(video);
        if let Some(Held::Manifest(text, of)) = self.segment_indexes.get(name)
            && (Arc::ptr_eq(&of, playable) || of == *playable)
        {
            return Ok(text);
        }
        let mut renditions = Vec::with_capacity(playable.renditions.len());
        for rendition in &playable.renditions {
            renditions.push((rendition, self.segment_index(rendition).await?));
        }
        let renditions: Vec<(&Rendition, &SegmentIndex)> =
            renditions.iter().map(|(rendition, index)| (*rendition, &**index)).collect();
        let text = Arc::new(WrittenText::from(dash_manifest(&renditions, &playable.captions)));
        self.segment_indexes.keep(name, Held::Manifest(Arc::clone(&text), Arc::clone(playable)));
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{RenditionOrigin, Timestamp};
    use crate::media::{AccessPoint, Segment};

    /// An index that takes a hundredth of the room there is, and a little more.
    fn index() -> Arc<SegmentIndex> {
        let access_point = AccessPoint::Closed;
        let segment = Segment { offset: 0, bytes: 1, start: 0, duration: 1, keyframe_bytes: 1, access_point };
        let count = limits::SEGMENT_INDEXES_BYTES / 100 / size_of::<Segment>();
        Arc::new(SegmentIndex { timescale: 1, init_bytes: 1, segments: vec![segment; count] })
    }

    fn id(number: u8) -> MediaFileId {
        MediaFileId::from_random([number; 16])
    }

    #[test]
    fn what_is_held_stays_below_its_limit_and_what_was_asked_for_last_stays() {
        let indexes = SegmentIndexes::default();
        for number in 0..=250 {
            indexes.keep(Name::Index(id(number)), Held::Index(index()));
            assert!(indexes.get(Name::Index(id(0))).is_some(), "{number}: it is asked for all the time");
            let kept = indexes.0.lock().unwrap();
            let held: usize = kept.held.values().map(|(held, _)| held.size_bytes()).sum();
            assert_eq!(held, kept.bytes);
            assert!(held <= limits::SEGMENT_INDEXES_BYTES, "{number}: {held}");
        }
        // The last time when 100 had become too many, 25 of them went.
        let kept = indexes.0.lock().unwrap();
        assert!((75..100).contains(&kept.held.len()), "{}", kept.held.len());
        let newest = (0..=250).filter(|number| kept.held.contains_key(&Name::Index(id(*number))));
        let newest: Vec<u8> = newest.skip(1).collect();
        assert!(newest.windows(2).all(|pair| pair[1] == pair[0] + 1) && newest.last() == Some(&250), "{newest:?}");
    }

    #[test]
    fn an_index_larger_than_the_limit_is_held_alone() {
        let indexes = SegmentIndexes::default();
        indexes.keep(Name::Index(id(1)), Held::Index(index()));
        let mut large = SegmentIndex::clone(&index());
        large.segments = large.segments.repeat(120);
        indexes.keep(Name::Index(id(2)), Held::Index(Arc::new(large)));
        assert!(indexes.get(Name::Index(id(1))).is_none() && indexes.get(Name::Index(id(2))).is_some());
    }

    #[test]
    fn texts_are_counted_and_go_with_the_index_that_they_were_written_from() {
        let indexes = SegmentIndexes::default();
        let text = |text: &str| Arc::new(WrittenText::from(text.to_owned()));
        let playable = |index: u8| {
            let mut playable = Playable::default();
            playable.renditions.push(rendition(index));
            Arc::new(playable)
        };
        let manifest = |number| Name::Manifest(VideoId::from_random([number; 16]));
        for number in [1, 2] {
            indexes.keep(Name::Index(id(number)), Held::Index(index()));
            indexes.keep(Name::Segments(id(number)), Held::Text(text("segments")));
            indexes.keep(Name::Keyframes(id(number)), Held::Text(text("keyframes")));
            indexes.keep(manifest(number), Held::Manifest(text("shorter"), playable(number)));
            // Written again, it takes the place of the one before.
            indexes.keep(manifest(number), Held::Manifest(text("manifest"), playable(number)));
        }
        indexes.forget(id(1));
        let kept = indexes.0.lock().unwrap();
        let held: usize = kept.held.values().map(|(held, _)| held.size_bytes()).sum();
        assert_eq!((kept.held.len(), held), (4, kept.bytes));
        assert!(kept.held.contains_key(&manifest(2)) && !kept.held.contains_key(&manifest(1)));
    }

    fn rendition(index: u8) -> Rendition {
        Rendition {
            file: id(index),
            index: id(index),
            stored_at: Timestamp::from_millis(0),
            label: "360p".to_owned(),
            origin: RenditionOrigin::Source,
            packager: 1,
            size_bytes: 1,
            duration_ms: 1,
            peak_bits_per_s: 1,
            average_bits_per_s: 1,
            keyframe_bits_per_s: 1,
            independent_segments: true,
            longest_segment_ms: 1,
            video: None,
            audio: None,
        }
    }
}
