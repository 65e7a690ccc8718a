//! `/organization`: its settings.

use super::{Refused, event, ok};
use crate::app::App;
use crate::domain::{Kind, Organization, Visibility, limits};
use crate::http::extract::Admin;
use crate::http::form::Form;
use crate::http::problem::Problem;
use crate::store::Draft;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

/// `GET /organization`
pub async fn read(admin: Admin, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let organization = app.organization(admin.organization).ok_or_else(Problem::not_found)?;
    Ok(ok(&body(&organization)))
}

/// `PATCH /organization`: the members that are there are changed. `defaultVisibility` is for videos created afterwards.
pub async fn change(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    Ok(ok(&set(&app, &admin, Form::read(&request, payload).await?).await?))
}

/// Changes the settings that a form names: the organization as it is then.
pub async fn set(app: &App, admin: &Admin, mut form: Form) -> Result<Value, Problem> {
    let name = form.name("name");
    let token_access = form.boolean("tokenAccess");
    let default_visibility = form.word("defaultVisibility", "\"public\" or \"private\"");
    let asset_url_ttl_s = form.seconds("assetUrlTtl", &limits::ASSET_URL_TTL_S);
    let session_max_age_s = form.seconds("sessionMaxAge", &limits::SESSION_MAX_AGE_S);
    let max_token_lifetime_s = form.seconds("maxTokenLifetime", &limits::TOKEN_LIFETIME_S);
    let origin_rules = form.origin_rules("originRules");
    form.finish()?;
    // What only closes is not refused for want of room.
    let opens = token_access == Some(true)
        || default_visibility == Some(Visibility::Public)
        || session_max_age_s.is_some_and(|seconds| seconds > 0)
        || origin_rules.as_ref().is_some_and(Vec::is_empty);
    let only_closes = !opens && name.is_none() && asset_url_ttl_s.is_none() && max_token_lifetime_s.is_none();
    let (id, mandate) = (admin.organization, admin.mandate());
    let change = move |draft: &mut Draft<'_>| {
        let mut organization: Organization = draft.find(id.0).ok_or_else(Problem::not_found)?;
        let before = body(&organization);
        let settings = &mut organization.settings;
        replace(&mut settings.token_access, token_access);
        replace(&mut settings.default_visibility, default_visibility);
        replace(&mut settings.asset_url_ttl_s, asset_url_ttl_s);
        replace(&mut settings.session_max_age_s, session_max_age_s);
        replace(&mut settings.max_token_lifetime_s, max_token_lifetime_s);
        replace(&mut settings.origin_rules, origin_rules);
        replace(&mut organization.name, name);
        let after = body(&organization);
        if before != after {
            draft.put(&organization);
            draft.audit(event(
                mandate,
                id,
                "organization.change",
                (Kind::Organization, id.0),
                difference(&before, &after),
            ));
        }
        Ok::<_, Refused>(after)
    };
    Ok(if only_closes {
        app.store.write_urgent(app.now(), change).await?
    } else {
        app.store.write(app.now(), change).await?
    })
}

fn replace<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn body(organization: &Organization) -> Value {
    let settings = &organization.settings;
    json!({
        "id": organization.id.to_string(),
        "name": organization.name,
        "tokenAccess": settings.token_access,
        "defaultVisibility": settings.default_visibility,
        "assetUrlTtl": settings.asset_url_ttl_s,
        "sessionMaxAge": settings.session_max_age_s,
        "maxTokenLifetime": settings.max_token_lifetime_s,
        "originRules": settings.origin_rules,
        "createdAt": organization.created_at.to_string()
    })
}

/// The members that differ, each with its old and new value: what the audit log tells of a change.
pub fn difference(before: &Value, after: &Value) -> Value {
    let Some(members) = after.as_object() else { return Value::Null };
    let changed = members.iter().filter(|(name, value)| before.get(name) != Some(value));
    changed.map(|(name, value)| (name.clone(), json!({ "from": before.get(name), "to": value }))).collect()
}
