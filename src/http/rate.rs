//! Rates per client address, per organization, and per private key and address. Generous: they are for floods, not for
//! viewers behind one address.

use super::problem::Problem;
use crate::auth::Viewer;
use crate::config::Config;
use crate::domain::{OrganizationId, PrivateKeyId, limits};
use actix_web::HttpRequest;
use actix_web::http::header::X_FORWARDED_FOR;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};

/// The rates of one server. They may change while it runs.
pub struct RateLimits(RwLock<Arc<Rates>>);

/// Rates as they were configured at one time, and who has made how much use of them.
struct Rates {
    playback: Rate<IpAddr>,
    admin_failures: Rate<IpAddr>,
    viewers: Rate<(OrganizationId, Crowd)>,
    private_keys: Rate<(PrivateKeyId, IpAddr)>,
    sign_ins: Rate<(PrivateKeyId, IpAddr)>,
    trusted_proxies: Vec<IpAddr>,
}

/// Viewers who count together.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Crowd {
    /// Of private videos: each was given a token.
    WithToken,
    /// Of public ones: anybody.
    Public,
}

impl RateLimits {
    /// From the configuration; a rate of 0 is no limit.
    pub fn new(config: &Config) -> Self {
        Self(RwLock::new(Arc::new(Rates::new(config))))
    }

    /// Takes other rates over. What was counted before is forgotten.
    pub fn set(&self, config: &Config) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Rates::new(config));
    }

    /// Counts one playback, embed, oEmbed or renewal request of an address.
    pub fn count_playback(&self, request: &HttpRequest) -> Result<(), Problem> {
        let rates = self.in_force();
        rates.count_client(&rates.playback, request)
    }

    /// Counts one wrong private key. The right key is never held up.
    pub fn count_admin_failure(&self, request: &HttpRequest) -> Result<(), Problem> {
        let rates = self.in_force();
        rates.count_client(&rates.admin_failures, request)
    }

    /// Counts one viewer who was let in. Those who were not count for their address alone, and public videos' viewers
    /// among themselves: whoever has no token must not be able to keep out those who have one. A renewal counts for its
    /// address alone, too, unless it may be the first that is heard of its session: who plays goes on.
    pub fn count_viewer(&self, viewer: &Viewer) -> Result<(), Problem> {
        let crowd = if viewer.authority().is_some() { Crowd::WithToken } else { Crowd::Public };
        let refusal = "Too many viewers of this organization come at once. Try again shortly.";
        self.in_force().viewers.count(&(viewer.organization(), crowd), refusal)
    }

    /// Counts one request with a private key that is good. By address, too: whoever floods with a key that has leaked
    /// must not keep the operator from revoking it. The socket has no address, and no limit.
    pub fn count_private_key(&self, key: PrivateKeyId, request: &HttpRequest) -> Result<(), Problem> {
        let rates = self.in_force();
        let Some(client) = rates.client(request) else { return Ok(()) };
        rates.private_keys.count(&(key, client), "Too many requests with this private key. Try again shortly.")
    }

    /// Counts one sign-in with a private key that is good: each is written down, even where the disk is full.
    pub fn count_sign_in(&self, key: PrivateKeyId, request: &HttpRequest) -> Result<(), Problem> {
        let rates = self.in_force();
        let Some(client) = rates.client(request) else { return Ok(()) };
        rates.sign_ins.count(&(key, client), "Too many sign-ins with this private key. Try again shortly.")
    }

    /// By whom a connection of `peer` counts; `None` where it is a trusted proxy's, which has everybody's.
    pub fn crowd_of(&self, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        (!self.in_force().trusted_proxies.contains(&peer)).then(|| network(peer))
    }

    /// Forgets who has been quiet.
    pub fn sweep(&self) {
        let rates = self.in_force();
        rates.playback.sweep();
        rates.admin_failures.sweep();
        rates.viewers.sweep();
        rates.private_keys.sweep();
        rates.sign_ins.sweep();
    }

    fn in_force(&self) -> Arc<Rates> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Rates {
    fn new(config: &Config) -> Self {
        let rates = &config.limits;
        Self {
            playback: Rate::per_second(rates.playback_per_second, rates.playback_burst),
            admin_failures: Rate::per_minute(rates.admin_failures_per_minute),
            viewers: Rate::per_second(rates.organization_per_second, rates.organization_burst),
            private_keys: Rate::per_second(rates.admin_per_second, rates.admin_burst),
            sign_ins: Rate::per_minute(limits::SIGN_INS_PER_MINUTE),
            trusted_proxies: config.server.trusted_proxies.clone(),
        }
    }

    fn count_client(&self, rate: &Rate<IpAddr>, request: &HttpRequest) -> Result<(), Problem> {
        let Some(client) = self.client(request) else { return Ok(()) };
        rate.count(&client, "Too many requests from this address. Try again shortly.")
    }

    /// Who asks: the peer, or the last address in `X-Forwarded-For` that no trusted proxy wrote of itself.
    fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip().to_canonical();
        let is_trusted = |address: &IpAddr| self.trusted_proxies.contains(address);
        let mut client = peer;
        if is_trusted(&peer) {
            // Some proxies add to the line that came, some a line of their own.
            // What a client made up may be any bytes: its own part of the line is told by nothing but its place.
            let lines =
                request.headers().get_all(&X_FORWARDED_FOR).map(|line| String::from_utf8_lossy(line.as_bytes()));
            let forwarded = lines.collect::<Vec<_>>().join(",");
            for hop in forwarded.rsplit(',').map(str::trim).filter(|hop| !hop.is_empty()) {
                let Some(address) = address_of(hop) else { break };
                client = address;
                if !is_trusted(&client) {
                    break;
                }
            }
        }
        Some(network(client))
    }
}

