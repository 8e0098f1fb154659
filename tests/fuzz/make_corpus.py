#!/usr/bin/env python3
"""Writes the seed corpora, tests/vectors/fuzz_*/: entries the real cachekit writes, and broken ones.

Run it with a Python that has cachekit, pyarrow, numpy and pandas. It writes the same bytes each time and
leaves other files alone: `found-*` are what fuzzing found and what it kept for coverage.
"""

from seeds import documents, frames, servers, texts, values

if __name__ == "__main__":
    frames.entry_headers()
    frames.frames()
    frames.legacies()
    frames.keyrings()
    frames.seals()
    documents.envelopes()
    documents.structures()
    documents.json_texts()
    documents.messagepacks()
    documents.arrays()
    documents.prefixed()
    documents.arrows()
    servers.memcached_servers()
    servers.redis_servers()
    values.stored_values()
    values.lacks()
    texts.names()
    texts.mounts()
    texts.commands()
    texts.told()
    texts.times()
