//! How much of what connections were given their peers have not acknowledged.
//!
//! Linux tells it of one socket by an ioctl (`SIOCOUTQ`, tcp(7)), which takes unsafe code, and of all of them in two lists
//! (proc_pid_net(5)), which are read here: some 10 ms for 10,000 connections, and only where a connection has carried
//! something else since, has ended, or where many that have are kept.

use actix_web::rt::net::TcpStream;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

/// Connections over IPv4, and over IPv6. Not below `/proc/net`, which systemd's `ProcSubset=pid` hides.
const LISTS: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// Bytes that each of `sockets` was given and its peer has not acknowledged; [`u64::MAX`] where nobody says.
pub(super) fn unacknowledged(sockets: &[&TcpStream]) -> Vec<u64> {
    let inodes: Vec<Option<u64>> =
        sockets.iter().map(|socket| rustix::fs::fstat(socket).ok().map(|stat| stat.st_ino)).collect();
    let mut found: HashMap<u64, Option<u64>> = inodes.iter().flatten().map(|inode| (*inode, None)).collect();
    for file in LISTS.iter().filter_map(|list| File::open(list).ok()) {
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        for (inode, waiting) in lines.filter_map(|line| told(&line)) {
            if let Some(known) = found.get_mut(&inode) {
                // A list that changes while it is read may name one twice.
                *known = (*known).max(Some(waiting));
            }
        }
    }
    let of = |inode: &Option<u64>| inode.and_then(|inode| found.get(&inode).copied().flatten()).unwrap_or(u64::MAX);
    inodes.iter().map(of).collect()
}

/// A socket's inode, and what waits in it:
/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`.
fn told(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_ascii_whitespace().skip(4);
    let (waiting, _) = fields.next()?.split_once(':')?;
    let inode = fields.nth(4)?.parse().ok()?;
    Some((inode, u64::from_str_radix(waiting, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    #[actix_web::test]
    async fn what_a_peer_has_not_acknowledged_is_told_of_each_socket() {
        for host in ["127.0.0.1", "::1"] {
            let Ok(listener) = TcpListener::bind((host, 0)).await else { continue };
            let address = listener.local_addr().unwrap();
            let (mut peer, idle_peer) =
                (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
            let (socket, idle) = (listener.accept().await.unwrap().0, listener.accept().await.unwrap().0);
            assert_eq!(unacknowledged(&[&socket, &idle]), [0, 0], "{host}");
            let mut given = 0;
            while let Ok(()) = socket.writable().await
                && let Ok(count) = socket.try_write(&[7; 64 << 10])
            {
                given += count;
            }
            let waiting = unacknowledged(&[&idle, &socket]);
            assert_eq!(waiting.first(), Some(&0), "{host}");
            assert!(waiting.last().is_some_and(|waiting| (1..=given as u64).contains(waiting)), "{host}: {waiting:?}");
            peer.read_exact(&mut vec![0; given]).await.unwrap();
            let began = std::time::Instant::now();
            while unacknowledged(&[&socket]) != [0] {
                assert!(began.elapsed().as_secs() < 10, "{host}: the peer has it all");
            }
            drop(idle_peer);
        }
    }

    #[test]
    fn lines_that_tell_nothing_are_passed_over() {
        let line =
            "   0: 0100007F:4935 0200007F:1F90 01 0001F4A0:00000000 01:00000018 00000000  1000        0 6427272 2 0";
        assert_eq!(told(line), Some((6_427_272, 0x1_f4a0)));
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        for other in ["", head, "0: a b 01 xyz:0 0:0 0 0 0 1", "0: a b 01 1:0 0:0 0 0 0"] {
            assert_eq!(told(other), None, "{other}");
        }
    }
}
