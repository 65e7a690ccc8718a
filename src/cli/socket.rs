//! Speaking to a running server over its unix socket: one request a connection (RFC 9112), JSON both ways.

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// A server's socket.
pub(super) struct Client {
    path: PathBuf,
    private_key: Option<String>,
}

/// Longest answer read, in bytes: a page of a list is far below it.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// Longest silence of a server that has little to do for the answer, in seconds.
const SILENCE_S: u64 = 30;
/// Longest silence after a film was sent, in seconds: it is read, and packaging is waited for.
const FILM_SILENCE_S: u64 = 3_600;

impl Client {
    pub(super) fn new(path: PathBuf) -> anyhow::Result<Self> {
        Ok(Self { path, private_key: None })
    }

    /// Whether a server answers there.
    pub(super) fn is_answered(&self) -> bool {
        UnixStream::connect(&self.path).is_ok()
    }

    /// The same, with an organization's private key, for its admin API.
    pub(super) fn with_key(&self, private_key: &str) -> Self {
        Self { path: self.path.clone(), private_key: Some(private_key.to_owned()) }
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send("GET", path, "", 0, &mut std::io::empty(), Some(SILENCE_S))
    }

    /// Every item of a list, as one page.
    pub(super) fn get_all(&self, path: &str) -> anyhow::Result<Value> {
        let mut items = Vec::new();
        let mut query = "?limit=100".to_owned();
        loop {
            let mut page = self.get(&format!("{path}{query}"))?;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            match page.pointer("/pageInfo/nextCursor").and_then(Value::as_str) {
                Some(cursor) => query = format!("?limit=100&cursor={cursor}"),
                None => return Ok(json!({ "items": items, "pageInfo": { "nextCursor": null } })),
            }
        }
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send_json("POST", path, body, Some(SILENCE_S))
    }

    /// The same where the answer takes as long as there are media files.
    pub(super) fn post_patiently(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send_json("POST", path, body, None)
    }

    pub(super) fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send_json("PATCH", path, body, Some(SILENCE_S))
    }

    /// Sends `length` bytes of a file.
    pub(super) fn put(&self, path: &str, length: u64, body: &mut dyn Read) -> anyhow::Result<Value> {
        self.send("PUT", path, "application/octet-stream", length, body, Some(FILM_SILENCE_S))
    }

    fn send_json(&self, method: &str, path: &str, body: &Value, silence_s: Option<u64>) -> anyhow::Result<Value> {
        let text = body.to_string();
        self.send(method, path, "application/json", text.len() as u64, &mut text.as_bytes(), silence_s)
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        length: u64,
        body: &mut dyn Read,
        silence_s: Option<u64>,
    ) -> anyhow::Result<Value> {
        let mut stream = UnixStream::connect(&self.path).with_context(|| {
            format!(
                "no server answers at {}; start it with `screener serve`, or run this as its user",
                self.path.display()
            )
        })?;
        stream.set_read_timeout(silence_s.map(Duration::from_secs))?;
        stream.set_write_timeout(silence_s.map(Duration::from_secs))?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        if let Some(key) = &self.private_key {
            head.push_str(&format!("Authorization: Bearer {key}\r\n"));
        }
        if !content_type.is_empty() {
            head.push_str(&format!("Content-Type: {content_type}\r\nContent-Length: {length}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        // A refusal may come before the body is sent; the answer says why.
        let sent = std::io::copy(&mut body.take(length), &mut stream);
        let mut answer = Vec::new();
        let read = (&stream).take(MAX_ANSWER_BYTES).read_to_end(&mut answer);
        if answer.is_empty() {
            let silent = |error: std::io::Error| match (error.kind(), silence_s) {
                (std::io::ErrorKind::WouldBlock, Some(seconds)) => anyhow!(
                    "the server at {} has not answered for {seconds} seconds; it may still be at it: look into its log",
                    self.path.display()
                ),
                _ => error.into(),
            };
            sent.map_err(silent)?;
            read.map_err(silent)?;
        }
        parse(&answer)
    }
}

/// The JSON of an answer that says so with 2xx; the error's sentence otherwise.
fn parse(answer: &[u8]) -> anyhow::Result<Value> {
    let text = std::str::from_utf8(answer).context("the server's answer is not text")?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| anyhow!("the server closed without an answer"))?;
    let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_str(body)? };
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let sentence = body.get("error").and_then(Value::as_str).unwrap_or("the server refused");
    match body.get("errors") {
        Some(errors) => bail!("{sentence} {errors}"),
        None => bail!("{sentence} ({status})"),
    }
}

/// An id that can stand in a path.
pub(super) fn path_segment(id: &str) -> anyhow::Result<&str> {
    let is_plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_plain { Ok(id) } else { Err(anyhow!("{id:?} is not an id")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_answer_is_told_from_one_that_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let client = Client::new(directory.path().join("admin.sock")).unwrap();
        let ask = || client.send("GET", "/", "", 0, &mut std::io::empty(), Some(1)).unwrap_err().to_string();
        assert!(ask().starts_with("no server answers at "));
        let _stuck = std::os::unix::net::UnixListener::bind(&client.path).unwrap();
        let said = ask();
        assert!(said.contains("has not answered for 1 seconds"), "{said}");
    }
}
