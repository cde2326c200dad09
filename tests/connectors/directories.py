"""Real directories on loopback for tests: OpenLDAP's slapd and a Samba domain controller, gone afterwards."""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import ldap3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PASSWORD = "Correct-horse-9"
START_SECONDS = 60
# Samba's ports are fixed, so each test process has an address of its own.
SAMBA_ADDRESS = f"127.77.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
TREE_DELETE = ("1.2.840.113556.1.4.805", True, None)


@dataclass(frozen=True)
class RunningDirectory:
    """A directory that answers.

    :ivar url: ldaps:// address. :ivar plain: ldap:// address, on which StartTLS is offered.
    :ivar root: the base of its entries. :ivar bind_dn: the account that may do everything.
    """

    flavour: str
    url: str
    plain: str
    ca_file: str
    root: str
    bind_dn: str
    admin: ldap3.Connection = field(repr=False)

    def settings(self, **more) -> dict:
        """Give an account's settings."""
        return {
            "url": self.url, "ca_file": self.ca_file, "bind_dn": self.bind_dn, "password": PASSWORD, **more,
        }  # fmt: skip

    def do(self, verb: str, *words, **more) -> None:
        """Change something: ``do("add", dn, classes, attributes)``."""
        result = getattr(self.admin, verb)(*words, **more)[1]
        assert result["result"] == 0, (verb, result)

    def read(self, dn: str, *attributes: str) -> dict:
        """Give an entry's values."""
        found = self.admin.search(dn, "(objectClass=*)", ldap3.BASE, attributes=list(attributes))
        return found[2][0]["raw_attributes"]


