"""The CSV connector's files where they lie: in a folder, on a real SFTP server, in moto's S3, on the web."""

import gzip
import hashlib
import io
import json
import os
import sys
import threading
import uuid
from datetime import UTC, datetime

import asyncssh
import boto3
import marshmallow as ma
import pytest
from moto.server import ThreadedMotoServer
from werkzeug.wrappers import Request, Response

from connectors.hris.csv_file import CsvFileConnector, CsvFileSettings
from connectors.places import open_place
from rmplugin import testing
from rmplugin.api import FatalError, RetriableError
from tests.fakes.sftp_host import SftpHost

HEADER = "Employee Number,Given Name,Family Name,Email,Hire Date\n"
ADA, BO = HEADER + "1,Ada,A,a@x.example,\n", HEADER + "1,Ada,A,a@x.example,\n2,Bo,B,b@x.example,\n"


def load(path, **settings):
    return CsvFileSettings().load({"path": str(path), "settle_seconds": 0, **settings})


def read(settings, cursor=None):
    pages = list(CsvFileConnector().read(settings, cursor))
    return [r.given_name for page in pages for r in page.records], pages[-1].cursor


def put(path, text, at):
    path.write_text(text)
    os.utime(path, (at, at))
    return path


def as_csv(people):
    return HEADER + "".join(
        f"{p['source_key']},{p['given_name']},{p['family_name']},{p['email']},"
        f"{'yesterday' if p.get('bad') else p['hire_date']}\n"
        for p in people
    )


# -- the contract ------------------------------------------------------------------------------------------


class FolderSource:
    server = None

    def __init__(self, folder):
        self.connector, self.path = CsvFileConnector(), folder / "people.csv"
        self.settings = {"path": str(self.path), "settle_seconds": 0}

    def fill(self, people):
        self.path.write_text(as_csv(people))

    def spoil(self):
        self.path.write_bytes(self.path.read_bytes() + b"77777,Z\xff,Quillfeather,,\n")


class TestFolder(testing.ConnectorContract):
    @pytest.fixture
    def source(self, tmp_path):
        return FolderSource(tmp_path)


class WebSource:
    """A file on a web server that knows ETags."""

    def __init__(self):
        self.connector, self.content, self.gone = CsvFileConnector(), "", False
        self.changed = datetime(2026, 1, 1, tzinfo=UTC)
        self.others, self.etags = {}, True
        self.headers = {}
        self.server = testing.FaultyServer(self.answer)
        self.settings = {"path": f"{self.server.url}/export/people.csv?key=1", "settle_seconds": 0}

    def answer(self, environ, start_response):
        request = Request(environ)
        name = request.path.rpartition("/")[2]
        content = self.content if name == "people.csv" else self.others.get(name)
        if self.gone or content is None:
            return Response("gone", 404)(environ, start_response)
        response = Response(content, 200, self.headers, content_type="text/csv")
        response.last_modified = self.changed
        if self.etags:
            response.add_etag()
        return response.make_conditional(request)(environ, start_response)

    def fill(self, people):
        self.content = as_csv(people)

    def spoil(self):
        self.gone = True


@pytest.fixture
def web():
    source = WebSource()
    with source.server:
        yield source


class TestWeb(testing.ConnectorContract):
    @pytest.fixture
    def source(self, web):
        # The server of the contract cannot break off a 304: it has no body.
        web.etags = False
        return web


# -- one file after the other ------------------------------------------------------------------------------


def test_read_when_the_same_file_comes_twice_gives_the_same_cursor(tmp_path):
    """Fault 47: the core sees by the cursor that there is nothing new, and counts no absence twice."""
    path = put(tmp_path / "a.csv", ADA, 1000)
    names, cursor = read(load(path))
    assert read(load(path), cursor) == (names, cursor)
    assert json.loads(cursor)["sha256"] == hashlib.sha256(ADA.encode()).hexdigest()
    put(path, ADA, 2000)
    assert read(load(path), cursor)[1] != cursor


