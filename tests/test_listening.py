"""`wan-animate serve` elsewhere than on loopback: TLS or a named proxy, under which names, and for whom."""

from __future__ import annotations

import contextlib
import socket
import ssl
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import trustme

from wan_animate_blender.client import Server
from wan_animate_blender.wire import WIRE_HEADER, BadInput, ExitCode, Unavailable
from wan_animate_server.listening import Place

from .serving import PATIENCE, Running, serving
from .test_server import fails, refusal

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="serves as a process of this machine")

NAME = "wan.example"


@dataclass(frozen=True)
class Certificates:
    """Of a machine called `NAME` and localhost, by an authority that nobody trusts yet."""

    authority: Path
    certificate: Path
    key: Path
    other_key: Path

    @property
    def options(self) -> tuple[str | Path, ...]:
        return "--tls-cert", self.certificate, "--tls-key", self.key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder, authority = tmp_path_factory.mktemp("certificates"), trustme.CA()
    made = authority.issue_cert(NAME, "localhost", "127.0.0.1", _address())
    authority.cert_pem.write_to_path(folder / "authority.pem")
    (folder / "certificate.pem").write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    made.private_key_pem.write_to_path(folder / "key.pem")
    authority.issue_cert(NAME).private_key_pem.write_to_path(folder / "other.pem")
    return Certificates(*(folder / f"{name}.pem" for name in ("authority", "certificate", "key", "other")))


def _address() -> str:
    """Of this machine as others see it; loopback where it is alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line, contextlib.suppress(OSError):
        line.connect(("192.0.2.1", 9))  # nothing is sent: it only asks for the way
        return str(line.getsockname()[0])
    return "127.0.0.1"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Running]:
    more = ("--host", "0.0.0.0", "--name", NAME, *certificates.options)
    with serving(tmp_path_factory.mktemp("server"), *more) as running:
        yield running


def port(server: Running) -> int:
    return int(server.url.rsplit(":", 1)[1])


def ask(server: Running, certificates: Certificates, host: str, at: str = "127.0.0.1") -> requests.Response:
    headers = {"Host": host, "Authorization": f"Bearer {server.token}", WIRE_HEADER: "1"}
    url = f"https://{at}:{port(server)}/v1/jobs"
    return requests.get(url, headers=headers, timeout=PATIENCE, verify=str(certificates.authority))


def test_whoever_listens_elsewhere_must_encrypt(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        code, sentence = fails("serve", "--host", host, "--data", tmp_path, "--token-file", tmp_path / "token")
        assert (code, "--tls-cert" in sentence, "--behind-proxy" in sentence) == (ExitCode.BAD_INPUT, True, True)


@pytest.mark.parametrize("given", [("certificate",), ("certificate", "other_key"), ("key", "certificate")])
def test_files_that_are_no_certificate_and_key_are_one_sentence(
    tmp_path: Path, certificates: Certificates, given: tuple[str, ...]
) -> None:
    files = [getattr(certificates, name) for name in given]
    options = [word for pair in zip(("--tls-cert", "--tls-key"), files, strict=False) for word in pair]
    code, sentence = fails("serve", "--data", tmp_path, "--token-file", tmp_path / "token", *options)
    assert (code, "TLS" in sentence) == (ExitCode.BAD_INPUT, True)


def test_a_weak_token_guards_no_door_to_a_network(tmp_path: Path, certificates: Certificates) -> None:
    (tmp_path / "token").write_text("swordfish")
    (tmp_path / "token").chmod(0o600)
    code, sentence = fails("serve", "--host", "0.0.0.0", "--port", "0", "--data", tmp_path / "data",
                           "--token-file", tmp_path / "token", *certificates.options)  # fmt: skip
    assert (code, "fewer than 32" in sentence) == (ExitCode.BAD_INPUT, True)


def test_a_client_that_trusts_the_authority_is_served(encrypted: Running, certificates: Certificates) -> None:
    assert encrypted.url == f"https://{NAME}:{port(encrypted)}"
    assert ask(encrypted, certificates, NAME).status_code == 200


def test_a_client_that_does_not_trust_it_says_so_and_sends_no_token(encrypted: Running) -> None:
    server = Server(f"https://localhost:{port(encrypted)}", encrypted.token)
    with pytest.raises(Unavailable, match="is not trusted"):
        server.health()


@pytest.mark.parametrize("host", ["localhost", _address()])
def test_the_addons_client_trusts_the_authority_of_the_environment(
    encrypted: Running, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.authority))
    assert Server(f"https://{host}:{port(encrypted)}", encrypted.token).health().pid == encrypted.process.pid


def test_plain_http_is_not_answered_there(encrypted: Running) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port(encrypted)}/v1/health", timeout=PATIENCE)


def test_old_tls_is_not_spoken(encrypted: Running, certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=certificates.authority)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port(encrypted))) as line, pytest.raises(ssl.SSLError):
        context.wrap_socket(line, server_hostname="localhost")


@pytest.mark.parametrize(("host", "status"), [
    (NAME, 200), (NAME.upper(), 200), (f"{NAME}:443", 200), (f"{NAME}.", 200), (socket.gethostname(), 200),
    ("localhost", 200), ("192.0.2.7", 200), ("[2001:db8::1]", 200),
    ("evil.example", 421), (f"{NAME}.evil.example", 421), ("", 421),
])  # fmt: skip
def test_elsewhere_the_server_goes_by_its_names_and_by_addresses(
    encrypted: Running, certificates: Certificates, host: str, status: int
) -> None:
    assert ask(encrypted, certificates, host).status_code == status


def test_every_answer_carries_what_browsers_should_know(encrypted: Running, certificates: Certificates) -> None:
    for reply in (ask(encrypted, certificates, NAME), ask(encrypted, certificates, "evil.example")):
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert not [name for name in reply.headers if name.startswith("Access-Control")]
        assert "server" not in reply.headers


def test_behind_a_proxy_nobody_else_is_served(tmp_path: Path) -> None:
    if _address() == "127.0.0.1":
        pytest.skip("this machine has no other address than loopback")
    more = ("--host", "0.0.0.0", "--behind-proxy", "192.0.2.9", "--name", NAME)
    with serving(tmp_path / "server", *more) as server:
        headers = {"Host": NAME, "Authorization": f"Bearer {server.token}", WIRE_HEADER: "1"}
        for address, status in (("127.0.0.1", 200), (_address(), 403)):
            reply = requests.get(f"http://{address}:{port(server)}/v1/jobs", headers=headers, timeout=PATIENCE)
            assert reply.status_code == status
        refusal(reply, 403, "not-the-proxy")


def test_a_proxy_nobody_knows_is_one_sentence() -> None:
    with pytest.raises(BadInput, match="nobody knows a machine"):
        _ = Place("0.0.0.0", proxy="proxy.invalid").proxies
