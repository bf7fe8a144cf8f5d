//! The explorer: a page that shows the cluster, built from `web/explorer` and embedded, so that every node
//! serves it without anything else, and a browser asks nobody but this node.
//!
//! Files are kept compressed, as every browser takes them. The address `/` is the page for a browser, which
//! says that it wants HTML, and a line of text for everybody else.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use commonware_cryptography::{Hasher as _, Sha256};
use std::sync::LazyLock;

struct File {
    name: &'static str,
    kind: &'static str,
    gzipped: &'static [u8],
}

const PAGE: File = File {
    name: "index.html",
    kind: "text/html; charset=utf-8",
    gzipped: include_bytes!("../../explorer/index.html.gz"),
};

const FILES: [File; 5] = [
    File {
        name: "app.js",
        kind: "text/javascript; charset=utf-8",
        gzipped: include_bytes!("../../explorer/app.js.gz"),
    },
    File {
        name: "app.css",
        kind: "text/css; charset=utf-8",
        gzipped: include_bytes!("../../explorer/app.css.gz"),
    },
    File {
        name: "verify.js",
        kind: "text/javascript; charset=utf-8",
        gzipped: include_bytes!("../../explorer/verify.js.gz"),
    },
    File {
        name: "wallet.js",
        kind: "text/javascript; charset=utf-8",
        gzipped: include_bytes!("../../explorer/wallet.js.gz"),
    },
    File { name: "icon.svg", kind: "image/svg+xml", gzipped: include_bytes!("../../explorer/icon.svg.gz") },
];

/// The page runs its own scripts and talks to its own node, and nothing else happens in it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Changes with any of the files.
static VERSION: LazyLock<HeaderValue> = LazyLock::new(|| {
    let parts: Vec<_> = FILES.iter().chain([&PAGE]).map(|file| file.gzipped).collect();
    let digest = Sha256::hash(&parts);
    HeaderValue::try_from(format!("\"{digest}\"")).expect("quotes and hex digits")
});

/// Whether the client shows pages.
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

pub(super) fn page(headers: &HeaderMap) -> Response {
    respond(&PAGE, headers)
}

pub(super) fn file(name: &str, headers: &HeaderMap) -> Response {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => respond(file, headers),
        None => (StatusCode::NOT_FOUND, "the explorer has no such file\n").into_response(),
    }
}

fn respond(file: &File, asked: &HeaderMap) -> Response {
    let fixed: [(HeaderName, &'static str); 8] = [
        (header::CONTENT_TYPE, file.kind),
        (header::CONTENT_ENCODING, "gzip"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let known = asked.get(header::IF_NONE_MATCH) == Some(&*VERSION);
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { file.gzipped.into_response() };
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::ETAG, VERSION.clone());
    response
}
