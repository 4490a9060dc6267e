"""Whether a space can serve."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a space can serve: each part with what is to be said of it."""

    storage: tuple[bool, str]
    serving: tuple[bool, str]

    @property
    def ready(self) -> bool:
        return self.storage[0] and self.serving[0]

    @property
    def words(self) -> str:
        return "The space is ready." if self.ready else "The space is being prepared."

    @property
    def waits_for(self) -> str:
        """What is missing, in words."""
        return " ".join(told for fine, told in (self.storage, self.serving) if not fine)
