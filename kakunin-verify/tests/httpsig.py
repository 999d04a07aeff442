"""Signs and verifies requests by RFC 9421 with http-message-signatures, so that a third party decides.

Reads a JSON list of jobs from standard input and writes the list of their results. A job has `method`, `url`,
`headers`, `algorithm` (a name of the registry of RFC 9421, 6.2.2) and `key` (DER in hex). One with `sign`, the
arguments of the signer, gives the headers afterwards; one without gives whether the signature verifies.
"""

import datetime
import json
import sys
from types import SimpleNamespace

from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)

ALGORITHMS = {
    "ed25519": algorithms.ED25519,
    "ecdsa-p256-sha256": algorithms.ECDSA_P256_SHA256,
    "rsa-v1_5-sha256": algorithms.RSA_V1_5_SHA256,
}


class OneKey(HTTPSignatureKeyResolver):
    def __init__(self, der):
        self.der = der

    def resolve_private_key(self, key_id):
        return load_der_private_key(self.der, password=None)

    def resolve_public_key(self, key_id):
        return load_der_public_key(self.der)


class AnyTime(HTTPMessageVerifier):
    # The tests have a time of their own.
    max_clock_skew = datetime.timedelta(days=36500)


def run(job):
    request = SimpleNamespace(method=job["method"], url=job["url"], headers=dict(job["headers"]))
    means = {"signature_algorithm": ALGORITHMS[job["algorithm"]], "key_resolver": OneKey(bytes.fromhex(job["key"]))}
    if "sign" in job:
        how = dict(job["sign"])
        how["created"] = datetime.datetime.fromtimestamp(how["created"], tz=datetime.timezone.utc)
        HTTPMessageSigner(**means).sign(request, **how)
        return request.headers
    try:
        required = ("@method", "@request-target", "@authority")
        if job.get("content"):
            required += ("content-digest",)
            request.body = job["content"].encode()
        found = AnyTime(**means).verify(
            request, max_age=None, expect_tag="kakunin-request", require_components=required
        )
    except InvalidSignature:
        return False
    return len(found) == 1


json.dump([run(job) for job in json.load(sys.stdin)], sys.stdout)