def test_read_when_an_older_file_comes_after_a_newer_one_refuses_until_a_full_run(tmp_path):
    """Fault 47."""
    new = put(tmp_path / "b.csv", BO, 2000)
    _names, cursor = read(load(tmp_path))
    new.unlink()
    put(tmp_path / "a.csv", ADA, 1000)
    with pytest.raises(FatalError, match=r"1970-01-01 00:16:40 UTC, is older .*--full"):
        read(load(tmp_path), cursor)
    assert read(load(tmp_path))[0] == ["Ada"]


def test_read_when_the_cursor_is_of_another_place_or_making_does_not_mind(tmp_path):
    put(tmp_path / "a.csv", ADA, 2000)
    cursor = read(load(tmp_path))[1]
    (tmp_path / "other").mkdir()
    put(tmp_path / "other" / "b.csv", BO, 1000)
    for strange in (cursor, "nonsense", "{}", "[1]"):
        assert read(load(tmp_path / "other"), strange)[0] == ["Ada", "Bo"]


def test_read_when_files_hold_changes_reads_each_new_one_and_the_newest_word_counts(tmp_path):
    put(tmp_path / "a.csv", ADA, 1000)
    cursor = read(load(tmp_path, full=False))[1]
    put(tmp_path / "b.csv", HEADER + "1,Ada2,A,,\n2,Bo,B,,\n", 2000)
    put(tmp_path / "c.csv", HEADER + "1,Ada3,A,,\n", 3000)
    names, cursor = read(load(tmp_path, full=False), cursor)
    assert names == ["Ada3", "Bo"]
    assert json.loads(cursor)["name"] == "c.csv"
    assert read(load(tmp_path, full=False), cursor) == (["Ada3"], cursor)


def test_read_when_a_file_of_changes_is_incomplete_later_ones_wait_for_it(tmp_path):
    for number, name in enumerate("abc"):
        put(tmp_path / f"{name}.csv", HEADER + f"{number},{name},X,,\n", 1000 + number)
    for name in "ac":
        (tmp_path / f"{name}.csv.done").touch()
    names, cursor = read(load(tmp_path, full=False, marker=".done"))
    assert names == ["a"]
    (tmp_path / "b.done").touch()
    assert read(load(tmp_path, full=False, marker=".done"), cursor)[0] == ["c", "b"]


# -- whole and at rest -------------------------------------------------------------------------------------


def test_read_when_markers_are_declared_takes_the_newest_file_with_one(tmp_path):
    put(tmp_path / "a.csv", ADA, 1000)
    put(tmp_path / "b.csv", BO, 2000)
    with pytest.raises(RetriableError, match=r"No file has its \.done"):
        read(load(tmp_path, marker=".done"))
    (tmp_path / "a.csv.done").touch()
    assert read(load(tmp_path, marker=".done"))[0] == ["Ada"]
    (tmp_path / "b.done").touch()
    assert read(load(tmp_path, marker=".done"))[0] == ["Ada", "Bo"]


def test_read_when_the_marker_holds_another_sha256_refuses(tmp_path):
    path = put(tmp_path / "a.csv", ADA, 1000)
    marker = tmp_path / "a.csv.sha256"
    marker.write_text(f"{hashlib.sha256(ADA.encode()).hexdigest()}  a.csv\n")
    assert read(load(path, marker=".sha256"))[0] == ["Ada"]
    put(path, ADA[:-5], 1000)
    with pytest.raises(RetriableError, match="marker declares"):
        read(load(path, marker=".sha256"))


def test_read_when_the_newest_file_is_empty_refuses_instead_of_taking_an_older_one(tmp_path):
    """Fault 47: zero bytes."""
    put(tmp_path / "a.csv", ADA, 1000)
    put(tmp_path / "b.csv", "", 2000)
    with pytest.raises(RetriableError, match="0 bytes"):
        read(load(tmp_path))


