//! Who asks, and for what. What these answer cannot be made anywhere else.

use super::headers::{bearer, lone, single};
use super::problem::Problem;
use super::rate::RateLimits;
use super::trace::LoggedOrganization;
use crate::app::App;
use crate::auth::Credential;
use crate::domain::{Mandate, OrganizationId, PrivateKeyId, PublishableKey, SignIn, limits};
use crate::store::Cursor;
use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, COOKIE as COOKIES, HOST, HeaderName, ORIGIN};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::Arc;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The dashboard's cookie. Browsers take a name that begins so for this host alone, over TLS alone (RFC 6265bis §4.1.3.2).
pub const COOKIE: &str = "__Host-screener";

/// With this header a page brings itself up to date: nobody sits before it for that.
const LOOK: HeaderName = HeaderName::from_static("screener-look");

/// Proof that a request came with an organization's private key, or with the cookie of a sign-in that stands on one.
pub struct Admin {
    /// The organization.
    pub organization: OrganizationId,
    /// The key's record.
    key: PrivateKeyId,
    /// The sign-in, if it came with one.
    pub sign_in: Option<Arc<SignIn>>,
}

impl Admin {
    /// On whose word they change anything: it holds until the change is made, or the change is not made.
    pub fn mandate(&self) -> Mandate {
        Mandate::Key { id: self.key, sign_in: self.sign_in.as_ref().map(|sign_in| sign_in.id) }
    }

    /// Refuses whoever was shut out since they asked: to be asked again while a body comes, which may take hours.
    pub fn check(&self, app: &App) -> Result<(), Problem> {
        check_mandate(app, &self.mandate())?;
        // Whoever sends is there.
        if let Some(sign_in) = &self.sign_in {
            app.note_sign_in_use(sign_in, app.now());
        }
        Ok(())
    }

    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let app = state::<App>(request)?;
        let credential = match single(request, &AUTHORIZATION) {
            Ok(Some(text)) => bearer(text).map(Credential::parse),
            Ok(None) => match Self::signed_in(request) {
                Some(admin) if request.method().is_safe() || is_from_here(request) => return admin.counted(request),
                Some(_) => return Err(Problem::cross_site()),
                None => None,
            },
            Err(()) => None,
        };
        if let Some(Credential::Private(hash)) = &credential {
            let key = app.store.access().private_key(hash).cloned();
            if let Some(key) = key {
                request.extensions_mut().insert(LoggedOrganization(key.organization));
                return Self { organization: key.organization, key: key.id, sign_in: None }.counted(request);
            }
        }
        state::<RateLimits>(request)?.count_admin_failure(request)?;
        match &credential {
            Some(Credential::Publishable(_)) => return Err(Problem::publishable_key_not_allowed()),
            Some(Credential::Signing) => {
                tracing::warn!("what looks like a signing secret was sent as a private key: rotate it if it is yours");
            }
            Some(Credential::Private(_) | Credential::Unknown) | None => {}
        }
        for hash in Credential::private_in(request.query_string()) {
            let key = app.store.access().private_key(&hash).cloned();
            if let Some(key) = key {
                tracing::warn!(private_key = %key.id, "a private key was sent in a URL, which others write down: revoke it");
            }
        }
        Err(Problem::private_key_invalid())
    }

    /// The same, where their key does not ask too often.
    pub fn counted(self, request: &HttpRequest) -> Result<Self, Problem> {
        state::<RateLimits>(request)?.count_private_key(self.key, request)?;
        Ok(self)
    }

    /// Whoever is signed in to the dashboard with this browser. A request that changes something must be
    /// [`is_from_here`] besides.
    pub fn signed_in(request: &HttpRequest) -> Option<Self> {
        let app = request.app_data::<web::Data<App>>()?;
        let mut lines = request.headers().get_all(&COOKIES);
        let (Some(cookies), None) = (lines.next(), lines.next()) else { return None };
        // Others' values may be any bytes: an application on another port of this host sets cookies that come here, too.
        let mut pairs = cookies.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii_start);
        let value = pairs.find_map(|pair| pair.strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"="))?;
        let now = app.now();
        let sign_in = app.signed_in(std::str::from_utf8(value).ok()?, now)?;
        if !request.headers().contains_key(LOOK) {
            app.note_sign_in_use(&sign_in, now);
        }
        request.extensions_mut().insert(LoggedOrganization(sign_in.organization));
        Some(Self { organization: sign_in.organization, key: sign_in.private_key, sign_in: Some(sign_in) })
    }
}

/// Refuses what nobody may do any more.
pub fn check_mandate(app: &App, mandate: &Mandate) -> Result<(), Problem> {
    if app.store.access().holds(mandate) { Ok(()) } else { Err(Problem::private_key_invalid()) }
}

/// Whether a request was made by a page of this server: what a cookie alone does not tell. Browsers say it in
/// `Sec-Fetch-Site` (W3C Fetch Metadata §2.2); for those that don't, `Origin` must name the host that was asked.
pub fn is_from_here(request: &HttpRequest) -> bool {
    match single(request, &HeaderName::from_static("sec-fetch-site")) {
        Ok(Some(site)) => site == "same-origin",
        Ok(None) => {
            // The cookie is sent over TLS alone, so its pages have that scheme, whoever ends TLS.
            let host = lone(request, &ORIGIN).and_then(|origin| origin.strip_prefix("https://"));
            host.is_some_and(|host| lone(request, &HOST) == Some(host))
        }
        Err(()) => false,
    }
}

