//! How a track is encoded: its sample entry (ISO/IEC 14496-12 §8.5.2), written anew for players that know no
//! `QuickTime`, and its codec string (RFC 6381, and each codec's own specification).

use super::aac::AudioSpecificConfig;
use super::boxes::{BoxKind, Boxes, u32_at};
use super::source::Unplayable;
use super::write::Bytes;
use crate::domain::TrackKind;

/// A track's one sample entry, and what follows from it.
#[derive(Debug)]
pub(super) struct Encoding {
    /// The whole box, as it is written.
    pub(super) entry: Vec<u8>,
    /// Codec string, such as `avc1.64001f`.
    pub(super) codec: String,
    /// How NAL units are told apart, where pictures consist of them.
    pub(super) nal_units: Option<NalUnits>,
    /// Channels that come out of a decoder.
    pub(super) channels: u16,
    /// Samples a second that come out of a decoder.
    pub(super) sample_rate_hz: u32,
}

/// Pictures as NAL units, each behind its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NalUnits {
    pub(super) length_bytes: usize,
    pub(super) is_hevc: bool,
}

/// Child boxes of a picture's entry that a player may need: configurations, colours, shape of the pixels.
const VIDEO_CHILDREN: [BoxKind; 9] =
    [*b"avcC", *b"hvcC", *b"av1C", *b"vpcC", *b"colr", *b"pasp", *b"mdcv", *b"clli", *b"SmDm"];
const UNREADABLE: Unplayable = Unplayable::Damaged("a track does not say how it is encoded");

impl Encoding {
    /// Reads `stsd`. A track that changes how it is encoded on the way would need a second initialization part.
    pub(super) fn read(stsd: &[u8], kind: TrackKind) -> Result<Self, Unplayable> {
        let mut entries = Boxes::new(stsd.get(8..).unwrap_or_default());
        let (name, body) = entries.next().ok_or(UNREADABLE)??;
        let count = u32_at(stsd, 4).unwrap_or(0);
        for _ in 1..count {
            let (other_name, other) = entries.next().ok_or(UNREADABLE)??;
            if (other_name, other) != (name, body) {
                return Err(Unplayable::ChangesEncoding);
            }
        }
        match kind {
            TrackKind::Video => video(name, body),
            TrackKind::Audio => audio(name, body),
            TrackKind::Other => Err(UNREADABLE),
        }
    }
}

fn video(name: BoxKind, body: &[u8]) -> Result<Encoding, Unplayable> {
    let fixed = body.get(..78).ok_or(UNREADABLE)?;
    let children = body.get(78..).unwrap_or_default();
    let config = |kind: BoxKind| find(children, kind).ok_or(UNREADABLE);
    let (name, codec, nal_units) = match &name {
        b"avc1" | b"avc3" => {
            let avcc = config(*b"avcC")?;
            let &[_, profile, constraints, level, lengths, ..] = avcc else { return Err(UNREADABLE) };
            let nal_units = NalUnits { length_bytes: usize::from(lengths & 3) + 1, is_hevc: false };
            (name, format!("{}.{profile:02x}{constraints:02x}{level:02x}", text(name)), Some(nal_units))
        }
        b"hvc1" | b"hev1" => {
            let hvcc = config(*b"hvcC")?;
            // Parameter sets stand in the configuration either way; `hvc1` is what HLS asks for.
            let lengths = hvcc.get(21).ok_or(UNREADABLE)?;
            let nal_units = NalUnits { length_bytes: usize::from(lengths & 3) + 1, is_hevc: true };
            let name = if has_parameter_sets(hvcc) { *b"hvc1" } else { name };
            (name, hevc_codec(name, hvcc).ok_or(UNREADABLE)?, Some(nal_units))
        }
        b"av01" => (name, av1_codec(config(*b"av1C")?).ok_or(UNREADABLE)?, None),
        b"vp09" => {
            let &[_, _, _, _, profile, level, depth, ..] = config(*b"vpcC")? else { return Err(UNREADABLE) };
            (name, format!("vp09.{profile:02}.{level:02}.{:02}", depth >> 4), None)
        }
        _ => return Err(Unplayable::VideoCodec(text(name))),
    };
    let mut bytes = Bytes::default();
    bytes.put_box(name, |entry| {
        // QuickTime's version, vendor and quality stand where ISO files have zeros (§12.1.3).
        entry.put_zeros(6);
        entry.put_u16(1);
        entry.put_zeros(16);
        entry.put(fixed.get(24..42).unwrap_or_default());
        // The name of the program that encoded it is nobody's business.
        entry.put_zeros(32);
        entry.put(fixed.get(74..).unwrap_or_default());
        let mut written: Vec<BoxKind> = Vec::new();
        for (kind, child) in Boxes::new(children).map_while(Result::ok) {
            // `nclc` is QuickTime's own form of a colour box.
            let is_foreign = kind == *b"colr" && child.starts_with(b"nclc");
            if VIDEO_CHILDREN.contains(&kind) && !written.contains(&kind) && !is_foreign {
                entry.put_box(kind, |bytes| bytes.put(child));
                written.push(kind);
            }
        }
    });
    Ok(Encoding { entry: bytes.into_vec(), codec, nal_units, channels: 0, sample_rate_hz: 0 })
}

