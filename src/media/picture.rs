//! Reading an uploaded picture, such as a poster: which of the formats that all browsers show it is, and how large.
//!
//! Goes by the bytes alone, never by a name or a declared type, and reads no further than to the size: whether the
//! picture behind it is whole is the browser's to find out. Never decodes, opens files or allocates. Every byte it sees
//! is an attacker's.

use super::boxes::{Boxes, required, u32_at};
use super::source::MAX_SIDE_PX;
use crate::domain::PictureFormat;

/// Largest picture, in bytes: 8 MiB. A poster in 4K takes 2 MB as JPEG, a photograph as PNG some more; each viewer
/// loads it before the video.
pub const MAX_PICTURE_BYTES: usize = 8 << 20;

/// What was read from a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its format.
    pub format: PictureFormat,
    /// As stored, before any turning that its metadata ask for.
    pub width_px: u32,
    /// As stored, before any turning that its metadata ask for.
    pub height_px: u32,
}

/// Why a picture cannot be used, in words for whoever uploaded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Above [`MAX_PICTURE_BYTES`].
    #[error("the picture is larger than {} MiB", MAX_PICTURE_BYTES >> 20)]
    TooLarge,
    /// Its first bytes are of something else.
    #[error("this is not a picture of an accepted format; use JPEG, PNG, WebP or AVIF")]
    NotPicture,
    /// It ends before its size is known.
    #[error("the picture is cut short: it ends inside its header")]
    CutShort,
    /// Something in its header contradicts something else.
    #[error("the picture's header is damaged; export the picture again")]
    Damaged,
    /// A JPEG that is arithmetic, lossless, hierarchical or of more than 8 bits.
    #[error("this kind of JPEG is not shown by browsers; save the picture as baseline or progressive JPEG")]
    JpegCoding,
    /// A side of zero, or above 16,384.
    #[error(
        "the picture's size of {width_px}×{height_px} is not supported; each side may have 1 to {MAX_SIDE_PX} pixels"
    )]
    Size {
        /// In pixels.
        width_px: u32,
        /// In pixels.
        height_px: u32,
    },
}

/// Reads the header of a JPEG, PNG, WebP or AVIF. What follows the header may be anything.
pub fn read_picture(bytes: &[u8]) -> Result<Picture, PictureError> {
    if bytes.len() > MAX_PICTURE_BYTES {
        return Err(PictureError::TooLarge);
    }
    let (format, (width_px, height_px)) = if let Some(segments) = bytes.strip_prefix(&[0xff, 0xd8, 0xff]) {
        (PictureFormat::Jpeg, jpeg_size(segments)?)
    } else if let Some(chunks) = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n") {
        (PictureFormat::Png, png_size(chunks)?)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        (PictureFormat::Webp, webp_size(bytes.get(12..).unwrap_or_default())?)
    } else if bytes.get(4..8) == Some(b"ftyp") {
        (PictureFormat::Avif, avif_size(bytes)?)
    } else {
        return Err(PictureError::NotPicture);
    };
    let sides_px = 1..=MAX_SIDE_PX;
    if !sides_px.contains(&width_px) || !sides_px.contains(&height_px) {
        return Err(PictureError::Size { width_px, height_px });
    }
    Ok(Picture { format, width_px, height_px })
}

/// Width and height of a picture, in pixels, not yet compared with any limit.
type SizePx = (u32, u32);

