"""Notifies the processes of one data directory that the registry has changed.

Each process has a datagram socket in the directory. A process that saved a change sends to all
others and waits briefly until each has acknowledged that it uses the new registry. A process
that cannot create a socket notices changes when it polls.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
import uuid
from pathlib import Path

log = logging.getLogger(__name__)

_SUFFIX = ".sock"
_CHANGED_MESSAGE, _WAKE_MESSAGE = b"changed", b"wake"
_MAX_MESSAGE_BYTES = 256


class PeerProcesses:
    """This process's socket, and access to the others. `wait_change` belongs to one thread."""

    def __init__(self, directory: Path) -> None:
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._socket: socket.socket | None = None
        self._directory_fd = -1
        self._directory = directory
        self._notifiers: list[bytes] = []
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._socket = self._bind_socket(self._name + _SUFFIX)
        except OSError as error:
            log.warning(
                "other processes cannot be notified of changes immediately: %s", error.strerror
            )
            self._close_socket()

    def _bind_socket(self, name: str) -> socket.socket:
        bound_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            bound_socket.bind(self._socket_address(name))
        except OSError:
            bound_socket.close()
            raise
        return bound_socket

    def _socket_address(self, name: str) -> str:
        # A socket's path is limited to about a hundred characters; a data directory may be longer.
        return f"/proc/self/fd/{self._directory_fd}/{name}"

    def wait_change(self, timeout_s: float) -> bool:
        """Wait for a notification from another process, or `wake`; return whether one arrived."""
        if self._socket is None:
            time.sleep(timeout_s)
            return False
        self._socket.settimeout(timeout_s)
        notified = False
        with contextlib.suppress(TimeoutError, BlockingIOError):
            while True:
                message = self._socket.recv(_MAX_MESSAGE_BYTES)
                self._socket.settimeout(0)
                notified = True
                if message.startswith(_CHANGED_MESSAGE):
                    self._notifiers.append(message[len(_CHANGED_MESSAGE) :])
        return notified

    def acknowledge(self) -> None:
        """Confirm to the notifying processes that the new registry is in use."""
        notifiers, self._notifiers = self._notifiers, []
        for name in notifiers:
            with contextlib.suppress(OSError):
                assert self._socket is not None
                self._socket.settimeout(0)
                self._socket.sendto(b"1", self._socket_address(name.decode()))

    def notify_change(self, timeout_s: float) -> int:
        """Notify all others of a change; return how many have not acknowledged in time."""
        if self._socket is None:
            return 0
        reply_name = f"{self._name}-{uuid.uuid4().hex[:8]}.replies"
        try:
            replies = self._bind_socket(reply_name)
        except OSError:
            return 0
        missing_replies = 0
        try:
            missing_replies = sum(
                self._send_notification(replies, name, reply_name) for name in self._peer_names()
            )
            deadline = time.monotonic() + timeout_s
            while missing_replies and (remaining_s := deadline - time.monotonic()) > 0:
                replies.settimeout(remaining_s)
                replies.recv(_MAX_MESSAGE_BYTES)
                missing_replies -= 1
        except TimeoutError:
            pass
        finally:
            replies.close()
            self._unlink_socket(reply_name)
        return missing_replies

    def _peer_names(self) -> list[str]:
        names = [path.name for path in self._directory.iterdir()]
        return [n for n in names if n.endswith(_SUFFIX) and n != self._name + _SUFFIX]

    def _send_notification(self, replies: socket.socket, name: str, reply_name: str) -> bool:
        """Send a notification; return whether to wait for its acknowledgment."""
        try:
            replies.settimeout(0)
            replies.sendto(_CHANGED_MESSAGE + reply_name.encode(), self._socket_address(name))
        except (ConnectionRefusedError, FileNotFoundError):
            self._unlink_socket(name)  # its process is dead
            return False
        except OSError:
            return False  # its buffer is full; it will notice the change when it polls
        return True

    def wake(self) -> None:
        """End this process's wait."""
        with contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.sendto(_WAKE_MESSAGE, self._socket_address(self._name + _SUFFIX))

    def close(self) -> None:
        """Close and remove the socket."""
        if self._socket is not None:
            self._socket.close()
            self._unlink_socket(self._name + _SUFFIX)
        self._close_socket()

    def _unlink_socket(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self._directory / name).unlink()

    def _close_socket(self) -> None:
        self._socket = None
        if self._directory_fd >= 0:
            os.close(self._directory_fd)
            self._directory_fd = -1
