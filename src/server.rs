//! The running server: listeners, TLS, signals, background work. Starts in the order in which parts rest on each
//! other, stops in the opposite one.

use crate::app::{App, StartError, SystemClock, SystemEntropy};
use crate::config::Config;
use crate::domain::limits;
use crate::http::{self, Flights, RateLimits, Ui};
use crate::store::{StateDir, StateDirError};
use actix_web::rt::{System, SystemRunner};
use actix_web::{HttpServer, middleware, web};
use kept_up::keep_up;
use listener::Size;
use listening::Listening;
use reload::Reloading;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stopping::{Signals, Stop};
use tls::Certificate;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use watchdog::Pulse;

mod certificate;
mod clock;
mod crowd;
mod kept_up;
mod line;
mod listener;
mod listening;
mod manager;
mod parting;
mod reload;
mod socket;
mod stopping;
mod tls;
mod unacknowledged;
mod watchdog;

pub use reload::Reload;

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
    /// Too few descriptors.
    #[error("the system gives {given} descriptors, and {needed} are needed at least; raise LimitNOFILE, or ulimit -n")]
    Descriptors {
        /// How many there may be.
        given: u64,
        /// How many there have to be.
        needed: u64,
    },
    /// What systemd hands over.
    #[error("the socket from systemd: {0}")]
    Inherited(String),
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

impl From<StateDirError> for ServeError {
    fn from(error: StateDirError) -> Self {
        Self::Start(error.into())
    }
}

