//! The public listener: actix's accept loop, workers and HTTP/1.1, over lines of our own.

use super::crowd::{Crowd, Full};
use super::line::Line;
use crate::app::App;
use crate::domain::limits;
use crate::http::RateLimits;
use actix_http::HttpService;
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Response};
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use rustls::ServerConfig;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// How much a server takes on.
pub(super) struct Size {
    /// Threads that answer.
    pub workers: usize,
    /// Connections open at once, over all of them.
    pub connections: usize,
    /// Of one address; 0 is its share of them.
    pub connections_per_address: usize,
    /// Seconds that running answers have after the first signal.
    pub shutdown_grace_s: u64,
}

/// Serves what `routes` makes on each of `listeners`, with TLS or without.
pub(super) fn serve<F, I, S, B>(
    routes: F,
    app: &Data<App>,
    rates: &Data<RateLimits>,
    listeners: Vec<TcpListener>,
    tls: Option<ServerConfig>,
    size: &Size,
) -> std::io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, actix_http::Request>,
    S: ServiceFactory<actix_http::Request, Config = AppConfig, Error = actix_web::Error> + 'static,
    S::InitError: std::fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    B: MessageBody + 'static,
{
    let (app, rates, tls) = (app.clone(), rates.clone(), tls.map(Arc::new));
    let crowd = Crowd::new(size.connections_per_address, size.connections);
    let builder = Server::build();
    let stopping = builder.graceful_shutdown_signal();
    let lines = move || {
        let (app, rates, crowd) = (app.clone(), rates.clone(), crowd.clone());
        let (tls, stopping) = (tls.clone(), stopping.clone());
        let http = HttpService::build()
            .keep_alive(Duration::from_secs(limits::KEEP_ALIVE_S))
            // The lines see to it, for each request.
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(Duration::from_secs(limits::LINGER_MAX_S))
            .graceful_shutdown_signal({
                let stopping = stopping.clone();
                move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                }
            })
            .on_connect_ext(|line: &Line, data| line.note(data));
        let routes = routes().into_factory().map_err(|error| actix_web::Error::error_response(&error));
        fn_service(move |socket: TcpStream| {
            let (app, tls) = (app.clone(), tls.clone());
            let peer = socket.peer_addr().ok();
            let crowd_of = peer.and_then(|peer| rates.crowd_of(peer.ip()));
            let place = crowd_of.map_or(Ok(None), |address| crowd.enter(address)).map_err(|Full| ());
            // What does not get as far as a request is nobody's concern: scanners knock all day.
            let stopping = stopping.clone();
            async move {
                let (line, peer) = Line::open(socket, tls, app, place?).await.map_err(drop)?;
                Ok::<_, ()>((line.asked(stopping.notified()).await.map_err(drop)?, peer))
            }
        })
        .and_then(http.h1(map_config(routes, |()| AppConfig::default())).map_err(drop))
    };
    let mut server = builder
        .workers(size.workers)
        .worker_max_blocking_threads(threads_of_one(size.workers))
        .max_concurrent_connections(size.connections.div_ceil(size.workers))
        .shutdown_timeout(size.shutdown_grace_s)
        .disable_signals();
    for listener in listeners {
        server = server.listen("public", listener, lines.clone())?;
    }
    Ok(server.run())
}

/// How many threads one of `workers` may have wait for the disk.
pub(super) fn threads_of_one(workers: usize) -> usize {
    (limits::WORKERS_THREADS / workers).max(1)
}