def test_read_when_the_file_still_grows_asks_to_try_again(tmp_path):
    """Fault 47: upload still growing."""
    path = tmp_path / "a.csv"
    path.write_text(ADA)

    def grow():
        with path.open("a") as file:
            file.write("2,Bo,B,,\n")

    writer = threading.Timer(0.02, grow)
    writer.start()
    with pytest.raises(RetriableError, match="being written"):
        read(load(path, settle_seconds=0.1))
    writer.join()
    assert read(load(path, settle_seconds=0.1))[0] == ["Ada", "Bo"]


def test_read_when_a_pattern_is_declared_takes_the_newest_that_matches(tmp_path):
    put(tmp_path / "people-1.txt", ADA, 1000)
    put(tmp_path / "people-2.txt", BO, 2000)
    put(tmp_path / "leavers.csv", "x", 3000)
    put(tmp_path / ".people-3.txt", "x", 3000)
    assert read(load(tmp_path / "people-*.txt"))[0] == ["Ada", "Bo"]
    with pytest.raises(FatalError, match="There is no file"):
        read(load(tmp_path / "staff-*.txt"))


def test_read_when_an_archive_is_declared_moves_what_a_stored_run_read_and_a_newer_file_replaced(tmp_path):
    old = put(tmp_path / "a.csv", ADA, 1000)
    settings = load(tmp_path, archive="read")
    cursor = read(settings)[1]
    assert read(settings, cursor)[1] == cursor
    assert old.exists()
    put(tmp_path / "b.csv", BO, 2000)
    read(settings, None)
    assert old.exists()
    read(settings, cursor)
    assert not old.exists()
    assert (tmp_path / "read" / "a.csv").read_text() == ADA
    assert read(settings, cursor)[0] == ["Ada", "Bo"]


def test_check_when_the_file_is_there_moves_nothing_and_says_what_next_runs_do(tmp_path):
    put(tmp_path / "a.csv", ADA, 1000)
    put(tmp_path / "b.csv", BO, 2000)
    results = {r.what: r for r in CsvFileConnector().check(load(tmp_path, archive="read"))}
    assert f"{tmp_path}: b.csv" in results["File"].advice
    assert "counts twice" in results["Next runs"].advice
    assert (tmp_path / "a.csv").exists()


@pytest.mark.parametrize(
    "given",
    [
        {"path": "ftp://host/people.csv"},
        {"path": "http://hr.example/people.csv"},
        {"path": "https://user:secret@hr.example/people.csv"},
        {"path": "sftp://ada:secret@hr.example/people.csv"},
        {"path": "sftp://hr.example/people.csv"},
        {"path": "https:///people.csv"},
        {"path": "s3://bucket/people.csv"},
        {"path": "s3://b/p", "s3_access_key": "a", "s3_secret_key": "b", "s3_endpoint": "http://s3.example"},
        {"path": "https://hr.example/people.csv", "archive": "read"},
        {"path": "/x.csv", "settle_seconds": -1},
    ],
)
def test_settings_when_a_place_is_unsafe_or_incomplete_refuse_without_repeating_it(given):
    with pytest.raises(ma.ValidationError) as caught:
        CsvFileSettings().load(given)
    assert "secret@" not in str(caught.value.messages)


# -- SFTP --------------------------------------------------------------------------------------------------


class SftpFiles(SftpHost):
    def settings(self, path="/out", **others):
        return load(**self.account(path, **others))


@pytest.fixture
def sftp(tmp_path):
    (tmp_path / "out").mkdir()
    put(tmp_path / "out" / "a.csv", ADA, 1000)
    put(tmp_path / "out" / "b.csv", BO, 2000)
    with SftpFiles(tmp_path) as host:
        yield host


@pytest.mark.parametrize("path", ["/out", "/out/b*.csv", "/out/b.csv"])
def test_sftp_when_the_key_is_the_declared_one_reads_the_newest_file(sftp, path):
    names, cursor = read(sftp.settings(path))
    assert names == ["Ada", "Bo"]
    assert read(sftp.settings(path), cursor)[1] == cursor