/// A sound's configuration of that kind, in its sample entry.
fn sound_config(entry: &[u8], kind: BoxKind) -> Option<&[u8]> {
    // QuickTime's versions 1 and 2 put more fields before the child boxes; version 1 in an ISO file does not.
    let starts: &[usize] = match u32_at(entry, 8)? >> 16 {
        0 => &[28],
        1 => &[44, 28],
        _ => &[64],
    };
    starts.iter().find_map(|start| {
        let children = entry.get(*start..).unwrap_or_default();
        find(children, kind).or_else(|| find(find(children, *b"wave")?, kind))
    })
}

/// The codec of an `mp4a` entry that is none of those that browsers play under this name: MPEG-4 and MPEG-2 audio, MP3, and
/// Dolby Digital, as the registration authority of MP4 numbers them (mp4ra.org, object types).
pub(super) fn other_sound(entry: &[u8]) -> Option<String> {
    const PLAYED: [&str; 8] =
        ["mp4a.40", "mp4a.66", "mp4a.67", "mp4a.68", MPEG2_SOUND, MPEG1_SOUND, "mp4a.A5", "mp4a.A6"];
    let (codec, _) = mpeg4_audio_codec(sound_config(entry, *b"esds")?)?;
    let is_played = codec.get(..7).is_some_and(|object| PLAYED.contains(&object));
    (!is_played).then_some(codec)
}

/// Whether a frame of such sound that begins with `head` is of layer I or II (ISO/IEC 11172-3 §2.4.2.3).
pub(super) fn is_below_mp3([sync, word]: [u8; 2]) -> bool {
    sync == 0xff && word & 0xe0 == 0xe0 && word >> 1 & 3 != 1
}

/// Sound of ISO/IEC 13818-3 and 11172-3, of which layer III is MP3.
const MPEG2_SOUND: &str = "mp4a.69";
const MPEG1_SOUND: &str = "mp4a.6B";

impl Encoding {
    /// Whether this is called by the name of MP3, which layers I and II share.
    pub(super) fn has_layers(&self) -> bool {
        [MPEG2_SOUND, MPEG1_SOUND].contains(&self.codec.as_str())
    }
}

