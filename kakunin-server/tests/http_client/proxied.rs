//! Proxies that the environment names, for the commands that reach the network.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::binary::{Server, curl, kakunin, start};
use crate::peers::serving;
use crate::secured::private_ca;

/// The name of a deployment that only the proxy can reach.
const NAME: &str = "https://ca.example";

/// A deployment, known by its name alone, and files of TLS and CAs in the folder.
fn deployment(folder: &Path) -> (Server, String) {
    private_ca(folder, "tls", "DNS:ca.example");
    let at = |name: &str| folder.join(name).display().to_string();
    let (certificate, key) = (at("tls-server.pem"), at("tls-server.key"));
    let server =
        start(&folder.join("data"), &["--public-url", NAME, "--tls-cert", &certificate, "--tls-key", &key]);
    let port = server.said.split("127.0.0.1:").nth(1).unwrap().split(|c: char| !c.is_ascii_digit()).next();
    let port = port.unwrap().to_owned();
    let chain = std::process::Command::new("curl")
        .args(["-sS", "--cacert", &at("tls.pem"), "--resolve", &format!("ca.example:{port}:127.0.0.1")])
        .arg(format!("https://ca.example:{port}/api/v1/ca/chain"))
        .output()
        .unwrap();
    assert!(chain.status.success(), "{}", String::from_utf8_lossy(&chain.stderr));
    std::fs::write(at("chain.pem"), chain.stdout).unwrap();
    (server, format!("127.0.0.1:{port}"))
}

fn relay(mut near: TcpStream, mut far: TcpStream) {
    let (mut from, mut to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut near, &mut far);
    let _ = far.shutdown(Shutdown::Both);
}

/// A proxy that connects whoever asks it to `target`, and what it is asked.
fn proxy(target: String) -> (String, Receiver<String>) {
    let (heads, seen) = channel();
    let url = serving(move |mut stream, head| {
        heads.send(head).unwrap();
        let far = TcpStream::connect(&target).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        relay(stream, far);
    });
    (url, seen)
}

/// What is said of a run with these variables.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String) {
    let mut command = kakunin(arguments);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let done = command.envs(environment.iter().copied()).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn crls_come_through_the_proxy_that_the_environment_names() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, target) = deployment(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (proxy, seen) = proxy(target);
    let (out, chain, tls, key) = (at("crls.pem"), at("chain.pem"), at("tls.pem"), at("data/admin.key"));
    let sync = [
        "crl-sync",
        "--once",
        "--url",
        NAME,
        "--out",
        &out,
        "--ca",
        &chain,
        "--tls-ca",
        &tls,
        "--key-file",
        &key,
    ];
    let with_password = proxy.replace("http://", "http://us:pass@");
    for (variable, value, password) in [
        ("HTTPS_PROXY", proxy.as_str(), false),
        ("https_proxy", proxy.trim_start_matches("http://"), false),
        ("ALL_PROXY", with_password.as_str(), true),
    ] {
        let (done, said) = run(&sync, &[(variable, value)]);
        assert!(done, "{variable}: {said}");
        assert!(std::fs::read_to_string(&out).unwrap().starts_with("-----BEGIN X509 CRL"));
        std::fs::remove_file(&out).unwrap();
        let head = seen.recv().unwrap().to_lowercase();
        assert!(head.starts_with("connect ca.example:443 http/1.1\r\n"), "{head}");
        assert_eq!(head.contains("proxy-authorization: basic dxm6cgfzcw==\r\n"), password, "{head}");
        assert!(!head.contains("\r\nauthorization"), "the API key is for the server: {head}");
    }
    // Not through it: then nobody knows the name. A proxy that is not there is no reason to go without one.
    for environment in [
        &[("HTTPS_PROXY", proxy.as_str()), ("NO_PROXY", "other.example, ca.example")][..],
        &[("HTTPS_PROXY", proxy.as_str()), ("no_proxy", "*")],
        &[("HTTP_PROXY", proxy.as_str())],
        &[("HTTPS_PROXY", "http://127.0.0.1:1")],
    ] {
        let (done, said) = run(&sync, environment);
        assert!(!done && said.contains("no answer from https://ca.example"), "{environment:?}: {said}");
    }
    assert!(seen.try_recv().is_err());
}

#[test]
fn a_proxy_that_refuses_is_said_to() {
    let folder = tempfile::tempdir().unwrap();
    private_ca(folder.path(), "tls", "DNS:ca.example");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (out, tls) = (at("crls.pem"), at("tls.pem"));
    let sync = ["crl-sync", "--once", "--url", NAME, "--out", &out, "--ca", &tls, "--tls-ca", &tls];
    for (answer, said) in [("407 Who", "proxy authorization required"), ("403 No", "unsuccessful")] {
        let proxy = serving(move |mut stream, _| {
            let _ = stream.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes());
        });
        let (done, text) = run(&sync, &[("HTTPS_PROXY", &proxy)]);
        assert!(!done && text.contains(said), "{text}");
    }
}

