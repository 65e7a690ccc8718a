//! The running server: listeners, TLS, signals, background work. Starts in the order in which parts rest on each
//! other, stops in the opposite one.

use crate::app::{App, StartError, SystemClock, SystemEntropy};
use crate::config::Config;
use crate::domain::{Timestamp, limits};
use crate::http::{self, Flights, RateLimits, Ui};
use crate::store::StateDir;
use actix_web::{HttpServer, middleware, web};
use listener::Size;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

mod certificate;
mod line;
mod listener;

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
    let descriptors = raise_file_limit();
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
    if certificate_ends_at.is_some_and(|ends_at| ends_at <= app.now()) {
        tracing::warn!("the TLS certificate has ended: browsers refuse this server until it is renewed");
    }
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
    let size = Size {
        workers,
        connections: connections(server_config.max_connections, descriptors),
        shutdown_grace_s: server_config.shutdown_grace_s,
    };
    let server = listener::serve(public, listener, tls, &size)?;
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

/// How many descriptors the system gives, once it has given all it will; the usual soft limit of 1,024 is for `select`.
fn raise_file_limit() -> u64 {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    match rustix::process::setrlimit(rustix::process::Resource::Nofile, limit) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit on open files stays as it is");
            before
        }
    }
    .unwrap_or(u64::MAX)
}

/// As many connections as are wanted, or as there are descriptors for when the store has those it needs: a server that
/// runs out of them could not write down a revocation.
fn connections(wanted: usize, descriptors: u64) -> usize {
    let reserved = limits::STORE_DESCRIPTORS.min(descriptors / 2);
    let possible = (descriptors - reserved) / limits::CONNECTION_DESCRIPTORS;
    let possible = usize::try_from(possible).unwrap_or(usize::MAX).max(1);
    if possible < wanted {
        tracing::warn!(
            wanted,
            possible,
            descriptors,
            "fewer connections than server.max_connections: the limit on open files is too low; raise LimitNOFILE, or ulimit -n"
        );
    }
    wanted.min(possible)
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
    // Whoever offers other protocols alone is refused (RFC 7301 §3.2).
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Resuming spares a viewer the second round trip of every new connection.
    tls.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|error| ServeError::Tls(error.to_string()))?;
    Ok((tls, ca, ends_at))
}
