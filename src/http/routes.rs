//! Every URL of the server. A page is here or nowhere.

use super::problem::Problem;
use super::ui::{self, Ui};
use super::{admin, appliance as socket, dashboard, embed, health, media, oembed, playback, sessions};
use crate::app::App;
use actix_web::dev::HttpServiceFactory;
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, Resource, web};

/// A resource with its methods; any other is answered 405 with `Allow`.
macro_rules! resource {
    ($path:expr, $($method:ident => $handler:expr),+ $(,)?) => {
        resource($path, &[$(Method::$method),+])$(.route(web::method(Method::$method).to($handler)))+
    };
}

fn resource(path: &str, methods: &[Method]) -> Resource {
    let allow = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let refuse = move || {
        let problem = Problem::method_not_allowed(&allow);
        async { Err::<HttpResponse, _>(problem) }
    };
    web::resource(path).default_service(web::to(refuse))
}

/// What the public listener serves.
pub fn public(config: &mut web::ServiceConfig, app: &App, ui: &Ui) {
    config
        .service(resource!("/api/v1/embeds/{id}/playback",
            GET => playback::playback, HEAD => playback::playback, OPTIONS => playback::preflight))
        .service(resource!("/v1/embeds/{id}/playback",
            GET => playback::playback, HEAD => playback::playback, OPTIONS => playback::preflight))
        .service(resource!("/api/v1/videos/{video}/sessions/{session}/renew",
            POST => sessions::renew, OPTIONS => sessions::preflight))
        .service(resource!("/embed/{id}", GET => embed::page, HEAD => embed::page))
        .service(resource!("/oembed", GET => oembed::describe, HEAD => oembed::describe))
        .service(resource!("/media/{tail:.*}",
            GET => media::serve, HEAD => media::serve, OPTIONS => media::preflight))
        .service(ui::assets(ui, &app.config))
        .service(resource!("/screener-player.js", GET => ui::wrapper, HEAD => ui::wrapper))
        .service(resource!("/licenses", GET => ui::licences, HEAD => ui::licences))
        .service(resource!("/healthz", GET => health::alive, HEAD => health::alive))
        .service(resource!("/readyz", GET => health::ready, HEAD => health::ready))
        .service(admin_routes())
        .service(resource!("/dashboard", GET => dashboard::sign_in::home))
        .service(dashboard_routes())
        .default_service(web::to(not_found));
}

/// Pages for operators. Every form posts to an address of its own and is answered with a way back.
fn dashboard_routes() -> impl HttpServiceFactory {
    use dashboard::{
        api_keys, audit, settings, sign_in, signing_keys, system, video, video_embed, video_security, videos,
    };
    web::scope("/dashboard")
        .wrap(from_fn(dashboard::pages))
        .service(resource!("/sign-in", GET => sign_in::show, POST => sign_in::enter))
        .service(resource!("/sign-out", POST => sign_in::leave))
        .service(resource!("/videos", GET => videos::show, POST => videos::upload))
        .service(resource!("/videos/{id}", GET => video::show, POST => video::rename))
        .service(resource!("/videos/{id}/delete", POST => video::delete))
        .service(resource!("/videos/{id}/source", POST => video::put_source))
        .service(resource!("/videos/{id}/poster", POST => video::put_poster))
        .service(resource!("/videos/{id}/poster/delete", POST => video::delete_poster))
        .service(resource!("/videos/{id}/captions", POST => video::put_captions))
        .service(resource!("/videos/{id}/captions/{language}/delete", POST => video::delete_captions))
        .service(resource!("/videos/{id}/renditions", POST => video::put_quality))
        .service(resource!("/videos/{id}/renditions/{label}/delete", POST => video::delete_quality))
        .service(resource!("/videos/{id}/transcoding", POST => video::begin_transcoding))
        .service(resource!("/videos/{id}/transcoding/cancel", POST => video::cancel_transcoding))
        .service(resource!("/videos/{id}/security", GET => video_security::show, POST => video_security::save))
        .service(resource!("/videos/{id}/security/test", POST => video_security::test))
        .service(resource!("/videos/{id}/sessions/{session}/end", POST => video_security::end))
        .service(resource!("/videos/{id}/embed", GET => video_embed::show))
        .service(resource!("/videos/{id}/embed/preview", POST => video_embed::preview))
        .service(resource!("/uploads/{id}/discard", POST => videos::discard))
        .service(resource!("/settings", GET => settings::show, POST => settings::save))
        .service(resource!("/settings/apply", POST => settings::apply))
        .service(resource!("/signing-keys", GET => signing_keys::show, POST => signing_keys::create))
        .service(resource!("/signing-keys/{id}/rotate",
            GET => signing_keys::show_rotation, POST => signing_keys::rotate))
        .service(resource!("/signing-keys/{id}/revoke", POST => signing_keys::revoke))
        .service(resource!("/publishable-keys",
            GET => api_keys::show_publishable, POST => api_keys::create_publishable))
        .service(resource!("/publishable-keys/{id}/revoke", POST => api_keys::revoke_publishable))
        .service(resource!("/private-keys", GET => api_keys::show_private, POST => api_keys::create_private))
        .service(resource!("/private-keys/{id}/revoke", POST => api_keys::revoke_private))
        .service(resource!("/audit", GET => audit::show))
        .service(resource!("/system", GET => system::show))
        .default_service(web::to(not_found))
}

