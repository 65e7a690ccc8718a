//! Reading a body field by field, so that an answer can say what is wrong with each of them: JSON from the API's
//! callers, the fields of an HTML form from the dashboard. Both go the same way from there.

use super::problem::Problem;
use crate::domain::{OrganizationId, OriginRule, is_name, json, limits};
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The members of a body that have not been read yet, and what was wrong with those that have.
pub struct Form {
    members: Map<String, Value>,
    errors: Map<String, Value>,
    syntax: Syntax,
}

/// How a body says numbers, lists, and nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    /// In JSON's own ways.
    Json,
    /// As text: an empty field is an absent one, a list is what stands between white space.
    Html,
}

impl Form {
    /// Reads a body: one JSON object, sent as `application/json`, no longer than [`limits::JSON_BODY_BYTES`].
    pub async fn read(request: &HttpRequest, payload: web::Payload) -> Result<Self, Problem> {
        let media_type = super::headers::lone(request, &CONTENT_TYPE).unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Send JSON, with Content-Type: application/json.",
            ));
        }
        let body = read_short(payload).await?;
        let malformed = |sentence: String| Problem::new(StatusCode::BAD_REQUEST, "malformed_json", sentence);
        match json::read(&body) {
            Ok(Value::Object(members)) => Ok(Self { members, errors: Map::new(), syntax: Syntax::Json }),
            Ok(_) => Err(malformed("The body is not a JSON object.".to_owned())),
            // JSON that is not taken.
            Err(error) if error.is_data() => Err(malformed(format!("The body can't be read: {error}."))),
            Err(error) => Err(malformed(format!(
                "The body is not JSON: it breaks at line {}, column {}.",
                error.line(),
                error.column()
            ))),
        }
    }

    /// The same, where no body at all is as good as `{}`.
    pub async fn read_optional(request: &HttpRequest, payload: web::Payload) -> Result<Self, Problem> {
        let has_body = request.headers().contains_key("content-type")
            || request.headers().contains_key("transfer-encoding")
            || super::headers::lone(request, &actix_web::http::header::CONTENT_LENGTH)
                .is_some_and(|length| length != "0");
        if has_body {
            Self::read(request, payload).await
        } else {
            Ok(Self { members: Map::new(), errors: Map::new(), syntax: Syntax::Json })
        }
    }

    /// Reads the body of an HTML form (`application/x-www-form-urlencoded`).
    pub async fn read_fields(payload: web::Payload) -> Result<Vec<(String, String)>, Problem> {
        let body = read_short(payload).await?;
        let malformed = || Problem::bad_request("The form can't be read.");
        let text = std::str::from_utf8(&body).map_err(|_| malformed())?;
        let fields = web::Query::<Vec<(String, String)>>::from_query(text).map_err(|_| malformed())?;
        Ok(fields.into_inner())
    }

    /// The fields of an HTML form. Of those with one name the last counts, so that a hidden `false` can stand before a
    /// checkbox.
    pub fn of_fields(fields: Vec<(String, String)>) -> Self {
        let members = fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        Self { members, errors: Map::new(), syntax: Syntax::Html }
    }

    /// Notes what is wrong with a field.
    pub fn wrong(&mut self, field: &str, what: impl Into<String>) {
        let list = self.errors.entry(field).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(Value::String(what.into()));
        }
    }

    /// Takes a member: `None` if it is absent.
    pub fn take(&mut self, field: &str) -> Option<Value> {
        self.members.remove(field)
    }

    /// A text of 1 to [`limits::NAME_CHARS`] characters without control characters.
    pub fn name(&mut self, field: &str) -> Option<String> {
        let text = self.text(field)?.trim().to_owned();
        if text.is_empty() && self.syntax == Syntax::Html {
            return None;
        }
        if !is_name(&text) {
            self.wrong(
                field,
                format!("must be 1 to {} characters, none of them control characters", limits::NAME_CHARS),
            );
            return None;
        }
        Some(text)
    }

    /// Like [`Form::name`], and it must be there.
    pub fn required_name(&mut self, field: &str) -> String {
        self.require(field);
        let name = self.name(field);
        if name.is_none() && !self.errors.contains_key(field) {
            self.wrong(field, "is required");
        }
        name.unwrap_or_default()
    }

    /// A text.
    pub fn text(&mut self, field: &str) -> Option<String> {
        match self.take(field)? {
            Value::String(text) => Some(text),
            _ => {
                self.wrong(field, "must be a string");
                None
            }
        }
    }

    /// A text that must be there.
    pub fn required_text(&mut self, field: &str) -> String {
        self.require(field);
        self.text(field).unwrap_or_default()
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, field: &str) -> Option<bool> {
        let value = self.take(field)?;
        let read = match self.syntax {
            Syntax::Json => value.as_bool(),
            Syntax::Html => value.as_str().and_then(|text| text.parse().ok()),
        };
        if read.is_none() {
            self.wrong(field, "must be true or false");
        }
        read
    }

    /// A whole number of seconds.
    pub fn seconds(&mut self, field: &str, range: &RangeInclusive<u32>) -> Option<u32> {
        let value = self.take(field)?;
        let number = match self.syntax {
            Syntax::Json => value.as_u64(),
            Syntax::Html => value.as_str().and_then(|text| text.trim().parse().ok()),
        };
        let seconds = number.and_then(|seconds| u32::try_from(seconds).ok()).filter(|s| range.contains(s));
        if seconds.is_none() {
            self.wrong(field, format!("must be a whole number of seconds from {} to {}", range.start(), range.end()));
        }
        seconds
    }

    /// One of the words that `T` reads.
    pub fn word<T: serde::de::DeserializeOwned>(&mut self, field: &str, words: &str) -> Option<T> {
        let value = self.take(field)?;
        let read = serde_json::from_value(value).ok();
        if read.is_none() {
            self.wrong(field, format!("must be {words}"));
        }
        read
    }

    /// A list of texts that `read` takes.
    pub fn list<T>(&mut self, field: &str, limit: usize, read: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let values = match (self.take(field)?, self.syntax) {
            (Value::Array(values), Syntax::Json) => values,
            (Value::String(text), Syntax::Html) => text.split_whitespace().map(Value::from).collect(),
            _ => {
                self.wrong(field, "must be an array of strings");
                return None;
            }
        };
        if values.len() > limit {
            self.wrong(field, format!("may have {limit} entries at most"));
            return None;
        }
        let mut items = Vec::with_capacity(values.len());
        for value in values {
            match value.as_str().map(&read) {
                Some(Ok(item)) => items.push(item),
                Some(Err(what)) => self.wrong(field, format!("{value}: {what}")),
                None => self.wrong(field, format!("{value}: must be a string")),
            }
        }
        Some(items)
    }

    /// A list of origin rules.
    pub fn origin_rules(&mut self, field: &str) -> Option<Vec<OriginRule>> {
        self.list(field, limits::ORIGIN_RULES, |text| OriginRule::parse(text).map_err(|error| error.to_string()))
    }

    fn require(&mut self, field: &str) {
        if !self.members.contains_key(field) {
            self.wrong(field, "is required");
        }
    }

    /// Ends the reading: 422 if anything was wrong, or if members are left that nobody asked for.
    pub fn finish(mut self) -> Result<(), Problem> {
        let unknown: Vec<String> = self.members.keys().take(20).cloned().collect();
        for field in unknown {
            self.wrong(&field.chars().take(limits::NAME_CHARS).collect::<String>(), "is not a field of this call");
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid_fields(self.errors)) }
    }
}