#[test]
fn the_feed_is_followed_through_the_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, target) = deployment(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (proxy, seen) = proxy(target);
    let (tls, key) = (at("tls.pem"), at("data/admin.key"));
    let monitor = ["monitor", "--url", NAME, "--key-file", &key, "--ca", &tls, "--bound", "5", "--json"];
    let (done, said) = run(&monitor, &[("HTTPS_PROXY", &proxy)]);
    assert!(done, "{said}");
    let report: Value = serde_json::from_str(said.trim()).unwrap();
    let names: Vec<_> = report["consumers"].as_array().unwrap().iter().map(|c| &c["consumer"]).collect();
    assert!(report["in_time"] == true && names.contains(&&Value::from("revocation feed")), "{report}");
    let heads: Vec<_> = seen.try_iter().collect();
    assert!(
        heads.len() > 5 && heads.iter().all(|head| head.starts_with("CONNECT ca.example:443 ")),
        "{heads:?}"
    );
}

#[test]
fn no_proxy_is_asked_for_this_machine_which_alone_is_shown_a_key_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let server = start(&folder.path().join("data"), &[]);
    let (key, out, chain) = (at("data/admin.key"), at("crls.pem"), at("chain.pem"));
    let text = curl(&[&format!("{}/api/v1/ca/chain", server.url)]).1;
    std::fs::write(&chain, text.as_str().unwrap()).unwrap();
    let (proxy, seen) = proxy("127.0.0.1:1".to_owned());
    let environment = [("ALL_PROXY", proxy.as_str()), ("http_proxy", &proxy)];
    for url in [&server.url, &server.url.replace("127.0.0.1", "localhost")] {
        let sync = ["crl-sync", "--once", "--url", url, "--out", &out, "--ca", &chain, "--key-file", &key];
        let (done, said) = run(&sync, &environment);
        assert!(done, "{said}");
    }
    let (done, said) =
        run(&["monitor", "--url", &server.url, "--key-file", &key, "--bound", "5"], &environment);
    assert!(done, "{said}");
    let elsewhere = "http://ca.example";
    for arguments in [
        &["monitor", "--url", elsewhere, "--key-file", &key][..],
        &["crl-sync", "--once", "--url", elsewhere, "--out", &out, "--ca", &chain, "--key-file", &key],
    ] {
        let (done, said) = run(arguments, &environment);
        assert!(!done && said.contains("--key-file takes") && said.contains("https"), "{said}");
    }
    assert!(seen.try_recv().is_err());
}

#[test]
fn what_goes_in_the_clear_is_asked_of_the_proxy_whole() {
    let folder = tempfile::tempdir().unwrap();
    private_ca(folder.path(), "tls", "DNS:ca.example");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (heads, seen) = channel();
    let proxy = serving(move |mut stream, head| {
        heads.send(head).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 502 Bad\r\ncontent-length: 0\r\n\r\n");
    });
    let (out, tls) = (at("crls.pem"), at("tls.pem"));
    let sync = ["crl-sync", "--once", "--url", "http://ca.example", "--out", &out, "--ca", &tls];
    let (done, said) = run(&sync, &[("HTTP_PROXY", &proxy)]);
    assert!(!done && said.contains("answers 502"), "{said}");
    let head = seen.recv().unwrap();
    assert!(head.starts_with("GET http://ca.example/api/v1/crl/chain HTTP/1.1\r\n"), "{head}");
}

#[test]
fn a_socks_proxy_resolves_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, target) = deployment(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("socks5h://{}", listener.local_addr().unwrap());
    let (names, seen) = channel();
    std::thread::spawn(move || {
        // RFC 1928: no authentication; CONNECT to a name; where it was bound does not matter.
        let (mut stream, _) = listener.accept().unwrap();
        let mut take = |n: usize| {
            let mut octets = vec![0; n];
            stream.read_exact(&mut octets).unwrap();
            octets
        };
        let methods = usize::from(take(2)[1]);
        take(methods);
        stream.write_all(&[5, 0]).unwrap();
        let mut take = |n: usize| {
            let mut octets = vec![0; n];
            stream.read_exact(&mut octets).unwrap();
            octets
        };
        assert_eq!(take(4), [5, 1, 0, 3]);
        let length = usize::from(take(1)[0]);
        names.send(String::from_utf8(take(length)).unwrap()).unwrap();
        take(2);
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        relay(stream, TcpStream::connect(target).unwrap());
    });
    let (out, chain, tls) = (at("crls.pem"), at("chain.pem"), at("tls.pem"));
    let sync = ["crl-sync", "--once", "--url", NAME, "--out", &out, "--ca", &chain, "--tls-ca", &tls];
    let (done, said) = run(&sync, &[("HTTPS_PROXY", &proxy)]);
    assert!(done, "{said}");
    assert_eq!(seen.recv().unwrap(), "ca.example");
}
