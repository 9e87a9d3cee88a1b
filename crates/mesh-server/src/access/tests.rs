use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderValue, Uri, header};

use super::Access;

fn check(access: &Access, local: IpAddr, host: &str, origin: Option<&str>) -> String {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
    if let Some(origin) = origin {
        headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
    }
    match access.check(&headers, &Uri::from_static("/ok"), local) {
        Ok(_) => "ok".to_owned(),
        Err(refusal) => refusal.code().to_owned(),
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LAN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 5));

#[test]
fn a_host_is_answered_when_it_means_this_server() {
    let open = Access::default();
    let named = Access {
        hosts: vec!["mesh.example".to_owned(), "other.example:8443".to_owned()],
        ..Access::default()
    };
    for (access, local, host, expected) in [
        (&open, LOOPBACK, "127.0.0.1:8080", "ok"),
        (&open, LOOPBACK, "127.9.9.9:8080", "ok"),
        (&open, LOOPBACK, "localhost", "ok"),
        (&open, LOOPBACK, "LOCALHOST:3000", "ok"),
        (&open, LOOPBACK, "mesh.localhost:1", "ok"),
        (&open, LOOPBACK, "[::1]:8080", "ok"),
        (&open, LOOPBACK, "[::ffff:127.0.0.1]", "ok"),
        (&open, LOOPBACK, "evil.example:8080", "host_not_allowed"),
        (&open, LOOPBACK, "localhost.evil.example", "host_not_allowed"),
        (&open, LOOPBACK, "evillocalhost", "host_not_allowed"),
        (&open, LOOPBACK, "192.168.1.5", "host_not_allowed"),
        (&open, LAN, "192.168.1.5:8080", "ok"),
        (&open, LAN, "192.168.1.6:8080", "host_not_allowed"),
        (&named, LAN, "mesh.example", "ok"),
        (&named, LAN, "mesh.example:8080", "ok"),
        (&named, LAN, "other.example:8443", "ok"),
        (&named, LAN, "other.example:8080", "host_not_allowed"),
        (&open, LOOPBACK, "", "invalid_host"),
        (&open, LOOPBACK, "localhost:http", "invalid_host"),
        (&open, LOOPBACK, "[::1", "invalid_host"),
        (&open, LOOPBACK, "localhost:99999", "invalid_host"),
        (&open, LOOPBACK, "[::1]x", "invalid_host"),
    ] {
        assert_eq!(check(access, local, host, None), expected, "{host} on {local}");
    }
}

#[test]
fn a_page_may_ask_when_it_is_ours_or_was_named() {
    let access = Access {
        hosts: vec!["mesh.example".to_owned()],
        origins: vec!["https://app.example".to_owned()],
        any_origin: false,
    };
    for (host, origin, expected) in [
        ("localhost:8080", "http://localhost:8080", "ok"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", "ok"),
        ("localhost", "http://localhost", "ok"),
        ("localhost:80", "http://localhost", "ok"),
        ("mesh.example", "https://mesh.example", "ok"),
        ("mesh.example:443", "https://mesh.example", "ok"),
        ("localhost:8080", "https://app.example", "ok"),
        ("localhost:8080", "HTTPS://APP.EXAMPLE", "ok"),
        ("localhost:8080", "http://localhost:3000", "origin_not_allowed"),
        ("localhost:8080", "http://127.0.0.1:8080", "origin_not_allowed"),
        ("localhost:8080", "http://evil.example", "origin_not_allowed"),
        ("localhost:8080", "http://app.example", "origin_not_allowed"),
        ("localhost:8080", "null", "origin_not_allowed"),
        ("localhost:8080", "", "origin_not_allowed"),
        ("localhost:8080", "file://", "origin_not_allowed"),
    ] {
        assert_eq!(check(&access, LOOPBACK, host, Some(origin)), expected, "{origin} to {host}");
    }
}

#[test]
fn doubled_and_disagreeing_hosts_are_refused() {
    let access = Access::default();
    let mut headers = HeaderMap::new();
    let uri = Uri::from_static("/ok");
    assert!(access.check(&headers, &uri, LOOPBACK).is_err());
    headers.append(header::HOST, HeaderValue::from_static("localhost"));
    assert!(access.check(&headers, &uri, LOOPBACK).is_ok());
    let other = Uri::from_static("http://evil.example/ok");
    assert!(access.check(&headers, &other, LOOPBACK).is_err());
    headers.append(header::HOST, HeaderValue::from_static("localhost"));
    assert!(access.check(&headers, &uri, LOOPBACK).is_err());
}
