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
└── TuningError                 the run says no (exit 1)
    ├── LossNotFinite           the loss became NaN or infinite
    ├── CheckpointInvalid       a checkpoint cannot be continued
    └── OutOfMemory             one batch does not fit

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
