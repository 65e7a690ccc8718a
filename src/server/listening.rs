//! The sockets that connections come from: those that systemd hands over, or one of our own; and the appliance's.

use super::ServeError;
use crate::config::Config;
use crate::domain::limits;
use crate::store::with_remedy;
use listenfd::ListenFd;
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Where viewers connect to.
pub(super) struct Listening {
    /// One or more.
    pub sockets: Vec<TcpListener>,
    /// The first one's.
    pub address: SocketAddr,
    /// Whether systemd holds them, too: who connects while no server runs waits in their queue.
    pub is_kept: bool,
}

impl Listening {
    /// Takes what systemd hands over (sd_listen_fds(3)), or else listens on the configured address. A public URL that
    /// is not configured becomes that of the address.
    ///
    /// To be called before there are threads: it takes the variables that name the sockets out of the environment.
    pub fn open(config: &mut Config) -> Result<Self, ServeError> {
        let mut sockets = inherited().map_err(|error| ServeError::Inherited(error.to_string()))?;
        let is_kept = !sockets.is_empty();
        if !is_kept {
            sockets.push(listen(config.server.listen)?);
        }
        let addresses = sockets.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let address = addresses.first().copied().unwrap_or(config.server.listen);
        if let Some(exposed) = addresses.into_iter().find(|address| config.server.is_exposed_on(*address)) {
            return Err(ServeError::Inherited(format!(
                "server.plain_http would serve without TLS on {exposed}, which other machines may reach; let the socket \
                 unit listen on 127.0.0.1, or remove plain_http"
            )));
        }
        if config.server.public_url == config.server.url_of_address(config.server.listen) {
            if is_kept && address.ip().is_unspecified() {
                return Err(ServeError::Inherited(format!(
                    "{address} is no address a viewer can open; set server.public_url to what viewers reach"
                )));
            }
            // Port 0 becomes a real one here.
            config.server.public_url = config.server.url_of_address(address);
        }
        Ok(Self { sockets, address, is_kept })
    }
}

/// What systemd hands over; nothing where it does not.
fn inherited() -> std::io::Result<Vec<TcpListener>> {
    let announced = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
    if announced > limits::INHERITED_SOCKETS {
        return Err(std::io::Error::other(format!(
            "LISTEN_FDS says that there are {announced}, and at most {} are taken; hand over fewer, or unset it",
            limits::INHERITED_SOCKETS
        )));
    }
    let mut handed = ListenFd::from_env();
    let sockets: Vec<Option<TcpListener>> =
        (0..handed.len()).map(|number| handed.take_tcp_listener(number)).collect::<Result<_, _>>()?;
    let sockets: Vec<TcpListener> = sockets.into_iter().flatten().collect();
    for socket in &sockets {
        // As of a socket unit with Accept=yes, or of inetd: a connection, and not where they come in.
        if !rustix::net::sockopt::socket_acceptconn(socket)? {
            return Err(std::io::Error::other(
                "a socket was handed over that does not listen; set Accept=no in its unit",
            ));
        }
    }
    Ok(sockets)
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
pub(super) fn listen_for_appliance(path: &Path) -> Result<UnixListener, ServeError> {
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
    open().map_err(|error| ServeError::Socket { path: path.to_owned(), error: with_remedy(path, error) })
}
