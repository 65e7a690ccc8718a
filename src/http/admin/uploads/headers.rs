//! The headers of tus 1.0, read strictly, and those that every answer of it carries.

use crate::app::UploadState;
use crate::domain::{VideoId, Visibility, limits};
use crate::http::conditional::http_date;
use crate::http::headers::single;
use crate::http::problem::{Problem, UPLOAD_OFFSET};
use crate::http::tus;
use crate::store::Checksum;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponseBuilder};
use std::collections::HashMap;

/// The version of the protocol.
const VERSION: &str = "1.0.0";
const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const TUS_VERSION: (HeaderName, &str) = (HeaderName::from_static("tus-version"), VERSION);
pub(super) const TUS_EXTENSION: (HeaderName, &str) =
    (HeaderName::from_static("tus-extension"), "creation,creation-with-upload,termination,checksum,expiration");
pub(super) const TUS_CHECKSUM_ALGORITHM: (HeaderName, &str) =
    (HeaderName::from_static("tus-checksum-algorithm"), Checksum::ALGORITHMS);
pub(super) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(super) const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");

/// `Tus-Resumable` on every answer, refusals included.
pub async fn speak_tus<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut response = next.call(request).await?;
    response.headers_mut().insert(TUS_RESUMABLE, HeaderValue::from_static(VERSION));
    Ok(response)
}

/// 412 for a request that does not say that it speaks this version.
pub(super) fn check_version(request: &HttpRequest) -> Result<(), Problem> {
    if single(request, &TUS_RESUMABLE) == Ok(Some(VERSION)) {
        return Ok(());
    }
    let sentence = "This server speaks tus 1.0.0. Send Tus-Resumable: 1.0.0.";
    let (name, value) = TUS_VERSION;
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, "tus_version", sentence)
        .with(name, HeaderValue::from_static(value)))
}

/// Whether a request has a body, of whatever length.
pub(super) fn has_body(request: &HttpRequest, announced_bytes: Option<u64>) -> bool {
    request.headers().contains_key(TRANSFER_ENCODING) || announced_bytes.is_some_and(|bytes| bytes > 0)
}

/// 415 for a piece of any other type than the one for pieces.
pub(super) fn check_piece_type(request: &HttpRequest) -> Result<(), Problem> {
    if single(request, &CONTENT_TYPE) == Ok(Some("application/offset+octet-stream")) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "Send the bytes with Content-Type: application/offset+octet-stream.",
    ))
}

/// `Upload-Offset`, which a piece must have.
pub(super) fn read_offset(request: &HttpRequest) -> Result<u64, Problem> {
    read_number(request, &UPLOAD_OFFSET)
        .ok_or_else(|| Problem::bad_request("Upload-Offset must say at which byte the piece begins."))
}

/// `Upload-Length`, which a new upload must have, in a form that this server can do something with.
pub(super) fn read_length(request: &HttpRequest) -> Result<u64, Problem> {
    if request.headers().contains_key(UPLOAD_CONCAT) {
        return Err(Problem::bad_request("Uploads in parallel parts (Upload-Concat) are not taken. Send one upload."));
    }
    if request.headers().contains_key(UPLOAD_DEFER_LENGTH) {
        return Err(Problem::bad_request("The length must be known from the beginning. Send Upload-Length."));
    }
    match read_number(request, &UPLOAD_LENGTH) {
        None => Err(Problem::bad_request("Upload-Length must say how many bytes the whole file has.")),
        Some(0) => Err(Problem::bad_request("An empty file is no film. Upload-Length must be more than 0.")),
        Some(length_bytes) => Ok(length_bytes),
    }
}

fn read_number(request: &HttpRequest, name: &HeaderName) -> Option<u64> {
    tus::count(single(request, name).ok().flatten()?)
}

