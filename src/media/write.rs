//! Writing boxes (ISO/IEC 14496-12 §4.2).

use super::boxes::BoxKind;

/// Bytes of a box being written, boxes inside it included.
#[derive(Default)]
pub(super) struct Bytes(Vec<u8>);

impl Bytes {
    /// A box of that kind, with what `body` writes into it.
    pub(super) fn put_box(&mut self, kind: BoxKind, body: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.put_u32(0);
        self.put(&kind);
        body(self);
        let length = u32::try_from(self.0.len().saturating_sub(start)).unwrap_or(u32::MAX);
        if let Some(size) = self.0.get_mut(start..start.saturating_add(4)) {
            size.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// The same with a version and flags at its head (§4.2, full box).
    pub(super) fn put_full_box(&mut self, kind: BoxKind, version: u8, flags: u32, body: impl FnOnce(&mut Self)) {
        self.put_box(kind, |bytes| {
            bytes.put_u32(u32::from(version) << 24 | flags);
            body(bytes);
        });
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn put_u16(&mut self, number: u16) {
        self.put(&number.to_be_bytes());
    }

    pub(super) fn put_u32(&mut self, number: u32) {
        self.put(&number.to_be_bytes());
    }

    pub(super) fn put_u64(&mut self, number: u64) {
        self.put(&number.to_be_bytes());
    }

    pub(super) fn put_zeros(&mut self, count: usize) {
        self.0.resize(self.0.len().saturating_add(count), 0);
    }

    pub(super) fn into_vec(self) -> Vec<u8> {
        self.0
    }
}
