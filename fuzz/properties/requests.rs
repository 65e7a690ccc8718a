//! A whole request against the whole server, in memory: whatever is asked, the answer is no failure, no secret stands in
//! it, and media leave under the right grant alone.
//!
//! A request is written as on the wire. `{priv}`, `{pub}`, `{token}`, `{video}`, `{embed}`, `{key}`, `{upload}` and
//! `{grant}` stand for what this server has.

use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::{App, body, middleware, rt, test, web};
use bytes::Bytes;
use screener::app::{App as Screener, Clock, SystemEntropy, new_organization};
use screener::config::Config;
use screener::domain::{Actor, Timestamp};
use screener::http::{self, Flights, RateLimits, Ui};
use screener::store::{StateDir, write_master_key};
use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use tempfile::TempDir;

/// What requests begin with.
pub const SEEDS: &[&[u8]] = &[
    b"GET /media/{video}/{grant}/master.m3u8\nrange: bytes=0-99\nif-none-match: \"a\"\n\n",
    b"HEAD /media/{video}/{grant}/master.m3u8\n\n",
    b"GET /media/{video}/p1.k.1.x.-.1.2.3.AAAA/master.m3u8\norigin: https://example.com\n\n",
    b"GET /api/v1/embeds/{embed}/playback\nauthorization: Bearer {pub}\nx-moviie-playback-token: {token}\n\n",
    b"GET /embed/{embed}?token={token}&autoplay=muted\nreferer: https://example.com/page\n\n",
    b"GET /oembed?url=https%3A%2F%2F127.0.0.1%3A8443%2Fembed%2F{embed}&maxwidth=640\n\n",
    b"POST /admin/v1/videos\nauthorization: Bearer {priv}\ncontent-type: application/json\n\n{\"title\":\"A\",\"visibility\":\"private\"}",
    b"PATCH /admin/v1/videos/{video}\nauthorization: Bearer {priv}\ncontent-type: application/json\n\n{\"title\":\"B\"}",
    b"PATCH /admin/v1/organization\nauthorization: Bearer {priv}\ncontent-type: application/json\n\n{\"originRules\":[\"*.example.com\"],\"assetUrlTtl\":300}",
    b"GET /admin/v1/videos?limit=10&search=a\nauthorization: Bearer {priv}\n\n",
    b"POST /admin/v1/signing-keys/{key}/rotate\nauthorization: Bearer {priv}\n\n",
    b"POST /admin/v1/uploads\nauthorization: Bearer {priv}\ntus-resumable: 1.0.0\nupload-length: 100\nupload-metadata: title QQ==,visibility cHJpdmF0ZQ==\nupload-checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n",
    b"HEAD {upload}\nauthorization: Bearer {priv}\ntus-resumable: 1.0.0\n\n",
    b"PATCH {upload}\nauthorization: Bearer {priv}\ntus-resumable: 1.0.0\nupload-offset: 0\ncontent-type: application/offset+octet-stream\n\nabc",
    b"POST /admin/v1/explain\nauthorization: Bearer {priv}\ncontent-type: application/json\n\n{\"token\":\"{token}\",\"embedId\":\"{embed}\"}",
    b"PUT /admin/v1/videos/{video}/captions/en?label=English\nauthorization: Bearer {priv}\n\nWEBVTT\n\n00:01.000 --> 00:02.000\nA\n",
    b"POST /dashboard/sign-in\ncontent-type: application/x-www-form-urlencoded\nsec-fetch-site: same-origin\n\nkey=mvi_priv_x&to=%2Fdashboard",
    b"OPTIONS /media/{video}/{grant}/master.m3u8\norigin: https://example.com\naccess-control-request-method: GET\n\n",
];

/// Time stands still, so that the token and the grant stay good.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_795_500_100)
    }
}

type Answering = Pin<Box<dyn Future<Output = (StatusCode, Bytes)>>>;

struct Server {
    system: rt::SystemRunner,
    answer: Box<dyn Fn(test::TestRequest) -> Answering>,
    words: Vec<(&'static str, String)>,
    _state: TempDir,
}

thread_local! {
    static SERVER: Server = Server::start();
}

/// Checks one request.
pub fn hold(bytes: &[u8]) {
    status_of(bytes);
}

/// Checks one request; the status of its answer, where it is a request.
pub fn status_of(bytes: &[u8]) -> Option<u16> {
    SERVER.with(|server| server.hold(bytes))
}

impl Server {
    fn start() -> Self {
        let system = rt::System::new();
        // Changes are synced; in memory that costs nothing.
        let state = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a temporary directory");
        let (answer, words) = system.block_on(Self::assemble(&state));
        Self { system, answer, words, _state: state }
    }

