//! What is refused, in whose words, and files to be refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::binary::{kakunin, run};

/// How libraries speak.
const FOREIGN: [&str; 22] = [
    "{",
    "}",
    "Error",
    "Some(",
    "None",
    "Kind",
    "UnixTime",
    "(UNIX)",
    "KeyMismatch",
    "UnknownIssuer",
    "NotValid",
    "no items found",
    "peer sent no certificates",
    "invalid digit",
    "number would be zero",
    "invalid socket address",
    "invalid type",
    "unknown variant",
    "missing field",
    "EOF",
    "panicked",
    "struct ",
];

pub(crate) fn in_our_words(said: &str, about: &str) {
    for foreign in FOREIGN {
        assert!(!said.contains(foreign), "`{foreign}`, of {about}: {said}");
    }
}

/// What a command says that does not do it.
pub(crate) fn refused(arguments: &[&str]) -> String {
    let out = kakunin(arguments).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(!out.status.success(), "{arguments:?}");
    // The parser of arguments says how to call the command, too.
    let first = said.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    assert!(first.starts_with("kakunin: ") || first.starts_with("error: "), "{said}");
    in_our_words(&first, &arguments.join(" "));
    first
}

/// Files as people have them: keys and certificates in each form but the one that is asked for.
pub(crate) fn files(folder: &Path) {
    let openssl = |line: &str| _ = run("openssl", &line.split(' ').collect::<Vec<_>>(), folder);
    let pair = |name: &str| {
        openssl(&format!(
            "req -x509 -newkey rsa:2048 -noenc -keyout {name}.key -out {name}.pem -subj /CN={name} -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -days 30"
        ));
    };
    pair("one");
    pair("other");
    openssl("x509 -in one.pem -outform DER -out cert.der");
    openssl("pkey -in one.key -outform DER -out key.der");
    openssl("pkey -in one.key -aes256 -passout pass:secret -out encrypted.key");
    openssl("rsa -in one.key -traditional -aes256 -passout pass:secret -out old.key");
    openssl("pkcs12 -export -in one.pem -inkey one.key -passout pass: -out both.p12");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("empty", "");
    write("text", "hello\n");
    write("damaged.pem", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    write("type.toml", "data = \"d\"\nlisten = 8080\n");
    write("member.toml", "data = \"d\"\nlisten-at = \"127.0.0.1:1\"\n");
    write("value.toml", "data = \"d\"\ntrusted-proxy = [\"ten\"]\n");
    write("syntax.toml", "data = \"d\"\nlisten 8080\n");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}
