//! How often link pages are answered: so often for each client, and so often in all. Who reads one needs a handful of requests; who
//! tries tokens, or reloads without end, must not keep the database from the work.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::HeaderMap,
    middleware::Next,
    response::Response,
};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::DefaultClock, state::keyed::HashMapStateStore};

use super::{
    Parts,
    link_page::preferred_language,
    pages::{self, Page},
};

/// Requests of one client: a second, and at once.
const EACH: Quota = quota(5, 50);

/// Requests of all clients.
const ALL: Quota = quota(200, 500);

/// Clients that are told apart; of more than these only all together are limited.
const MOST_CLIENTS: usize = 10_000;

/// How often clients that have not been here for a while are forgotten, when there are so many: once a second.
const SWEEPS: Quota = quota(1, 1);

const fn quota(a_second: u32, at_once: u32) -> Quota {
    match (NonZeroU32::new(a_second), NonZeroU32::new(at_once)) {
        (Some(a_second), Some(at_once)) => Quota::per_second(a_second).allow_burst(at_once),
        _ => panic!("a quota is more than nothing"),
    }
}

/// Who has asked lately.
#[derive(Debug)]
pub(super) struct Limits {
    each: RateLimiter<IpAddr, HashMapStateStore<IpAddr>, DefaultClock>,
    all: DefaultDirectRateLimiter,
    sweeps: DefaultDirectRateLimiter,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            each: RateLimiter::hashmap(EACH),
            all: RateLimiter::direct(ALL),
            sweeps: RateLimiter::direct(SWEEPS),
        }
    }
}

impl Limits {
    /// Whether a request of this client is to be answered. One whose address is not known counts among all alone.
    fn admits(&self, client: Option<IpAddr>) -> bool {
        if let Some(client) = client.map(network)
            && self.tells_apart()
            && self.each.check_key(&client).is_err()
        {
            return false;
        }
        self.all.check().is_ok()
    }

    /// Whether there is room for another client.
    fn tells_apart(&self) -> bool {
        if self.each.len() >= MOST_CLIENTS && self.sweeps.check().is_ok() {
            self.each.retain_recent();
        }
        self.each.len() < MOST_CLIENTS
    }
}

/// Whom an address belongs to: with IPv6 everybody has a network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Answers 429 to whoever asks too often.
pub(super) async fn limit(State(state): State<Arc<Parts>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>();
    let client = peer.and_then(|Peer(peer)| client(peer.ip(), request.headers(), &state.settings.trusted_proxies));
    if state.limits.admits(client) {
        return next.run(request).await;
    }
    pages::respond(&Page::TooMany, preferred_language(request.headers()), &state.portal)
}

/// Who asks: the peer; or, where that is a proxy of ours, whom it names. What else stands in the header is anybody's.
fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    if !proxies.contains(&peer) {
        return Some(peer);
    }
    // The last that is no proxy of ours: each adds whom it has seen.
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let named = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',').map(str::trim));
    let mut addresses = named.map(|named| address(named).ok_or(()));
    addresses
        .find(|address| !address.is_ok_and(|address| proxies.contains(&address)))?
        .ok()
}

/// An address, as proxies write it: some with a port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    let address = text.parse::<IpAddr>().or_else(|_| with_port()).ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        super::address(text).expect("an address")
    }

    fn admitted(limits: &Limits, client: &str) -> u32 {
        let admitted = (0..1_000).take_while(|_| limits.admits(Some(address(client))));
        u32::try_from(admitted.count()).expect("a small number")
    }

    #[test]
    fn one_client_takes_nothing_from_another() {
        let limits = Limits::default();
        assert!((50..1_000).contains(&admitted(&limits, "192.0.2.1")));
        assert!(limits.admits(Some(address("192.0.2.2"))));
        assert!(limits.admits(None));
        // Whoever has a network has it whole.
        assert!((50..1_000).contains(&admitted(&limits, "2001:db8::1")));
        assert_eq!(network(address("2001:db8::1")), network(address("2001:db8::2")));
        assert!(limits.admits(Some(address("2001:db8:0:1::1"))));
    }

    #[test]
    fn all_together_are_limited_and_no_more_are_remembered_than_some() {
        let limits = Limits::default();
        let asked = 20_000;
        let clients = (0..asked).map(|number| IpAddr::from(u32::to_be_bytes(number)));
        let refused = clients.filter(|client| !limits.admits(Some(*client))).count();
        assert!(refused > 0, "{asked} at once are too many");
        assert!(limits.each.len() <= MOST_CLIENTS);
    }

    #[test]
    fn only_a_proxy_of_ours_names_the_client() {
        let headers = |lines: &[&str]| -> HeaderMap {
            let lines = lines.iter().map(|line| {
                let name = axum::http::HeaderName::from_static("x-forwarded-for");
                (name, line.parse().expect("a value"))
            });
            lines.collect()
        };
        let proxies = [address("127.0.0.1")];
        let of = |peer: &str, lines: &[&str]| client(address(peer), &headers(lines), &proxies);
        assert_eq!(of("192.0.2.1", &["192.0.2.9"]), Some(address("192.0.2.1")));
        // The last is what the proxy has seen, what stands before may be made up.
        assert_eq!(
            of("127.0.0.1", &["192.0.2.8", "192.0.2.7, 192.0.2.9"]),
            Some(address("192.0.2.9"))
        );
        assert_eq!(of("::ffff:127.0.0.1", &["192.0.2.9"]), Some(address("192.0.2.9")));
        assert_eq!(
            of("127.0.0.1", &["192.0.2.9, 127.0.0.1", "::ffff:127.0.0.1"]),
            Some(address("192.0.2.9"))
        );
        for with_port in ["192.0.2.9:5678", "[2001:db8::9]:5678"] {
            assert_eq!(of("127.0.0.1", &[with_port]), Some(address(with_port)));
        }
        assert_eq!(
            of("127.0.0.1", &["192.0.2.9, unknown"]),
            None,
            "nobody knows who stands behind"
        );
        assert_eq!(of("127.0.0.1", &["127.0.0.1"]), None);
        assert_eq!(of("127.0.0.1", &[]), None);
        assert_eq!(of("127.0.0.1", &["unknown"]), None);
    }
}
