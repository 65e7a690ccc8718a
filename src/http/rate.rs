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
use std::sync::{Arc, PoisonError, RwLock};

/// The rates of one server. They may change while it runs.
pub struct RateLimits(RwLock<Arc<Rates>>);

/// Rates as they were configured at one time, and who has made how much use of them.
struct Rates {
    playback: Option<DefaultKeyedRateLimiter<IpAddr>>,
    admin_failures: Option<DefaultKeyedRateLimiter<IpAddr>>,
    trusted_proxies: Vec<IpAddr>,
    clock: DefaultClock,
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

    /// Counts one playback, embed or renewal request.
    pub fn count_playback(&self, request: &HttpRequest) -> Result<(), Problem> {
        let rates = self.in_force();
        rates.count(rates.playback.as_ref(), request)
    }

    /// Counts one wrong private key. The right key is never held up.
    pub fn count_admin_failure(&self, request: &HttpRequest) -> Result<(), Problem> {
        let rates = self.in_force();
        rates.count(rates.admin_failures.as_ref(), request)
    }

    /// Forgets addresses that have been quiet.
    pub fn sweep(&self) {
        let rates = self.in_force();
        for limiter in [&rates.playback, &rates.admin_failures].into_iter().flatten() {
            limiter.retain_recent();
        }
    }

    fn in_force(&self) -> Arc<Rates> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Rates {
    fn new(config: &Config) -> Self {
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
