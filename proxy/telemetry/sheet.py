"""A worker's counts, in memory that it shares with its parent.

A counter is a double at an index; what the index means is a line in a second file, written once, before the first
count. The worker alone writes; the parent sums over workers when scraped. Counting so costs a fifth of what
prometheus-client's multiprocess files cost (1.0 µs an increment), and a killed worker loses no count.

Behind the counts each slot has room for an exemplar; only buckets of histograms that have some use theirs, and what is
not used stays address space.
"""

import json
import logging
import mmap
import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Final

from proxy.telemetry.exemplar import SIZE, Exemplar, packed, unpacked

SLOTS: Final = 65_536  # 512 KiB of address space; only pages that are counted in become resident
_BYTES: Final = SLOTS * 8
_ALL_BYTES: Final = _BYTES + SLOTS * SIZE
_LOOKS: Final = 3  # at an exemplar that is being written

log = logging.getLogger("sluicegate.metrics")

SeriesKey = tuple[str, tuple[str, ...]]  # (name of the sample, values of its labels)


@dataclass(frozen=True, slots=True)
class SheetFiles:
    """Two anonymous files, made by the parent and inherited by one worker."""

    names_fd: int
    values_fd: int

    @classmethod
    def make(cls) -> "SheetFiles":
        files = cls(os.memfd_create("sluicegate-series"), os.memfd_create("sluicegate-values"))
        os.ftruncate(files.values_fd, _ALL_BYTES)
        return files

    def close(self) -> None:
        os.close(self.names_fd)
        os.close(self.values_fd)


class Sheet:
    """The writing side: ``values[slot(...)] += 1``.

    The last slot has no name and nobody reads it: what finds no slot of its own any more is written there, since a
    count that is lost must not cost a request, nor leave anything of it behind.
    """

    def __init__(self, files: SheetFiles) -> None:
        self._names_fd = files.names_fd
        self._map = mmap.mmap(files.values_fd, _ALL_BYTES)
        self.values: memoryview[float] = memoryview(self._map)[:_BYTES].cast("d")
        self._slots: dict[SeriesKey, int] = {}
        self._told = False  # that it is full

    def slot(self, name: str, labels: tuple[str, ...] = ()) -> int:
        """The index of a series, the same for the same series."""
        key = (name, labels)
        index = self._slots.get(key)
        if index is None:
            index = len(self._slots)
            if index >= SLOTS - 1:
                if not self._told:
                    log.error("no room for more series: what is new is not counted", extra={"fields": {"name": name}})
                    self._told = True
                return SLOTS - 1
            os.write(self._names_fd, json.dumps([name, *labels]).encode() + b"\n")
            self._slots[key] = index
        return index

    def exemplify(self, slot: int, exemplar: Exemplar) -> None:
        """The newest of this slot; the one before it goes."""
        at = _BYTES + slot * SIZE
        self._map[at : at + SIZE] = packed(exemplar)


class SheetReader:
    """The parent's side: reads what is named so far, and its values."""

    def __init__(self, files: SheetFiles) -> None:
        self._files = files
        self._map = mmap.mmap(files.values_fd, _ALL_BYTES, prot=mmap.PROT_READ)
        self._values: memoryview[float] = memoryview(self._map)[:_BYTES].cast("d")
        self._keys: list[SeriesKey] = []
        self._read_to = 0

    def series(self) -> Iterator[tuple[SeriesKey, float]]:
        self._read_names()
        for index, key in enumerate(self._keys):
            yield key, self._values[index]

    def exemplars(self, names: Container[str]) -> Iterator[tuple[SeriesKey, Exemplar]]:
        """Of the samples with these names, those that have one."""
        self._read_names()
        for index, (name, labels) in enumerate(self._keys):
            if name in names and (found := self._exemplar(index)) is not None:
                yield (name, labels), found

    def _exemplar(self, index: int) -> Exemplar | None:
        at = _BYTES + index * SIZE
        for _ in range(_LOOKS):
            found = unpacked(self._map[at : at + SIZE])
            if found is not None:
                return found
        return None

    def _read_names(self) -> None:
        size = os.fstat(self._files.names_fd).st_size
        if size > self._read_to:
            text = os.pread(self._files.names_fd, size - self._read_to, self._read_to)
            whole = text[: text.rfind(b"\n") + 1]  # a line may be half written
            self._read_to += len(whole)
            for line in whole.splitlines():
                name, *labels = json.loads(line)
                self._keys.append((name, tuple(labels)))

    def close(self) -> None:
        self._values.release()
        self._map.close()
        self._files.close()
