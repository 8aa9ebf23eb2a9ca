"""A line to a server that can be cut at a chosen moment: when a client says a word, or when the server answers it."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Passes bytes on between clients and a server on loopback.

    Attributes:
        port: Where it listens.
        url: For whoever gives one a meaning.
        cuts: How many lines it has cut at the word.
    """

    def __init__(self, port: int) -> None:
        """Pass on to the server at this port."""
        self.url = ""
        self._to = port
        self._word = b""
        self._before = False
        self._left = 0
        self.cuts = 0
        self._is_away = False
        self._lines: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def cut_at(self, word: bytes, *, before: bool, times: int = 1) -> None:
        """Cut the line of the client that says `word`: before the server hears it, or when the server has answered."""
        self._word, self._before, self._left = word, before, times

    def go_away(self) -> None:
        """Cut every line, and refuse new ones."""
        self._is_away = True
        for one in list(self._lines):
            _end(one)

    def come_back(self) -> None:
        """Take lines again."""
        self._is_away = False

    def close(self) -> None:
        """End for good."""
        self.go_away()
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_away:
                _end(client)
                continue
            server = socket.create_connection(("127.0.0.1", self._to))
            self._lines |= {client, server}
            heard = threading.Event()
            threading.Thread(target=self._pass, args=(client, server, heard, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, heard, False), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, heard: threading.Event, is_client: bool) -> None:
        try:
            while data := one.recv(1 << 16):
                if is_client and self._word and self._word in data and self._left > 0:
                    self._left -= 1
                    self.cuts += 1
                    if self._before:
                        break
                    heard.set()
                elif not is_client and heard.is_set():
                    break
                other.sendall(data)
        except OSError:
            pass
        finally:
            self._lines -= {one, other}
            _end(one)
            _end(other)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        one.close()