def test_sftp_when_a_private_key_is_given_uses_it_with_its_password(sftp):
    text = sftp.user_key.export_private_key("pkcs1-pem", passphrase="open").decode()
    assert read(sftp.settings(private_key=text, password="open"))[0] == ["Ada", "Bo"]
    with pytest.raises(FatalError, match="private key cannot be read"):
        read(sftp.settings(private_key=text, password="wrong"))


def test_sftp_when_the_host_key_changed_sends_nothing_and_stops(sftp):
    """Fault 48."""
    other = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint()
    with pytest.raises(FatalError, match="Somebody may stand in between"):
        read(sftp.settings(host_key=other))


def test_sftp_when_no_host_key_is_declared_the_check_shows_it(sftp):
    [result] = CsvFileConnector().check(sftp.settings(host_key=""))
    assert not result.ok
    assert sftp.key.get_fingerprint() in result.advice


def test_sftp_when_the_password_is_wrong_says_so_without_it(sftp):
    with pytest.raises(FatalError, match="refused the user") as caught:
        read(sftp.settings(password="hunter2"))
    assert "hunter2" not in repr(caught.value.__dict__)


def test_sftp_when_a_file_grows_while_it_is_read_asks_to_try_again(sftp):
    """Fault 47: upload still growing."""
    sftp.files.grow = True
    with pytest.raises(RetriableError, match="being written"):
        read(sftp.settings())


def test_sftp_when_file_or_server_is_not_there_says_which(sftp):
    with pytest.raises(FatalError, match="There is no file"):
        read(sftp.settings("/out/none.csv"))
    with pytest.raises(FatalError, match="There is no file"):
        read(sftp.settings("/nowhere/x*.csv"))
    settings = sftp.settings()
    sftp.run(sftp._close())
    with pytest.raises(RetriableError, match="did not answer"):
        read(settings)


def test_sftp_when_markers_and_an_archive_are_declared_uses_both(sftp):
    (sftp.root / "out" / "a.csv.done").touch()
    settings = sftp.settings(marker=".done", archive="read")
    names, cursor = read(settings)
    assert names == ["Ada"]
    (sftp.root / "out" / "b.csv.done").touch()
    assert read(settings, cursor)[0] == ["Ada", "Bo"]
    assert sorted(p.name for p in (sftp.root / "out" / "read").iterdir()) == ["a.csv"]


# -- S3 ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3_url():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()
    server._server.server_close()


class Bucket:
    def __init__(self, url):
        self.url, self.name = url, f"hr-{uuid.uuid4()}"
        keys = {"aws_access_key_id": "id", "aws_secret_access_key": "secret"}
        self.client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
        self.client.create_bucket(Bucket=self.name)

    def put(self, key, text):
        self.client.put_object(Bucket=self.name, Key=key, Body=text.encode())

    def settings(self, prefix="out/", **others):
        given = {"s3_access_key": "id", "s3_secret_key": "secret", "s3_endpoint": self.url, **others}
        return load(f"s3://{self.name}/{prefix}", **given)


@pytest.fixture
def bucket(s3_url):
    bucket = Bucket(s3_url)
    bucket.put("out/people.csv", BO)
    bucket.put("else/people.csv", ADA)
    bucket.put("out/people.txt", "x")
    yield bucket
    bucket.client.close()


@pytest.mark.parametrize("prefix", ["out/", "out/peo", "out/people.csv"])
def test_s3_when_objects_begin_with_the_prefix_reads_the_newest_table(bucket, prefix):
    names, cursor = read(bucket.settings(prefix))
    assert names == ["Ada", "Bo"]
    assert read(bucket.settings(prefix), cursor)[1] == cursor


def test_s3_when_an_object_is_overwritten_between_the_look_and_the_reading_asks_to_try_again(bucket):
    """Fault 48."""

    def read_late():
        with open_place(bucket.settings()) as place:
            [found] = place.find()
            bucket.put("out/people.csv", ADA)
            place.open(found)

    with pytest.raises(RetriableError, match="being written"):
        read_late()


