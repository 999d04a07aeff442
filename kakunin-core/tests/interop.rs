//! Other people's software decides: OpenSSL, GnuTLS, Python `cryptography` and pkilint read, verify and
//! lint what this crate issues.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, OnceLock};

use kakunin_core::agent::NewAgent;
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Config, Kakunin, KeySource, Parts, Reader};
use kakunin_core::store::MemoryStore;
use kakunin_core::x509::pem;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A deployment with the default algorithms, and files of what it publishes: `leaf` stands, `revoked`
/// does not; CRLs are full and of the leaf's shard, before and after the revocation.
struct World {
    dir: tempfile::TempDir,
    shard_of_revoked: u16,
    leaf: Serial,
    revoked: Serial,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(make)
}

fn make() -> World {
    let dir = tempfile::tempdir().unwrap();
    let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    let kakunin = block_on(Kakunin::open(Config::new("agents.example").unwrap(), parts)).unwrap();
    let acme: TenantId = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    let put = |name: &str, label, der: &[u8]| {
        std::fs::write(dir.path().join(format!("{name}.pem")), pem::encode(label, der)).unwrap();
        std::fs::write(dir.path().join(format!("{name}.der")), der).unwrap();
    };
    let issue = |name: &str, algorithm| {
        let mut spec = NewAgent::new(name, MODEL, ["read:accounts", "write:payments"]).unwrap();
        (spec.fleet, spec.organization) =
            (Some("agent fleet".parse().unwrap()), Some("Beispiel & Söhne".parse().unwrap()));
        let agent = block_on(kakunin.tenant(&acme).register(spec)).unwrap();
        let source = KeySource::Provider(algorithm);
        let issued = block_on(kakunin.tenant(&acme).certify(&agent.id, Profile::Standard, source)).unwrap();
        put(name, pem::CERTIFICATE, &issued.der);
        issued.facts
    };
    put("root", pem::CERTIFICATE, kakunin.root().as_der());
    put("issuing", pem::CERTIFICATE, kakunin.issuer().as_der());
    let leaf = issue("leaf", KeyAlgorithm::Rsa2048);
    let revoked = issue("revoked", KeyAlgorithm::P256);
    issue("ed25519", KeyAlgorithm::Ed25519);
    put("empty", pem::CRL, &block_on(kakunin.crl(None)).unwrap());
    block_on(kakunin.tenant(&acme).revoke(&revoked.serial, Cause::KeyCompromise)).unwrap();
    put("full", pem::CRL, &block_on(kakunin.crl(None)).unwrap());
    put("shard", pem::CRL, &block_on(kakunin.crl(Some(revoked.shard))).unwrap());
    put("leaf-shard", pem::CRL, &block_on(kakunin.crl(Some(leaf.shard))).unwrap());
    let root_crl = block_on(kakunin.published_crl(&kakunin.root().id(), None)).unwrap();
    put("root-crl", pem::CRL, &root_crl.der);
    let held = issue("held", KeyAlgorithm::P256);
    block_on(kakunin.tenant(&acme).hold(&held.serial)).unwrap();
    put("held-shard", pem::CRL, &block_on(kakunin.crl(Some(held.shard))).unwrap());
    let all: String = block_on(kakunin.chain_crls(Reader::Deployment))
        .unwrap()
        .iter()
        .map(|crl| pem::encode(pem::CRL, &crl.der))
        .collect();
    std::fs::write(dir.path().join("all-crls.pem"), all).unwrap();
    // Of a tenant of its own, whose name is in its certificate.
    let bound = block_on(kakunin.rotate_issuing(Some(&acme))).unwrap();
    put("bound", pem::CERTIFICATE, bound.as_der());
    issue("under-bound", KeyAlgorithm::P256);
    World { dir, shard_of_revoked: revoked.shard, leaf: leaf.serial, revoked: revoked.serial }
}

impl World {
    fn run(&self, program: &str, args: &[&str]) -> Output {
        let done = Command::new(program).args(args).current_dir(self.dir.path()).output();
        done.unwrap_or_else(|e| panic!("{program} cannot be run ({e}): `make setup` installs it"))
    }

