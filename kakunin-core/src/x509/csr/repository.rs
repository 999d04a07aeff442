//! Where an authority will publish, as its request says it: an extension request (RFC 2985, 5.4.2) for
//! subjectInfoAccess with a caRepository (RFC 5280, 4.2.2.2).

use crate::x509::der::{DerError, Reader, Writer};
use crate::x509::published::Published;

/// `pkcs-9-at-extensionRequest`, 1.2.840.113549.1.9.14
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
/// `id-pe-subjectInfoAccess`, 1.3.6.1.5.5.7.1.11
const SUBJECT_INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 11];
/// `id-ad-caRepository`, 1.3.6.1.5.5.7.48.5
const CA_REPOSITORY: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 5];

/// Writes the one attribute.
pub(super) fn write(attributes: &mut Writer, published: &Published) {
    attributes.sequence(|attribute| {
        attribute.oid(EXTENSION_REQUEST).nested(0x31, |values| {
            values.sequence(|extensions| {
                extensions.sequence(|extension| {
                    extension.oid(SUBJECT_INFO_ACCESS).nested(0x04, |value| {
                        value.sequence(|list| {
                            list.sequence(|access| {
                                access.oid(CA_REPOSITORY).element(0x86, published.as_str().as_bytes());
                            });
                        });
                    });
                });
            });
        });
    });
}

/// Where, if these attributes say it; whatever else they ask for is passed over.
pub(super) fn read(attributes: &[u8]) -> Option<Published> {
    find(attributes).ok().flatten().and_then(|uri| Published::parse(uri).ok())
}

fn find(attributes: &[u8]) -> Result<Option<&str>, DerError> {
    let mut attributes = Reader::new(attributes);
    while !attributes.is_empty() {
        let mut attribute = attributes.sequence()?;
        if attribute.read(6)? != EXTENSION_REQUEST {
            continue;
        }
        let mut extensions = Reader::new(attribute.read(0x31)?).sequence()?;
        while !extensions.is_empty() {
            let mut extension = extensions.sequence()?;
            let id = extension.read(6)?;
            extension.default_false()?;
            let value = extension.read(4)?;
            if id == SUBJECT_INFO_ACCESS {
                return repository(value);
            }
        }
    }
    Ok(None)
}

fn repository(value: &[u8]) -> Result<Option<&str>, DerError> {
    let mut list = Reader::new(value).sequence()?;
    while !list.is_empty() {
        let mut access = list.sequence()?;
        if access.read(6)? == CA_REPOSITORY && access.peek() == Some(0x86) {
            return core::str::from_utf8(access.read(0x86)?).map(Some).map_err(|_| DerError);
        }
    }
    Ok(None)
}
