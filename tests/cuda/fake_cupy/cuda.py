"""`cupy.cuda`: devices, streams, graphs, events, and the two libraries below."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from .functions import DynamicLibNotFoundError
from .machine import TOTAL_MEMORY, CUDARuntimeError, Misuse, OutOfMemoryError, machine

VERSION = 13020  # of the runtime, 13.2


class Device:
    """The one device."""

    def __init__(self, device=None):
        self.id = 0 if device is None else int(device)

    @property
    def pci_bus_id(self):
        """Which of a machine's devices it is: the one that this process sees."""
        return f"0000:{os.environ.get('CUDA_VISIBLE_DEVICES') or '0':0>2}:00.0"

    compute_capability = "80"
    attributes: ClassVar = {
        "MultiProcessorCount": 108,
        "MaxSharedMemoryPerBlock": 49152,
        "WarpSize": 32,
    }
    mem_info = property(lambda self: runtime.memGetInfo())

    def __enter__(self):
        self._demand()
        return self

    def __exit__(self, *exception):
        return None

    def use(self):
        """Make it the current one."""
        self._demand()

    def synchronize(self):
        """Wait for all its work."""
        machine.synchronise()

    def _demand(self):
        machine.demand_driver()
        if self.id != 0:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def __eq__(self, other):
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self):
        return hash(self.id)

    def __int__(self):
        return self.id

    def __repr__(self):
        return f"<CUDA Device {self.id}>"


# ------------------------------------------------------------------------ streams and graphs


class Stream:
    """Work in order. The pretended device does it at once, whatever the stream."""

    null: Stream

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        machine.demand_driver() if not null else None
        self._null, self._capturing = null, False
        self.ptr = 0 if null else id(self)

    def __enter__(self):
        machine.streams.append(self)
        return self

    def __exit__(self, *exception):
        machine.streams.remove(self)

    def use(self):
        """Make it the current stream until another one is."""
        machine.streams.append(self)
        return self

    def synchronize(self):
        """Wait for its work."""
        machine.synchronise()

    @property
    def done(self):
        """Is all its work done?"""
        machine.refuse_in_capture("a stream can't be asked")
        return True

    def record(self, event=None):
        """Note the time in an event."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        """Go on when the event has come."""

    def begin_capture(self, mode=None):
        """From here on work is recorded, not done."""
        if self._null:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: not on the default stream")
        if get_current_stream() is not self:
            raise Misuse("begin_capture on a stream that is not current records nothing: `with`")
        if machine.recording is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: a capture is under way")
        machine.recording, self._capturing = [], True

    def end_capture(self):
        """The graph of what was recorded."""
        if not self._capturing:
            raise RuntimeError("cannot end capture on a stream that is not capturing")
        work, machine.recording, self._capturing = machine.recording, None, False
        return Graph(work)

    def is_capturing(self):
        """Is work being recorded?"""
        return self._capturing


class Graph:
    """Recorded work, to be done again with the same arrays and numbers."""

    def __init__(self, work):
        self._work = work
        for each in work:
            getattr(each, "belongs_to", lambda graph: None)(self)

    def launch(self, stream=None):
        """Do all of it."""
        machine.demand_driver()
        machine.refuse_in_capture("a graph can't be launched")
        machine.counts.graph_launches += 1
        for work in self._work:
            work()

    def upload(self, stream=None):
        """Prepare."""


class Event:
    """A point in time on a stream."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        machine.demand_driver()
        self._time = None

    def record(self, stream=None):
        """Note the time."""
        self._time = time.perf_counter()

    def synchronize(self):
        """Wait until it has come."""
        machine.synchronise()

    @property
    def done(self):
        """Has it come?"""
        machine.refuse_in_capture("an event can't be asked")
        return True


def get_elapsed_time(start_event, end_event):
    """Milliseconds between two events; on the pretended device they mean nothing."""
    return 1000 * (end_event._time - start_event._time)


def get_current_stream(device_id=None):
    """The stream that takes work."""
    return machine.streams[-1] if machine.streams else Stream.null


# ---------------------------------------------------------------------------- the libraries


def is_available():
    """Is there a device?"""
    return machine.fault not in ("no driver", "no device")


class _Runtime:
    CUDARuntimeError = CUDARuntimeError

    @staticmethod
    def getDeviceCount():
        machine.demand_driver()
        return 1

    @staticmethod
    def getDevice():
        machine.demand_driver()
        return 0

    @staticmethod
    def setDevice(device):
        Device(device).use()

    @staticmethod
    def getDeviceProperties(device):
        Device(device).use()
        return {"name": b"pretended GPU", "totalGlobalMem": TOTAL_MEMORY, "major": 8, "minor": 0,
                "multiProcessorCount": 108, "sharedMemPerBlock": 49152}  # fmt: skip

    @staticmethod
    def runtimeGetVersion():
        return VERSION

    @staticmethod
    def driverGetVersion():
        return 0 if machine.fault == "no driver" else VERSION

    @staticmethod
    def memGetInfo():
        machine.demand_driver()
        return TOTAL_MEMORY - machine.live_bytes, TOTAL_MEMORY

    @staticmethod
    def deviceSynchronize():
        machine.synchronise()


def _nvrtc_version():
    if machine.fault == "no nvrtc":
        raise DynamicLibNotFoundError('Failure finding "libnvrtc.so": not installed')
    return 13, 2


runtime = _Runtime()
nvrtc = SimpleNamespace(getVersion=_nvrtc_version)
Stream.null = Stream(null=True)


def empty_pinned(shape, dtype=float, order="C"):
    """`cupyx.empty_pinned`: an array of NumPy in memory of the host that can't be moved."""
    return np.empty(shape, dtype, order)


def zeros_pinned(shape, dtype=float, order="C"):
    """`cupyx.zeros_pinned`."""
    return np.zeros(shape, dtype, order)


__all__ = ["OutOfMemoryError"]
