//! The one error answer. Every refusal gets its status and code here; nothing below this room knows either.

use super::playback::seconds;
use super::trace_id;
use crate::app::{IngestError, Unserved, UploadError};
use crate::auth::{Denied, TokenDenied};
use crate::domain::limits;
use crate::store::{BackupError, IndexError, JournalError, MediaError, StateDirError, WriteError};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;
use std::io::ErrorKind;

/// An error on the wire: `{"error","code","traceId"}` with its status.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    sentence: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For 422: what is wrong with each field.
    errors: Option<Map<String, Value>>,
}

/// Where the next byte of a resumable upload belongs (tus 1.0, Core Protocol).
pub const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// The code of an error answer, for the log.
#[derive(Clone, Copy)]
pub struct ProblemCode(pub &'static str);

impl Problem {
    /// An error with this status, code and sentence.
    pub fn new(status: StatusCode, code: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, sentence: sentence.into(), headers: Vec::new(), errors: None }
    }

    /// The sentence for a person.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }

    /// Headers that go with it, such as `Retry-After`.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// When to come back, where that helps.
    pub fn retry_after(&self) -> Option<&HeaderValue> {
        self.headers.iter().find(|(name, _)| *name == RETRY_AFTER).map(|(_, seconds)| seconds)
    }

    /// For 422: what is wrong with each field.
    pub fn errors(&self) -> Option<&Map<String, Value>> {
        self.errors.as_ref()
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// 404 for what is not there, or is another organization's.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here under this name.")
    }

    /// 405 with what would be allowed.
    pub fn method_not_allowed(allow: &str) -> Self {
        let sentence = format!("This URL takes {allow}.");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", sentence);
        match HeaderValue::from_str(allow) {
            Ok(allow) => problem.with(ALLOW, allow),
            Err(_) => problem,
        }
    }

    /// 400 for a request that can't be read.
    pub fn bad_request(sentence: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", sentence)
    }

    /// 401 for a publishable key that is missing, unknown or revoked.
    pub fn publishable_key_invalid() -> Self {
        Self::unauthorized(
            "publishable_key_invalid",
            "A publishable key (mvi_pub_…) is needed in Authorization: Bearer or x-api-key, and this one is missing, unknown or revoked.",
        )
    }

    /// 403 for a private key where a publishable one belongs.
    pub fn private_key_not_allowed() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "private_key_not_allowed",
            "This is a private key. Use a publishable key here, keep the private one on your server, and revoke it if it was in a browser or app.",
        )
    }

    /// 401 for a private key that is missing, unknown or revoked.
    pub fn private_key_invalid() -> Self {
        Self::unauthorized(
            "private_key_invalid",
            "A private key (mvi_priv_…) is needed in Authorization: Bearer, and this one is missing, unknown or revoked.",
        )
    }

    /// 403 for a publishable key on the admin API.
    pub fn publishable_key_not_allowed() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "publishable_key_not_allowed",
            "This is a publishable key. The admin API takes a private key (mvi_priv_…).",
        )
    }

    /// 403 for a change that a page of another site asks for in the name of whoever is signed in here.
    pub fn cross_site() -> Self {
        Self::forbidden(
            "cross_site_request",
            "This came from another site's page. Changes are made from the dashboard's own pages, or with a private key.",
        )
    }

    /// 409 for something that stands in the way.
    pub fn conflict(code: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, sentence)
    }

    /// 422 with what is wrong with one field.
    pub fn invalid_field(field: &str, what: &str) -> Self {
        Self::invalid_fields(Map::from_iter([(field.to_owned(), json!([what]))]))
    }

    /// 422 with what is wrong with each field.
    pub fn invalid_fields(errors: Map<String, Value>) -> Self {
        let names = errors.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_failed",
            format!("Some fields are not right: {names}."),
        );
        problem.errors = Some(errors);
        problem
    }

    /// 429 with when to come back.
    pub fn rate_limit(sentence: &'static str, retry_after_s: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit", sentence)
            .with(RETRY_AFTER, HeaderValue::from(retry_after_s.max(1)))
    }

    /// 500 that says nothing more; the log does.
    pub fn internal(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "The server could not do this. Its log says why, under the trace id.",
        )
    }

    /// 503: what a viewer asks for changes faster than it can be answered.
    pub fn changing() -> Self {
        let sentence = "This video is being changed at the moment. Try again shortly.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "video_changing", sentence)
            .with(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 503: as many long bodies are being read as memory is meant for.
    pub fn long_bodies() -> Self {
        let sentence = "Too many posters and captions are being sent at the moment. Send this one again shortly.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_long_bodies", sentence)
            .with(RETRY_AFTER, HeaderValue::from_static("5"))
    }

    /// 503: the disk fails. Nothing was kept or changed.
    pub fn storage_unavailable(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "the disk failed a request");
        let sentence = "The server's disk does not do this at the moment. Nothing was kept. Its log says more.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable", sentence)
            .with(RETRY_AFTER, HeaderValue::from_static("5"))
    }

    /// 503: a file that a record names and the disk does not have, or not as it was stored.
    pub fn media_unavailable() -> Self {
        let sentence = "This video's file is damaged on the server's disk. Whoever runs it is told which it is.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "media_unavailable", sentence)
    }

    fn unauthorized(code: &'static str, sentence: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, sentence).with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    fn token(code: &'static str, sentence: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, sentence)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""))
    }

    fn forbidden(code: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, sentence)
    }

    /// The same with one more header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn body(&self) -> Value {
        let mut body = json!({ "error": self.sentence, "code": self.code, "traceId": trace_id::current() });
        if let (Some(errors), Some(body)) = (&self.errors, body.as_object_mut()) {
            body.insert("errors".into(), Value::Object(errors.clone()));
        }
        body
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status)
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header((CONTENT_TYPE, "application/json"))
            .body(self.body().to_string());
        for (name, value) in &self.headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        response.extensions_mut().insert(ProblemCode(self.code));
        response
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::ReferrerBlocked => Self::forbidden("referrer_blocked", "This video may not be shown on this site."),
            Denied::BundleBlocked => Self::forbidden("bundle_blocked", "This video may not be played in this app."),
            Denied::TokenMissing => {
                Self::token("playback_token_missing", "This video is private: a viewer token is needed.")
            }
            Denied::Token(TokenDenied::Invalid(..)) => {
                Self::token("playback_token_invalid", "The viewer token is not valid.")
            }
            Denied::Token(TokenDenied::Expired) => {
                Self::token("playback_token_expired", "The viewer token has expired. Ask for a fresh one.")
            }
            Denied::Token(TokenDenied::Revoked) => {
                Self::token("playback_token_revoked", "The key that signed the viewer token was revoked.")
            }
            Denied::Token(TokenDenied::TooLongLived) => Self::token(
                "playback_token_too_long_lived",
                "The viewer token lives longer than the organization allows. Sign it with a shorter exp.",
            ),
            Denied::Token(TokenDenied::WrongVideo) => {
                Self::forbidden("playback_token_wrong_video", "The viewer token is for a different video.")
            }
            Denied::TokenAccessDisabled => Self::token(
                "token_access_disabled",
                "This video is private, and its organization has token access turned off.",
            ),
            Denied::VideoNotReady => Self::conflict("video_not_ready", "This video is not ready to play yet.")
                .with(RETRY_AFTER, HeaderValue::from_static("5")),
            Denied::AssetUrlInvalid => Self::forbidden("asset_url_invalid", "This URL was not signed by this server."),
            Denied::AssetUrlExpired => {
                Self::forbidden("asset_url_expired", "This URL has expired. Ask the playback API for a fresh one.")
            }
            Denied::AssetUrlRevoked => Self::forbidden("asset_url_revoked", "This URL was withdrawn."),
            Denied::RenewTokenInvalid => {
                Self::token("renew_token_invalid", "The renew token does not belong to this session.")
            }
            Denied::SessionTooOld => {
                Self::forbidden("session_too_old", "This session may not be renewed any longer. Begin a new one.")
            }
            Denied::SessionRevoked => Self::forbidden("session_revoked", "This session was ended."),
        }
    }
}

