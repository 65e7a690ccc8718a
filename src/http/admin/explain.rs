//! `POST /explain`: every check that an embed, a token and an origin would go through, each with its outcome, without
//! playing. For the backend's developer, to whom the viewer's answer tells too little.

use super::ok;
use crate::app::App;
use crate::auth::{Caller, Denied, PageOrigin, Step, ViewerRequest};
use crate::domain::{EmbedId, OrganizationId, Origin, Visibility};
use crate::http::extract::Admin;
use crate::http::form::Form;
use crate::http::playback::Subject;
use crate::http::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

/// `{"embedId","token","origin"}`, the last two optional.
pub async fn explain(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let form = Form::read(&request, payload).await?;
    Ok(ok(&explained(&app, Some(admin.organization), form).await?))
}

/// The answer; for any organization's embed where `organization` is `None`, as from the appliance's socket.
pub async fn explained(app: &App, organization: Option<OrganizationId>, mut form: Form) -> Result<Value, Problem> {
    let embed = EmbedId::parse(&form.required_text("embedId"));
    let token = form.text("token");
    let origin = form.text("origin");
    form.finish()?;
    let subject = match embed {
        Some(id) => Subject::find(app, id).await?,
        None => None,
    };
    let subject = subject.filter(|subject| organization.is_none_or(|owner| owner == subject.organization.id));
    let subject = subject.ok_or_else(Problem::not_found)?;
    let page = match &origin {
        None => PageOrigin::Unsaid,
        Some(text) => Origin::of(text).map_or(PageOrigin::Opaque, PageOrigin::Page),
    };
    let viewer_request = ViewerRequest {
        organization: &subject.organization,
        video: &subject.video,
        caller: Caller::EmbedPage,
        page: &page,
        own_origin: &app.own_origin,
        token: Ok(token.as_deref()),
    };
    let owner = subject.organization.id;
    let mut checks = vec![check("origin", viewer_request.check_origin(), "the page's origin is allowed")];
    let token_outcome = viewer_request.check_token(|kid| app.verifying_key(owner, kid), app.now());
    checks.extend(token_checks(&subject, token_outcome.map(|_| ())));
    checks.push(check("video_ready", viewer_request.check_ready(), "the video is ready"));
    let first_failure = checks.iter().find(|check| check.outcome == "fail");
    let code = first_failure.and_then(|check| check.code);
    Ok(json!({
        "outcome": if code.is_none() { "plays" } else { "blocked" },
        "code": code,
        "embedId": subject.embed.id.to_string(),
        "videoId": subject.video.id.to_string(),
        "visibility": subject.video.visibility,
        "checks": checks.iter().map(Check::body).collect::<Vec<_>>()
    }))
}

struct Check {
    name: &'static str,
    /// `pass`, `fail`, or `skip` for what an earlier failure or a public video left unasked.
    outcome: &'static str,
    code: Option<&'static str>,
    detail: &'static str,
}

impl Check {
    fn body(&self) -> Value {
        json!({ "check": self.name, "result": self.outcome, "code": self.code, "detail": self.detail })
    }
}

fn check(name: &'static str, outcome: Result<(), Denied>, passed: &'static str) -> Check {
    match outcome {
        Ok(()) => Check { name, outcome: "pass", code: None, detail: passed },
        Err(denied) => {
            let detail = match denied {
                Denied::Token(token) => token.detail(),
                Denied::ReferrerBlocked => "the origin is not in the organization's originRules",
                Denied::TokenMissing => "the video is private and no token was given",
                Denied::TokenAccessDisabled => "the video is private and tokenAccess is off",
                _ => "the video has no playable source yet",
            };
            Check { name, outcome: "fail", code: Some(Problem::from(denied).code()), detail }
        }
    }
}

/// The steps of the token's verification, up to and including the one that failed.
fn token_checks(subject: &Subject, outcome: Result<(), Denied>) -> Vec<Check> {
    let skip = |name, detail| Check { name, outcome: "skip", code: None, detail };
    if subject.video.visibility == Visibility::Public {
        return Step::ALL.map(|step| skip(step_words(step).0, "the video is public: a token is ignored")).into();
    }
    let access = |outcome| check("token_access", outcome, "the organization has token access on");
    let presented = |outcome| check("token_present", outcome, "a token was given");
    let failed_step = match outcome {
        Ok(()) => None,
        Err(Denied::TokenAccessDisabled) => return vec![access(outcome)],
        Err(Denied::Token(token)) => Some(token.step()),
        Err(_) => return vec![access(Ok(())), presented(outcome)],
    };
    let mut checks = vec![access(Ok(())), presented(Ok(()))];
    for step in Step::ALL {
        let (name, passed) = step_words(step);
        checks.push(match failed_step {
            Some(failed) if step == failed => check(name, outcome, passed),
            Some(failed) if step > failed => skip(name, "an earlier check failed"),
            _ => check(name, Ok(()), passed),
        });
    }
    checks
}

fn step_words(step: Step) -> (&'static str, &'static str) {
    match step {
        Step::Form => ("token_form", "three base64url parts; header and claims are JSON objects"),
        Step::Header => ("token_header", "alg is HS256 and kid is a signing key of this organization"),
        Step::Signature => ("token_signature", "the signature matches"),
        Step::KeyActive => ("signing_key_active", "the signing key is active"),
        Step::Times => ("token_times", "exp, iat and nbf hold"),
        Step::Video => ("token_video", "sub is this video"),
    }
}
