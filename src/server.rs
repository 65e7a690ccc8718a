//! The running server: listeners, TLS, signals, background work. Starts in the order in which parts rest on each
//! other, stops in the opposite one.

use crate::app::{App, StartError, SystemClock, SystemEntropy};
use crate::config::Config;
use crate::domain::{Timestamp, limits};
use crate::http::{self, Connection, Flights, RateLimits, Ui};
use crate::store::StateDir;
use actix_web::rt::net::TcpStream;
use actix_web::{HttpServer, middleware, web};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket2::{Domain, SockRef, Socket, Type};
use std::any::Any;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

mod certificate;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// What is known once the server answers.
pub struct Ready {
    /// The base of its URLs.
    pub base_url: String,
    /// The certificate to trust, where the server made its own.
    pub ca_certificate: Option<PathBuf>,
    /// The appliance's admin socket.
    pub socket: PathBuf,
}

/// Why the server did not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Opening what it stands on.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The address.
    #[error("server.listen = {address}: {error}; another program may hold it, or it is not an address of this machine")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The certificate or its key.
    #[error("TLS: {0}")]
    Tls(String),
    /// The admin socket.
    #[error("{path}: {error}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// While running.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs until a signal ends it. `on_ready` is called once, when requests are answered.
pub async fn run(mut config: Config, state: StateDir, on_ready: impl FnOnce(Ready)) -> Result<(), ServeError> {
    raise_file_limit();
    // Heard from the first moment on: a signal that comes right after the server says that it serves is no accident.
    let signals = Signals::new()?;
    let listener = listen(config.server.listen)?;
    let address = listener.local_addr()?;
    if config.server.public_url == config.server.url_of_address(config.server.listen) {
        // Port 0 becomes a real one here.
        config.server.public_url = config.server.url_of_address(address);
    }
    let (tls, ca_certificate, certificate_ends_at) = if config.server.plain_http {
        (None, None, None)
    } else {
        let (tls, ca, ends_at) = tls_config(&config, state.path())?;
        (Some(tls), ca, ends_at)
    };
    let server_config = config.server.clone();
    let socket_path = StateDir::socket(state.path());
    let socket = listen_socket(&socket_path)?;
    let mut app = App::start(config, state, Box::new(SystemClock), Box::new(SystemEntropy)).await?;
    app.certificate_ends_at = certificate_ends_at;
    let base_url = app.config.server.public_url.clone();
    let (ui, rates) = (web::Data::new(Ui::new(&app.config)), web::Data::new(RateLimits::new(&app.config)));
    let app = web::Data::new(app);
    app.clone().into_inner().tend_uploads().await;
    let flights = Arc::new(Flights::default());

    let public = {
        let (app, ui, rates, flights) = (app.clone(), ui, rates.clone(), web::Data::new(Arc::clone(&flights)));
        move || {
            actix_web::App::new()
                .app_data(app.clone())
                .app_data(ui.clone())
                .app_data(rates.clone())
                .app_data(flights.clone())
                .wrap(middleware::from_fn(http::request))
                .configure(|routes| http::public(routes, &app, &ui))
        }
    };
    let appliance = {
        let (app, rates) = (app.clone(), rates.clone());
        move || {
            actix_web::App::new()
                .app_data(app.clone())
                .app_data(rates.clone())
                .wrap(middleware::from_fn(http::request))
                .configure(http::appliance)
        }
    };
    let workers = match server_config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let server = HttpServer::new(public)
        .workers(workers)
        .max_connections(server_config.max_connections.div_ceil(workers))
        .tcp_nodelay(true)
        .keep_alive(Duration::from_secs(limits::KEEP_ALIVE_S))
        .client_request_timeout(Duration::from_secs(limits::REQUEST_HEAD_S))
        .tls_handshake_timeout(Duration::from_secs(limits::TLS_HANDSHAKE_S))
        .shutdown_timeout(server_config.shutdown_grace_s)
        .on_connect(note_connection)
        .disable_signals();
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls)?,
        None => server.listen(listener)?,
    }
    .run();
    let admin = HttpServer::new(appliance)
        .workers(1)
        .shutdown_timeout(server_config.shutdown_grace_s)
        .disable_signals()
        .listen_uds(socket)?
        .run();

    let background = [
        actix_web::rt::spawn(http::cut_when_revoked(app.clone(), flights)),
        actix_web::rt::spawn(housekeeping(app.clone(), rates)),
        actix_web::rt::spawn(app.clone().into_inner().transcode()),
        actix_web::rt::spawn(tend_store(app.clone())),
    ];
    app.clone().into_inner().package_all();
    let (hurry, hurried) = oneshot::channel();
    let stopping = actix_web::rt::spawn(stop_on_signal(signals, server.handle(), admin.handle(), hurry));
    tracing::info!(address = %address, base_url = %base_url, version = env!("CARGO_PKG_VERSION"), "serving");
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    on_ready(Ready { base_url, ca_certificate, socket: socket_path.clone() });
    let outcome = tokio::select! {
        outcome = futures_util::future::try_join(server, admin) => outcome.map(drop),
        Ok(()) = hurried => Ok(()),
    };
    stopping.abort();
    app.stop_packaging();
    app.stop_transcoding();
    background.iter().for_each(actix_web::rt::task::JoinHandle::abort);
    app.housekeeping().await;
    app.store.close();
    let _ = std::fs::remove_file(&socket_path);
    tracing::info!("stopped");
    outcome.map_err(ServeError::Io)
}

