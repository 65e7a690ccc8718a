//! Forms with a file in them (`multipart/form-data`, RFC 7578), for browsers without scripts and for small files.

use super::operator::Posted;
use crate::domain::limits;
use crate::http::form::{body_timeout, read_short};
use crate::http::problem::Problem;
use actix_multipart::{Field, Multipart};
use actix_web::{HttpRequest, web};
use futures_util::StreamExt;
use std::time::Duration;

/// Parts of one form up to its file.
const PARTS: usize = 20;

/// A form up to its file. What follows the file is not read.
pub struct SentFile {
    /// The fields that stand before the file.
    pub posted: Posted,
    /// The file; `None` if none was chosen.
    pub file: Option<ChosenFile>,
}

/// A file that someone chose.
pub struct ChosenFile {
    /// Its name, as their machine has it; nothing here is ever a path.
    pub name: String,
    /// Its bytes.
    pub bytes: Field,
    /// What the bytes are read through.
    _form: Multipart,
}

impl SentFile {
    /// Reads a form as far as its file.
    pub async fn read(request: &HttpRequest, payload: web::Payload) -> Result<Self, Problem> {
        let mut form = Multipart::new(request.headers(), payload);
        let mut fields = Vec::new();
        for _ in 0..PARTS {
            let Some(field) = next_part(&mut form).await? else { break };
            let filename = field.content_disposition().and_then(|disposition| disposition.get_filename());
            if let Some(name) = filename.map(str::to_owned) {
                // A file field that was left alone is sent, too.
                if name.is_empty() {
                    read_short(field).await?;
                    continue;
                }
                let file = ChosenFile { name, bytes: field, _form: form };
                return Ok(Self { posted: Posted::of(fields), file: Some(file) });
            }
            let name = field.name().unwrap_or_default().to_owned();
            let value = read_short(field).await?;
            fields.push((name, String::from_utf8_lossy(&value).into_owned()));
        }
        Ok(Self { posted: Posted::of(fields), file: None })
    }

    /// The file, which must be there.
    pub fn required(self) -> Result<(Posted, ChosenFile), Problem> {
        let missing = || Problem::invalid_field("file", "choose one first");
        Ok((self.posted, self.file.ok_or_else(missing)?))
    }
}

/// The next part of a form; 408 when its head stays away for [`limits::BODY_IDLE_S`].
async fn next_part(form: &mut Multipart) -> Result<Option<Field>, Problem> {
    let idle = Duration::from_secs(limits::BODY_IDLE_S);
    let part = tokio::time::timeout(idle, form.next()).await.map_err(|_| body_timeout(limits::BODY_IDLE_S))?;
    part.transpose().map_err(|_| Problem::bad_request("The form can't be read."))
}

/// What a film is called after its file: without directory and ending, as long as a title may be.
pub fn title_of(file_name: &str) -> String {
    let name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let plain: String = stem.chars().filter(|c| !c.is_control()).take(limits::NAME_CHARS).collect();
    let title = plain.trim();
    if title.is_empty() { "Untitled".to_owned() } else { title.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::title_of;

    #[test]
    fn a_film_is_called_after_its_file() {
        let long = "x".repeat(300);
        for (name, title) in [
            ("Lesson 1.mp4", "Lesson 1"),
            ("C:\\films\\a.b.mov", "a.b"),
            ("../../etc/passwd", "passwd"),
            (".mp4", "Untitled"),
            ("\u{7}\u{0}", "Untitled"),
            (&long, &long[..200]),
        ] {
            assert_eq!(title_of(name), title);
        }
    }
}
