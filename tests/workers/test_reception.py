"""Only who was sent for comes in."""

import datetime
import ipaddress
import selectors
import socket
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from taskset.errors import InputError
from workers import reception
from workers.reception import TOKEN_BYTES, Reception, reach

HERE = "127.0.0.1"


class Hall:
    """A reception, and those who have come in."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.guests = {}
        self.reception = Reception(HERE, self.selector, self.guests.__setitem__)

    def attend(self, until=lambda: False, seconds=5.0):
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            for key, _ in self.selector.select(0.02):
                assert self.reception.attend(key.fileobj)

    def close(self):
        for guest in self.guests.values():
            guest.close()
        self.reception.close()
        self.selector.close()


@pytest.fixture
def hall():
    one = Hall()
    yield one
    one.close()


def knock(hall, said):
    """What becomes of a connection that says `said`: b"" when it is turned away."""
    with socket.create_connection(hall.reception.address, timeout=5) as connection:
        connection.sendall(said)
        hall.attend(seconds=0.2)
        connection.setblocking(False)
        try:
            return connection.recv(1)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""


def test_a_worker_comes_in_by_its_token_once(hall):
    token = hall.reception.expect(3)
    channel = reach(hall.reception.address, token)
    channel.send(("hello", None))
    hall.attend(lambda: 3 in hall.guests)
    assert next(hall.guests[3].messages()) == ("hello", None)
    channel.close()
    assert knock(hall, token) == b""
    assert list(hall.guests) == [3]


@pytest.mark.parametrize("said", [b"\0" * TOKEN_BYTES, b"GET / HTTP/1.1\r\nHost: learner\r\n\r\n"])
def test_a_stranger_is_turned_away(hall, said):
    hall.reception.expect(0)
    assert knock(hall, said) == b""
    assert not hall.guests


def test_who_is_not_expected_any_more_is_turned_away(hall):
    token = hall.reception.expect(0)
    hall.reception.expect_no_more(0)
    assert knock(hall, token) == b""
    assert not hall.guests


def test_who_says_nothing_is_waited_for_but_not_for_ever(hall, monkeypatch):
    monkeypatch.setattr(reception, "GREETING_SECONDS", 0.0)
    monkeypatch.setattr(reception, "MAX_STRANGERS", 2)
    silent = [socket.create_connection(hall.reception.address, timeout=5) for _ in range(2)]
    hall.attend(seconds=0.2)
    token = hall.reception.expect(0)
    channel = reach(hall.reception.address, token)
    hall.attend(lambda: 0 in hall.guests)
    assert 0 in hall.guests
    channel.close()
    for one in silent:
        one.close()


def test_a_learner_that_is_not_there_is_one_line():
    with socket.create_server((HERE, 0)) as gone:
        address = gone.getsockname()
    with pytest.raises(InputError, match=f"cannot reach the learner at {HERE}:{address[1]}"):
        reach(address, b"")


def test_a_host_that_is_not_here_is_one_line():
    with pytest.raises(InputError, match=r"cannot listen for workers at 192\.0\.2\.254"):
        Reception("192.0.2.254", selectors.DefaultSelector(), print)


def certificate(folder, name, issuer=None):
    """Writes NAME.crt and NAME.key, signed by `issuer` or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signer, signing_key = issuer or (subject, key)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HERE))]), False
        )
        .sign(signing_key, hashes.SHA256())
    )
    (folder / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return subject, key


@pytest.fixture
def encrypted(tmp_path, monkeypatch):
    authority = certificate(tmp_path, "authority")
    certificate(tmp_path, "node", authority)
    monkeypatch.setenv("RAY_USE_TLS", "1")
    monkeypatch.setenv("RAY_TLS_CA_CERT", str(tmp_path / "authority.crt"))
    monkeypatch.setenv("RAY_TLS_SERVER_CERT", str(tmp_path / "node.crt"))
    monkeypatch.setenv("RAY_TLS_SERVER_KEY", str(tmp_path / "node.key"))
    one = Hall()
    yield one
    one.close()


def test_where_ray_encrypts_so_does_the_channel(encrypted):
    came = []

    def worker():
        channel = reach(encrypted.reception.address, token)
        for message in channel.messages():
            channel.send_whole(message)
            came.append(len(message))

    token = encrypted.reception.expect(1)
    thread = threading.Thread(target=worker, daemon=True)
    thread.start()
    encrypted.attend(lambda: 1 in encrypted.guests)
    channel, large = encrypted.guests[1], b"x" * 2_000_000
    channel.send_whole(large)
    assert next(channel.messages()) == large
    channel.close()
    thread.join(5)
    assert came == [len(large)]


def test_where_ray_encrypts_plain_words_are_not_heard(encrypted):
    assert knock(encrypted, encrypted.reception.expect(0)) != b"x"
    assert not encrypted.guests


def test_a_certificate_of_another_authority_is_not_taken(encrypted, tmp_path, monkeypatch):
    other = certificate(tmp_path, "other")
    certificate(tmp_path, "impostor", other)
    monkeypatch.setenv("RAY_TLS_SERVER_CERT", str(tmp_path / "impostor.crt"))
    monkeypatch.setenv("RAY_TLS_SERVER_KEY", str(tmp_path / "impostor.key"))
    token, ended = encrypted.reception.expect(0), []

    def worker():
        try:
            for _ in reach(encrypted.reception.address, token).messages():
                pass
        except (InputError, OSError) as error:
            ended.append(error)

    thread = threading.Thread(target=worker, daemon=True)
    thread.start()
    encrypted.attend(lambda: bool(ended))
    thread.join(5)
    assert ended and not encrypted.guests
