//! Who may ask from where: CORS by hand, and the key whose limits apply.

use crate::config::{Cors, ServerConfig, Token};
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

pub(super) struct Access {
    cors: Cors,
    tokens: Vec<(Token, Arc<str>)>,
}

impl Access {
    pub(super) fn new(config: &ServerConfig) -> Self {
        let tokens = config.tokens.iter().map(|token| {
            let key = Arc::from(format!("token:{}", token.name));
            (token.clone(), key)
        });
        Self { cors: config.cors.clone(), tokens: tokens.collect() }
    }

    /// `token:<name>` for a known API token, else the address.
    pub(super) fn client_key(&self, peer: SocketAddr, headers: &HeaderMap) -> Arc<str> {
        let secret = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let known = secret.and_then(|secret| {
            let same = |(token, _): &&(Token, Arc<str>)| same_secret(&token.secret, secret.trim());
            self.tokens.iter().find(same)
        });
        known.map_or_else(|| address_key(peer.ip()), |(_, key)| key.clone())
    }

    /// Whether a page of the request's origin may use the node. Not a page, or one of our own: yes.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let own = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        self.listed(origin) || (own.is_some() && own == host)
    }

    fn listed(&self, origin: &HeaderValue) -> bool {
        match &self.cors {
            Cors::Own => false,
            Cors::Any => true,
            Cors::Origins(origins) => origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes()),
        }
    }

    pub(super) fn allow(&self, request: &HeaderMap, response: &mut HeaderMap) {
        self.allow_origin(request.get(header::ORIGIN), response);
    }

    /// Tells a browser that the page may read the response.
    pub(super) fn allow_origin(&self, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
        match &self.cors {
            Cors::Own => (),
            Cors::Any => {
                response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Cors::Origins(_) => {
                response.insert(header::VARY, HeaderValue::from_static("origin"));
                if let Some(origin) = origin.filter(|origin| self.listed(origin)) {
                    response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                }
            }
        }
    }

    pub(super) fn preflight(&self) -> Response {
        if self.cors == Cors::Own {
            return StatusCode::NO_CONTENT.into_response();
        }
        let headers = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type, authorization"),
            (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        ];
        (StatusCode::NO_CONTENT, headers).into_response()
    }
}

/// Takes as long for every secret of the same length, wherever they differ.
fn same_secret(known: &str, offered: &str) -> bool {
    let (known, offered) = (known.as_bytes(), offered.as_bytes());
    known.len() == offered.len()
        && known.iter().zip(offered).fold(0, |differ, (left, right)| differ | (left ^ right)) == 0
}

/// IPv6 subscribers usually have 64 bits of addresses to themselves, so those count as one.
pub(super) fn address_key(address: IpAddr) -> Arc<str> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string().into(),
        IpAddr::V6(address) if address.is_loopback() => address.to_string().into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn limits_are_kept_per_address_or_token() {
        let token = Token { name: "bench".to_owned(), secret: "hush".to_owned() };
        let access = Access::new(&ServerConfig { tokens: vec![token], ..ServerConfig::default() });
        let check = |peer: &str, authorization: &'static str, expect: &str| {
            let headers = headers(&[(header::AUTHORIZATION, authorization)]);
            assert_eq!(&*access.client_key(peer.parse().unwrap(), &headers), expect);
        };
        check("10.0.0.7:1234", "Bearer hush", "token:bench");
        check("10.0.0.7:1234", "Bearer hash", "10.0.0.7");
        check("10.0.0.7:1234", "Basic hush", "10.0.0.7");
        check("[::ffff:10.0.0.7]:1", "", "10.0.0.7");
        check("[::1]:1", "", "::1");
        check("[2001:db8:1:2:3:4:5:6]:1", "", "2001:db8:1:2::/64");
    }

    #[test]
    fn pages_need_a_listed_origin_or_the_nodes_own() {
        let check = |cors: Cors, origin: Option<&'static str>, expect: bool| {
            let access = Access::new(&ServerConfig { cors, ..ServerConfig::default() });
            let mut all = headers(&[(header::HOST, "node.example:8545")]);
            if let Some(origin) = origin {
                all.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(access.admits(&all), expect, "{origin:?}");
        };
        let listed = Cors::Origins(vec!["https://wallet.example".to_owned()]);
        check(Cors::Own, None, true);
        check(Cors::Own, Some("http://node.example:8545"), true);
        check(Cors::Own, Some("https://wallet.example"), false);
        check(Cors::Own, Some("null"), false);
        check(listed.clone(), Some("https://wallet.example"), true);
        check(listed, Some("https://wallet.example.evil"), false);
        check(Cors::Any, Some("https://anything"), true);
    }
}