fn audio(name: BoxKind, body: &[u8]) -> Result<Encoding, Unplayable> {
    let word = |at: usize| u32_at(body, at).ok_or(UNREADABLE);
    let version = word(8)? >> 16;
    let (mut channels, mut rate) = (u16::try_from(word(16)? >> 16).unwrap_or(0), word(24)? >> 16);
    if version == 2 {
        let bits = u64::from(word(32)?) << 32 | u64::from(word(36)?);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
        let stated = f64::from_bits(bits) as u32;
        (channels, rate) = (u16::try_from(word(40)?).unwrap_or(0), stated);
    }
    let config = |kind: BoxKind| sound_config(body, kind);
    // Where a decoder puts out something else than the entry says.
    let mut output = None;
    let (name, codec, kind, config) = match &name {
        b"mp4a" => {
            let esds = config(*b"esds").ok_or(UNREADABLE)?;
            let (codec, specific) = mpeg4_audio_codec(esds).ok_or(UNREADABLE)?;
            output = specific;
            (name, codec, *b"esds", esds.to_vec())
        }
        b".mp3" => (*b"mp4a", "mp4a.6B".to_owned(), *b"esds", MP3_ESDS.to_vec()),
        b"Opus" => (name, "opus".to_owned(), *b"dOps", config(*b"dOps").ok_or(UNREADABLE)?.to_vec()),
        b"fLaC" => {
            let config = config(*b"dfLa").ok_or(UNREADABLE)?;
            // The entry's 16 bits of rate do not hold 96 kHz; STREAMINFO does (20 bits, RFC 9639 §8.2).
            rate = u32_at(config, 4 + 4 + 10).map_or(rate, |word| word >> 12);
            (name, "flac".to_owned(), *b"dfLa", config.to_vec())
        }
        b"ac-3" => (name, "ac-3".to_owned(), *b"dac3", config(*b"dac3").ok_or(UNREADABLE)?.to_vec()),
        b"ec-3" => (name, "ec-3".to_owned(), *b"dec3", config(*b"dec3").ok_or(UNREADABLE)?.to_vec()),
        _ => return Err(Unplayable::AudioCodec(text(name))),
    };
    let mut bytes = Bytes::default();
    bytes.put_box(name, |entry| {
        entry.put_zeros(6);
        entry.put_u16(1);
        entry.put_zeros(8);
        entry.put_u16(channels);
        entry.put_u16(16);
        entry.put_zeros(4);
        // 16.16 fixed point; a rate that does not fit is 0, and the configuration says it (§12.2.3).
        entry.put_u32(u16::try_from(rate).map_or(0, |rate| u32::from(rate) << 16));
        entry.put_box(kind, |bytes| bytes.put(&config));
    });
    // SBR that is not announced is found while decoding; an entry of twice the core's rate knows of it.
    let core_hz = output.and_then(|output| output.sample_rate_hz);
    let output = output.filter(|_| core_hz.is_none_or(|core_hz| core_hz.checked_mul(2) != Some(rate)));
    let channels = output.and_then(|output| output.channels).unwrap_or(channels);
    let sample_rate_hz = output.and_then(|output| output.sample_rate_hz).unwrap_or(rate);
    Ok(Encoding { entry: bytes.into_vec(), codec, nal_units: None, channels, sample_rate_hz })
}

/// An `esds` that says MP3 (object type 0x6B) and nothing more, for `QuickTime`'s `.mp3`: ISO/IEC 14496-1 §7.2.6.
const MP3_ESDS: [u8; 27] = [
    0, 0, 0, 0, // version and flags
    0x03, 21, 0, 0, 0, // ES_Descriptor: length, id, flags
    0x04, 13, 0x6B, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // DecoderConfigDescriptor: audio stream
    0x06, 1, 2, // SLConfigDescriptor: MP4
];

/// The first child of that kind, as far as the children can be read.
fn find(children: &[u8], wanted: BoxKind) -> Option<&[u8]> {
    Boxes::new(children).map_while(Result::ok).find(|(kind, _)| *kind == wanted).map(|(_, body)| body)
}

fn text(name: BoxKind) -> String {
    String::from_utf8_lossy(&name).into_owned()
}

/// Whether an `hvcC` holds arrays of VPS, SPS and PPS (ISO/IEC 14496-15 §8.3.3).
fn has_parameter_sets(hvcc: &[u8]) -> bool {
    hvcc.get(22).is_some_and(|arrays| *arrays >= 3)
}

