"""CAs and certificates, made with openssl."""

from __future__ import annotations

import datetime
import pathlib
import subprocess
from dataclasses import dataclass

# `openssl x509` makes no certificate that has expired already; `openssl ca` does, and wants its settings in a file.
CA_SETTINGS = """
[ca]
default_ca = own
[own]
certificate = {pem}
private_key = {key}
database = {directory}/{name}.index
new_certs_dir = {directory}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
"""

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


def openssl(*args) -> None:
    run = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@dataclass
class Certificate:
    cert: pathlib.Path
    key: pathlib.Path

    def both(self) -> pathlib.Path:
        """One file that holds certificate and key."""
        path = self.cert.with_suffix(".both")
        path.write_bytes(self.cert.read_bytes() + self.key.read_bytes())
        return path


class Authority:
    """A CA of its own. Python from 3.13 on wants what RFC 5280 wants: key usage, and the identifiers of keys."""

    def __init__(self, directory: pathlib.Path, name: str):
        self.directory, self.name = directory, name
        self.pem, self.key = directory / f"{name}.pem", directory / f"{name}.key"
        openssl("req", "-x509", *NEW_KEY, "-nodes", "-keyout", self.key, "-out", self.pem, "-subj", f"/CN={name}", "-days", 10,
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.settings = directory / f"{name}.cnf"
        self.settings.write_text(CA_SETTINGS.format(pem=self.pem, key=self.key, directory=directory, name=name))
        (directory / f"{name}.index").touch()

    def issue(self, name: str, names: str = "DNS:localhost,IP:127.0.0.1", days: int = 5) -> Certificate:
        """A certificate for `names`; with days=-1 it has expired."""
        stem = self.directory / f"{self.name}-{name}"
        made = Certificate(stem.with_suffix(".pem"), stem.with_suffix(".key"))
        request, extensions = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        extensions.write_text(f"subjectAltName={names}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        openssl("req", *NEW_KEY, "-nodes", "-keyout", made.key, "-out", request, "-subj", f"/CN={name}")
        now = datetime.datetime.now(datetime.timezone.utc)
        start, end = (f"{now + datetime.timedelta(days=d):%Y%m%d%H%M%SZ}" for d in (-2, days))
        signing = ["-batch", "-notext", "-startdate", start, "-enddate", end, "-config", self.settings, "-extfile", extensions]
        openssl("ca", *signing, "-in", request, "-out", made.cert)
        return made
