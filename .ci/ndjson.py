"""NDJSON, for the attack on the API: what is sent is a line, and of an answer the first line is about it."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def line(ctx, value):
    return value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"


@schemathesis.deserializer("application/x-ndjson")
def first_line(ctx, response):
    return json.loads(response.content.split(b"\n", 1)[0])
