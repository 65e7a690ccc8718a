//! The answer to what never becomes a request, as it stands on the wire: actix-http has an empty one for it, if any.

use super::problem::Problem;
use super::trace::{Traced, log_answer};
use crate::app::App;
use crate::domain::limits;
use actix_web::ResponseError;
use actix_web::body::MessageBody;
use actix_web::http::StatusCode;
use bytes::Bytes;
use httpdate::HttpDate;
use std::net::SocketAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Why a head was not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is none.
    Malformed,
    /// It is longer than one may be, or has more lines.
    LongHead,
    /// Its first line is.
    LongTarget,
    /// It did not come in time.
    SlowHead,
}

impl Refusal {
    /// What actix-http means by an answer of its own.
    pub fn of(answer: &[u8]) -> Self {
        match answer.get(.."HTTP/1.1 431".len()) {
            Some(b"HTTP/1.1 431" | b"HTTP/1.0 431") => Self::LongHead,
            _ => Self::Malformed,
        }
    }

    /// The answer in its words.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::Malformed => Problem::bad_request("This is not a request of HTTP/1.1."),
            Self::LongHead => Problem::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                format!("A request's head may have {} bytes and {} lines.", limits::HEAD_BYTES, limits::HEADERS),
            ),
            Self::LongTarget => Problem::new(StatusCode::URI_TOO_LONG, "uri_too_long", "The URL is too long."),
            Self::SlowHead => Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "head_timeout",
                format!("The request's head did not come within {} seconds.", limits::REQUEST_HEAD_S),
            ),
        }
    }

    /// The whole answer to `peer`, which the connection ends with. It is logged like any other.
    pub fn answer(self, app: &App, peer: Option<SocketAddr>) -> Bytes {
        let (began, traced) = (Instant::now(), Traced::new(Some(app)));
        let mut response = traced.sync_scope(|| {
            let response = self.problem().error_response();
            log_answer(&response, "none", "none", None, peer, began);
            response
        });
        traced.dress(response.headers_mut());
        let status = response.status();
        let mut head = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
        for (name, value) in response.headers() {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
        }
        // A problem's body lies in memory.
        let body = response.into_body().try_into_bytes().unwrap_or_default();
        let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(app.now().millis()).unwrap_or_default());
        let date = HttpDate::from(now);
        head.push_str(&format!("content-length: {}\r\nconnection: close\r\ndate: {date}\r\n\r\n", body.len()));
        [head.as_bytes(), &body].concat().into()
    }
}