def find_slapd() -> str | None:
    """Find OpenLDAP's server; Debian keeps it off the path of ordinary users."""
    return shutil.which("slapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def find_samba() -> bool:
    """Tell whether a domain controller can be made: the programs, their templates, and root for its ports."""
    programs = (
        shutil.which("samba", path=f"{os.environ.get('PATH', '')}:/usr/sbin"),
        shutil.which("samba-tool"),
    )
    return all(programs) and Path("/usr/share/samba/setup").is_dir() and os.geteuid() == 0


@contextlib.contextmanager
def openldap(folder: Path) -> Iterator[RunningDirectory]:
    """Run slapd with an empty tree ``dc=company,dc=test``."""
    certificate(folder, "127.0.0.1")
    root, admin = "dc=company,dc=test", "cn=admin,dc=company,dc=test"
    (folder / "data").mkdir()
    schemas = "".join(f"include /etc/ldap/schema/{n}.schema\n" for n in ("core", "cosine", "inetorgperson"))
    (folder / "slapd.conf").write_text(
        f"{schemas}modulepath /usr/lib/ldap\nmoduleload back_mdb\n"
        f"TLSCertificateFile {folder}/cert.pem\nTLSCertificateKeyFile {folder}/key.pem\n"
        # An account may be held to a part of the entries, in pages or not.
        "sizelimit 500\ndatabase mdb\nmaxsize 104857600\ndbnosync\n"
        f'suffix "{root}"\nrootdn "{admin}"\nrootpw {PASSWORD}\ndirectory {folder}/data\n'
        'limits dn.exact="cn=limited,dc=company,dc=test" size.soft=5 size.hard=5 size.prtotal=5\n'
        "access to attrs=userPassword by anonymous auth\n"
        'access to attrs=title by dn.exact="cn=narrow,dc=company,dc=test" none by * read\n'
        "access to * by * read\n"
        "index objectClass,entryUUID eq\nindex modifyTimestamp eq\n"
    )
    port, tls_port = free_port(), free_port()
    command = [find_slapd(), "-f", f"{folder}/slapd.conf", "-d", "0",
               "-h", f"ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"]  # fmt: skip
    with _running(command, folder):
        urls = f"ldaps://127.0.0.1:{tls_port}", f"ldap://127.0.0.1:{port}"
        directory = RunningDirectory(
            "openldap", *urls, f"{folder}/ca.pem", root, admin, _sign_in(urls[0], admin, folder)
        )
        directory.do("add", root, ["dcObject", "organization"], {"o": "Company", "dc": "company"})
        for name in ("limited", "narrow"):
            directory.do("add", f"cn={name},{root}", ["organizationalRole", "simpleSecurityObject"],
                         {"userPassword": PASSWORD})  # fmt: skip
        yield directory
        directory.admin.unbind()


@contextlib.contextmanager
def active_directory(folder: Path) -> Iterator[RunningDirectory]:
    """Make a domain ``company.test`` and run its controller, as far as LDAP goes."""
    certificate(folder, SAMBA_ADDRESS)
    (folder / "empty.conf").write_text("[global]\n")
    options = [
        f"interfaces={SAMBA_ADDRESS}/8", "bind interfaces only=yes", "server services=ldap",
        "ldb:nosync=true",
        f"tls certfile={folder}/cert.pem", f"tls keyfile={folder}/key.pem", f"tls cafile={folder}/ca.pem",
        f"pid directory={folder}", f"ncalrpc dir={folder}/ncalrpc", f"log file={folder}/log",
        f"ntp signd socket directory={folder}/ntp", f"winbindd socket directory={folder}/winbind",
    ]  # fmt: skip
    options = [f"--option={option}" for option in options]
    subprocess.run(
        ["samba-tool", "domain", "provision", "-s", f"{folder}/empty.conf", "--quiet",
         f"--targetdir={folder}/dc", "--realm=COMPANY.TEST", "--domain=COMPANY", "--server-role=dc",
         "--dns-backend=NONE", "--host-name=dc1", f"--host-ip={SAMBA_ADDRESS}", f"--adminpass={PASSWORD}",
         *options],
        check=True, capture_output=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    command = ["samba", "--interactive", "--model=single", "-s", f"{folder}/dc/etc/smb.conf", *options]
    with _running(command, folder):
        urls, admin = (f"ldaps://{SAMBA_ADDRESS}", f"ldap://{SAMBA_ADDRESS}"), "Administrator@company.test"
        directory = RunningDirectory(
            "active_directory", *urls, f"{folder}/ca.pem", "DC=company,DC=test", admin,
            _sign_in(urls[0], admin, folder),
        )  # fmt: skip
        yield directory
        directory.admin.unbind()


def certificate(folder: Path, address: str) -> None:
    """Write a certificate for an address, and that of the authority which signed it."""
    now = datetime.now(UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "cert")}
    names = {n: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {n}")]) for n in keys}
    for name, key in keys.items():
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[name])
            .issuer_name(names["ca"])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
        )
        if name == "cert":
            names_of_it = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
            builder = builder.add_extension(names_of_it, critical=False)
        signed = builder.sign(keys["ca"], hashes.SHA256())
        (folder / f"{name}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    secret = keys["cert"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(secret)
    # Samba refuses a key that others may read.
    (folder / "key.pem").chmod(0o600)


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextlib.contextmanager
def _running(command: list[str], folder: Path) -> Iterator[None]:
    log = (folder / "output").open("ab")
    # No server outlives a test process that is killed: Samba ends with its standard input, slapd by a signal.
    guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    server = subprocess.Popen([*guard, *command], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder)
    log.close()
    try:
        yield
    except BaseException as error:
        error.add_note((folder / "output").read_text(errors="replace")[-2000:])
        raise
    finally:
        server.stdin.close()
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _sign_in(url: str, bind_dn: str, folder: Path) -> ldap3.Connection:
    server = ldap3.Server(url, get_info=ldap3.NONE, tls=ldap3.Tls(validate=ssl.CERT_NONE), connect_timeout=5)
    _await(server.host, server.port)
    connection = ldap3.Connection(
        server, bind_dn, PASSWORD, client_strategy=ldap3.SAFE_SYNC, auto_referrals=False, receive_timeout=60
    )
    assert connection.bind(read_server_info=False)[0], (folder / "output").read_text(errors="replace")[-2000:]
    return connection


def _await(host: str, port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((host, port), 5).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def place_name() -> str:
    """Make a name for a part of the tree that one test has for itself."""
    return f"t{uuid.uuid4().hex[:12]}"
