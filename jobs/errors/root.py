"""The root of all errors, and what is wrong with the process or what it needs."""


class TidemillError(Exception):
    """Something went wrong in Tidemill."""

    code = "internal_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())

    @property
    def message(self) -> str:
        """The sentence that a person reads."""
        return str(self.args[0])


class ConfigurationError(TidemillError):
    """The configuration can't work as it is written."""

    code = "invalid_configuration"


class UnwritableSink(TidemillError):
    """A pipeline's rows can't be written where they are to go; try again shortly."""

    code = "unwritable_sink"


class SchemaMismatch(TidemillError):
    """The database's schema is not the one that this version works with."""

    code = "schema_mismatch"


class ServiceUnavailable(TidemillError):
    """A service that is needed does not answer; try again shortly."""

    code = "service_unavailable"


class StorageFull(ServiceUnavailable):
    """The disk is full; nothing can be stored until there is room."""

    code = "storage_full"
