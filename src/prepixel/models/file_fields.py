"""Check the values that a model file holds, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prepixel.errors import ModelError


class Fields:
    """Read typed values from a mapping that a file holds; errors name the key."""

    def __init__(self, name: str, values: Any) -> None:
        if not isinstance(values, Mapping):
            raise ModelError(f"{name} is {type(values).__name__}, not a mapping")
        self.name = name
        self.values = values

    def error(self, key: str, must: str) -> ModelError:
        """Build the error of one key."""
        return ModelError(f"{self.name}.{key} is {str(self.values.get(key))[:80]}; it {must}")

    def value(self, key: str) -> Any:
        """Return the value of a key that must be there."""
        if key not in self.values:
            raise ModelError(f"{self.name}.{key} is missing")
        return self.values[key]

    def section(self, key: str) -> Fields:
        """Return a mapping inside this one."""
        return Fields(f"{self.name}.{key}", self.value(key))

    def integer(self, key: str, low: int, high: int) -> int:
        """Return a whole number in a range."""
        value = self.value(key)
        if type(value) is not int or not low <= value <= high:
            raise self.error(key, f"must be a whole number from {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float) -> float:
        """Return a finite number in a range."""
        value = self.value(key)
        if type(value) not in {int, float} or not low <= value <= high:
            raise self.error(key, f"must be a number from {low:g} to {high:g}")
        return float(value)

    def text(self, key: str) -> str:
        """Return text."""
        value = self.value(key)
        if not isinstance(value, str):
            raise self.error(key, "must be text")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self.value(key)
        if not isinstance(value, bool):
            raise self.error(key, "must be true or false")
        return value

    def items(self, key: str, *, length: int | None = None) -> list[Any]:
        """Return a list."""
        value = self.value(key)
        if not isinstance(value, list | tuple) or (length is not None and len(value) != length):
            raise self.error(key, f"must be a list{f' of {length}' if length is not None else ''}")
        return [*value]

    def texts(self, key: str) -> list[str]:
        """Return a list of text."""
        values = self.items(key)
        if not all(isinstance(value, str) for value in values):
            raise self.error(key, "must be a list of text")
        return values

    def integers(self, key: str, low: int, high: int, *, length: int | None = None) -> list[int]:
        """Return a list of whole numbers in a range."""
        values = self.items(key, length=length)
        if not all(type(value) is int and low <= value <= high for value in values):
            raise self.error(key, f"must be whole numbers from {low} to {high}")
        return values

    def numbers(self, key: str, low: float, high: float, *, length: int) -> list[float]:
        """Return a list of numbers in a range."""
        values = self.items(key, length=length)
        if not all(type(value) in {int, float} and low <= value <= high for value in values):
            raise self.error(key, f"must be {length} numbers from {low:g} to {high:g}")
        return [float(value) for value in values]
