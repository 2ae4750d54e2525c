"""Hooks: functions that look on, at a tensor's gradient or at what a module computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self


class HookHandle:
    """Removes a hook: by `remove()`, or at the end of `with x.register_hook(f):`."""

    def __init__(self, hooks: Hooks) -> None:
        self.hooks = hooks

    def remove(self) -> None:
        """Detach the hook; doing so twice is harmless."""
        self.hooks.pop(self, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Hooks(dict[HookHandle, Callable[..., None]]):
    """Functions by their handles, in the order in which they were added."""

    __slots__ = ()

    def add(self, hook: Callable[..., None]) -> HookHandle:
        """Add a function; the handle removes it."""
        if not callable(hook):
            raise TypeError(f"a hook must be a function, but is {type(hook).__name__}")
        handle = HookHandle(self)
        self[handle] = hook
        return handle

    def call(self, *seen: Any) -> None:
        """Call each; they may remove themselves, or one another.

        Raises: TypeError where a hook returns something, which would be lost.
        """
        for handle in tuple(self):
            if handle in self and (result := self[handle](*seen)) is not None:
                raise TypeError(
                    f"a hook returned {type(result).__name__}, but hooks only look on, and change "
                    "no gradient and no output: return nothing"
                )
