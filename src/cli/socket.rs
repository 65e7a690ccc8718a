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
/// Longest silence, in seconds: a backup copies files before it answers.
const SILENCE_S: u64 = 3_600;

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
        self.send("GET", path, "", 0, &mut std::io::empty())
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
        self.send_json("POST", path, body)
    }

    pub(super) fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send_json("PATCH", path, body)
    }

    /// Sends `length` bytes of a file.
    pub(super) fn put(&self, path: &str, length: u64, body: &mut dyn Read) -> anyhow::Result<Value> {
        self.send("PUT", path, "application/octet-stream", length, body)
    }

    fn send_json(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let text = body.to_string();
        self.send(method, path, "application/json", text.len() as u64, &mut text.as_bytes())
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        length: u64,
        body: &mut dyn Read,
    ) -> anyhow::Result<Value> {
        let mut stream = UnixStream::connect(&self.path).with_context(|| {
            format!(
                "no server answers at {}; start it with `screener serve`, or run this as its user",
                self.path.display()
            )
        })?;
        stream.set_read_timeout(Some(Duration::from_secs(SILENCE_S)))?;
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
            sent?;
            read?;
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
