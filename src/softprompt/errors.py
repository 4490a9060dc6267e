"""Every error a person can meet, drawn as a tree.

SoftpromptError
├── UsageError                  the request itself is wrong (exit 2, HTTP 400)
│   ├── ParameterInvalid        a parameter is out of its range
│   └── TemplateInvalid         a template cannot be rendered
├── DataError                   the data says no (exit 1, HTTP 422)
│   ├── DatasetUnreadable       the file cannot be read at all
│   └── DatasetInvalid          rows of it cannot be used
├── ModelError                  the foundation model says no (exit 1)
│   ├── ModelUnknown            no source knows this id
│   ├── ModelUnavailable        known, but no source could deliver it
│   └── ModelUnsupported        delivered, but this engine cannot tune or run it
├── ArtifactError               a stored tuned prompt says no (exit 1)
│   ├── ArtifactInvalid         broken, unsafe or foreign content
│   └── WrongBase               made for another foundation model
├── TuningError                 the run says no (exit 1)
│   ├── LossNotFinite           the loss became NaN or infinite
│   ├── CheckpointInvalid       a checkpoint cannot be continued
│   └── OutOfMemory             one batch does not fit
└── StudioError                 the studio says no (exit 1)
    ├── Unauthenticated         nobody knows who asks (HTTP 401)
    ├── Forbidden               known, but not allowed (403)
    │   └── StaleForm           sent from a page of an earlier session
    ├── NotFound                not there, or not for these eyes (404)
    ├── Conflict                it does not fit what is there (409)
    │   ├── NameTaken           the name is in use
    │   ├── InUse               something else needs it
    │   └── WrongState          not from this state
    ├── VersionMismatch         changed by somebody else since it was read (412)
    ├── TooLarge                more bytes or rows than are allowed (413)
    ├── Busy                    too much at once; come back later (429)
    ├── Unavailable             a part of the studio is not there now (503)
    ├── DatabaseUnusable        it is broken, closed to this user or of a newer version: somebody has to act (500)
    ├── DeadlineExceeded        not done in the time that was given (504)
    ├── StorageFull             there is no room on the disk (507)
    └── LeaseLost               another worker has the run

A class's docstring is its default message; a message says what happened, with values, and what to do.
"""

from __future__ import annotations

from typing import ClassVar


class SoftpromptError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class UsageError(SoftpromptError):
    """The request cannot be understood."""

    code, status, exit_code = "invalid_request", 400, 2


class ParameterInvalid(UsageError):
    """A parameter is out of its range."""

    code = "invalid_parameter"


class TemplateInvalid(UsageError):
    """The template cannot be rendered."""

    code = "invalid_template"


class DataError(SoftpromptError):
    """The data cannot be used."""

    code, status = "invalid_data", 422


class DatasetUnreadable(DataError):
    """The file cannot be read."""

    code = "dataset_unreadable"


class DatasetInvalid(DataError):
    """Rows of the dataset cannot be used."""

    code = "dataset_invalid"


class ModelError(SoftpromptError):
    """The foundation model cannot be used."""

    code, status = "model_error", 409


class ModelUnknown(ModelError):
    """No foundation model has this id."""

    code, status = "model_unknown", 404


class ModelUnavailable(ModelError):
    """No source could deliver this foundation model."""

    code, status = "model_unavailable", 503


class ModelUnsupported(ModelError):
    """This foundation model has an architecture that the engine does not run."""

    code = "model_unsupported"


class ArtifactError(SoftpromptError):
    """The tuned prompt cannot be used."""

    code, status = "artifact_error", 422


class ArtifactInvalid(ArtifactError):
    """The folder is not a sound tuned prompt."""

    code = "artifact_invalid"


class WrongBase(ArtifactError):
    """The tuned prompt was made for another foundation model."""

    code, status = "wrong_base", 409


class TuningError(SoftpromptError):
    """The tuning run failed."""

    code = "tuning_failed"


class LossNotFinite(TuningError):
    """The loss is not a finite number any more. Use a smaller learning rate."""

    code = "loss_not_finite"


class CheckpointInvalid(TuningError):
    """The checkpoint cannot be continued."""

    code, status = "checkpoint_invalid", 409


class OutOfMemory(TuningError):
    """One batch does not fit into memory. Use a smaller batch or shorter inputs."""

    code = "out_of_memory"


class StudioError(SoftpromptError):
    """The studio cannot do this."""

    code = "studio_error"


class Unauthenticated(StudioError):
    """Nobody is signed in. Send an API key as `Authorization: Bearer KEY`, or sign in."""

    code, status = "unauthenticated", 401


class Forbidden(StudioError):
    """You may not do this."""

    code, status = "forbidden", 403


class StaleForm(Forbidden):
    """This form is from an older page. Load the page again, then send it."""

    code = "stale_form"


class NotFound(StudioError):
    """There is no such thing, or you may not see it."""

    code, status = "not_found", 404


class Conflict(StudioError):
    """It does not fit what is there."""

    code, status = "conflict", 409


class NameTaken(Conflict):
    """The name is in use. Choose another one."""

    code = "name_taken"


class InUse(Conflict):
    """Something else needs it."""

    code = "in_use"


class WrongState(Conflict):
    """That cannot be done in its present state."""

    code = "wrong_state"


class VersionMismatch(StudioError):
    """It was changed since you read it. Read it again, then change it."""

    code, status = "version_mismatch", 412


class TooLarge(StudioError):
    """That is more than is allowed."""

    code, status = "too_large", 413


class Busy(StudioError):
    """Too much is asked at once. Try again later."""

    code, status = "busy", 429

    def __init__(self, message: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds after which a second try makes sense."""


class Unavailable(StudioError):
    """A part of the studio is not running. `softprompt status` says which."""

    code, status = "unavailable", 503


class DatabaseUnusable(StudioError):
    """The database cannot be used. `softprompt doctor` says what is wrong with it."""

    code = "database_unusable"


class DeadlineExceeded(StudioError):
    """It was not done in the time that was given."""

    code, status = "deadline_exceeded", 504


class StorageFull(StudioError):
    """There is no room left on the disk. Make room; nothing was lost."""

    code, status = "storage_full", 507


class LeaseLost(StudioError):
    """Another worker has this job now; what this one still has to say is not written."""

    code = "lease_lost"
