//! Two gigabytes in and out, in little memory.

use crate::support::{FIXTURE, Server, Wire, path_of};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use reqwest::blocking::Body;
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::time::Duration;

const FILE_BYTES: u64 = 2 << 30;
const BLOCK_BYTES: usize = 1 << 20;
/// What the server may ever have held in memory, in KiB.
const MEMORY_KIB: u64 = 150 << 10;

/// The fixture and a `free` box of two gigabytes, made as it is read: no two mebibytes of it are equal.
struct Film {
    at: u64,
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
        Self { at: 0, block }
    }

    fn head() -> Vec<u8> {
        let mut head = FIXTURE.to_vec();
        // The 64-bit form of a box's length (ISO/IEC 14496-12 §4.2).
        head.extend_from_slice(&1_u32.to_be_bytes());
        head.extend_from_slice(b"free");
        head.extend_from_slice(&(FILE_BYTES - FIXTURE.len() as u64).to_be_bytes());
        head
    }
}

impl Read for Film {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = FILE_BYTES - self.at;
        let head = Self::head();
        let at = usize::try_from(self.at).unwrap();
        let piece = match head.get(at..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => {
                let within = at % BLOCK_BYTES;
                if within == 0 {
                    self.block[..8].copy_from_slice(&self.at.to_le_bytes());
                }
                &self.block[within..]
            }
        };
        let count = piece.len().min(buffer.len()).min(usize::try_from(left).unwrap());
        buffer[..count].copy_from_slice(&piece[..count]);
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

/// The most memory that a process has had, in KiB.
fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn two_gigabytes_go_in_and_come_out_in_little_memory() {
    let server = Server::start();
    let (video, embed) = server.pending_video("private");
    let (length, digest) = sha256_of(Film::new());
    assert_eq!(length, FILE_BYTES);
    let path = format!("/admin/v1/videos/{video}/source");
    let answer = server
        .request(Method::PUT, &path)
        .bearer_auth(&server.private_key)
        .header("repr-digest", format!("sha-256=:{}:", BASE64_STANDARD.encode(digest)))
        .body(Body::sized(Film::new(), FILE_BYTES))
        .timeout(Duration::from_secs(300))
        .send()
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().unwrap());
    let after_upload = peak_memory_kib(server.pid());
    assert!(after_upload < MEMORY_KIB, "{after_upload} KiB after the upload");

    let playback = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let path = path_of(playback["playback"]["uri"].as_str().unwrap());
    let mut wire = Wire::connect(&server);
    wire.send("GET", path, &[]);
    let head = wire.head();
    assert_eq!((head.status, head.length()), (200, Some(FILE_BYTES)));
    assert_eq!(sha256_of(Answer(&mut wire, FILE_BYTES)), (FILE_BYTES, digest));
    // Seeking near the end.
    let answer = wire.exchange("GET", path, &[("Range", "bytes=2147483600-")]);
    let mut tail = Film::new();
    io::copy(&mut (&mut tail).take(2_147_483_600), &mut io::sink()).unwrap();
    let mut expected = Vec::new();
    tail.read_to_end(&mut expected).unwrap();
    assert_eq!((answer.status(), answer.body), (206, expected));
    let at_last = peak_memory_kib(server.pid());
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