def test_s3_when_markers_are_declared_uses_them(bucket):
    with pytest.raises(RetriableError, match="No file has its"):
        read(bucket.settings(marker=".sha256"))
    bucket.put("out/people.csv.sha256", hashlib.sha256(BO.encode()).hexdigest())
    assert read(bucket.settings(marker=".sha256"))[0] == ["Ada", "Bo"]


def test_s3_when_bucket_or_object_is_not_there_says_what_to_check(bucket, s3_url):
    with pytest.raises(FatalError, match="There is no file"):
        read(bucket.settings("none/"))
    missing = {"s3_access_key": "id", "s3_secret_key": "secret", "s3_endpoint": s3_url}
    with pytest.raises(FatalError, match="Check the bucket"):
        read(load("s3://no-such-bucket-here/out/", **missing))


def test_s3_when_the_service_does_not_answer_asks_to_try_again():
    keys = {"s3_access_key": "id", "s3_secret_key": "secret"}
    with pytest.raises(RetriableError, match="did not answer"):
        read(load("s3://bucket/out/", s3_endpoint="http://127.0.0.1:1", **keys))


@pytest.mark.parametrize(
    ("package", "path", "extra"), [("paramiko", "sftp://a@h/x", "sftp"), ("boto3", "s3://b/x", "s3")]
)
def test_read_when_a_package_is_missing_says_how_to_install_it(monkeypatch, package, path, extra):
    monkeypatch.setitem(sys.modules, package, None)
    keys = {"s3_access_key": "id", "s3_secret_key": "secret"} if package == "boto3" else {}
    with pytest.raises(FatalError, match=rf"pip install 'rmplugin\[{extra}\]'"):
        read(load(path, **keys))


# -- the web -----------------------------------------------------------------------------------------------


def test_web_when_the_same_file_comes_again_gives_the_same_cursor_and_no_query_is_kept(web):
    web.content = BO
    names, cursor = read(load(**web.settings))
    assert names == ["Ada", "Bo"]
    assert read(load(**web.settings), cursor)[1] == cursor
    assert "key=1" not in cursor
    assert [a.query for a in web.server.asked] == ["key=1"] * 4
    assert "key=1" not in str(CsvFileConnector().check(load(**web.settings)))


def test_web_when_the_file_is_older_than_the_last_one_refuses(web):
    web.content = BO
    cursor = read(load(**web.settings))[1]
    web.content, web.changed = ADA, datetime(2025, 1, 1, tzinfo=UTC)
    with pytest.raises(FatalError, match="is older"):
        read(load(**web.settings), cursor)


def test_web_when_the_file_changes_while_it_is_read_asks_to_try_again(web):
    """Fault 47, by If-None-Match."""
    web.content = BO
    with open_place(load(**web.settings)) as place:
        [found] = place.find()
        assert place.look(found) == found
        web.content = ADA
        assert place.look(found) is None


@pytest.mark.parametrize(
    ("given", "sent"),
    [({"user": "hr", "password": "right"}, "Basic aHI6cmlnaHQ="), ({"token": "abc"}, "Bearer abc")],
)
def test_web_when_credentials_are_given_sends_them(web, given, sent):
    web.content = ADA
    read(load(**web.settings, **given))
    assert {a.headers["Authorization"] for a in web.server.asked} == {sent}


def test_web_when_the_answer_is_compressed_or_has_a_marker_reads_it(web):
    web.content, web.headers = gzip.compress(BO.encode()), {"Content-Encoding": "gzip"}
    web.others["people.csv.sha256"] = gzip.compress(hashlib.sha256(BO.encode()).hexdigest().encode())
    assert read(load(**web.settings, marker=".sha256"))[0] == ["Ada", "Bo"]


def test_web_when_the_answer_is_larger_than_allowed_stops(web):
    web.content = BO
    with open_place(load(**web.settings)) as place, pytest.raises(FatalError, match="too large"):
        place._client.download("/export/people.csv", io.BytesIO(), 20)