/// The size in the frame header (ITU-T T.81 §B.2.2) of a JPEG, of which `rest` begins inside the first marker.
fn jpeg_size(mut rest: &[u8]) -> Result<SizePx, PictureError> {
    loop {
        // A marker is 0xff, any number of them (§B.1.1.2), and a byte that says which.
        let (&marker, after) = rest.split_first().ok_or(PictureError::CutShort)?;
        rest = after;
        match marker {
            0xff => continue,
            // Image data or its end, before any frame header. 0 and 1 to 0xbf are reserved.
            0x00..=0xbf | 0xd0..=0xda => return Err(PictureError::Damaged),
            _ => {}
        }
        let (length, _) = rest.split_first_chunk::<2>().ok_or(PictureError::CutShort)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (segment, after) = rest.split_at_checked(length).ok_or(PictureError::CutShort)?;
        match marker {
            0xc0..=0xc2 => return jpeg_frame_size(segment),
            // Tables and an extension stand among the numbers of frame headers.
            0xc4 | 0xc8 | 0xcc => {}
            0xc3..=0xcf => return Err(PictureError::JpegCoding),
            _ => {}
        }
        // The length counts its own two bytes.
        if length < 2 {
            return Err(PictureError::Damaged);
        }
        let (&first, after) = after.split_first().ok_or(PictureError::CutShort)?;
        if first != 0xff {
            return Err(PictureError::Damaged);
        }
        rest = after;
    }
}

fn jpeg_frame_size(segment: &[u8]) -> Result<SizePx, PictureError> {
    let Some((&[_, _, precision, high, low, wide, narrow, components], each)) = segment.split_first_chunk::<8>() else {
        return Err(PictureError::Damaged);
    };
    if precision != 8 {
        return Err(PictureError::JpegCoding);
    }
    // Grey, YCbCr or CMYK, at three bytes a component.
    if !matches!(components, 1 | 3 | 4) || each.len() != usize::from(components) * 3 {
        return Err(PictureError::Damaged);
    }
    Ok((u16::from_be_bytes([wide, narrow]).into(), u16::from_be_bytes([high, low]).into()))
}

/// The size in the `IHDR` chunk (PNG §11.2.1), which must come first.
fn png_size(chunks: &[u8]) -> Result<SizePx, PictureError> {
    // Length, kind, 13 bytes and a checksum.
    let chunk = chunks.first_chunk::<25>().ok_or(PictureError::CutShort)?;
    let (head, body) = chunk.split_at(8);
    let &[depth, colour, compression, filter, interlace, ..] = body.get(8..).unwrap_or_default() else {
        return Err(PictureError::CutShort);
    };
    let is_known = match colour {
        0 => matches!(depth, 1 | 2 | 4 | 8 | 16),
        3 => matches!(depth, 1 | 2 | 4 | 8),
        2 | 4 | 6 => matches!(depth, 8 | 16),
        _ => false,
    };
    if head != b"\0\0\0\x0dIHDR" || !is_known || compression != 0 || filter != 0 || interlace > 1 {
        return Err(PictureError::Damaged);
    }
    u32_at(body, 0).zip(u32_at(body, 4)).ok_or(PictureError::CutShort)
}

