//! Who may ask: pages of this server, and programs that are no pages. Every answer says what a page may load.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{refusal::Refusal, state::Shared};

/// Nothing but what this server gives; previews are `data:`, what is dropped is shown from a `blob:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// Refuses what comes from pages of others.
pub(crate) async fn guard(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match admitted(
        request.method(),
        request.uri().path(),
        request.headers(),
        &shared.names,
    ) {
        true => next.run(request).await,
        false => {
            let message = "Requests of other origins are refused.";
            Refusal::whole(StatusCode::FORBIDDEN, message).into_response()
        }
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn admitted(method: &Method, path: &str, headers: &HeaderMap, names: &[String]) -> bool {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or("?"))
    };
    // another site's name that was made to point here stands in `Host`
    let Some(host) = text(header::HOST).filter(|host| is_own(host, names)) else {
        return false;
    };
    let own_origin = format!("http://{host}");
    if text(header::ORIGIN).is_some_and(|origin| origin != own_origin) {
        return false;
    }
    let visits = method == Method::GET
        && path == "/"
        && text(HeaderName::from_static("sec-fetch-mode")) == Some("navigate");
    match text(HeaderName::from_static("sec-fetch-site")) {
        // a link may lead to the page, which does nothing by itself
        Some("cross-site" | "same-site") => visits,
        _ => true,
    }
}

/// Whether a host is an address, `localhost`, or a name the server was given.
fn is_own(host: &str, names: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(address) => address.split_once(']').map_or("", |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|own| name.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn names_of_others_are_not_ours() {
        let own = |host| is_own(host, &["studio.lan".into()]);
        for host in [
            "127.0.0.1:7860",
            "[::1]:7860",
            "localhost",
            "LOCALHOST:1",
            "studio.lan:80",
            "10.0.0.2",
        ] {
            assert!(own(host), "{host}");
        }
        for host in [
            "evil.example:7860",
            "127.0.0.1.evil.example",
            "localhost.evil",
            "",
            "[::1",
            "studio.lan.evil",
        ] {
            assert!(!own(host), "{host}");
        }
    }
}