    async fn assemble(state: &TempDir) -> (Box<dyn Fn(test::TestRequest) -> Answering>, Vec<(&'static str, String)>) {
        let path = state.path().join("state");
        let mut config = Config::default_for(path.clone());
        config.limits.playback_per_second = 0;
        config.limits.admin_failures_per_minute = 0;
        config.media.min_free_mib = 0;
        let directory = StateDir::create(&path).expect("a state directory");
        write_master_key(&config.state.master_key_file, &[7; 32]).expect("a master key");
        let started = Screener::start(config, directory, Box::new(Still), Box::new(SystemEntropy)).await;
        let screener = web::Data::new(started.expect("the server starts"));
        let first = new_organization(&screener, Actor::Appliance, "Fuzz".into()).await.expect("an organization");
        let (ui, rates) =
            (web::Data::new(Ui::new(&screener.config)), web::Data::new(RateLimits::new(&screener.config)));
        let flights = web::Data::new(Arc::new(Flights::new(1)));
        let (app, for_ui) = (screener.clone(), ui.clone());
        let service = test::init_service(
            App::new()
                .app_data(screener.clone())
                .app_data(ui)
                .app_data(rates)
                .app_data(flights)
                .wrap(middleware::from_fn(http::request))
                .configure(|routes| http::public(routes, &app, &for_ui)),
        )
        .await;
        let service = Rc::new(service);
        let uploads = Rc::clone(&service);
        let location = async move |request: test::TestRequest| {
            let answered =
                uploads.call(request.to_request()).await.unwrap_or_else(|failure| panic!("no answer: {failure}"));
            let location = answered.headers().get("location").and_then(|value| value.to_str().ok());
            let uri = location
                .and_then(|value| value.parse::<Uri>().ok())
                .unwrap_or_else(|| panic!("no upload was begun: {}", answered.status()));
            uri.path().to_owned()
        };
        let answer: Box<dyn Fn(test::TestRequest) -> Answering> = Box::new(move |request| {
            let service = Rc::clone(&service);
            Box::pin(async move {
                let answered: Result<ServiceResponse<_>, _> = service.call(request.to_request()).await;
                let response = answered.unwrap_or_else(|failure| panic!("no answer: {failure}"));
                let status = response.status();
                (status, body::to_bytes(response.into_body()).await.unwrap_or_default())
            })
        });
        let private_key = first.private_key.expose().clone();
        let admin = async |method: Method, path: &str, sent: Vec<u8>, kind: &str| -> Value {
            let request = test::TestRequest::with_uri(&format!("/admin/v1{path}")).method(method);
            let request = request.insert_header(("authorization", format!("Bearer {private_key}")));
            let request = request.insert_header(("content-type", kind)).set_payload(sent);
            let (status, answered) = answer(request).await;
            assert!(status.is_success(), "{path}: {status} {answered:?}");
            serde_json::from_slice(&answered).unwrap_or_default()
        };
        let json_kind = "application/json";
        admin(Method::PATCH, "/organization", json!({ "tokenAccess": true }).to_string().into(), json_kind).await;
        let asked = json!({ "title": "A film", "visibility": "private" }).to_string();
        let video = admin(Method::POST, "/videos", asked.into(), json_kind).await;
        let id = video["id"].as_str().expect("an id").to_owned();
        let film = include_bytes!("../../tests/fixtures/h264_aac.mp4").to_vec();
        admin(Method::PUT, &format!("/videos/{id}/source"), film, "application/octet-stream").await;
        let key = admin(Method::POST, "/signing-keys", b"{}".to_vec(), json_kind).await;
        let preview = admin(Method::POST, &format!("/videos/{id}/preview-token"), Vec::new(), json_kind).await;
        let mut words = vec![
            ("{priv}", private_key.clone()),
            ("{pub}", first.publishable_key.expose().clone()),
            ("{token}", preview["token"].as_str().expect("a token").to_owned()),
            ("{embed}", video["embedId"].as_str().expect("an embed").to_owned()),
            ("{key}", key["id"].as_str().expect("a key").to_owned()),
            ("{video}", id),
        ];
        let request = test::TestRequest::with_uri(&format!("/api/v1/embeds/{}/playback", words[3].1));
        let request = request.insert_header(("authorization", format!("Bearer {}", words[1].1)));
        let (status, played) = answer(request.insert_header(("x-moviie-playback-token", words[2].1.clone()))).await;
        assert_eq!(status, StatusCode::OK, "{played:?}");
        let played: Value = serde_json::from_slice(&played).expect("JSON");
        let uri = played["playback"]["uri"].as_str().expect("a uri");
        let grant = uri.split('/').rev().nth(1).expect("a grant").to_owned();
        let begun = test::TestRequest::with_uri("/admin/v1/uploads").method(Method::POST);
        let begun = begun.insert_header(("authorization", format!("Bearer {}", words[0].1)));
        let begun = begun.insert_header(("tus-resumable", "1.0.0")).insert_header(("upload-length", "1000000"));
        let begun = begun.insert_header(("upload-metadata", "title QQ=="));
        words.push(("{upload}", location(begun).await));
        words.push(("{grant}", grant));
        (answer, words)
    }

    fn hold(&self, bytes: &[u8]) -> Option<u16> {
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        for (word, value) in &self.words {
            text = text.replace(word, value);
        }
        let (head, payload) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.split('\n');
        let (method, target) = lines.next().and_then(|line| line.split_once(' '))?;
        let (method, uri) = (Method::from_bytes(method.as_bytes()).ok()?, target.parse::<Uri>().ok()?);
        let mut request = test::TestRequest::default().method(method).uri(&uri.to_string());
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            let name = HeaderName::from_bytes(name.trim().as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value.trim())) {
                request = request.append_header((name, value));
            }
        }
        let payload_names_it = payload.contains(&self.words[0].1);
        let request = request.set_payload(payload.to_owned()).peer_addr(([127, 0, 0, 1], 4_000).into());
        let (status, answered) = self.system.block_on((self.answer)(request));
        assert!(!status.is_server_error(), "{status} for {text:?}: {answered:?}");
        let told = String::from_utf8_lossy(&answered);
        // A refusal names the field of a body that it doesn't know, to whoever sent it: a key in that place is no news.
        let key = self.words[0].1.as_str();
        assert!(payload_names_it || !told.contains(key), "the private key is in the answer to {text:?}");
        let grant = &self.words.last().expect("a grant").1;
        let is_media = uri.path().starts_with("/media/") && matches!(status.as_u16(), 200 | 206);
        assert!(!is_media || uri.path().contains(grant.as_str()), "media without the grant: {text:?}");
        Some(status.as_u16())
    }
}
