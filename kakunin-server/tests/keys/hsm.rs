//! An HSM, and mutual TLS with a key in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::binary::run;
use crate::kms;
use crate::world::{World, text, verified_by_openssl};

/// A token of its own, and the environment that shows it.
struct Hsm {
    conf: String,
    module: PathBuf,
    pin: PathBuf,
}

impl Hsm {
    fn new(folder: &Path) -> Self {
        let module = std::env::var_os("KAKUNIN_PKCS11_MODULE").map(PathBuf::from);
        let module = module.unwrap_or_else(|| PathBuf::from("/usr/lib/softhsm/libsofthsm2.so"));
        assert!(module.exists(), "{} is missing; run: make setup", module.display());
        std::fs::create_dir(folder.join("tokens")).unwrap();
        let conf = folder.join("softhsm2.conf");
        let tokens =
            format!("directories.tokendir = {}/tokens\nobjectstore.backend = file\n", folder.display());
        std::fs::write(&conf, tokens).unwrap();
        let pin = folder.join("pin");
        std::fs::write(&pin, "271828\n").unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&pin, private).unwrap();
        let hsm = Self { conf: conf.display().to_string(), module, pin };
        let token =
            ["--init-token", "--free", "--label", "kakunin", "--so-pin", "12345678", "--pin", "271828"];
        let made =
            Command::new("softhsm2-util").args(token).env("SOFTHSM2_CONF", &hsm.conf).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        hsm
    }

    fn url(&self) -> String {
        let (module, pin) = (self.module.display(), self.pin.display());
        format!("pkcs11:token=kakunin?module-path={module}&pin-source=file:{pin}&x-sessions=4")
    }
}

#[test]
fn openssl_and_curl_do_mutual_tls_with_the_key_in_the_hsm() {
    let folder = tempfile::tempdir().unwrap();
    let hsm = Hsm::new(folder.path());
    let data = folder.path().join("data");
    let w = World::start(&data, &hsm.url(), &[("SOFTHSM2_CONF", &hsm.conf)]);
    for algorithm in ["rsa-2048", "p256"] {
        let agent = w.agent();
        let certified = w.certify(&agent, json!({ "key_algorithm": algorithm }));
        verified_by_openssl(folder.path(), &certified);
        let chain = text(&certified, "certificate_pem").to_owned() + text(&certified, "chain_pem");
        std::fs::write(folder.path().join("agent.pem"), chain).unwrap();
        let id = text(&certified, "kms_key_arn").trim_start_matches("pkcs11:").to_owned();
        let octets: String =
            id.as_bytes().chunks(2).map(|p| format!("%{}", String::from_utf8_lossy(p))).collect();
        let key = format!("pkcs11:token=kakunin;id={octets};type=private");
        mutual_tls(folder.path(), &hsm, &key);
    }
}

/// A TLS server of openssl's that demands a certificate, and curl with the key that never leaves the token.
fn mutual_tls(folder: &Path, hsm: &Hsm, key: &str) {
    let engine = format!(
        "openssl_conf = init\n[init]\nengines = eng\n[eng]\npkcs11 = p11\n[p11]\nengine_id = pkcs11\n\
         MODULE_PATH = {}\nPIN = 271828\ninit = 0\n",
        hsm.module.display()
    );
    std::fs::write(folder.join("engine.cnf"), engine).unwrap();
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "tls.key", "-out", "tls.pem"];
    let name = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    run("openssl", &[&request[..], &name[..]].concat(), folder);
    let port = kms::free_port().to_string();
    let serve = ["s_server", "-accept", &port, "-cert", "tls.pem", "-key", "tls.key", "-CAfile", "root.pem"];
    let mut server = Command::new("openssl")
        .args(serve)
        .args(["-Verify", "3", "-verify_return_error", "-www", "-quiet"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_err() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
    let asked = |more: &[&str]| {
        let url = format!("https://localhost:{port}/");
        let done = Command::new("curl")
            .args([
                "-sS",
                "--max-time",
                "20",
                "--cacert",
                "tls.pem",
                "-o",
                "page",
                "-w",
                "%{http_code}",
                &url,
            ])
            .args(more)
            .current_dir(folder)
            .envs([("SOFTHSM2_CONF", hsm.conf.as_str()), ("OPENSSL_CONF", "engine.cnf")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        (String::from_utf8_lossy(&done.stdout).into_owned(), said)
    };
    let with = asked(&["--engine", "pkcs11", "--key-type", "ENG", "--key", key, "--cert", "agent.pem"]);
    let without = asked(&[]);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(with.0, "200", "{}; is libengine-pkcs11-openssl there? run: make setup", with.1);
    assert_ne!(without.0, "200");
}
