//! A TLS stack that is not ours accepts our leaf as client certificate, and the chain it hands over verifies.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::sync::Arc;

use common::*;
use kakunin_core::time::{Clock, DAY, SystemClock};
use kakunin_core::x509::oid;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

#[test]
fn rustls_accepts_the_agent_as_client() {
    for leaf_key in [Key::p256(), Key::rsa()] {
        let world = World::new(Key::rsa(), leaf_key);
        // rustls reads the system's clock, so the chain must be valid now.
        let now = SystemClock.now();
        let leaf = {
            let mut spec = world.leaf();
            (spec.not_before, spec.not_after) = (time(now.minus(DAY)), time(now.plus(DAY)));
            spec.sign(&world.issuing.key)
        };
        let issuing = {
            let mut spec = world.issuing.spec(&world.root, Some(0));
            spec.not_before = time(now.minus(DAY));
            spec.sign(&world.root.key)
        };
        let server_key = Key::p256();
        let server = {
            let mut spec = world.leaf();
            (spec.not_before, spec.not_after) = (time(now.minus(DAY)), time(now.plus(DAY)));
            spec.spki = server_key.spki();
            spec.ext(oid::SUBJECT_ALT_NAME).value = san(&[(0x82, "server.example.org")]);
            spec.sign(&world.issuing.key)
        };
        let chain =
            |leaf: &[u8]| vec![CertificateDer::from(leaf.to_vec()), CertificateDer::from(issuing.clone())];
        let peer = handshake(&world, (chain(&leaf), &world.leaf_key), (chain(&server), &server_key));
        let verifier =
            world.builder().policy(kakunin_verify::Policy::strict().dangerously_ignore_staleness());
        let mut root = world.root.spec(&world.root, None);
        root.not_before = time(now.minus(DAY));
        let anchor = kakunin_verify::TrustAnchor::new(&root.sign(&world.root.key), domain()).unwrap();
        let verifier = verifier.anchor(anchor).build(now).unwrap();
        assert!(verifier.check(&peer, ACTION, now).is_ok());
    }
}

type Identity<'a> = (Vec<CertificateDer<'static>>, &'a Key);

/// The chain the server got from its client.
fn handshake(world: &World, client: Identity<'_>, server: Identity<'_>) -> Vec<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(world.root_der.clone())).unwrap();
    let roots = Arc::new(roots);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = |key: &Key| PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.pkcs8()));
    let client_verifier =
        WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build().unwrap();
    let server_config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(client_verifier)
        .with_single_cert(server.0, key(server.1))
        .unwrap();
    let client_config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(client.0, key(client.1))
        .unwrap();
    let name = ServerName::try_from("server.example.org").unwrap();
    let mut client = ClientConnection::new(Arc::new(client_config), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server_config)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    server.peer_certificates().unwrap().to_vec()
}