/// The size in the first chunk (RFC 9649 §2.5 to §2.7).
fn webp_size(chunks: &[u8]) -> Result<SizePx, PictureError> {
    let (&[a, b, c, d, size @ ..], rest) = chunks.split_first_chunk::<8>().ok_or(PictureError::CutShort)?;
    let size_bytes = usize::try_from(u32::from_le_bytes(size)).unwrap_or(usize::MAX);
    // 14 bits each, and what else is in their words.
    let low_14_bits = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    let (size_px, header_bytes) = match &[a, b, c, d] {
        b"VP8 " => {
            let &[tag, _, _, start @ .., w0, w1, h0, h1] = rest.first_chunk::<10>().ok_or(PictureError::CutShort)?;
            // RFC 6386 §9.1: the lowest bit is 0 in a key frame, and only there is a size.
            if tag & 1 != 0 || start != [0x9d, 0x01, 0x2a] {
                return Err(PictureError::Damaged);
            }
            ((low_14_bits(w0, w1), low_14_bits(h0, h1)), 10)
        }
        b"VP8L" => {
            let &[signature, bits @ ..] = rest.first_chunk::<5>().ok_or(PictureError::CutShort)?;
            let bits = u32::from_le_bytes(bits);
            // Above the two sides lie a bit for alpha and three for a version, which is 0.
            if signature != 0x2f || bits >> 29 != 0 {
                return Err(PictureError::Damaged);
            }
            (((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1), 5)
        }
        b"VP8X" => {
            let &[_, _, _, _, w0, w1, w2, h0, h1, h2] = rest.first_chunk::<10>().ok_or(PictureError::CutShort)?;
            // 24 bits each, so one more fits.
            ((u32::from_le_bytes([w0, w1, w2, 0]) + 1, u32::from_le_bytes([h0, h1, h2, 0]) + 1), 10)
        }
        _ => return Err(PictureError::Damaged),
    };
    if size_bytes < header_bytes {
        return Err(PictureError::Damaged);
    }
    Ok(size_px)
}

/// The size in the `ispe` property (ISO/IEC 23008-12 §6.5.3) of a file that begins with `ftyp`.
fn avif_size(bytes: &[u8]) -> Result<SizePx, PictureError> {
    let mut boxes = Boxes::new(bytes);
    // The walk fails where a box does not fit in the file.
    let mut next = || boxes.next().transpose().or(Err(PictureError::CutShort));
    let brands = next()?.map(|(_, body)| body).ok_or(PictureError::CutShort)?;
    // The major brand, a version, and the compatible brands: HEIC and MP4 files begin likewise.
    let (major, compatible) = (brands.get(..4), brands.get(8..).unwrap_or_default());
    if !major.into_iter().chain(compatible.chunks_exact(4)).any(|brand| brand == b"avif" || brand == b"avis") {
        return Err(PictureError::NotPicture);
    }
    let meta = loop {
        match next()?.ok_or(PictureError::CutShort)? {
            // After a version and flags.
            (kind, body) if kind == *b"meta" => break body.get(4..).ok_or(PictureError::Damaged)?,
            _ => {}
        }
    };
    let properties = required(meta, *b"iprp").and_then(|iprp| required(iprp, *b"ipco"));
    // Tiles and thumbnails have sizes of their own; the picture is the largest.
    let mut largest = None;
    for each in Boxes::new(properties.or(Err(PictureError::Damaged))?) {
        let (kind, body) = each.or(Err(PictureError::Damaged))?;
        if kind == *b"ispe" {
            let size_px = u32_at(body, 4).zip(u32_at(body, 8)).ok_or(PictureError::Damaged)?;
            largest = largest.max(Some((u64::from(size_px.0) * u64::from(size_px.1), size_px)));
        }
    }
    largest.map(|(_, size_px)| size_px).ok_or(PictureError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = include_bytes!("../../tests/fixtures/poster.jpg");
    const PNG: &[u8] = include_bytes!("../../tests/fixtures/poster.png");
    const WEBP: &[u8] = include_bytes!("../../tests/fixtures/poster.webp");
    const AVIF: &[u8] = include_bytes!("../../tests/fixtures/poster.avif");
    /// The heads of a lossless and of an extended WebP of 96x64.
    const VP8L: &[u8] = b"RIFF\x9e\x03\0\0WEBPVP8L\x91\x03\0\0\x2f\x5f\xc0\x0f\0";
    const VP8X: &[u8] = b"RIFF\x9e\x03\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\x5f\0\0\x3f\0\0";

    /// Each with its kind and the length of its header, without which it is refused.
    fn all() -> [(&'static [u8], PictureFormat, usize); 6] {
        let jpeg_header = place(JPEG, b"\xff\xc0\0\x11") + 2 + 17;
        let avif_header = place(AVIF, b"mdat") - 4;
        [
            (JPEG, PictureFormat::Jpeg, jpeg_header),
            (PNG, PictureFormat::Png, 8 + 25),
            (WEBP, PictureFormat::Webp, 30),
            (VP8L, PictureFormat::Webp, VP8L.len()),
            (VP8X, PictureFormat::Webp, VP8X.len()),
            (AVIF, PictureFormat::Avif, avif_header),
        ]
    }

    fn place(file: &[u8], part: &[u8]) -> usize {
        file.windows(part.len()).position(|window| window == part).unwrap()
    }

    /// `file` with the bytes at `offset` past the end of the first such `part` replaced.
    fn patched(file: &[u8], part: &[u8], offset: usize, bytes: &[u8]) -> Vec<u8> {
        let at = place(file, part) + part.len() + offset;
        let mut file = file.to_vec();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    }

    fn size(file: &[u8]) -> Result<SizePx, PictureError> {
        read_picture(file).map(|picture| (picture.width_px, picture.height_px))
    }

    #[test]
    fn every_accepted_format_is_known_by_its_content() {
        for (file, format, _) in all() {
            assert_eq!(read_picture(file), Ok(Picture { format, width_px: 96, height_px: 64 }));
        }
    }

    #[test]
    fn a_kind_has_its_extension_and_type() {
        let kinds = [PictureFormat::Jpeg, PictureFormat::Png, PictureFormat::Webp, PictureFormat::Avif];
        assert_eq!(kinds.map(PictureFormat::extension), ["jpg", "png", "webp", "avif"]);
        assert_eq!(kinds.map(PictureFormat::content_type), ["image/jpeg", "image/png", "image/webp", "image/avif"]);
    }

    #[test]
    fn a_picture_cut_inside_its_header_is_refused_and_after_it_is_read() {
        for (file, kind, header_bytes) in all() {
            for end in 0..file.len() {
                assert_eq!(read_picture(&file[..end]).is_ok(), end >= header_bytes, "{kind:?} cut at {end}");
            }
            let with_garbage = [file, b"<script>\0\xff\xd8"].concat();
            assert_eq!(size(&with_garbage), Ok((96, 64)), "{kind:?}");
        }
    }

    #[test]
    fn damaged_pictures_are_refused_or_have_sides_within_the_limits() {
        for (file, ..) in all() {
            for at in 0..file.len() {
                for flip in (0..8).map(|bit| 1 << bit).chain([0xff]) {
                    let mut damaged = file.to_vec();
                    damaged[at] ^= flip;
                    if let Ok((width_px, height_px)) = size(&damaged) {
                        assert!((1..=MAX_SIDE_PX).contains(&width_px) && (1..=MAX_SIDE_PX).contains(&height_px));
                    }
                }
            }
        }
    }

    #[test]
    fn other_files_are_refused_with_the_formats_that_are_accepted() {
        let others: [&[u8]; 11] = [
            b"",
            b"\xff\xd8",
            b"GIF89a\x60\0\x40\0",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
            b"<!doctype html><script>",
            b"BM\x36\x30\0\0",
            b"RIFF\x24\0\0\0WAVEfmt ",
            b"II*\0\x08\0\0\0",
            b"\0\0\x01\0\x01\0",
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            include_bytes!("../../tests/fixtures/h264_aac.mp4"),
        ];
        for other in others {
            assert_eq!(read_picture(other), Err(PictureError::NotPicture), "{:?}", &other[..other.len().min(12)]);
        }
        let sentence = PictureError::NotPicture.to_string();
        assert!(["JPEG", "PNG", "WebP", "AVIF"].iter().all(|name| sentence.contains(name)));
    }

    #[test]
    fn sides_at_the_limit_are_read_and_beyond_it_refused() {
        let refused = |width_px, height_px| Err(PictureError::Size { width_px, height_px });
        let png = |width: u32, height: u32| {
            size(&patched(PNG, b"IHDR", 0, &[width.to_be_bytes(), height.to_be_bytes()].concat()))
        };
        assert_eq!(png(16_384, 16_384), Ok((16_384, 16_384)));
        assert_eq!(png(1, 1), Ok((1, 1)));
        assert_eq!(png(16_385, 1), refused(16_385, 1));
        assert_eq!(png(1, u32::MAX), refused(1, u32::MAX));
        assert_eq!(png(0, 1), refused(0, 1));
        let jpeg = |sides: &[u8]| size(&patched(JPEG, b"\xff\xc0\0\x11\x08", 0, sides));
        assert_eq!(jpeg(b"\x40\0\x40\0"), Ok((16_384, 16_384)));
        assert_eq!(jpeg(b"\0\0\x40\0"), refused(16_384, 0));
        assert_eq!(jpeg(b"\x40\x01\0\x01"), refused(1, 16_385));
        let ispe = |sides: &[u8]| size(&patched(AVIF, b"ispe", 4, sides));
        assert_eq!(ispe(b"\0\0\x40\0\0\0\0\x01"), Ok((16_384, 1)));
        assert_eq!(ispe(&[0xff; 8]), refused(u32::MAX, u32::MAX));
        assert_eq!(ispe(&[0; 8]), refused(0, 0));
        assert_eq!(size(&patched(WEBP, b"\x9d\x01\x2a", 0, &[0, 0, 1, 0])), refused(0, 1));
        assert_eq!(size(&patched(WEBP, b"\x9d\x01\x2a", 0, &[0xff; 4])), Ok((16_383, 16_383)));
        assert_eq!(size(&patched(VP8L, b"\x2f", 0, b"\xff\xff\xff\x1f")), Ok((16_384, 16_384)));
        assert_eq!(size(&patched(VP8X, b"\x10\0\0\0", 0, &[0xff; 6])), refused(1 << 24, 1 << 24));
    }

    #[test]
    fn a_picture_at_the_limit_of_size_is_read_and_a_larger_one_refused() {
        let mut file = PNG.to_vec();
        file.resize(MAX_PICTURE_BYTES, 0);
        assert_eq!(size(&file), Ok((96, 64)));
        file.push(0);
        assert_eq!(size(&file), Err(PictureError::TooLarge));
    }

    #[test]
    fn jpegs_are_read_past_fill_bytes_and_metadata_but_not_past_the_image() {
        let exif = [b"\xff\xd8\xff\xff\xff\xe1\0\x08\xff\xc0\0\0\0\0".as_slice(), &JPEG[2..]].concat();
        assert_eq!(size(&exif), Ok((96, 64)));
        for damaged in [
            b"\xff\xd8\xff\xda\0\x02".as_slice(),
            b"\xff\xd8\xff\xd9",
            b"\xff\xd8\xff\xe0\0\x01\xff",
            b"\xff\xd8\xff\xe0\0\x02x",
        ] {
            assert_eq!(size(damaged), Err(PictureError::Damaged));
        }
        for (frame, outcome) in [(0xc1, Ok((96, 64))), (0xc2, Ok((96, 64))), (0xc3, Err(PictureError::JpegCoding))] {
            let at = place(JPEG, b"\xff\xc0\0\x11");
            let mut file = JPEG.to_vec();
            file[at + 1] = frame;
            assert_eq!(size(&file), outcome);
            file[at + 1] = 0xc1;
            file[at + 4] = 12;
            assert_eq!(size(&file), Err(PictureError::JpegCoding));
        }
    }

    #[test]
    fn the_largest_of_several_sizes_is_the_pictures() {
        let sized =
            |kind: &[u8], body: &[u8]| [&u32::try_from(body.len() + 8).unwrap().to_be_bytes(), kind, body].concat();
        let ispe = |width: u8, height: u8| sized(b"ispe", &[0, 0, 0, 0, 0, 0, 0, width, 0, 0, 0, height]);
        let file = |properties: &[u8]| {
            let iprp = sized(b"iprp", &sized(b"ipco", properties));
            let meta = sized(b"meta", &[b"\0\0\0\0", iprp.as_slice()].concat());
            [sized(b"ftyp", b"mif1\0\0\0\0miafavif"), sized(b"free", b""), meta].concat()
        };
        assert_eq!(size(&file(&[ispe(32, 32), ispe(96, 64), ispe(64, 64)].concat())), Ok((96, 64)));
        assert_eq!(size(&file(b"")), Err(PictureError::Damaged));
        assert_eq!(size(&file(&sized(b"ispe", &[0; 11]))), Err(PictureError::Damaged));
    }
}
