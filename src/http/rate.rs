//! Rates per client address. Generous: they are for floods, not for viewers behind one address.

use super::headers::lone;
use super::problem::Problem;
use crate::config::Config;
use crate::domain::limits;
use actix_web::HttpRequest;
use actix_web::http::header::X_FORWARDED_FOR;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

/// The rates of one server.
pub struct RateLimits {
    playback: Option<DefaultKeyedRateLimiter<IpAddr>>,
    admin_failures: Option<DefaultKeyedRateLimiter<IpAddr>>,
    trusted_proxies: Vec<IpAddr>,
    clock: DefaultClock,
}

impl RateLimits {
    /// From the configuration; a rate of 0 is no limit.
    pub fn new(config: &Config) -> Self {
        let per_second = NonZeroU32::new(config.limits.playback_per_second);
        let burst = NonZeroU32::new(config.limits.playback_burst).unwrap_or(NonZeroU32::MIN);
        let failures = NonZeroU32::new(config.limits.admin_failures_per_minute);
        Self {
            playback: per_second.map(|rate| RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))),
            admin_failures: failures.map(|rate| RateLimiter::keyed(Quota::per_minute(rate))),
            trusted_proxies: config.server.trusted_proxies.clone(),
            clock: DefaultClock::default(),
        }
    }

    /// Counts one playback, embed or renewal request.
    pub fn count_playback(&self, request: &HttpRequest) -> Result<(), Problem> {
        self.count(self.playback.as_ref(), request)
    }

    /// Counts one wrong private key. The right key is never held up.
    pub fn count_admin_failure(&self, request: &HttpRequest) -> Result<(), Problem> {
        self.count(self.admin_failures.as_ref(), request)
    }

    fn count(&self, limiter: Option<&DefaultKeyedRateLimiter<IpAddr>>, request: &HttpRequest) -> Result<(), Problem> {
        let (Some(limiter), Some(client)) = (limiter, self.client(request)) else { return Ok(()) };
        if limiter.len() >= limits::RATE_ENTRIES {
            limiter.retain_recent();
        }
        limiter.check_key(&client).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            Problem::rate_limit(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
        })
    }

    /// Forgets addresses that have been quiet.
    pub fn sweep(&self) {
        for limiter in [&self.playback, &self.admin_failures].into_iter().flatten() {
            limiter.retain_recent();
        }
    }

    /// Who asks: the peer, or the last address in `X-Forwarded-For` that no trusted proxy wrote of itself.
    fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip().to_canonical();
        let is_trusted = |address: &IpAddr| self.trusted_proxies.contains(address);
        let mut client = peer;
        if is_trusted(&peer) {
            let forwarded = lone(request, &X_FORWARDED_FOR).unwrap_or_default();
            for hop in forwarded.rsplit(',') {
                let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
                client = address.to_canonical();
                if !is_trusted(&client) {
                    break;
                }
            }
        }
        Some(network(client))
    }
}

/// What one subscriber has: an IPv4 address, or an IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}
