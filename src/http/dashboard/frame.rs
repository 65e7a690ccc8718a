//! What stands around every page: navigation, word of the last deed, what is wrong; and the headers that pages carry.

use super::operator::see_other;
use crate::http::problem::{Problem, ProblemCode};
use crate::http::trace_id;
use crate::http::ui::{Ui, compressed};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, VARY, X_FRAME_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use askama::Template;

/// A place in the navigation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The videos, and each of them.
    Videos,
    /// The settings that hold for all videos.
    Settings,
    /// Signing keys.
    SigningKeys,
    /// Publishable keys.
    PublishableKeys,
    /// Private keys.
    PrivateKeys,
    /// Who changed what.
    Audit,
    /// The appliance.
    System,
}

impl Section {
    /// All of them: address, and name.
    const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::Videos, "/dashboard/videos", "Videos"),
        (Self::Settings, "/dashboard/settings", "Settings"),
        (Self::SigningKeys, "/dashboard/signing-keys", "Signing keys"),
        (Self::PublishableKeys, "/dashboard/publishable-keys", "Publishable keys"),
        (Self::PrivateKeys, "/dashboard/private-keys", "Private keys"),
        (Self::Audit, "/dashboard/audit", "Audit log"),
        (Self::System, "/dashboard/system", "System"),
    ];
}

/// Where a page finds its look and its scripts.
pub struct Sheet {
    /// The picture in the browser's tab.
    pub icon: String,
    /// The style sheet.
    pub style: String,
    /// What makes pages livelier.
    pub script: String,
    /// What uploads.
    pub upload: String,
}

impl Sheet {
    /// Of this build.
    pub fn of(ui: &Ui) -> Self {
        Self {
            icon: ui.url("icon.svg"),
            style: ui.url("dashboard.css"),
            script: ui.url("dashboard.js"),
            upload: ui.url("upload.js"),
        }
    }
}

/// What stands around a page.
pub struct Frame {
    /// What the page is called.
    pub title: String,
    /// Where it stands.
    pub section: Section,
    /// Whose it is.
    pub organization: String,
    /// What was done last.
    pub said: Option<&'static str>,
    /// What is wrong.
    pub complaint: Option<Complaint>,
    /// Whether it answers a form, so that its address can't be looked at again.
    pub is_answer: bool,
    /// Its look.
    pub sheet: Sheet,
}

impl Frame {
    /// The navigation: address, name, and whether the page stands there.
    pub fn navigation(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        Section::ALL.iter().map(|(section, to, name)| (*to, *name, *section == self.section))
    }

    /// What is wrong with a field.
    pub fn wrong(&self, field: &str) -> Option<&str> {
        let fields = self.complaint.iter().flat_map(|complaint| &complaint.fields);
        fields.into_iter().find(|(name, _)| name == field).map(|(_, what)| what.as_str())
    }

    /// What to show in a field: what was typed if it was not taken, `stored` otherwise.
    pub fn shown<'a>(&'a self, field: &str, stored: &'a str) -> &'a str {
        let typed = self.complaint.iter().flat_map(|complaint| &complaint.typed);
        typed.into_iter().rev().find(|(name, _)| name == field).map_or(stored, |(_, value)| value)
    }
}

/// Why a form was not taken.
pub struct Complaint {
    /// For a person.
    pub sentence: String,
    /// What is wrong with each field.
    pub fields: Vec<(String, String)>,
    typed: Vec<(String, String)>,
}

impl Complaint {
    /// Words a problem for whoever sent a form.
    pub fn new(problem: &Problem, typed: Vec<(String, String)>) -> Self {
        let list = |what: &serde_json::Value| {
            let all = what.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
            all.collect::<Vec<_>>().join("; ")
        };
        let errors = problem.errors().into_iter().flatten();
        let fields = errors.map(|(name, what)| (name.clone(), list(what))).collect();
        Self { sentence: problem.sentence().to_owned(), fields, typed }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    heading: &'a str,
    sentence: &'a str,
    code: &'a str,
    trace_id: String,
    sheet: Sheet,
}

/// Wraps every page: what goes wrong is said on a page, whoever is not signed in is asked to, and no page is kept,
/// framed, or allowed a script that is not ours.
pub async fn pages(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let sheet = request.app_data::<web::Data<Ui>>().map(|ui| Sheet::of(ui));
    let asked = (request.method() == Method::GET).then(|| request.uri().path().to_owned());
    let response = next.call(request).await?.map_into_boxed_body();
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    let worded = match (problem, sheet) {
        (Some(problem), _) if problem.status() == StatusCode::UNAUTHORIZED => Some(match asked {
            Some(path) => see_other(&format!("/dashboard/sign-in?next={path}")),
            None => see_other("/dashboard/sign-in?said=signed_out"),
        }),
        (Some(problem), Some(sheet)) => Some(problem_page(problem, sheet)),
        _ => None,
    };
    let mut response = match worded {
        Some(worded) => response.into_response(worded),
        None => response,
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // Under `no-referrer` a form would come with `Origin: null` (Fetch §3.2): what tells it from another site's where
    // a browser has no `Sec-Fetch-Site`.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    );
    Ok(response)
}

fn problem_page(problem: &Problem, sheet: Sheet) -> HttpResponse {
    let page = ProblemPage {
        heading: match problem.status() {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::TOO_MANY_REQUESTS => "Too many tries",
            _ => "This did not work",
        },
        sentence: problem.sentence(),
        code: problem.code(),
        trace_id: trace_id::current(),
        sheet,
    };
    let mut response = html(problem.status(), &page, false).unwrap_or_else(HttpResponse::from_error);
    for (name, value) in problem.headers() {
        response.headers_mut().append(name.clone(), value.clone());
    }
    response.extensions_mut().insert(ProblemCode(problem.code()));
    response
}

/// A page.
pub fn html(status: StatusCode, page: &impl Template, compresses: bool) -> Result<HttpResponse, Problem> {
    let text = page.render().map_err(|error| Problem::internal(&error))?;
    let mut response = HttpResponse::build(status);
    response.insert_header((CONTENT_TYPE, "text/html; charset=utf-8")).insert_header((VARY, ACCEPT_ENCODING.as_str()));
    match compresses.then(|| compressed(&text)).flatten() {
        Some(bytes) => Ok(response.insert_header((CONTENT_ENCODING, "br")).body(bytes)),
        None => Ok(response.body(text)),
    }
}