impl From<IndexError> for Problem {
    fn from(error: IndexError) -> Self {
        Self::storage_unavailable(&error)
    }
}

impl From<Unserved> for Problem {
    fn from(unserved: Unserved) -> Self {
        match unserved {
            Unserved::Gone => Self::not_found(),
            Unserved::Damaged => Self::media_unavailable(),
            Unserved::Busy(error) => Self::storage_unavailable(&error),
        }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        let sentence = match &error {
            WriteError::NotWritten(_) => "The disk did not take the change. Nothing was changed.",
            WriteError::Unknown => {
                "The disk failed in the midst of the change. Whether it was made shows when changes are taken again."
            }
            WriteError::Closed => "The server is stopping. Nothing was changed.",
            WriteError::NoSpace => {
                return Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "storage_full",
                    "The server's disk is full, or nearly so: only revoking and deleting works until there is room. \
                     Nothing was changed.",
                );
            }
            WriteError::Revoked => return Self::private_key_invalid(),
            WriteError::Busy => "Too many changes are waiting. Nothing was changed.",
            WriteError::TooLarge => {
                return Self::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "change_too_large",
                    "This is more than one change may say.",
                );
            }
            WriteError::Index(IndexError::TooLong(_)) => {
                return Self::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "record_too_large",
                    "This is more than one record may hold.",
                );
            }
            WriteError::Index(_) => return Self::storage_unavailable(&error),
            WriteError::Record(_) => return Self::internal(&error),
        };
        tracing::error!(%error, "a change was not made");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_written", sentence)
            .with(RETRY_AFTER, HeaderValue::from_static("5"))
    }
}

impl From<MediaError> for Problem {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::NoSpace => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "storage_full",
                "There is not enough room on the server's disk for this upload. Nothing was kept.",
            ),
            MediaError::TooLong { limit_bytes } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "source_too_large",
                format!("The source is larger than the {limit_bytes} bytes this server takes."),
            ),
            MediaError::Io(error) => Self::storage_unavailable(&error),
        }
    }
}

