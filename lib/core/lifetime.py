"""What runs between a start and a stop: a server, a stage, a watcher."""

from abc import ABC, abstractmethod
from typing import Self


class Lifetime(ABC):
    """A context manager around `start` and `stop`; a start that fails half way is stopped too."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Start it and return when it can be used."""

    @abstractmethod
    def stop(self) -> object:
        """Stop it. Stopping twice, or before it was started, does no harm."""
