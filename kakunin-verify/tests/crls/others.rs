//! The same CRLs before OpenSSL, GnuTLS and NSS: what one of them refuses by RFC 5280 is not taken here, and of what is
//! taken by both, both say the same.

use std::path::{Path, PathBuf};
use std::process::Command;

use kakunin_core::id::{SerialNumber, hex_encode};
use kakunin_core::x509::{oid, pem};
use kakunin_verify::revocation::{RevocationView, Status};

use super::common::*;
use super::odd::{BAD, Crl, GOOD, Spoil};
use super::{Site, envelopes, mutant};

/// So many mutants that are taken here are put to them.
const MUTANTS: usize = 100;

/// What one of them says of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Good,
    Revoked,
}

/// What it says of the leaf that most of them revoke, or why it does not take the CRL.
type Asked = Result<Said, String>;

/// Certificates in files: `good` is on no CRL, `gone` on most.
struct Folder(PathBuf);

impl Folder {
    fn new(site: &Site) -> Self {
        let folder = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join("kakunin-verify-crls"));
        let _ = std::fs::remove_dir_all(folder.path());
        std::fs::create_dir_all(folder.path()).unwrap();
        let world = &site.world;
        let leaf = |first| {
            let mut leaf = world.leaf();
            leaf.serial = serial(first);
            // Its CRL is the full one.
            leaf.drop_ext(oid::CRL_DISTRIBUTION_POINTS);
            leaf.sign(&world.issuing.key)
        };
        let put = |name: &str, der: &[u8]| {
            folder.write(&format!("{name}.der"), der);
            folder.write(&format!("{name}.pem"), pem::encode(pem::CERTIFICATE, der).as_bytes());
        };
        put("root", &world.root_der);
        // NSS tells certificates by issuer and serial number.
        let mut issuing = world.issuing.spec(&world.root, Some(0));
        issuing.serial = serial(0x52);
        let issuing = issuing.sign(&world.root.key);
        put("issuing", &issuing);
        for (name, first) in [("good", 0x33), ("gone", 0x42)] {
            put(name, &leaf(first));
            let chain = [leaf(first), issuing.clone()].map(|der| pem::encode(pem::CERTIFICATE, &der));
            folder.write(&format!("{name}-chain.pem"), chain.concat().as_bytes());
        }
        folder.nss_database();
        folder
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    fn run(&self, program: &str, args: &[&str]) -> (bool, String) {
        let done = Command::new(program).args(args).current_dir(self.path()).output();
        let done = done.unwrap_or_else(|e| panic!("{program} cannot be run ({e}): `make setup` installs it"));
        (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    }

    /// GnuTLS cannot be told what time it is.
    fn certtool(&self, args: &[&str]) -> (bool, String) {
        let now = NOW.to_string().replace('T', " ");
        let (library, now) = (format!("LD_PRELOAD={}", faketime()), format!("FAKETIME={}", &now[..19]));
        let line = ["TZ=UTC", "FAKETIME_DISABLE_SHM=1", &library, &now, "certtool"];
        self.run("env", &[&line, args].concat())
    }

    fn must(&self, program: &str, args: &[&str]) {
        let (ok, text) = self.run(program, args);
        assert!(ok, "{program} {args:?}: {text}");
    }

    fn nss_database(&self) {
        std::fs::create_dir(self.path().join("nss")).unwrap();
        self.must("certutil", &["-d", "sql:nss", "-N", "--empty-password"]);
        for (name, trust) in [("root", "CT,,"), ("issuing", ",,"), ("good", ",,"), ("gone", ",,")] {
            let file = format!("{name}.der");
            self.must("certutil", &["-d", "sql:nss", "-A", "-n", name, "-t", trust, "-i", &file]);
        }
    }

    fn openssl(&self, crl: &str) -> Asked {
        let verify = |leaf: &str| {
            let line =
                "verify -x509_strict -purpose sslclient -crl_check -CAfile root.pem -untrusted issuing.pem";
            let (at, crl) = (NOW.secs().to_string(), format!("{crl}.pem"));
            let args: Vec<_> = line.split(' ').chain(["-attime", &at, "-CRLfile", &crl, leaf]).collect();
            self.run("openssl", &args)
        };
        asked(verify("good.pem"), || verify("gone.pem"), "error 23")
    }

    fn gnutls(&self, crl: &str) -> Asked {
        let crl = format!("{crl}.pem");
        let args = ["--verify-crl", "--load-ca-certificate", "issuing.pem", "--infile", &crl];
        let (taken, said) = self.certtool(&args);
        if !taken {
            return Err(said);
        }
        let verify = |leaf: &str| {
            let args =
                ["--verify", "--load-ca-certificate", "root.pem", "--load-crl", &crl, "--infile", leaf];
            self.certtool(&args)
        };
        asked(verify("good-chain.pem"), || verify("gone-chain.pem"), "revoked")
    }

    fn nss(&self, crl: &str) -> Asked {
        // It keeps one CRL of an issuer: each has a database of its own.
        let (folder, file) = (self.path().join(format!("nss-{crl}")), format!("{crl}.der"));
        std::fs::create_dir(&folder).unwrap();
        for entry in std::fs::read_dir(self.path().join("nss")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        let database = format!("sql:nss-{crl}");
        let (taken, said) = self.run("crlutil", &["-d", &database, "-I", "-t", "1", "-i", &file]);
        if !taken {
            return Err(said);
        }
        let at = NOW.to_string().replace(['-', ':', 'T'], "");
        let at = format!("{}Z", &at[2..14]);
        let verify = |leaf| self.run("certutil", &["-d", &database, "-V", "-n", leaf, "-u", "C", "-b", &at]);
        let said = asked(verify("good"), || verify("gone"), "revoked")?;
        // It needs no CRL; that it took this one shows in what it says of what is on it.
        let listed = std::fs::read(self.path().join(&file)).unwrap().windows(16).any(|at| at == serial(0x42));
        if listed && said == Said::Good { Err("it knows of no revocation".into()) } else { Ok(said) }
    }
}

/// The library; its wrapper leaves names behind that the next process of the same number trips over.
fn faketime() -> String {
    let places = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
    let mut there =
        places.map(|folder| folder.join("faketime/libfaketime.so.1")).filter(|path| path.exists());
    there.next().expect("run `make setup`: faketime is not installed").display().to_string()
}

fn asked(good: (bool, String), gone: impl Fn() -> (bool, String), revoked: &str) -> Asked {
    if !good.0 {
        return Err(good.1);
    }
    match gone() {
        (true, _) => Ok(Said::Good),
        (false, text) if text.contains(revoked) => Ok(Said::Revoked),
        (false, text) => Err(text),
    }
}

type Ask = fn(&Folder, &str) -> Asked;

const OTHERS: [(char, Ask); 3] = [('O', Folder::openssl), ('G', Folder::gnutls), ('N', Folder::nss)];

/// What each says of each CRL.
fn ask(folder: &Folder, crls: &[(String, &str, Vec<u8>)]) -> [Vec<Asked>; 3] {
    for (n, (_, _, der)) in crls.iter().enumerate() {
        folder.write(&format!("{n}.der"), der);
        folder.write(&format!("{n}.pem"), pem::encode(pem::CRL, der).as_bytes());
    }
    let all = |ask: Ask| (0..crls.len()).map(|n| ask(folder, &n.to_string())).collect();
    std::thread::scope(|scope| {
        OTHERS.map(|(_, ask)| scope.spawn(move || all(ask))).map(|thread| thread.join().unwrap())
    })
}

#[test]
fn nothing_is_taken_that_openssl_gnutls_or_nss_refuse_by_rfc_5280() {
    let site = Site::new();
    let signed = |spoil: &Spoil| {
        let mut crl = Crl::by(&site.world.issuing);
        spoil(&mut crl);
        crl.sign(&site.world.issuing.key)
    };
    let mut crls: Vec<(String, &str, Vec<u8>)> = Vec::new();
    crls.extend(GOOD.iter().map(|(what, spoil)| ((*what).into(), "OGN", signed(spoil))));
    crls.extend(BAD.iter().map(|(what, takers, spoil)| ((*what).into(), *takers, signed(spoil))));
    crls.extend(envelopes(&site).map(|(what, takers, der)| (what.into(), takers, der)));
    let mut random = Random(6_818);
    let mutants = std::iter::repeat_with(|| mutant(&site, &mut random)).filter(|m| site.ours(&m.1).is_some());
    crls.extend(mutants.take(MUTANTS).map(|(what, der)| (format!("mutant {what:?}"), "OGN", der)));
    let answers = ask(&Folder::new(&site), &crls);
    let gone = SerialNumber::from_der_integer(&serial(0x42)).unwrap();
    let (mut wrong, mut refused) = (Vec::new(), [0; 3]);
    for (n, (what, takers, der)) in crls.iter().enumerate() {
        let ours = site.ours(der).map(|view| match view.status(&site.issuer.id(), &gone, NOW).0 {
            Status::Revoked(_) => Said::Revoked,
            _ => Said::Good,
        });
        for (((by, _), answers), refused) in OTHERS.iter().zip(&answers).zip(&mut refused) {
            let theirs = &answers[n];
            *refused += usize::from(theirs.is_err());
            let differ = ours.is_some() && ours != theirs.as_ref().ok().copied();
            if differ || theirs.is_ok() && !takers.contains(*by) {
                wrong.push(format!("{what}: here {ours:?}, {by} {theirs:?}: {}", hex_encode(der)));
            }
        }
    }
    println!("of {}, refused by O, G, N: {refused:?}", crls.len());
    assert!(refused.iter().all(|n| *n > 10), "they decide: {refused:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