/// `Upload-Checksum`, if there is one.
pub(super) fn read_checksum(request: &HttpRequest) -> Result<Option<Checksum>, Problem> {
    let wrong = || Problem::bad_request("Upload-Checksum must be sha1 or sha256, a space, and the digest in base64.");
    let Some(text) = single(request, &UPLOAD_CHECKSUM).map_err(|()| wrong())? else { return Ok(None) };
    tus::checksum(text).map(Some).ok_or_else(wrong)
}

/// What a new upload says of itself. Names and types are words about it, never paths.
pub(super) struct Metadata {
    /// The header as it came.
    pub text: Option<String>,
    values: HashMap<String, Vec<u8>>,
}

/// What an upload is for.
pub(super) enum Target {
    /// A video made for it.
    New {
        /// Its title.
        title: String,
        /// Who may watch it, if that is said.
        visibility: Option<Visibility>,
    },
    /// The source of a video, or a further quality of it.
    Video {
        /// The video.
        id: VideoId,
        /// The label of the quality.
        rendition: Option<String>,
    },
}

impl Metadata {
    /// Reads `Upload-Metadata`: keys, each once, with values in base64.
    pub fn read(request: &HttpRequest) -> Result<Self, Problem> {
        let wrong = || {
            Problem::bad_request(
                "Upload-Metadata must be pairs separated by commas, each a key, a space and a value in base64, no key twice, and 4 KiB at most.",
            )
        };
        let text = single(request, &UPLOAD_METADATA).map_err(|()| wrong())?.map(str::trim);
        let values = tus::metadata(text.unwrap_or_default()).ok_or_else(wrong)?;
        Ok(Self { text: text.filter(|text| !text.is_empty()).map(ToOwned::to_owned), values })
    }

    /// What the upload is for. Keys that mean nothing here are left alone.
    pub fn target(&self) -> Result<Target, Problem> {
        let rendition = self.text_of("rendition");
        if let Some(id) = self.text_of("videoId") {
            let id = VideoId::parse(&id).ok_or_else(Problem::not_found)?;
            if rendition.as_ref().is_some_and(|label| !super::super::renditions::is_label(label)) {
                return Err(Problem::invalid_field("rendition", "must be 1 to 20 letters, digits or hyphens"));
            }
            return Ok(Target::Video { id, rendition });
        }
        if rendition.is_some() {
            return Err(Problem::invalid_field("videoId", "is required for a rendition"));
        }
        let visibility = match self.text_of("visibility").as_deref() {
            None => None,
            Some("public") => Some(Visibility::Public),
            Some("private") => Some(Visibility::Private),
            Some(_) => return Err(Problem::invalid_field("visibility", "must be \"public\" or \"private\"")),
        };
        let names = ["title", "name", "filename"].into_iter().filter_map(|key| self.text_of(key));
        let title = names.map(|name| as_title(&name)).find(|title| !title.is_empty());
        let title = title.ok_or_else(|| Problem::invalid_field("title", "is required, or a videoId"))?;
        Ok(Target::New { title, visibility })
    }

    fn text_of(&self, key: &str) -> Option<String> {
        self.values.get(key).map(|value| String::from_utf8_lossy(value).into_owned())
    }
}

/// What can stand in a list of a name that somebody's file has.
fn as_title(name: &str) -> String {
    let visible: String = name.chars().filter(|character| !character.is_control()).collect();
    visible.trim().chars().take(limits::NAME_CHARS).collect::<String>().trim_end().to_owned()
}

/// Adds where an upload stands to an answer.
pub(super) fn tell(answer: &mut HttpResponseBuilder, state: &UploadState) {
    answer.insert_header((UPLOAD_OFFSET, state.offset.to_string()));
    if let Some(at) = state.expires_at {
        answer.insert_header((UPLOAD_EXPIRES, http_date(at)));
    }
}

/// Adds what was said when it was begun.
pub(super) fn tell_all(answer: &mut HttpResponseBuilder, state: &UploadState) {
    tell(answer, state);
    answer.insert_header((UPLOAD_LENGTH, state.upload.length_bytes.to_string()));
    if let Some(metadata) = &state.upload.metadata {
        answer.insert_header((UPLOAD_METADATA, metadata.as_str()));
    }
}
