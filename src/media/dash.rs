//! The DASH manifest (ISO/IEC 23009-1) of the same files.

use super::segment_index::SegmentIndex;
use crate::domain::{Captions, Rendition};

/// The manifest of all qualities.
pub fn dash_manifest(_renditions: &[(&Rendition, &SegmentIndex)], _captions: &[Captions]) -> String {
    String::new()
}