/// A whole body, and its share of the room that all of them have.
pub struct LongBody {
    /// Its bytes.
    pub bytes: Bytes,
    _share: Share,
}

/// The room of bodies that are longer than a body of JSON may be.
static ROOM: Room = Room::of(limits::LONG_BODIES_BYTES / limits::JSON_BODY_BYTES);

/// Room in steps of [`limits::JSON_BODY_BYTES`].
struct Room {
    steps: usize,
    taken: Mutex<BTreeMap<OrganizationId, usize>>,
}

impl Room {
    const fn of(steps: usize) -> Self {
        Self { steps, taken: Mutex::new(BTreeMap::new()) }
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<OrganizationId, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one body has of it; given back when it is dropped.
struct Share {
    room: &'static Room,
    organization: OrganizationId,
    steps: usize,
}

impl Share {
    /// One step more. Nobody waits for it: several that are half there would wait for each other.
    fn grow(&mut self) -> Result<(), Problem> {
        let mut taken = self.room.taken();
        let all: usize = taken.values().sum();
        let own = taken.get(&self.organization).copied().unwrap_or_default();
        // While half of it is free nobody is kept out.
        let is_scarce = all >= self.room.steps / 2;
        if all >= self.room.steps || is_scarce && own >= self.room.steps / limits::LONG_BODIES_SHARE {
            return Err(Problem::long_bodies());
        }
        taken.insert(self.organization, own + 1);
        self.steps += 1;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        if let Some(own) = taken.get_mut(&self.organization) {
            *own -= self.steps;
            if *own == 0 {
                taken.remove(&self.organization);
            }
        }
    }
}

/// A whole body of at most [`limits::JSON_BODY_BYTES`], which must come within [`limits::WHOLE_BODY_S`].
pub async fn read_short<E>(payload: impl Stream<Item = Result<Bytes, E>> + Unpin) -> Result<Bytes, Problem> {
    read_whole(payload, limits::JSON_BODY_BYTES, None).await
}

/// A whole body of at most `limit_bytes` in the same time; 503 where too many long ones are being read, of all or of this
/// organization.
pub async fn read_long<E>(
    payload: impl Stream<Item = Result<Bytes, E>> + Unpin,
    limit_bytes: usize,
    organization: OrganizationId,
) -> Result<LongBody, Problem> {
    read_within(&ROOM, payload, limit_bytes, organization).await
}

async fn read_within<E>(
    room: &'static Room,
    payload: impl Stream<Item = Result<Bytes, E>> + Unpin,
    limit_bytes: usize,
    organization: OrganizationId,
) -> Result<LongBody, Problem> {
    let mut share = Share { room, organization, steps: 0 };
    let bytes = read_whole(payload, limit_bytes, Some(&mut share)).await?;
    Ok(LongBody { bytes, _share: share })
}

async fn read_whole<E>(
    mut payload: impl Stream<Item = Result<Bytes, E>> + Unpin,
    limit_bytes: usize,
    mut share: Option<&mut Share>,
) -> Result<Bytes, Problem> {
    let read = async {
        let (mut body, began) = (BytesMut::new(), Instant::now());
        while let Some(chunk) = next_chunk(&mut payload).await? {
            let length = body.len() + chunk.len();
            check_rate(began, length as u64)?;
            if length > limit_bytes {
                return Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "body_too_large",
                    format!("The body is longer than {limit_bytes} bytes."),
                ));
            }
            if let Some(share) = &mut share {
                // The first step is everybody's.
                while length > limits::JSON_BODY_BYTES * (1 + share.steps) {
                    share.grow()?;
                }
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    let whole = Duration::from_secs(limits::WHOLE_BODY_S);
    tokio::time::timeout(whole, read).await.map_err(|_| body_timeout(limits::WHOLE_BODY_S))?
}

/// The next part of a body; 408 when it stays away for [`limits::BODY_IDLE_S`].
pub async fn next_chunk<E>(
    payload: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
) -> Result<Option<Bytes>, Problem> {
    let idle = Duration::from_secs(limits::BODY_IDLE_S);
    match tokio::time::timeout(idle, payload.next()).await {
        Ok(chunk) => chunk.transpose().map_err(|_| Problem::bad_request("The body ended before it was whole.")),
        Err(_) => Err(body_timeout(limits::BODY_IDLE_S)),
    }
}

/// 408 for a body that has been coming since `began` too slowly to be one: it would hold its connection for ever.
pub fn check_rate(began: Instant, received_bytes: u64) -> Result<(), Problem> {
    let elapsed_s = began.elapsed().as_secs();
    let counted_s = elapsed_s.saturating_sub(limits::BODY_GRACE_S);
    if received_bytes < counted_s * limits::BODY_BYTES_PER_S { Err(body_timeout(elapsed_s)) } else { Ok(()) }
}

/// 408 for a body that does not come.
pub fn body_timeout(seconds: u64) -> Problem {
    let sentence = format!("The body did not come within {seconds} seconds, or too slowly.");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn sent(bytes: usize) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Unpin {
        let (whole, rest) = (bytes / 1_000, Bytes::from(vec![0; bytes % 1_000]));
        stream::iter(std::iter::repeat_n(Bytes::from(vec![0; 1_000]), whole).chain([rest]).map(Ok))
    }

    fn organization(number: u8) -> OrganizationId {
        OrganizationId::from_random([number; 16])
    }

    const STEP: usize = limits::JSON_BODY_BYTES;

    #[actix_web::test]
    async fn long_bodies_have_their_room_together_and_give_it_back() {
        // Four steps besides the one that everybody has, one for each organization.
        static FEW: Room = Room::of(4);
        let long = async |number: u8| read_within(&FEW, sent(2 * STEP), 9 * STEP, organization(number)).await;
        let mut kept = Vec::new();
        for number in 1..=4 {
            kept.push(long(number).await.ok().unwrap());
            assert_eq!((kept.last().unwrap().bytes.len(), FEW.taken().len()), (2 * STEP, usize::from(number)));
        }
        let problem = long(5).await.err().unwrap();
        assert_eq!((problem.status().as_u16(), problem.code()), (503, "too_many_long_bodies"));
        // What is short goes by them.
        assert!(read_within(&FEW, sent(STEP), STEP, organization(5)).await.is_ok());
        assert!(read_short(sent(STEP)).await.is_ok());
        kept.pop();
        assert!(long(5).await.is_ok());
        drop(kept);
        assert!(FEW.taken().is_empty());
    }

    #[actix_web::test]
    async fn one_organization_leaves_room_for_others() {
        // Half of it, four steps, are anybody's; of the others two are one's.
        static FEW: Room = Room::of(8);
        let long = async |number: u8, steps: usize| {
            read_within(&FEW, sent((1 + steps) * STEP), 9 * STEP, organization(number)).await
        };
        let problem = long(1, 5).await.err().unwrap();
        assert_eq!((problem.status().as_u16(), problem.code()), (503, "too_many_long_bodies"));
        assert!(FEW.taken().is_empty(), "what was refused has given its room back");
        let first = long(1, 4).await.ok().unwrap();
        assert!(long(1, 1).await.is_err());
        assert!(long(2, 3).await.is_err());
        let second = long(2, 2).await.ok().unwrap();
        assert!(long(2, 1).await.is_err());
        assert!(long(3, 2).await.is_ok());
        drop(first);
        assert!(long(1, 2).await.is_ok());
        drop(second);
        assert!(long(1, 4).await.is_ok());
    }
}
