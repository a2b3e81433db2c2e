"""Reads objects that Java serialised, as plain data and without making anything of theirs: names, fields, bytes.

Of the "Java Object Serialization Specification", chapter 6, this is the part that plain classes use: objects with their
default fields, arrays of bytes and of objects, strings, references. Whatever else comes is refused with UnknownContent,
and so is what contradicts itself. Long arrays of bytes are passed over, not read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

Kept = TypeVar("Kept")

_MAGIC = b"\xac\xed\x00\x05"

_NULL, _REFERENCE, _CLASS, _OBJECT, _STRING, _ARRAY = 0x70, 0x71, 0x72, 0x73, 0x74, 0x75
_END, _RESET = 0x78, 0x79
#: Flag of a class whose objects have their default fields, and nothing that the class writes itself.
_SERIALIZABLE = 0x02
_FIRST_HANDLE = 0x7E0000

#: Primitive fields by the letter of their type: how they are written, big-endian.
_PRIMITIVES = {"B": ">b", "C": ">H", "D": ">d", "F": ">f", "I": ">i", "J": ">q", "S": ">h", "Z": ">?"}

#: Objects in objects; what is read here has four levels.
_DEEPEST = 20


class UnknownContent(Exception):
    """The stream is cut off, damaged, or holds what is not read here; the message says which."""


@dataclass(frozen=True)
class JavaClass:
    """A class as a stream describes it; `fields` are (name, type) in the order of their values."""

    name: str
    version: int
    fields: tuple[tuple[str, str], ...]
    parent: JavaClass | None


@dataclass
class JavaObject:
    """An object's class and its values by the names of its fields."""

    of: JavaClass
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PassedOver:
    """An array of bytes that was not read: how many there were."""

    length: int


class JavaStream:
    """The objects in the next `length` bytes of `stream`, which can seek and has at least as many."""

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream = stream
        self._left = length
        self._handles: list[Any] = []
        self._depth = 0
        self._readers: dict[int, Callable[[], Any]] = {
            _REFERENCE: self._referred, _OBJECT: self._object, _ARRAY: self._array,
            _STRING: lambda: self._kept(self._text()),
        }

    def objects(self) -> list[Any]:
        """All of them. Raises UnknownContent."""
        if self._read(len(_MAGIC)) != _MAGIC:
            raise UnknownContent("it does not begin as Java's serialisation does")
        found = []
        while self._left:
            kind = self._byte()
            if kind == _RESET:
                self._handles.clear()
            else:
                found.append(self._content(kind))
        return found

    def _content(self, kind: int) -> Any:
        self._depth += 1
        try:
            if self._depth > _DEEPEST:
                raise UnknownContent("its objects are in one another without an end")
            if kind == _NULL:
                return None
            if kind not in self._readers:
                raise UnknownContent(f"it holds a kind of content that is not read here: {kind:#04x}")
            return self._readers[kind]()
        finally:
            self._depth -= 1

    def _object(self) -> JavaObject:
        made = self._kept(JavaObject(self._class()))
        lineage = []
        each: JavaClass | None = made.of
        while each is not None:
            lineage.append(each)
            each = each.parent
        for part in reversed(lineage):
            for name, kind in part.fields:
                made.values[name] = self._value(kind)
        return made

    def _value(self, kind: str) -> Any:
        if kind in _PRIMITIVES:
            return self._number(_PRIMITIVES[kind])
        return self._content(self._byte())

    def _array(self) -> Any:
        of = self._class()
        place = len(self._handles)
        self._handles.append(None)
        length = self._number(">i")
        if of.name == "[B":
            self._skip(length)
            self._handles[place] = PassedOver(length)
        elif of.name.startswith("[L") and 0 <= length <= self._left:  # an element takes a byte at least
            elements: list[Any] = []
            self._handles[place] = elements
            elements += (self._content(self._byte()) for _ in range(length))
        else:
            raise UnknownContent(f"it holds an array {of.name} of {length:,}, which is not read here")
        return self._handles[place]

    def _class(self) -> JavaClass:
        """A class that must be there. Raises UnknownContent for one that writes more than its fields."""
        found = self._class_or_none()
        if found is None:
            raise UnknownContent("an object in it has no class")
        return found

    def _class_or_none(self) -> JavaClass | None:
        kind = self._byte()
        if kind == _NULL:
            return None
        if kind == _REFERENCE:
            found = self._referred()
            if not isinstance(found, JavaClass):
                raise UnknownContent("it refers to a class and means something else")
            return found
        if kind != _CLASS:
            raise UnknownContent(f"it holds a kind of class that is not read here: {kind:#04x}")
        name, version = self._text(), self._number(">q")
        place = len(self._handles)
        self._handles.append(None)
        flags, count = self._byte(), self._number(">H")
        if flags != _SERIALIZABLE:
            raise UnknownContent(f"{name[:200]} writes more than its fields")
        fields = tuple(self._field() for _ in range(count))
        if self._byte() != _END:
            raise UnknownContent(f"{name[:200]} is described with more than is read here")
        made = self._handles[place] = JavaClass(name, version, fields, self._class_or_none())
        return made

    def _field(self) -> tuple[str, str]:
        kind, name = chr(self._byte()), self._text()
        if kind in "L[":
            self._content(self._byte())  # the type's name, which the value says again
        elif kind not in _PRIMITIVES:
            raise UnknownContent(f"a field of it has the unknown type {kind!r}")
        return name, kind

    def _referred(self) -> Any:
        place = self._number(">i") - _FIRST_HANDLE
        if not 0 <= place < len(self._handles) or self._handles[place] is None:
            raise UnknownContent("it refers to something that is not in it")
        return self._handles[place]

    def _kept(self, made: Kept) -> Kept:
        self._handles.append(made)
        return made

    def _text(self) -> str:
        try:
            return self._read(self._number(">H")).decode()
        except UnicodeDecodeError as error:
            raise UnknownContent("a name in it is no text") from error

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._read(struct.calcsize(layout)))[0]

    def _byte(self) -> int:
        return self._read(1)[0]

    def _read(self, count: int) -> bytes:
        if count > self._left:
            raise UnknownContent("it ends before its time")
        found = self._stream.read(count)
        if len(found) < count:
            raise UnknownContent("the file ends before its time")
        self._left -= count
        return found

    def _skip(self, count: int) -> None:
        if not 0 <= count <= self._left:
            raise UnknownContent("an array in it is longer than what is there")
        self._stream.seek(count, os.SEEK_CUR)
        self._left -= count