impl FromRequest for Admin {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

/// The publishable key of a playback request.
pub fn publishable_key(request: &HttpRequest, app: &App) -> Result<Arc<PublishableKey>, Problem> {
    let authorization = single(request, &AUTHORIZATION).map_err(|()| Problem::publishable_key_invalid())?;
    let api_key = single(request, &X_API_KEY).map_err(|()| Problem::publishable_key_invalid())?;
    let text = match authorization {
        Some(text) => bearer(text),
        None => api_key,
    };
    match text.map(Credential::parse) {
        Some(Credential::Publishable(hash)) => {
            let key = app.store.access().publishable_key(&hash).cloned();
            key.filter(|key| key.revoked_at.is_none()).ok_or_else(Problem::publishable_key_invalid)
        }
        Some(Credential::Private(hash)) => {
            // A page or an app gives away a key of ours. What only looks like one is no news.
            let key = app.store.access().private_key(&hash).cloned();
            if let Some(key) = key {
                tracing::warn!(private_key = %key.id, "a private key was sent as a publishable key: revoke it");
            }
            Err(Problem::private_key_not_allowed())
        }
        Some(Credential::Signing) => {
            tracing::warn!("what looks like a signing secret was sent as a publishable key: rotate it if it is yours");
            Err(Problem::publishable_key_invalid())
        }
        Some(Credential::Unknown) | None => Err(Problem::publishable_key_invalid()),
    }
}

/// `bundle_id` of `x-moviie-client: bundle_id=…;platform=…;sdk=…`.
pub fn bundle_id(request: &HttpRequest) -> Option<&str> {
    let client = lone(request, &HeaderName::from_static("x-moviie-client"))?;
    client.split(';').find_map(|part| part.trim().strip_prefix("bundle_id="))
}

/// The viewer token's header, as the gate takes it.
pub fn playback_token(request: &HttpRequest) -> Result<Option<&str>, ()> {
    single(request, &HeaderName::from_static("x-moviie-playback-token"))
}

/// An id in the path; 404 if it is not one.
pub fn path_id<T>(request: &HttpRequest, parse: impl Fn(&str) -> Option<T>) -> Result<T, Problem> {
    named_id(request, "id", parse)
}

/// A named id in the path; 404 if it is not one.
pub fn named_id<T>(request: &HttpRequest, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Problem> {
    request.match_info().get(name).and_then(parse).ok_or_else(Problem::not_found)
}

/// A parameter of the query, decoded; the last of its name. 422 where that is no percent-encoded UTF-8.
pub fn query_text(request: &HttpRequest, name: &str) -> Result<Option<String>, Problem> {
    let query = web::Query::<BTreeMap<String, String>>::from_query(request.query_string());
    let found = query.map(|query| query.into_inner().remove(name));
    match found {
        // What is no UTF-8 is decoded to replacement characters, which nobody types.
        Ok(found) if !found.as_ref().is_some_and(|text| text.contains('\u{fffd}')) => Ok(found),
        _ => Err(Problem::invalid_field(name, "must be percent-encoded UTF-8")),
    }
}

/// What a list was asked for: `limit` and `cursor`.
pub struct PageRequest<C = Cursor> {
    /// Items wanted.
    pub limit: usize,
    /// Where to go on.
    pub cursor: Option<C>,
}

impl PageRequest {
    /// The first page, as long as it is unless someone asks otherwise.
    pub fn first() -> Self {
        Self { limit: limits::PAGE_ITEMS_DEFAULT, cursor: None }
    }

    /// Reads the query; 422 for anything that is not right.
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        Self::read(request, Cursor::decode)
    }
}

impl<C> PageRequest<C> {
    /// The same where the list has cursors of its own.
    pub fn read(request: &HttpRequest, decode: impl Fn(&str) -> Option<C>) -> Result<Self, Problem> {
        let mut page = Self { limit: limits::PAGE_ITEMS_DEFAULT, cursor: None };
        let mut errors = serde_json::Map::new();
        for (name, value) in request.query_string().split('&').filter_map(|pair| pair.split_once('=')) {
            let fault = match name {
                "limit" => match value.parse().ok().filter(|limit| limits::PAGE_ITEMS.contains(limit)) {
                    Some(limit) => {
                        page.limit = limit;
                        None
                    }
                    None => Some("must be a whole number from 1 to 100"),
                },
                "cursor" => {
                    page.cursor = decode(value);
                    page.cursor.is_none().then_some("is not one that a list gave out")
                }
                _ => None,
            };
            if let Some(fault) = fault {
                errors.insert(name.to_owned(), serde_json::json!([fault]));
            }
        }
        if errors.is_empty() { Ok(page) } else { Err(Problem::invalid_fields(errors)) }
    }
}

fn state<T: 'static>(request: &HttpRequest) -> Result<&web::Data<T>, Problem> {
    request.app_data::<web::Data<T>>().ok_or_else(|| Problem::internal(&"a part of the server is not assembled"))
}