/// One rate, by whom it counts.
struct Rate<K: Hash + Eq + Clone>(Option<DefaultKeyedRateLimiter<K>>);

impl<K: Hash + Eq + Clone> Rate<K> {
    fn per_second(rate: u32, burst: u32) -> Self {
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        Self(NonZeroU32::new(rate).map(|rate| RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))))
    }

    fn per_minute(rate: u32) -> Self {
        Self(NonZeroU32::new(rate).map(|rate| RateLimiter::keyed(Quota::per_minute(rate))))
    }

    fn count(&self, who: &K, refusal: &'static str) -> Result<(), Problem> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        if limiter.len() >= limits::RATE_ENTRIES {
            limiter.retain_recent();
        }
        limiter.check_key(who).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Problem::rate_limit(refusal, wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
        })
    }

    fn sweep(&self) {
        if let Some(limiter) = &self.0 {
            limiter.retain_recent();
        }
    }
}

/// An address as proxies write it: alone, in brackets, or with the port it came from.
fn address_of(hop: &str) -> Option<IpAddr> {
    let hop = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = hop.parse().ok().or_else(|| hop.parse().ok().map(|socket: SocketAddr| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// What one subscriber has: an IPv4 address, or an IPv6 /64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let mut config = Config::default_for("/nonexistent".into());
        config.server.trusted_proxies = trusted.iter().map(|address| address.parse().unwrap()).collect();
        let request = TestRequest::get().peer_addr(SocketAddr::new(peer.parse().unwrap(), 1));
        let request = forwarded.iter().fold(request, |request, line| request.append_header((X_FORWARDED_FOR, *line)));
        Rates::new(&config).client(&request.to_http_request()).unwrap().to_string()
    }

    #[test]
    fn an_ipv4_address_is_the_same_however_it_is_written_and_ipv6_counts_by_network() {
        for (peer, who) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
            ("2001:db8:1:3::6", "2001:db8:1:3::"),
        ] {
            assert_eq!(client(&[], peer, &[]), who);
        }
    }

    #[test]
    fn what_a_proxy_says_of_its_client_counts_where_the_proxy_is_trusted_and_nowhere_else() {
        let proxy = ["10.0.0.1", "10.0.0.2"];
        for (peer, forwarded, who) in [
            ("192.0.2.7", &["203.0.113.9"][..], "192.0.2.7"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            // What the client made up stands before what the proxy added, on one line or on two.
            ("10.0.0.1", &["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["1.2.3.4", "203.0.113.9"], "203.0.113.9"),
            // Through two proxies.
            ("10.0.0.1", &["1.2.3.4, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", &["[2001:db8:1:2:3::]:4711"], "2001:db8:1:2::"),
            ("10.0.0.1", &["[2001:db8:1:2:3::]"], "2001:db8:1:2::"),
            // Empty elements are none (RFC 9110 §5.6.1), and bytes that are no text hide nobody who stands behind them.
            ("10.0.0.1", &["203.0.113.9,"], "203.0.113.9"),
            ("10.0.0.1", &["203.0.113.9, , ", ""], "203.0.113.9"),
            ("10.0.0.1", &["\u{e9}, 203.0.113.10"], "203.0.113.10"),
            // What is no address tells nothing more.
            ("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            assert_eq!(client(&proxy, peer, forwarded), who, "{peer} {forwarded:?}");
        }
        let thousand = vec!["10.0.0.2"; 1_000].join(",");
        assert_eq!(client(&proxy, "10.0.0.1", &[&format!("203.0.113.9,{thousand}")]), "203.0.113.9");
    }
}
