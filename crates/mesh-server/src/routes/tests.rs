use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::{Router, body::Body, extract::Request, middleware, routing::get};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Connection, gate};
use crate::{About, Access, Limits, Server, server::Shared};

async fn panics() -> &'static str {
    panic!("a secret");
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_500_with_a_reference_and_nothing_else() {
    let about = About { name: "t".to_owned(), description: String::new(), version: "0".to_owned() };
    let server = Server::new(about, [], Limits::default(), Access::default()).unwrap();
    let shared = Arc::new(Shared::new(server, CancellationToken::new()));
    let router = Router::new()
        .route("/", get(panics))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), gate))
        .with_state(shared);
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let mut request = Request::new(Body::empty());
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    request.extensions_mut().insert(Connection {
        peer: ([127, 0, 0, 1], 1).into(),
        local: IpAddr::V4(Ipv4Addr::LOCALHOST),
        _place: Arc::new(place),
        busy: None,
    });
    let response = TowerToHyperService::new(router).call(request).await.unwrap();
    assert_eq!(response.status(), 500);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["code"], "internal");
    assert_eq!(body["request_id"], *id);
    assert!(!body.to_string().contains("secret"));
}
