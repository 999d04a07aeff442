//! TLS with a private CA, which is trusted by name.

use std::path::Path;
use std::sync::Arc;

use axum::http::Method;
use kakunin_core::webhook::Allow;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::binary::run;
use crate::common::world_with;

/// A CA in `<name>.pem`, and what it issues to this machine.
fn private_ca(folder: &Path, name: &str) {
    let openssl = |line: &str| run("openssl", &line.split_whitespace().collect::<Vec<_>>(), folder);
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!("req -x509 {key} -keyout {name}.key -out {name}.pem -subj /CN={name}"));
    openssl(&format!(
        "req -x509 {key} -keyout {name}-server.key -out {name}-server.pem -subj /CN=server -CA {name}.pem -CAkey {name}.key \
         -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
    ));
}

/// A receiver that takes everything; gives its port.
async fn serving(folder: &Path, name: &str) -> u16 {
    let chain = CertificateDer::from_pem_file(folder.join(format!("{name}-server.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}-server.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![chain], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = [0; 4_096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

async fn ping(trust: &Path, port: u16) -> Value {
    let w = world_with(|options| {
        options.webhooks.allow = vec!["127.0.0.1".parse::<Allow>().unwrap()];
        options.webhooks.trust = Some(trust.to_owned());
    })
    .await;
    let asked = json!({ "url": format!("https://127.0.0.1:{port}/"), "events": ["risk.alert"] });
    let made = w.admin.post("/api/v1/webhooks", &asked).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.json());
    let path = format!("/api/v1/webhooks/{}/ping", made.text("id"));
    w.admin.send(Method::POST, &path, &[], Vec::new()).await.unwrap().data()
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_it_is_named_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ours", "theirs"] {
        private_ca(folder.path(), name);
    }
    let port = serving(folder.path(), "ours").await;
    let good = ping(&folder.path().join("ours.pem"), port).await;
    assert_eq!(good["delivered"], json!(true), "{good}");
    let bad = ping(&folder.path().join("theirs.pem"), port).await;
    assert_eq!((&bad["delivered"], &bad["code"]), (&json!(false), &json!("tls_failed")), "{bad}");
}
