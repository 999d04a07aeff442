//! How a delivery is written and signed.

use crate::words::words;

words! {
    /// How a delivery is written and signed. The three schemes of the hosted vendor do not agree with each other; a
    /// receiver that was written for it verifies one of them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    #[non_exhaustive]
    pub enum Scheme {
        /// Standard Webhooks 1.0.0: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
        #[default]
        Standard = "standard",
        /// As the vendor's server signs: `sha256=<hex>` over `<Unix milliseconds>.<body>`.
        VendorServer = "vendor_server",
        /// As the vendor's TypeScript SDK verifies: `t=<Unix seconds>,v1=<hex>` over `<Unix seconds>.<body>`.
        VendorSdk = "vendor_sdk",
        /// As the vendor's documentation has it: `<hex>` over the body.
        VendorDocs = "vendor_docs",
    }
}
