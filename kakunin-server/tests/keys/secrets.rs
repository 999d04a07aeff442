//! Private keys, looked for where they must not be.

use std::path::Path;

use crate::binary::run;
use crate::kms::Kms;
use crate::world::World;

/// Takes the private keys out of the KMS, and looks for them in everything else there is.
pub(crate) fn nothing_of_a_key(folder: &Path, mut kms: Kms, w: &World) {
    let mut haystack = Vec::new();
    for path in
        ["/api/v1/agents?limit=100", "/api/v1/audit-log?limit=100", "/api/v1/ca", "/readyz", "/metrics"]
    {
        let (status, body) = w.get(path);
        assert_eq!(status, "200", "{path}: {body}");
        haystack.extend(body.to_string().into_bytes());
    }
    kms.down();
    haystack.extend(octets_below(&folder.join("data")));
    let state = octets_below(&folder.join("kms"));
    let state = String::from_utf8_lossy(&state).into_owned();
    let mut keys = 0;
    for blob in state.split('"').filter(|text| text.starts_with("LS0tLS1CRUdJTi")) {
        std::fs::write(folder.join("key.b64"), blob).unwrap();
        let pem = run("openssl", &["base64", "-d", "-A", "-in", "key.b64"], folder).stdout;
        if !String::from_utf8_lossy(&pem).contains("PRIVATE KEY") {
            continue;
        }
        std::fs::write(folder.join("key.pem"), pem).unwrap();
        let text = run("openssl", &["pkey", "-in", "key.pem", "-noout", "-text"], folder).stdout;
        for secret in secrets(&String::from_utf8_lossy(&text)) {
            keys += 1;
            for form in forms(&secret) {
                let found = haystack.windows(form.len()).any(|w| w == form);
                assert!(!found, "a part of a private key is outside the KMS");
            }
        }
    }
    assert!(keys >= 4, "{keys} keys were looked for");
    for word in ["a-secret-access-key", "-----BEGIN PRIVATE KEY", "-----BEGIN RSA PRIVATE"] {
        assert!(!haystack.windows(word.len()).any(|w| w == word.as_bytes()), "{word}");
    }
}

fn octets_below(folder: &Path) -> Vec<u8> {
    let mut octets = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            octets.extend(octets_below(&entry.path()));
        } else {
            octets.extend(std::fs::read(entry.path()).unwrap());
        }
    }
    octets
}

/// The private numbers of `openssl pkey -text`: the exponent and one prime, or the one number of a curve.
fn secrets(text: &str) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut current: Option<String> = None;
    for line in text.lines() {
        if line.starts_with(' ') {
            if let Some(hex) = &mut current {
                hex.push_str(&line.trim().replace(':', ""));
            }
            continue;
        }
        let wanted = ["privateExponent:", "prime1:", "priv:"].contains(&line.trim());
        all.extend(std::mem::replace(&mut current, wanted.then(String::new)));
    }
    all.extend(current);
    let octets = |hex: String| -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2);
        let octets = pairs.map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap());
        octets.skip_while(|o| *o == 0).collect()
    };
    all.into_iter().map(octets).collect()
}

/// How sixteen octets in the middle of a secret may be written.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    assert!(secret.len() >= 31);
    let part = &secret[8..24];
    let hex: String = part.iter().map(|o| format!("{o:02x}")).collect();
    let mut forms = vec![part.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    // Base64 in each of its three alignments, less the ends that depend on what is around.
    for skip in 0..3 {
        use base64ct::{Base64Unpadded, Encoding};
        let whole = &part[skip..skip + 12];
        forms.push(Base64Unpadded::encode_string(whole).into_bytes());
    }
    forms
}
