//! Reading request headers strictly: one value, or none; never the first of several.

use actix_web::HttpRequest;
use actix_web::http::header::HeaderName;
use std::borrow::Cow;

/// A header that may come once. `Err` if it is repeated. A value that is no visible text reads as a text that
/// matches nothing.
pub fn single<'a>(request: &'a HttpRequest, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = request.headers().get_all(name);
    let first = values.next();
    if values.next().is_some() {
        return Err(());
    }
    Ok(first.map(|value| value.to_str().unwrap_or("\u{fffd}")))
}

/// A header that may come once, where several are the same as none.
pub fn lone<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    single(request, name).ok().flatten()
}

/// A header that is a list: what stands on several lines is one list (RFC 9110 §5.3).
pub fn list<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut lines = request.headers().get_all(name).map(|value| value.to_str().unwrap_or("\u{fffd}"));
    let first = lines.next()?;
    Some(lines.fold(Cow::Borrowed(first), |all, line| Cow::Owned(format!("{all}, {line}"))))
}

/// The credential of `Authorization: Bearer`, if that header has this form.
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, credential) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credential)
}
