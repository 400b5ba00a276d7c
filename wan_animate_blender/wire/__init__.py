"""What travels between Blender and the server: shots, jobs, takes, their folders and their errors.

Standard library only: both sides import this package, and neither side's dependencies may leak into the other through
it. Knows neither bpy nor HTTP.
"""

from .boxes import Box, Faces, face_box
from .errors import BadInput, ExitCode, Interrupted, Problem, TryElsewhere, Unavailable, WireError
from .finish import Finish
from .folders import (
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
from .job import WIRE_HEADER, ErrorReply, Job, JobState
from .lens import COEFFICIENTS, Lens, LensKind, MapUse
from .messages import WIRE_VERSION, Message, plain, shown
from .retake import Retake
from .settings import LoraUse, Plan, Precision, Settings, Solver
from .roi import Roi
from .seam import Grade, SeamRecord
from .shot import (
    FACE_KEYPOINTS,
    FACE_SIZE,
    FIRST_FRAME,
    KEYPOINTS,
    Colour,
    Encoding,
    FaceSource,
    FrameRow,
    Mode,
    Raster,
    RasterKind,
    Shot,
)
from .take import SegmentRecord, Take, TakeState

__all__ = [
    "COEFFICIENTS",
    "EXPORT_PREFIX",
    "FACE_KEYPOINTS",
    "FACE_SIZE",
    "FIRST_FRAME",
    "KEYPOINTS",
    "OWNER_FILE",
    "POSE_FILE",
    "SEGMENTS",
    "SHOT_FILE",
    "TAKES",
    "TAKE_FILE",
    "TAKE_PREFIX",
    "WIRE_HEADER",
    "WIRE_VERSION",
    "BadInput",
    "Box",
    "Colour",
    "Encoding",
    "ErrorReply",
    "ExitCode",
    "FaceSource",
    "Faces",
    "FileEntry",
    "Finish",
    "FrameRow",
    "Interrupted",
    "Job",
    "JobState",
    "Lens",
    "LensKind",
    "LoraUse",
    "MapUse",
    "Message",
    "Mode",
    "Plan",
    "Precision",
    "Problem",
    "Raster",
    "RasterKind",
    "Retake",
    "SegmentRecord",
    "Settings",
    "Shot",
    "Solver",
    "Take",
    "TakeState",
    "TryElsewhere",
    "Unavailable",
    "WireError",
    "Roi",
    "SeamRecord",
    "check_name",
    "check_path",
    "claim_version",
    "face_box",
    "file_entry",
    "frame_name",
    "list_files",
    "may_live",
    "owner",
    "plain",
    "sha256_file",
    "shown",
    "version_name",
    "versions",
    "write_atomically",
]
