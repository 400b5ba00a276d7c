"""How the server and its workers log: one line for each event, for people or as JSON, about which job where it is about
one. Knows neither queue nor HTTP.

Workers write JSON lines to their standard error; the server reads them and logs them as its own, so that only one
process writes and turns over the log's file.
"""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from wan_animate_blender.wire import BadInput

log = logging.getLogger(__name__)

_MOST_BYTES = 20 << 20
_FILES = 5
"""Of a log file, and how many older ones are kept beside it."""

_PLAIN = "%(asctime)s %(levelname)s %(message)s"


def keep(*, as_json: bool, file: Path | None = None) -> None:
    """Log from now on to `file`, turned over when it is large, or to standard error. Raises `BadInput`."""
    try:
        handler = _rotating(file) if file else logging.StreamHandler()
    except OSError as error:
        raise BadInput(f"cannot log to {file} ({error.strerror}); name another --log-file") from error
    handler.setFormatter(JsonLines() if as_json else Lines(_PLAIN))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _rotating(file: Path) -> logging.Handler:
    return RotatingFileHandler(file, maxBytes=_MOST_BYTES, backupCount=_FILES, encoding="utf-8")


class _Current:
    """What this process works at."""

    job = ""


@contextmanager
def about(job: str) -> Iterator[None]:
    """Whatever this process logs inside is about `job`, in any thread: a worker has one at a time.

    Lines about a job from processes that have several say so themselves, by `extra={"job": …}`.
    """
    _Current.job = job
    try:
        yield
    finally:
        _Current.job = ""


def job_of(record: logging.LogRecord) -> str:
    """The id of the job that a line is about; "" for none."""
    return str(getattr(record, "job", _Current.job))


class Lines(logging.Formatter):
    """For people: `2026-11-22 18:00:00,123 INFO worker job 3f…: message`."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        who, job = getattr(record, "who", ""), job_of(record)
        about = f"{who} " * bool(who) + f"job {job}: " * bool(job)
        return super().formatMessage(logging.makeLogRecord(record.__dict__ | {"message": about + record.message}))


class JsonLines(logging.Formatter):
    """For programs: `time` (ISO 8601, UTC), `level`, `logger`, `message`; `who`, `job` and `trace` where there are."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        said = {"time": time, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        trace = record.exc_text or (self.formatException(record.exc_info) if record.exc_info else "")
        more = {"who": getattr(record, "who", ""), "job": job_of(record), "trace": trace}
        return json.dumps(said | {name: value for name, value in more.items() if value}, ensure_ascii=False)


def relay(lines: Iterable[bytes], who: str) -> None:
    """Log what another process says, in `JsonLines` or in any other way, as said by `who`; returns at its end."""
    for line in lines:
        if text := line.decode("utf-8", "replace").rstrip():
            record = _heard(text) or logging.makeLogRecord(
                {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": "%s", "args": (text,)}
            )
            record.who = who
            logging.getLogger(record.name).handle(record)


def _heard(text: str) -> logging.LogRecord | None:
    """The record behind a line of `JsonLines`; None for any other text, such as what a library writes."""
    try:
        said = json.loads(text)
        created = datetime.datetime.fromisoformat(said["time"]).timestamp()
        return logging.makeLogRecord(
            {
                "name": said["logger"], "levelname": said["level"], "msg": "%s", "args": (said["message"],),
                "levelno": logging.getLevelNamesMapping()[said["level"]], "created": created,
                "msecs": created % 1 * 1000, "job": said.get("job", ""), "exc_text": said.get("trace"),
            }
        )  # fmt: skip
    except (ValueError, TypeError, KeyError):
        return None