/// What [`run`] runs in: an event loop, and threads for what may wait for the disk. They stay once they are there: where the
/// system gives no other, tokio has work wait for one of them, and panics if there is none. Refused where there are too few
/// descriptors to start with, of which actix would panic.
pub fn system(config: &Config) -> Result<SystemRunner, ServeError> {
    let given = raise_file_limit();
    let workers = u64::try_from(workers(config)).unwrap_or(u64::MAX);
    let needed = workers.saturating_mul(limits::WORKER_DESCRIPTORS).saturating_add(limits::START_DESCRIPTORS);
    if given < needed {
        return Err(ServeError::Descriptors { given, needed });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(limits::TENDING_THREADS)
        .thread_keep_alive(Duration::MAX)
        .build()?;
    Ok(System::with_tokio_rt(|| runtime))
}

/// Runs until a signal ends it, in [`system`]. `on_ready` is called once, when requests are answered. SIGHUP reloads, if
/// `reload` says from where; else it ends the process.
pub async fn run(
    mut config: Config,
    state: StateDir,
    reload: Option<Reload>,
    on_ready: impl FnOnce(Ready),
) -> Result<(), ServeError> {
    clock::await_right(&SystemClock, manager::is_there()).await.map_err(StartError::from)?;
    let as_configured = config.clone();
    let listening = Listening::open(&mut config)?;
    let descriptors = raise_file_limit();
    // The first of the threads that stay.
    drop(actix_web::rt::task::spawn_blocking(|| ()));
    stopping::ignore_others()?;
    let reload = reload.map(|reload| Ok::<_, std::io::Error>((signal(SignalKind::hangup())?, reload))).transpose()?;
    let certificate = match config.server.plain_http {
        true => None,
        false => Some(Arc::new(Certificate::of(&config, state.path())?)),
    };
    let tls = certificate.clone().map(tls::listener_config).transpose()?;
    let server_config = config.server.clone();
    let socket_path = StateDir::socket(state.path());
    let app = {
        let _patience = manager::Patience::ask_for("Opening the store");
        App::start(config, state, Box::new(SystemClock), Box::new(SystemEntropy)).await?
    };
    // One that was just created is one from here on: its journal has the first record.
    if StateDir::is_unfinished(app.state().path()) {
        app.state().finish()?;
    }
    // Until here a signal ends the process on the spot, which loses nothing. From here on it is heard: one that comes
    // right after the server says that it serves is no accident.
    let signals = Signals::new()?;
    let socket = listening::listen_for_appliance(&socket_path).or_else(|error| match &error {
        // Where the disk has room for no file more, the reserve is one.
        ServeError::Socket { error: full, .. }
            if full.kind() == std::io::ErrorKind::StorageFull && app.disk.give_up_reserve().is_some() =>
        {
            listening::listen_for_appliance(&socket_path)
        }
        _ => Err(error),
    })?;
    app.condition.note_certificate_end(certificate.as_ref().and_then(|certificate| certificate.ends_at()));
    let base_url = app.config.server.public_url.clone();
    let (ui, rates) = (web::Data::new(Ui::new(&app.config)), web::Data::new(RateLimits::new(&app.config)));
    let (app, pulse) = (web::Data::new(app), web::Data::new(Pulse::default()));
    clock::watch(Arc::downgrade(&app.clone().into_inner()))?;
    app.clone().into_inner().tend_uploads().await;
    let flights = Arc::new(Flights::new(draining_connections(descriptors)));

    let public = {
        let (app, ui, rates, flights) = (app.clone(), ui, rates.clone(), web::Data::new(Arc::clone(&flights)));
        let pulse = pulse.clone();
        move || {
            // Called once by each worker for each socket, on the worker's thread.
            pulse.attach();
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
    let workers = workers(&app.config);
    let event_loops = workers * listening.sockets.len();
    let size = Size {
        workers,
        connections: connections(server_config.max_connections, descriptors),
        connections_per_address: app.config.server.max_connections_per_address,
        shutdown_grace_s: server_config.shutdown_grace_s,
    };
    let server = listener::serve(public, &app, &rates, listening.sockets, tls, &size)?;
    let admin = HttpServer::new(appliance)
        .workers(1)
        .worker_max_blocking_threads(limits::APPLIANCE_THREADS)
        .shutdown_timeout(server_config.shutdown_grace_s)
        .disable_signals()
        .listen_uds(socket)?
        .run();

    let status = format!("Serving {base_url}");
    let draining = Arc::clone(&flights);
    let (rates_kept, pulse_felt) = (rates.clone(), pulse.clone());
    let mut background = vec![
        keep_up(&app, "release_drained", move |_| {
            http::release_drained(Arc::clone(&draining), unacknowledged::unacknowledged)
        }),
        keep_up(&app, "cut_when_revoked", move |app| {
            http::cut_when_revoked(app, Arc::clone(&flights), unacknowledged::unacknowledged)
        }),
        keep_up(&app, "housekeeping", move |app| housekeeping(app, rates_kept.clone())),
        keep_up(&app, "transcode", |app| app.into_inner().transcode()),
        keep_up(&app, "scrub", |app| app.into_inner().scrub()),
        keep_up(&app, "tend_store", tend_store),
        keep_up(&app, "watchdog", move |app| watchdog::feed(app, pulse_felt.clone(), event_loops)),
    ];
    let ca_certificate = certificate.as_ref().and_then(|certificate| certificate.ca.clone());
    background.extend(certificate.clone().map(|certificate| {
        keep_up(&app, "watch_certificate", move |app| reload::watch_certificate(app, Arc::clone(&certificate)))
    }));
    background.extend(reload.map(|(hangup, given)| {
        let (app, rates, status) = (app.clone(), rates, status.clone());
        let reloading = Reloading { app, rates, certificate, in_force: as_configured, status };
        actix_web::rt::spawn(reloading.on(hangup, given))
    }));
    app.clone().into_inner().package_all();
    let (hurry, hurried) = oneshot::channel();
    let stop = Stop {
        app: app.clone(),
        server: server.handle(),
        admin: admin.handle(),
        grace: Duration::from_secs(server_config.shutdown_grace_s),
        is_kept: listening.is_kept,
        hurry,
    };
    let stopping = actix_web::rt::spawn(stop.on(signals));
    let announced = async {
        pulse.begin(event_loops).await;
        let (address, from_systemd, version) = (listening.address, listening.is_kept, env!("CARGO_PKG_VERSION"));
        tracing::info!(%address, from_systemd, base_url = %base_url, version, "serving");
        manager::ready(&status);
        on_ready(Ready { base_url, ca_certificate, socket: socket_path.clone() });
        std::future::pending::<std::convert::Infallible>().await
    };
    let outcome = tokio::select! {
        biased;
        // Polled first: this is what starts the workers.
        outcome = futures_util::future::try_join(server, admin) => outcome.map(drop).map_err(ServeError::Io),
        Ok(()) = hurried => Ok(()),
        never = announced => match never {},
    };
    stopping.abort();
    app.stop_packaging();
    app.stop_transcoding();
    background.iter().for_each(actix_web::rt::task::JoinHandle::abort);
    app.housekeeping().await;
    app.store.close();
    let _ = std::fs::remove_file(&socket_path);
    tracing::info!("stopped");
    outcome
}

/// Threads that answer.
fn workers(config: &Config) -> usize {
    match config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

/// How many descriptors the system gives, once it has given all it will; the usual soft limit of 1,024 is for `select`.
fn raise_file_limit() -> u64 {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let before = limit.current;
    // Under systemd both are LimitNOFILE already, and the sandbox forbids to change them.
    if before == limit.maximum {
        return before.unwrap_or(u64::MAX);
    }
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

/// How many connections that have ended may be kept open until their peers close them.
fn draining_connections(descriptors: u64) -> usize {
    usize::try_from(descriptors / 16).unwrap_or(usize::MAX).min(limits::DRAINING_CONNECTIONS)
}

/// As many connections as are wanted, or as there are descriptors for when the store has those it needs: a server that
/// runs out of them could not write down a revocation.
fn connections(wanted: usize, descriptors: u64) -> usize {
    let reserved = limits::STORE_DESCRIPTORS.min(descriptors / 2) + draining_connections(descriptors) as u64;
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

/// What the disk has refused is tried again, and it is told how full it is; the service manager is, too, what it did not
/// hear.
async fn tend_store(app: web::Data<App>) {
    let mut tick = tokio::time::interval(Duration::from_secs(limits::STORE_TEND_S));
    loop {
        tick.tick().await;
        app.store.tend();
        manager::catch_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_lets_the_server_have_all_its_threads_and_ffmpeg_some() {
        let unit = include_str!("../systemd/screener.service");
        let allowed: usize = unit.lines().find_map(|line| line.strip_prefix("TasksMax=")).unwrap().parse().unwrap();
        // All that any of them may have wait.
        let workers = 128;
        let pools = listener::threads_of_one(workers) * workers + limits::TENDING_THREADS + limits::APPLIANCE_THREADS;
        assert!(workers + pools + 128 <= allowed, "{pools}");
    }
}
