"""Every mistake a user can make, as one tree.

FerError
├── UnknownNameError   no method, network, dataset, layer or split of that name
├── DataError          a dataset, sample or picture that cannot be used
│   └── SplitError     a dataset that can be used but holds no such split
├── CheckpointError    a file that is not a usable network
├── NetworkError       the network does not allow what was asked of it
├── TargetError        classes to explain that do not fit the network or the samples
├── ConfigError        an option or a recipe that does not make sense
└── RunError           a run folder that is missing, taken or damaged

The command line and the dashboard show the message of a FerError as one line; any other exception is a bug and keeps
its traceback.
"""


class FerError(Exception):
    """A mistake of the user's: what was asked, what is possible, what to do next."""


class UnknownNameError(FerError):
    """No thing of that kind has that name."""


class DataError(FerError):
    """A dataset, sample or picture cannot be used."""


class SplitError(DataError):
    """A dataset holds no such split, or no face in it."""


class CheckpointError(FerError):
    """A file is not a usable network."""


class NetworkError(FerError):
    """The network does not allow what was asked of it."""


class TargetError(FerError):
    """The classes to explain do not fit the network or the samples."""


class ConfigError(FerError):
    """An option or a recipe does not make sense."""


class RunError(FerError):
    """A run folder is missing, taken or damaged."""
