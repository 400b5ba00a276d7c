"""What travels between Blender and the server: shots, jobs, takes, their folders and their errors.

Standard library only: both sides import this package, and neither side's dependencies may leak into the other through
it. Knows neither bpy nor HTTP.
"""

from .belonging import Belonging, Grain
from .boxes import Box, Faces, face_box
from .clipped import Clipped
from .colour import BUILTIN, CONFIGURATION, MOST_CONFIGURATION, SPACES, Colour, Encoding
from .errors import BadInput, ExitCode, Interrupted, Problem, TryElsewhere, Unavailable, WireError
from .finish import Alpha, Extra, Finish, Format
from .folders import (
    AUDIO_FILE,
    EXPORT_PREFIX,
    OWNER_FILE,
    POSE_FILE,
    SEGMENTS,
    SHOT_FILE,
    TAKE_FILE,
    TAKE_PREFIX,
    TAKES,
    FileEntry,
    check_name,
    check_path,
    claim_version,
    file_entry,
    frame_name,
    list_files,
    may_live,
    owner,
    sha256_file,
    version_name,
    versions,
    write_atomically,
)
from .job import WIRE_HEADER, ErrorReply, Handed, Job, JobState, Priority, Turn
from .lens import COEFFICIENTS, Lens, LensKind, MapUse
from .machine import Device, KnownModel, Queue
from .messages import WIRE_VERSION, Message, plain, shown
from .naming import Convention, Naming
from .overrides import SETTING_NAMES, assignments, overridden
from .provenance import Provenance
from .retake import Blend, Retake
from .roi import Roi
from .seam import Grade, SeamRecord
from .settings import Highlights, LoraUse, Plan, Precision, Settings, Solver, Transform
from .shot import (
    AUDIO_RATE,
    FACE_KEYPOINTS,
    FACE_SIZE,
    FIRST_FRAME,
    KEYPOINTS,
    FaceSource,
    FrameRow,
    Mode,
    Raster,
    RasterKind,
    Shot,
    check_format,
)
from .take import SegmentRecord, Take, TakeState
from .timecode import Timecode

__all__ = [
    "AUDIO_FILE",
    "AUDIO_RATE",
    "BUILTIN",
    "COEFFICIENTS",
    "CONFIGURATION",
    "EXPORT_PREFIX",
    "FACE_KEYPOINTS",
    "FACE_SIZE",
    "FIRST_FRAME",
    "KEYPOINTS",
    "MOST_CONFIGURATION",
    "OWNER_FILE",
    "POSE_FILE",
    "SEGMENTS",
    "SETTING_NAMES",
    "SHOT_FILE",
    "SPACES",
    "TAKES",
    "TAKE_FILE",
    "TAKE_PREFIX",
    "WIRE_HEADER",
    "WIRE_VERSION",
    "Alpha",
    "BadInput",
    "Belonging",
    "Blend",
    "Box",
    "Clipped",
    "Colour",
    "Convention",
    "Device",
    "Encoding",
    "ErrorReply",
    "ExitCode",
    "Extra",
    "FaceSource",
    "Faces",
    "FileEntry",
    "Finish",
    "Format",
    "FrameRow",
    "Grade",
    "Grain",
    "Handed",
    "Highlights",
    "Interrupted",
    "Job",
    "JobState",
    "KnownModel",
    "Lens",
    "LensKind",
    "LoraUse",
    "MapUse",
    "Message",
    "Mode",
    "Naming",
    "Plan",
    "Precision",
    "Priority",
    "Problem",
    "Provenance",
    "Queue",
    "Raster",
    "RasterKind",
    "Retake",
    "Roi",
    "SeamRecord",
    "SegmentRecord",
    "Settings",
    "Shot",
    "Solver",
    "Take",
    "TakeState",
    "Timecode",
    "Transform",
    "TryElsewhere",
    "Turn",
    "Unavailable",
    "WireError",
    "assignments",
    "check_format",
    "check_name",
    "check_path",
    "claim_version",
    "face_box",
    "file_entry",
    "frame_name",
    "list_files",
    "may_live",
    "overridden",
    "owner",
    "plain",
    "sha256_file",
    "shown",
    "version_name",
    "versions",
    "write_atomically",
]