/// ISO/IEC 14496-15 Annex E.3.
fn hevc_codec(name: BoxKind, hvcc: &[u8]) -> Option<String> {
    let first = *hvcc.get(1)?;
    let space = ["", "A", "B", "C"].get(usize::from(first >> 6))?;
    let compatibility = u32_at(hvcc, 2)?.reverse_bits();
    let tier = if first & 0x20 == 0 { 'L' } else { 'H' };
    let constraints = hvcc.get(6..12)?;
    let level = hvcc.get(12)?;
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    let constraints: String = constraints.iter().take(used).map(|byte| format!(".{byte:x}")).collect();
    Some(format!("{}.{space}{}.{compatibility:x}.{tier}{level}{constraints}", text(name), first & 0x1f))
}

/// AV1 Codec ISO Media File Format Binding §5.
fn av1_codec(av1c: &[u8]) -> Option<String> {
    let (second, third) = (*av1c.get(1)?, *av1c.get(2)?);
    let tier = if third & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (third & 0x40 != 0, third & 0x20 != 0) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    Some(format!("av01.{}.{:02}{tier}.{depth:02}", second >> 5, second & 0x1f))
}

/// `mp4a.` with the object type, and for MPEG-4 audio the audio object type (ISO/IEC 14496-1 §7.2.6, 14496-3 §1.6.2): of
/// HE-AAC the one that takes all of it to decode, wherever it is said. With what else MPEG-4 audio says of itself.
fn mpeg4_audio_codec(esds: &[u8]) -> Option<(String, Option<AudioSpecificConfig>)> {
    let (tag, mut rest) = descriptor(esds.get(4..)?)?;
    if tag == 0x03 {
        let flags = *rest.get(2)?;
        let mut skip = 3_usize;
        if flags & 0x80 != 0 {
            skip = skip.saturating_add(2);
        }
        if flags & 0x40 != 0 {
            skip = skip.saturating_add(1).saturating_add(usize::from(*rest.get(skip)?));
        }
        if flags & 0x20 != 0 {
            skip = skip.saturating_add(2);
        }
        let (tag, config) = descriptor(rest.get(skip..)?)?;
        rest = (tag == 0x04).then_some(config)?;
    } else if tag != 0x04 {
        return None;
    }
    let object = *rest.first()?;
    if object != 0x40 {
        return Some((format!("mp4a.{object:02X}"), None));
    }
    let (tag, specific) = descriptor(rest.get(13..)?)?;
    let specific = AudioSpecificConfig::read(specific).filter(|_| tag == 0x05)?;
    Some((format!("mp4a.40.{}", specific.object_type), Some(specific)))
}

/// A descriptor's tag and body (ISO/IEC 14496-1 §8.3.3): its length takes up to four bytes of seven bits.
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, mut rest) = bytes.split_first()?;
    let mut length = 0_usize;
    for _ in 0..4 {
        let (byte, later) = rest.split_first()?;
        rest = later;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    // Writers count the rest of the box wrong now and then; what is there is what is read.
    Some((*tag, rest.get(..length).unwrap_or(rest)))
}

/// What a picture begins with: whether everything shown from it on can be decoded from it on.
///
/// `head` answers the eight bytes at a place in the picture. `None` where it can't be told.
pub(super) fn begins_cleanly(units: NalUnits, mut head: impl FnMut(u64) -> Option<[u8; 8]>) -> Option<bool> {
    let mut at = 0_u64;
    // Parameter sets, delimiters and messages come first; real pictures have a handful.
    for _ in 0..MAX_NAL_UNITS_BEFORE_PICTURE {
        let head = head(at)?;
        let length = head.get(..units.length_bytes)?.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let kind = *head.get(units.length_bytes)?;
        let verdict = if units.is_hevc {
            match (kind >> 1) & 0x3f {
                16..=20 => Some(true),
                0..=31 => Some(false),
                _ => None,
            }
        } else {
            match kind & 0x1f {
                5 => Some(true),
                1..=4 => Some(false),
                _ => None,
            }
        };
        if verdict.is_some() {
            return verdict;
        }
        at = at.checked_add(units.length_bytes as u64)?.checked_add(length)?;
    }
    None
}

/// NAL units looked through for the first of a picture itself.
const MAX_NAL_UNITS_BEFORE_PICTURE: usize = 32;