    fn text(&self, program: &str, args: &[&str]) -> (bool, String) {
        let done = self.run(program, args);
        let text = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    fn openssl_verify(&self, leaf: &str, crl: &str) -> (bool, String) {
        let leaf = format!("{leaf}.pem");
        let crl = format!("{crl}.pem");
        let args =
            ["verify", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "-CRLfile", &crl, "-crl_check"];
        self.text("openssl", &[&args[..], &["-x509_strict", "-purpose", "sslclient", &leaf]].concat())
    }
}

/// Where `make setup` puts tools.
fn tools() -> PathBuf {
    let tools = std::env::var("KAKUNIN_TOOLS").map(PathBuf::from).or_else(|_| {
        let cache = std::env::var("XDG_CACHE_HOME").map(PathBuf::from);
        cache
            .or_else(|_| std::env::var("HOME").map(|h| PathBuf::from(h).join(".cache")))
            .map(|c| c.join("kakunin/tools"))
    });
    tools.unwrap_or_default()
}

/// Python with `cryptography` and `pkilint`: `KAKUNIN_PYTHON`, or where `make setup` puts it.
fn python() -> String {
    let ours = || tools().join("venv/bin/python").display().to_string();
    std::env::var("KAKUNIN_PYTHON").unwrap_or_else(|_| ours())
}

#[test]
fn openssl_accepts_leaf_and_chain_and_refuses_the_leaf_after_revocation() {
    let w = world();
    for crl in ["empty", "full", "leaf-shard"] {
        let (ok, text) = w.openssl_verify("leaf", crl);
        assert!(ok, "{crl}: {text}");
    }
    for key in ["revoked", "ed25519"] {
        let (ok, text) = w.openssl_verify(key, "empty");
        assert!(ok, "{key}: {text}");
    }
    for crl in ["full", "shard"] {
        let (ok, text) = w.openssl_verify("revoked", crl);
        assert!(!ok && text.contains("error 23"), "{crl}: {text}");
    }
    let (ok, text) = w.openssl_verify("revoked", "leaf-shard");
    let same_shard =
        w.shard_of_revoked == u16::from_be_bytes([w.leaf.as_bytes()[14], w.leaf.as_bytes()[15]]) % 512;
    assert!(
        !ok && (same_shard || text.contains("error 3") || text.contains("different CRL scope")),
        "{text}"
    );
    let (ok, text) = w.text("openssl", &["verify", "-x509_strict", "-CAfile", "root.pem", "issuing.pem"]);
    assert!(ok, "{text}");
}

#[test]
fn openssl_checks_whole_chains_when_the_root_has_a_crl() {
    let w = world();
    let verify = |crls: &str, leaf: &str| {
        let args = ["verify", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "-x509_strict"];
        w.text("openssl", &[&args[..], &["-crl_check_all", "-CRLfile", crls, leaf]].concat())
    };
    assert!(verify("all-crls.pem", "leaf.pem").0, "{}", verify("all-crls.pem", "leaf.pem").1);
    for gone in ["revoked.pem", "held.pem"] {
        let (ok, text) = verify("all-crls.pem", gone);
        assert!(!ok && text.contains("error 23"), "{text}");
    }
    let (ok, text) = verify("full.pem", "leaf.pem");
    assert!(!ok && text.contains("error 3"), "the root's is needed: {text}");
}

/// Built by `make setup` from `tests/go`.
#[test]
fn go_reads_and_verifies_shards_and_full_crls() {
    let w = world();
    let checker = tools().join("bin/crlcheck").display().to_string();
    for (leaf, crl, said) in [
        ("leaf", "empty", "good"),
        ("leaf", "full", "good"),
        ("leaf", "leaf-shard", "good"),
        ("revoked", "empty", "good"),
        ("revoked", "full", "revoked for 1"),
        ("revoked", "shard", "revoked for 1"),
        ("held", "held-shard", "revoked for 6"),
    ] {
        let args = ["root.pem", "issuing.pem", &format!("{leaf}.pem"), &format!("{crl}.pem")];
        let (ok, text) = w.text(&checker, &args);
        assert!(ok && text.trim() == said, "{leaf} {crl}: {text}");
    }
    let other = ["root.pem", "issuing.pem", "leaf.pem", "root-crl.pem"];
    assert!(!w.text(&checker, &other).0, "a CRL of another CA");
}

#[test]
fn openssl_shows_what_the_profile_says() {
    let w = world();
    let (_, text) = w.text(
        "openssl",
        &["x509", "-in", "leaf.pem", "-noout", "-text", "-nameopt", "RFC2253,utf8,-esc_msb"],
    );
    for part in [
        "O=Beispiel & Söhne",
        "OU=agent fleet",
        "CN=leaf",
        "X509v3 Key Usage: critical",
        "Digital Signature",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "URI:spiffe://agents.example/tenant/acme/env/production/agent/",
        "http://agents.example/api/v1/crl/",
        "CA Issuers - URI:http://agents.example/api/v1/ca/",
        "1.3.6.1.4.1.32473.1.1:",
        "1.3.6.1.4.1.32473.1.6:",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let (_, text) = w.text("openssl", &["crl", "-in", "shard.pem", "-noout", "-text"]);
    for part in
        ["Issuing Distribution Point: critical", "Only User Certificates", "CRL Number", "Key Compromise"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(text.replace([':', ' '], "").contains(&w.revoked.to_string()), "{text}");
}

#[test]
fn gnutls_accepts_the_chain_and_refuses_the_revoked_leaf() {
    let w = world();
    for (leaf, accepted) in [("leaf", true), ("revoked", false)] {
        let chain = ["issuing.pem"]
            .iter()
            .fold(std::fs::read_to_string(w.dir.path().join(format!("{leaf}.pem"))).unwrap(), |all, name| {
                all + &std::fs::read_to_string(w.dir.path().join(name)).unwrap()
            });
        let file = format!("{leaf}-chain.pem");
        std::fs::write(w.dir.path().join(&file), chain).unwrap();
        let shard = if accepted { "leaf-shard.pem" } else { "shard.pem" };
        for crl in ["full.pem", "all-crls.pem", shard] {
            let args =
                ["--verify", "--load-ca-certificate", "root.pem", "--load-crl", crl, "--infile", &file];
            let (ok, text) = w.text("certtool", &args);
            assert_eq!(ok && !text.contains("revoked"), accepted, "{leaf} {crl}: {text}");
            assert!(accepted || text.contains("revoked"), "{text}");
        }
    }
}

/// NSS keeps one CRL of an issuer, and takes another only if its thisUpdate is later.
#[test]
fn nss_takes_the_newer_of_two_crls_of_one_second_and_refuses_the_revoked_leaf() {
    let w = world();
    std::fs::create_dir(w.dir.path().join("nss")).unwrap();
    let nss = |program: &str, args: &[&str]| w.text(program, &[&["-d", "sql:nss"], args].concat());
    let must = |program: &str, args: &[&str]| {
        let (ok, text) = nss(program, args);
        assert!(ok, "{program} {args:?}: {text}");
    };
    must("certutil", &["-N", "--empty-password"]);
    for (name, trust) in [("root", "CT,,"), ("issuing", ",,"), ("leaf", ",,"), ("revoked", ",,")] {
        must("certutil", &["-A", "-n", name, "-t", trust, "-i", &format!("{name}.der")]);
    }
    for (crl, good) in [("empty", true), ("full", false)] {
        // Made one right after the other.
        must("crlutil", &["-I", "-B", "-t", "1", "-i", &format!("{crl}.der")]);
        for (leaf, good) in [("leaf", true), ("revoked", good)] {
            let (accepted, text) = nss("certutil", &["-V", "-n", leaf, "-u", "C"]);
            assert_eq!(accepted, good, "{leaf} by {crl}: {text}");
        }
    }
}

#[test]
fn openssl_accepts_what_a_bound_issuing_ca_issued() {
    let w = world();
    let args =
        ["verify", "-CAfile", "root.pem", "-untrusted", "bound.pem", "-x509_strict", "under-bound.pem"];
    let (ok, text) = w.text("openssl", &args);
    assert!(ok, "{text}");
    let (_, text) = w.text("openssl", &["x509", "-in", "bound.pem", "-noout", "-text"]);
    assert!(text.contains("1.3.6.1.4.1.32473.1.3:") && text.contains("acme"), "{text}");
}

#[test]
fn python_cryptography_reads_and_verifies() {
    let script = r#"
import sys, datetime
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, ExtensionPolicy
from cryptography.x509.oid import ObjectIdentifier, NameOID
load = lambda n: x509.load_pem_x509_certificate(open(n + ".pem", "rb").read())
root, issuing, leaf, revoked = map(load, ("root", "issuing", "leaf", "revoked"))
verifier = PolicyBuilder().store(Store([root])).extension_policies(
    ee_policy=ExtensionPolicy.permit_all(), ca_policy=ExtensionPolicy.webpki_defaults_ca()).build_client_verifier()
for cert in (leaf, revoked):
    verified = verifier.verify(cert, [issuing])
    assert len(verified.chain) == 3, verified
scope = leaf.extensions.get_extension_for_oid(ObjectIdentifier("1.3.6.1.4.1.32473.1.1"))
assert not scope.critical
assert scope.value.value == bytes.fromhex("301f0c0d726561643a6163636f756e74730c0e77726974653a7061796d656e7473")
assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "leaf"
for name in ("empty", "full", "shard"):
    crl = x509.load_pem_x509_crl(open(name + ".pem", "rb").read())
    assert crl.is_signature_valid(issuing.public_key()), name
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number > 0
    entry = crl.get_revoked_certificate_by_serial_number(revoked.serial_number)
    assert (entry is None) == (name == "empty"), name
    assert crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is None
    if entry is not None:
        assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason == x509.ReasonFlags.key_compromise
print("verified")
"#;
    let (ok, text) = world().text(&python(), &["-c", script]);
    assert!(ok && text.contains("verified"), "{text}");
}

/// pkilint's findings at WARNING and above, but for its known false positive: it takes every `spiffe://`
/// URI for malformed.
#[test]
fn pkilint_finds_nothing() {
    let w = world();
    let bin = PathBuf::from(python()).parent().unwrap().to_owned();
    let lint = |tool: &str, args: &[&str]| {
        let (_, text) = w.text(&bin.join(tool).display().to_string(), args);
        let findings: Vec<_> = text
            .lines()
            .filter(|l| ["(WARNING)", "(ERROR)", "(FATAL)"].iter().any(|level| l.contains(level)))
            .filter(|l| {
                !(l.contains("pkix.invalid_uri_syntax")
                    && l.contains("\"spiffe://agents.example/tenant/acme/"))
            })
            .map(str::to_owned)
            .collect();
        assert!(!text.contains("Traceback"), "{text}");
        assert!(findings.is_empty(), "{tool} {args:?}: {findings:#?}");
        text
    };
    for certificate in ["root", "issuing", "bound", "leaf", "revoked", "ed25519", "under-bound"] {
        let text = lint("lint_pkix_cert", &["lint", "-s", "WARNING", &format!("{certificate}.pem")]);
        let false_positive = !["root", "issuing", "bound"].contains(&certificate);
        assert_eq!(text.contains("pkix.invalid_uri_syntax"), false_positive, "the filter is needed: {text}");
    }
    lint("lint_pkix_signer_signee_cert_chain", &["lint", "-s", "WARNING", "issuing.pem", "leaf.pem"]);
    lint("lint_pkix_signer_signee_cert_chain", &["lint", "-s", "WARNING", "root.pem", "issuing.pem"]);
    lint("lint_pkix_signer_signee_cert_chain", &["lint", "-s", "WARNING", "root.pem", "bound.pem"]);
    lint("lint_pkix_signer_signee_cert_chain", &["lint", "-s", "WARNING", "bound.pem", "under-bound.pem"]);
    for (crl, kind) in [
        ("empty", "CRL"),
        ("full", "CRL"),
        ("shard", "CRL"),
        ("leaf-shard", "CRL"),
        ("held-shard", "CRL"),
        ("root-crl", "ARL"),
    ] {
        lint("lint_crl", &["lint", "-s", "WARNING", "-t", kind, "-p", "PKIX", &format!("{crl}.pem")]);
    }
}
