"""Answers of platforms are read with care: their length and the time that they take are bounded."""

import io
import time
from datetime import UTC, datetime

import pytest
import requests
from urllib3 import HTTPResponse
from urllib3.exceptions import ReadTimeoutError

from lti.answers import http_date, read_body


class Drip(io.BytesIO):
    """A body that comes byte by byte, one every hundredth of a second."""

    def read1(self, _size: int = -1) -> bytes:
        time.sleep(0.01)
        return super().read1(1)


def answer_of(body: io.BytesIO) -> requests.Response:
    answer = requests.Response()
    answer.raw = HTTPResponse(body, preload_content=False)
    return answer


def test_body_when_it_comes_byte_by_byte_is_given_up_after_its_time():
    began = time.monotonic()
    with pytest.raises(requests.exceptions.ReadTimeout):
        read_body(answer_of(Drip(bytes(100_000))), 1_000_000, seconds=0.2)
    assert time.monotonic() - began < 60


def test_body_when_it_comes_slowly_but_in_time_is_whole():
    assert read_body(answer_of(Drip(b"slow")), 4, seconds=60) == b"slow"


@pytest.mark.parametrize(("most", "read"), [(200_000, bytes(200_000)), (199_999, None)])
def test_body_when_it_is_too_long_is_not_kept(most, read):
    assert read_body(answer_of(io.BytesIO(bytes(200_000))), most) == read


def test_body_when_the_connection_breaks_is_an_error_of_the_connection():
    class Broken(io.BytesIO):
        def read1(self, _size: int = -1) -> bytes:
            raise ReadTimeoutError(None, "/", "too slow")

    with pytest.raises(requests.exceptions.ConnectionError):
        read_body(answer_of(Broken()), 10)


@pytest.mark.parametrize(
    ("header", "date"),
    [
        ("Mon, 23 Nov 2026 12:01:00 GMT", datetime(2026, 11, 23, 12, 1, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 12:01:00 +0100", datetime(2026, 11, 23, 11, 1, tzinfo=UTC)),
        ("Fri, 31 Dec 9999 23:59:59 -0100", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_date_when_it_is_no_date_is_none(header, date):
    assert http_date(header) == date
