//! Boxes in memory (ISO/IEC 14496-12 §4.2): a flat walk, and mp4-atom for the contents of the fixed ones.
//!
//! Containers are walked here and not by `mp4_atom::Moov`, which descends into any box it knows, wherever it stands:
//! some thousand boxes inside each other end in a stack overflow, and that no `catch_unwind` can catch.

use super::source::{MAX_BOXES, Unplayable};
use mp4_atom::Atom;

/// The four characters that say what a box is.
pub(super) type BoxKind = [u8; 4];

/// The boxes that stand beside each other in `bytes`, each as its kind and body.
#[derive(Clone)]
pub(super) struct Boxes<'a> {
    rest: &'a [u8],
    seen: usize,
}

impl<'a> Boxes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, seen: 0 }
    }

    fn read(&mut self) -> Result<Option<(BoxKind, &'a [u8])>, Unplayable> {
        // Fewer bytes than a header are padding: QuickTime ends some containers with four zeros.
        let Some((&[a, b, c, d, kind @ ..], after)) = self.rest.split_first_chunk::<8>() else { return Ok(None) };
        let (body_bytes, after) = match u32::from_be_bytes([a, b, c, d]) {
            // So are zeros where a header would stand.
            0 if kind == [0; 4] => return Ok(None),
            1 => {
                let (large, after) = after.split_first_chunk::<8>().ok_or(Unplayable::Damaged(BAD_SIZE))?;
                (u64::from_be_bytes(*large).checked_sub(16), after)
            }
            // 0, "to the end of the file", is for the last box of a file only.
            size => (u64::from(size).checked_sub(8), after),
        };
        let body_bytes = body_bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let body = body_bytes.and_then(|bytes| after.split_at_checked(bytes));
        let (body, rest) = body.ok_or(Unplayable::Damaged(BAD_SIZE))?;
        self.seen = self.seen.saturating_add(1);
        if self.seen > MAX_BOXES {
            return Err(Unplayable::TooManyBoxes);
        }
        self.rest = rest;
        Ok(Some((kind, body)))
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<(BoxKind, &'a [u8]), Unplayable>;

    /// Ends after the first error.
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.rest = &[];
        }
        next
    }
}

/// The body of the one child of that kind, if there is one.
pub(super) fn child(container: &[u8], kind: BoxKind) -> Result<Option<&[u8]>, Unplayable> {
    let mut found = None;
    for each in Boxes::new(container) {
        let (each_kind, body) = each?;
        if each_kind == kind && found.replace(body).is_some() {
            return Err(Unplayable::Damaged("a part that may stand there once stands there twice"));
        }
    }
    Ok(found)
}

/// The body of the one child of that kind.
pub(super) fn required(container: &[u8], kind: BoxKind) -> Result<&[u8], Unplayable> {
    child(container, kind)?.ok_or(Unplayable::Damaged("a part of it is missing"))
}

/// Decodes the body of a box of fixed layout. A panic of the decoder's is a refusal like any other.
pub(super) fn decode<T: Atom>(body: &[u8]) -> Result<T, Unplayable> {
    let outcome = std::panic::catch_unwind(|| {
        let mut rest = body;
        T::decode_body(&mut rest)
    });
    outcome.ok().and_then(Result::ok).ok_or(Unplayable::Damaged("a part of it cannot be read"))
}

/// The big-endian number at `at`, if the bytes reach that far.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).map(|word| u32::from_be_bytes(*word))
}

const BAD_SIZE: &str = "the size of a part does not fit where the part stands";
