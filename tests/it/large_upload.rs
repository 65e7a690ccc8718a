//! Two gigabytes in and out, in little memory; five with `SCREENER_ATTACKS=long`, past what 32 bits count (E28).

use crate::attacks::tries;
use crate::support::{Process, Server, Wire, film_head, packaged_into, path_of, picture_head, progressive_uri};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use reqwest::blocking::Body;
use screener::media::ReadAt;
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::time::Duration;

/// One more than 32 bits count.
const FOUR_GIGABYTES: u64 = 1 << 32;
const BLOCK_BYTES: usize = 1 << 20;
/// Length of a picture: a whole number of blocks.
const PICTURE_BYTES: usize = 32 << 20;
/// Pictures of the film: of two gigabytes, or of five.
fn pictures() -> usize {
    tries(64, 160)
}

/// What the server may ever have held in memory, in KiB.
const MEMORY_KIB: u64 = 150 << 10;

/// A film whose pictures make two gigabytes, made as it is read: no two mebibytes of them are equal.
#[derive(Clone)]
struct Film {
    at: u64,
    head: Vec<u8>,
    block: Vec<u8>,
}

impl Film {
    fn new() -> Self {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        while block.len() < BLOCK_BYTES {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        Self { at: 0, head: film_head(&vec![PICTURE_BYTES; pictures()], 500), block }
    }

    fn fill(&self, mut buffer: &mut [u8], mut offset: usize) {
        while !buffer.is_empty() {
            let mut begin = [0; 8];
            let piece = match self.head.get(offset..) {
                Some(rest) if !rest.is_empty() => rest,
                _ => {
                    let media_at = offset - self.head.len();
                    let (number, within) = (media_at / BLOCK_BYTES, media_at % BLOCK_BYTES);
                    begin[..5].copy_from_slice(&picture_head(media_at / PICTURE_BYTES, PICTURE_BYTES));
                    begin[5..].copy_from_slice(&number.to_le_bytes()[..3]);
                    if within < begin.len() { &begin[within..] } else { &self.block[within..] }
                }
            };
            let count = piece.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(count);
            now.copy_from_slice(&piece[..count]);
            (buffer, offset) = (later, offset + count);
        }
    }
}

impl ReadAt for Film {
    fn len(&self) -> u64 {
        (self.head.len() + pictures() * PICTURE_BYTES) as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        assert!(offset + buffer.len() as u64 <= self.len());
        self.fill(buffer, usize::try_from(offset).unwrap());
        Ok(())
    }
}

impl Read for Film {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = usize::try_from(self.len() - self.at).unwrap().min(buffer.len());
        self.fill(&mut buffer[..count], usize::try_from(self.at).unwrap());
        self.at += count as u64;
        Ok(count)
    }
}

fn sha256_of(mut reader: impl Read) -> (u64, [u8; 32]) {
    let (mut hash, mut buffer, mut total) = (Sha256::new(), vec![0; 256 << 10], 0);
    loop {
        let count = reader.read(&mut buffer).unwrap();
        if count == 0 {
            return (total, hash.finalize().into());
        }
        hash.update(&buffer[..count]);
        total += count as u64;
    }
}

#[test]
fn two_gigabytes_go_in_and_come_out_in_little_memory() {
    let server = Server::start();
    let (video, embed) = server.pending_video("private");
    let film = Film::new();
    let (length, digest) = sha256_of(film.clone());
    assert!(length == film.len() && length > 2 << 30);
    // What packaging must make of it, its last bytes, and the three around what 32 bits count.
    let (mut hash, mut tail) = (Sha256::new(), Vec::new());
    let (mut at, mut around) = (0, Vec::new());
    let served = packaged_into(&film, &mut |piece| {
        let wanted = (FOUR_GIGABYTES - 1).saturating_sub(at)..(FOUR_GIGABYTES + 2).saturating_sub(at);
        let within = |end: u64| usize::try_from(end).unwrap().min(piece.len());
        around.extend_from_slice(&piece[within(wanted.start)..within(wanted.end)]);
        at += piece.len() as u64;
        hash.update(piece);
        tail.extend_from_slice(piece);
        tail.drain(..tail.len().saturating_sub(48));
    });
    let served_digest: [u8; 32] = hash.finalize().into();
    let path = format!("/admin/v1/videos/{video}/source");
    let answer = server
        .request(Method::PUT, &path)
        .bearer_auth(&server.private_key)
        .header("repr-digest", format!("sha-256=:{}:", BASE64_STANDARD.encode(digest)))
        .body(Body::sized(film, length))
        .timeout(Duration::from_secs(300))
        .send()
        .unwrap();
    // The busier the machine, the likelier packaging is still under way.
    assert!([200, 202].contains(&answer.status().as_u16()), "{}", answer.text().unwrap());
    server.wait_until_ready(&video);
    let after_upload = Process(server.pid()).peak_memory_kib();
    assert!(after_upload < MEMORY_KIB, "{after_upload} KiB after the upload and packaging");

    let playback = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let path = path_of(progressive_uri(&playback));
    let mut wire = Wire::connect(&server);
    wire.send("GET", path, &[]);
    let head = wire.head();
    assert_eq!((head.status, head.length()), (200, Some(served)));
    assert_eq!(sha256_of(Answer(&mut wire, served)), (served, served_digest));
    // Seeking near the end.
    let answer = wire.exchange("GET", path, &[("Range", &format!("bytes={}-", served - 48))]);
    assert_eq!((answer.status(), answer.body), (206, tail));
    if served > FOUR_GIGABYTES + 2 {
        let range = format!("bytes={}-{}", FOUR_GIGABYTES - 1, FOUR_GIGABYTES + 1);
        let answer = wire.exchange("GET", path, &[("Range", &range)]);
        let content_range = format!("bytes {}-{}/{served}", FOUR_GIGABYTES - 1, FOUR_GIGABYTES + 1);
        assert_eq!((answer.status(), answer.header("content-range")), (206, Some(content_range.as_str())));
        assert_eq!(answer.body, around);
    }
    // A segment far beyond what 31 bits count.
    let segments = pictures() / 4;
    let last = path.replace(".mp4", &format!("/{segments}.m4s"));
    let answer = wire.exchange("GET", &last, &[("Range", "bytes=-48")]);
    assert_eq!((answer.status(), answer.body.len()), (206, 48));
    assert_eq!(wire.exchange("GET", &path.replace(".mp4", &format!("/{}.m4s", segments + 1)), &[]).status(), 404);
    let at_last = Process(server.pid()).peak_memory_kib();
    assert!(at_last < MEMORY_KIB, "{at_last} KiB after the download");
}

/// The body of an answer of known length.
struct Answer<'a>(&'a mut Wire, u64);

impl Read for Answer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.1).unwrap().min(buffer.len());
        let count = if most == 0 { 0 } else { self.0.read(&mut buffer[..most])? };
        self.1 -= count as u64;
        Ok(count)
    }
}
