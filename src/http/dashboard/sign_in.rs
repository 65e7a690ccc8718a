//! Signing in with a private key, and signing out.

use super::frame::{Sheet, html};
use super::operator::{Operator, see_other};
use super::words;
use crate::app::App;
use crate::auth::Credential;
use crate::http::extract::{Admin, COOKIE, is_from_here, query_text};
use crate::http::form::Form;
use crate::http::problem::Problem;
use crate::http::rate::RateLimits;
use crate::http::ui::Ui;
use actix_web::http::StatusCode;
use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

/// Where whoever signs in goes, unless they wanted to go elsewhere.
const HOME: &str = "/dashboard/videos";

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page<'a> {
    sheet: Sheet,
    next: &'a str,
    said: Option<&'static str>,
    wrong: Option<&'static str>,
}

/// `GET /dashboard`
pub async fn home() -> HttpResponse {
    see_other(HOME)
}

/// `GET /dashboard/sign-in`
pub async fn show(request: HttpRequest, ui: web::Data<Ui>) -> Result<HttpResponse, Problem> {
    let next = query_text(&request, "next")?;
    let next = page_of_ours(next.as_deref().unwrap_or(HOME));
    if Admin::signed_in(&request).is_some() {
        return Ok(see_other(next));
    }
    let said = query_text(&request, "said")?.as_deref().and_then(words::of_deed);
    html(StatusCode::OK, &Page { sheet: Sheet::of(&ui), next, said, wrong: None }, false)
}

/// `POST /dashboard/sign-in`: `key`, and `next`, the page to go to.
pub async fn enter(
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
    ui: web::Data<Ui>,
    rates: web::Data<RateLimits>,
) -> Result<HttpResponse, Problem> {
    // Nobody is to be signed in to somebody else's dashboard by a page of theirs.
    if !is_from_here(&request) {
        return Err(Problem::cross_site());
    }
    let mut form = Form::of_fields(Form::read_fields(payload).await?);
    let key = form.text("key").unwrap_or_default();
    let next = form.text("next").unwrap_or_default();
    let next = page_of_ours(&next);
    let wrong = match Credential::parse(key.trim()) {
        Credential::Private(hash) => {
            let found = app.store.access().private_key(&hash).cloned();
            if let Some(key) = found {
                rates.count_sign_in(key.id, &request)?;
                let cookie = app.sign_in(&key).await?;
                // A session cookie: it goes with the browser, and its record ends by itself.
                let value = format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict", cookie.expose());
                return Ok(HttpResponse::SeeOther()
                    .insert_header((actix_web::http::header::LOCATION, next))
                    .insert_header((SET_COOKIE, value))
                    .finish());
            }
            "This key is unknown or revoked."
        }
        Credential::Publishable(_) => "This is a publishable key. The dashboard takes a private one (mvi_priv_…).",
        Credential::Signing => {
            tracing::warn!("what looks like a signing secret was sent to sign in: rotate it if it is yours");
            "This is a signing key's secret. The dashboard takes a private key (mvi_priv_…)."
        }
        Credential::Unknown => "This is not a private key: those begin with mvi_priv_ and have 52 characters.",
    };
    rates.count_admin_failure(&request)?;
    html(StatusCode::UNAUTHORIZED, &Page { sheet: Sheet::of(&ui), next, said: None, wrong: Some(wrong) }, false)
}

/// `POST /dashboard/sign-out`
pub async fn leave(operator: Operator) -> Result<HttpResponse, Problem> {
    if let Some(sign_in) = operator.admin.sign_in.clone() {
        operator.app.sign_out(sign_in).await?;
    }
    let gone = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    let mut response = see_other("/dashboard/sign-in?said=signed_out");
    if let Ok(gone) = gone.parse() {
        response.headers_mut().insert(SET_COOKIE, gone);
    }
    Ok(response)
}

/// The address if it is one of the dashboard's, else its home: nobody is sent elsewhere by a link to sign in.
fn page_of_ours(address: &str) -> &str {
    let is_plain = address.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-".contains(&byte));
    let is_ours = address.starts_with("/dashboard/") && !address.contains("//") && address != "/dashboard/sign-in";
    if is_plain && is_ours { address } else { HOME }
}

#[cfg(test)]
mod tests {
    use super::page_of_ours;

    #[test]
    fn only_pages_of_the_dashboard_are_gone_to() {
        assert_eq!(page_of_ours("/dashboard/signing-keys"), "/dashboard/signing-keys");
        for address in [
            "",
            "//evil.example",
            "https://evil.example",
            "/dashboard//evil.example",
            "/dashboard/\\evil",
            "/embed/x",
            "/dashboard/sign-in",
            "/dashboard/videos?x=y",
            "/dashboard/\r\nSet-Cookie: a=b",
        ] {
            assert_eq!(page_of_ours(address), "/dashboard/videos", "{address}");
        }
    }
}