fn admin_routes() -> impl HttpServiceFactory {
    use admin::{
        api_keys, audit, embeds, explain, extras, organization, preview, renditions, sessions, signing_keys, system,
        uploads, videos,
    };
    web::scope("/admin/v1")
        .service(resource!("/organization", GET => organization::read, PATCH => organization::change))
        .service(resource!("/signing-keys", GET => signing_keys::list, POST => signing_keys::create))
        .service(resource!("/signing-keys/{id}/rotate", POST => signing_keys::rotate))
        .service(resource!("/signing-keys/{id}/revoke", POST => signing_keys::revoke))
        .service(resource!("/publishable-keys",
            GET => api_keys::list_publishable, POST => api_keys::create_publishable))
        .service(resource!("/publishable-keys/{id}/revoke", POST => api_keys::revoke_publishable))
        .service(resource!("/private-keys",
            GET => api_keys::list_private, POST => api_keys::create_private))
        .service(resource!("/private-keys/{id}/revoke", POST => api_keys::revoke_private))
        .service(resource!("/videos", GET => videos::list, POST => videos::create))
        .service(resource!("/videos/visibility", POST => videos::change_all))
        .service(resource!("/videos/{id}",
            GET => videos::read, PATCH => videos::change, DELETE => videos::delete))
        .service(resource!("/videos/{id}/source", PUT => admin::source::put))
        .service(resource!("/videos/{id}/renditions/{label}", PUT => renditions::put, DELETE => renditions::delete))
        .service(resource!("/videos/{id}/transcoding", POST => renditions::begin, DELETE => renditions::cancel))
        .service(resource!("/videos/{id}/preview-token", POST => preview::create))
        .service(resource!("/videos/{id}/poster", PUT => extras::put_poster, DELETE => extras::delete_poster))
        .service(resource!("/videos/{id}/captions/{language}",
            PUT => extras::put_captions, DELETE => extras::delete_captions))
        .service(
            resource!("/uploads",
            GET => uploads::list, POST => uploads::create, OPTIONS => uploads::options)
            .wrap(from_fn(uploads::speak_tus)),
        )
        .service(
            resource!("/uploads/{id}",
            HEAD => uploads::head, PATCH => uploads::patch, DELETE => uploads::delete, POST => uploads::overridden,
            OPTIONS => uploads::options)
            .wrap(from_fn(uploads::speak_tus)),
        )
        .service(resource!("/embeds", GET => embeds::list, POST => embeds::create))
        .service(resource!("/embeds/{id}",
            GET => embeds::read, PATCH => embeds::change, DELETE => embeds::delete))
        .service(resource!("/sessions", GET => sessions::list))
        .service(resource!("/sessions/{id}", DELETE => sessions::end))
        .service(resource!("/sessions/{id}/end", POST => sessions::end))
        .service(resource!("/system", GET => system::read))
        .service(resource!("/audit", GET => audit::list))
        .service(resource!("/explain", POST => explain::explain))
        .default_service(web::to(not_found))
}

/// What the unix socket serves, to whoever may open it: the whole appliance.
pub fn appliance(config: &mut web::ServiceConfig) {
    config
        .service(resource!("/appliance/v1/status", GET => socket::status))
        .service(resource!("/appliance/v1/organizations",
            GET => socket::organizations, POST => socket::create_organization))
        .service(resource!("/appliance/v1/signing-keys", GET => socket::signing_keys))
        .service(resource!("/appliance/v1/signing-keys/{id}/revoke", POST => socket::revoke_signing_key))
        .service(resource!("/appliance/v1/asset-keys/rotate", POST => socket::rotate_asset_key))
        .service(resource!("/appliance/v1/explain", POST => socket::explain))
        .service(resource!("/appliance/v1/media/check", POST => socket::check_media))
        .service(resource!("/appliance/v1/backup", POST => socket::backup))
        .service(admin_routes())
        .default_service(web::to(not_found));
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found())
}