impl From<BackupError> for Problem {
    fn from(error: BackupError) -> Self {
        let cause = match &error {
            BackupError::Io { error, .. }
            | BackupError::Journal(JournalError::Io { error, .. })
            | BackupError::StateDir(StateDirError::Io { error, .. }) => error.kind(),
            _ => ErrorKind::Other,
        };
        match cause {
            // What was asked for, or what is to be backed up, is not as it must be: the same again comes to the same.
            ErrorKind::AlreadyExists
            | ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::PermissionDenied
            | ErrorKind::Other => Self::conflict("backup_failed", error.to_string()),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "storage_full",
                format!("There is not enough room for the backup. Nothing was kept. {error}"),
            ),
            _ => Self {
                sentence: format!("The disk failed the backup. Nothing was kept. {error}").into(),
                ..Self::storage_unavailable(&error)
            },
        }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::NotFound => Self::not_found(),
            UploadError::Expired => Self::new(
                StatusCode::GONE,
                "upload_expired",
                "Nothing came for this upload for too long. Begin a new one.",
            ),
            UploadError::Locked => Self::new(
                StatusCode::LOCKED,
                "upload_locked",
                "Another request is writing to this upload. Try again when it has ended.",
            ),
            UploadError::TakenOver => {
                Self::conflict("upload_taken_over", "Another request went on with this upload, or deleted it.")
            }
            UploadError::OtherOffset { offset } => {
                Self::conflict("upload_offset", format!("The next byte of this upload is number {offset}."))
                    .with(UPLOAD_OFFSET, HeaderValue::from(offset))
            }
            UploadError::TooLong { length_bytes } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "upload_too_long",
                format!("This upload was announced with {length_bytes} bytes. What goes beyond is not kept."),
            ),
            UploadError::ChecksumMismatch => match StatusCode::from_u16(460) {
                Ok(mismatch) => Self::new(
                    mismatch,
                    "checksum_mismatch",
                    "These bytes do not match their Upload-Checksum. None of them was kept; send them again.",
                ),
                Err(error) => Self::internal(&error),
            },
            UploadError::TooMany => Self::conflict(
                "too_many_uploads",
                format!("{} uploads are open. Finish some, or delete them.", limits::OPEN_UPLOADS),
            ),
            UploadError::QuotaExceeded { quota_gib } => Self::forbidden(
                "quota_exceeded",
                format!("This upload would take the organization's files beyond {quota_gib} GiB. Delete some first."),
            ),
            UploadError::Media(error) => error.into(),
            UploadError::Write(error) => error.into(),
        }
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Unplayable(reason) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "source_unplayable",
                format!("The source can't be played: {reason}."),
            ),
            IngestError::VideoGone | IngestError::UploadGone => Self::not_found(),
            IngestError::SourceChanged => Self::conflict(
                "source_changed",
                "The video's source was replaced meanwhile, or it has none yet. Try again when it is ready.",
            ),
            IngestError::TooManyRenditions => Self::conflict(
                "too_many_renditions",
                format!("A video has {} qualities at most.", limits::RENDITIONS_PER_VIDEO),
            ),
            IngestError::OtherLength { duration_ms, source_ms } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "rendition_other_length",
                format!(
                    "This file is {} s long and the video {} s: it is not the same film.",
                    seconds(duration_ms),
                    seconds(source_ms)
                ),
            ),
            IngestError::LabelTaken => {
                Self::conflict("label_taken", "This label is the source's own quality. Choose another one.")
            }
            IngestError::TooManyCaptions => Self::conflict(
                "too_many_captions",
                format!("A video has captions in {} languages at most.", limits::CAPTIONS_PER_VIDEO),
            ),
            IngestError::Quota(error) => error.into(),
            IngestError::Media(error) => error.into(),
            IngestError::Write(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::path::PathBuf;

    #[test]
    fn a_backup_that_the_disk_fails_may_be_tried_again_and_one_that_was_asked_for_wrongly_may_not() {
        let of = |errno: i32| {
            let (path, error) = (PathBuf::from("/srv/backup"), io::Error::from_raw_os_error(errno));
            let problem = Problem::from(BackupError::Io { path, error });
            assert!(problem.sentence().contains("/srv/backup"), "{}", problem.sentence());
            (problem.status().as_u16(), problem.code(), problem.retry_after().is_some())
        };
        // EIO, EMFILE, EROFS; ENOSPC, EDQUOT; EEXIST, ENOENT, EACCES, ENOTDIR.
        for errno in [5, 24, 30] {
            assert_eq!(of(errno), (503, "storage_unavailable", true), "{errno}");
        }
        for errno in [28, 122] {
            assert_eq!(of(errno), (507, "storage_full", false), "{errno}");
        }
        for errno in [17, 2, 13, 20] {
            assert_eq!(of(errno), (409, "backup_failed", false), "{errno}");
        }
    }
}
