//! TLS with a private CA, and with certificates that clients show.

use std::path::Path;
use std::sync::{Arc, mpsc};

use axum::http::{HeaderMap, Method};
use kakunin_verify::feed::http::{HttpClient, HttpError, Shown, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::binary::run;
use crate::peers::{SHORT, get};

/// A CA in `<name>.pem`, and what it issues: for a server at this address or name, and for a client.
pub(crate) fn private_ca(folder: &Path, name: &str, server: &str) {
    let openssl = |line: &str| run("openssl", &line.split_whitespace().collect::<Vec<_>>(), folder);
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!("req -x509 {key} -keyout {name}.key -out {name}.pem -subj /CN={name}"));
    for (leaf, extension) in [("server", server), ("client", "DNS:client.example")] {
        openssl(&format!(
            "req -x509 {key} -keyout {name}-{leaf}.key -out {name}-{leaf}.pem -subj /CN={leaf} -CA {name}.pem \
             -CAkey {name}.key -addext subjectAltName={extension} -addext basicConstraints=critical,CA:FALSE"
        ));
    }
}

fn certificate(folder: &Path, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(folder.join(format!("{name}.pem"))).unwrap()
}

fn shown(folder: &Path, name: &str) -> Shown {
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
    (vec![certificate(folder, name)], key)
}

/// A certificate of somebody.
pub(crate) fn any_certificate() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    private_ca(folder.path(), "any", "IP:127.0.0.1");
    certificate(folder.path(), "any").to_vec()
}

/// What a server saw of a client: protocol, certificates, kind of handshake, and the head of its request.
struct Seen {
    protocol: Option<Vec<u8>>,
    certificates: usize,
    resumed: bool,
    head: String,
}

/// A server that would rather speak HTTP/2, and asks for certificates of its own CA if it is told to.
async fn serving(folder: &Path, asks: bool) -> (String, mpsc::Receiver<Seen>) {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(folder, "ours")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = if asks {
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let (chain, key) = shown(folder, "ours-server");
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (sender, seen) = mpsc::channel();
    tokio::spawn(async move {
        loop {
            let Ok(mut stream) = acceptor.accept(listener.accept().await.unwrap().0).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(octet) = stream.read_u8().await else { break };
                head.push(octet);
            }
            let session = stream.get_ref().1;
            let _ = sender.send(Seen {
                protocol: session.alpn_protocol().map(<[u8]>::to_vec),
                certificates: session.peer_certificates().map_or(0, <[_]>::len),
                resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
                head: String::from_utf8_lossy(&head).into_owned(),
            });
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
            let _ = stream.shutdown().await;
        }
    });
    (url, seen)
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_it_is_named_and_nobody_else_is() {
    let folder = tempfile::tempdir().unwrap();
    private_ca(folder.path(), "ours", "IP:127.0.0.1");
    private_ca(folder.path(), "theirs", "IP:127.0.0.1");
    let (url, seen) = serving(folder.path(), false).await;
    let trusting = |name| Tls::trusting([certificate(folder.path(), name)]).unwrap();
    let client = HttpClient::new(&url, &trusting("ours"), None, &SHORT).unwrap();
    assert!(client.is_confidential());
    assert_eq!(get(&client).await.unwrap().whole().await.unwrap(), b"hi");
    let first = seen.recv().unwrap();
    // The server has HTTP/2, and streams are read over HTTP/1.1.
    assert_eq!(first.protocol.as_deref(), Some(&b"http/1.1"[..]));
    assert!(first.head.starts_with("GET /it HTTP/1.1\r\n") && first.certificates == 0, "{}", first.head);
    for tls in [trusting("theirs"), Tls::system()] {
        let Ok(client) = HttpClient::new(&url, &tls, None, &SHORT) else { continue };
        let error = get(&client).await.unwrap_err();
        assert!(matches!(&error, HttpError::Tls(why) if why.contains("nobody who is trusted")), "{error:?}");
    }
    let named = HttpClient::new(&url.replace("127.0.0.1", "localhost"), &trusting("ours"), None, &SHORT);
    let error = get(&named.unwrap()).await.unwrap_err();
    assert!(matches!(&error, HttpError::Tls(why) if why.contains("and not for localhost")), "{error:?}");
    assert!(seen.try_recv().is_err(), "who is not trusted is asked nothing");
    assert_eq!(Tls::trusting([]).unwrap_err(), HttpError::NoRoots);
    let broken = Tls::trusting([CertificateDer::from(vec![0x30, 0])]).unwrap_err();
    assert!(matches!(broken, HttpError::Root(_)), "{broken:?}");
}

#[tokio::test]
async fn a_certificate_is_shown_to_who_asks_and_each_client_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    private_ca(folder.path(), "ours", "IP:127.0.0.1");
    private_ca(folder.path(), "theirs", "IP:127.0.0.1");
    let (url, seen) = serving(folder.path(), true).await;
    let tls = Tls::trusting([certificate(folder.path(), "ours")]).unwrap();
    let ask = async |shown: Option<Shown>| {
        let client = HttpClient::new(&url, &tls, shown, &SHORT).unwrap();
        client.send(Method::GET, "", HeaderMap::new(), Vec::new()).await?.whole().await
    };
    for _ in 0..2 {
        assert_eq!(ask(Some(shown(folder.path(), "ours-client"))).await.unwrap(), b"hi");
        let seen = seen.recv().unwrap();
        assert_eq!((seen.certificates, seen.resumed), (1, false));
    }
    // A refusal comes after the handshake in TLS 1.3; it is one by somebody who is there.
    for nobody in [None, Some(shown(folder.path(), "theirs-client"))] {
        let error = ask(nobody).await.unwrap_err();
        assert!(matches!(error, HttpError::Tls(_) | HttpError::Broken(_)), "{error:?}");
    }
    let (chain, _) = shown(folder.path(), "ours-client");
    let (_, other) = shown(folder.path(), "theirs-client");
    let error = HttpClient::new(&url, &tls, Some((chain, other)), &SHORT).unwrap_err();
    assert!(matches!(error, HttpError::Shown(_)), "{error:?}");
}
