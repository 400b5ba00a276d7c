"""What is there already of a render that is asked for: done, begun, or somebody else's. Knows no models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from wan_animate_blender.wire import (
    TAKE_FILE,
    TAKE_PREFIX,
    BadInput,
    Shot,
    TryElsewhere,
    claim_folder,
    has_ended,
    version_name,
    versions,
)

from .ownership import claim_of, has_heir, is_elsewhere, named, record_of, take_over, writing
from .pulse import lives
from .take import is_of, is_whole


@dataclass
class Resumption:
    """The takes below `takes` of the whole of `shot`, with its settings; re-takes and extensions are other work.

    Both methods raise `TryElsewhere` when somebody who lives is making one. Where nobody can tell at once, because he
    is on another machine, his sign of life is waited for, for more than a minute when there is none.
    """

    takes: Path
    shot: Shot
    check: Callable[[], None]
    """Called often while waiting; stops by raising."""
    _dead: dict[Path, bytes | None] = field(default_factory=dict, init=False)
    """Records of owners who were watched for long and gave no sign of life; None: nobody even left one."""

    def complete(self) -> Path | None:
        """The newest take when it is whole; None when there is something to do."""
        if (folder := self._newest()) is None:
            return None
        if not is_whole(folder):
            self._expect_free(folder)
        return folder if is_whole(folder) else None

    def claim(self) -> Path | None:
        """The newest unfinished take, or the next version, ours from now on; None when it is whole by now.

        Of several processes that want the same at once one gets it: the others find its version made.
        """
        with writing(self.takes):
            self.takes.mkdir(parents=True, exist_ok=True)
            while True:
                number = max(versions(self.takes, TAKE_PREFIX), default=0) + 1
                if folder := self._newest():
                    if self.complete():
                        return None
                    record = self._record(folder)
                    if take_over(folder, self._dead.get(folder)):
                        return folder
                    if record and has_heir(folder, record) and lives(folder, record, self.check):
                        continue  # the heir who was faster says who he is by now
                if claim_folder(folder := self.takes / version_name(TAKE_PREFIX, number)):
                    return folder

    def _newest(self) -> Path | None:
        """The newest take of this work; those of other exports and settings do not matter."""
        folders = (self.takes / version_name(TAKE_PREFIX, n) for n in reversed(versions(self.takes, TAKE_PREFIX)))
        return next((folder for folder in folders if is_of(folder, self.shot)), None)

    def _expect_free(self, folder: Path) -> None:
        """Return when nobody who lives has `folder`. Raises `TryElsewhere`."""
        while True:
            record = self._record(folder)
            if record is None and (folder / TAKE_FILE).exists():
                return
            if (folder in self._dead and record == self._dead[folder]) or (record and has_ended(record)):
                return
            if record and not is_elsewhere(record):
                self._refuse(folder, record)
            if not lives(folder, record, self.check):
                self._dead[folder] = record
            elif record and (now := self._record(folder)) and claim_of(now) == claim_of(record) and not has_ended(now):
                self._refuse(folder, now)

    def _record(self, folder: Path) -> bytes | None:
        try:
            return record_of(folder)
        except OSError as error:
            raise BadInput(f"cannot read who owns {folder} ({error.strerror or error}); look after the disk") from error

    def _refuse(self, folder: Path, record: bytes) -> None:
        raise TryElsewhere(
            f"{folder} is being rendered by {named(record)}; nothing was touched, try again when that has ended"
        )