/// What ends the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A connection takes two descriptors and a download one more; the usual soft limit of 1,024 is for `select`.
fn raise_file_limit() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}

/// First signal: no new connections, running answers get their grace. Second: now.
async fn stop_on_signal(
    mut signals: Signals,
    server: actix_web::dev::ServerHandle,
    admin: actix_web::dev::ServerHandle,
    hurry: oneshot::Sender<()>,
) {
    signals.next().await;
    tracing::info!("stopping; once more to stop at once");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    let graceful = futures_util::future::join(server.stop(true), admin.stop(true));
    tokio::select! {
        _ = graceful => {}
        () = signals.next() => {
            tracing::warn!("stopping at once");
            // A server that waits for its workers hears nothing more; it is dropped instead. Whoever runs it listens.
            let _ = hurry.send(());
        }
    }
}

async fn housekeeping(app: web::Data<App>, rates: web::Data<RateLimits>) {
    let mut tick = tokio::time::interval(Duration::from_secs(limits::LAST_USED_FLUSH_S));
    tick.tick().await;
    loop {
        tick.tick().await;
        app.housekeeping().await;
        app.clone().into_inner().tend_uploads().await;
        app.clone().into_inner().package_all();
        rates.sweep();
    }
}

/// What the disk has refused is tried again, and it is told how full it is.
async fn tend_store(app: web::Data<App>) {
    let mut tick = tokio::time::interval(Duration::from_secs(limits::STORE_TEND_S));
    loop {
        tick.tick().await;
        app.store.tend();
    }
}

/// Every connection keeps a second handle on its socket, for cutting what it carries, and gives up on a peer that
/// acknowledges nothing.
fn note_connection(connection: &dyn Any, data: &mut actix_web::dev::Extensions) {
    let tls = connection.downcast_ref::<actix_tls::accept::rustls_0_23::TlsStream<TcpStream>>();
    let stream = tls.map(|tls| tls.get_ref().0).or_else(|| connection.downcast_ref::<TcpStream>());
    let Some(stream) = stream else { return };
    let stall = Duration::from_secs(limits::WRITE_STALL_S);
    let socket = SockRef::from(stream);
    let set =
        socket.set_tcp_user_timeout(Some(stall)).and_then(|()| socket.set_tcp_notsent_lowat(limits::UNSENT_BYTES));
    if let Err(error) = set {
        tracing::debug!(%error, "a connection's limits were not set");
    }
    match stream.as_fd().try_clone_to_owned() {
        Ok(socket) => drop(data.insert(Connection::new(socket))),
        Err(error) => tracing::warn!(%error, "a connection has no second handle; it can't be cut in mid-answer"),
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::from(socket))
    };
    open().map_err(|error| ServeError::Listen { address, error })
}

/// The state directory is ours alone (0700, locked), so that a socket left there by a killed process is nobody's.
fn listen_socket(path: &Path) -> Result<UnixListener, ServeError> {
    let open = || {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|error| ServeError::Socket { path: path.to_owned(), error })
}

/// What the listener needs, the authority to trust where we made our own, and when the certificate ends.
type Tls = (rustls::ServerConfig, Option<PathBuf>, Option<Timestamp>);

/// TLS 1.2 and 1.3, the certificate from the configuration or made by ourselves.
fn tls_config(config: &Config, state: &Path) -> Result<Tls, ServeError> {
    let (certificate, key, ca) = match (&config.server.tls_certificate_file, &config.server.tls_key_file) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone(), None),
        _ => {
            let made = certificate::self_made(&state.join("tls"), config).map_err(ServeError::Tls)?;
            (made.chain, made.key, Some(made.ca))
        }
    };
    let at = |path: &Path, error: &dyn std::fmt::Display| ServeError::Tls(format!("{}: {error}", path.display()));
    let chain = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| at(&certificate, &error))?;
    let ends_at = chain.first().and_then(certificate::ends_at);
    let private_key = PrivateKeyDer::from_pem_file(&key).map_err(|error| at(&key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| ServeError::Tls(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private_key)
        .map_err(|error| at(&certificate, &error))?;
    // Resuming spares a viewer the second round trip of every new connection.
    tls.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|error| ServeError::Tls(error.to_string()))?;
    Ok((tls, ca, ends_at))
}
