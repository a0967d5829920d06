"""Messages come whole and in order, whatever the socket makes of them, and nobody has to wait."""

import os
import pickle
import random
import selectors
import socket
import threading

import numpy as np
import pytest

from workers import channel as channel_module
from workers.channel import HEAD, SIZE, Channel

LARGE = 3 * channel_module.BUFFER_BYTES  # more than a socket takes at once


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ends = Channel(ours), Channel(theirs)
    yield ends
    for end in ends:
        end.close()


def drained(end, number):
    messages = end.messages()
    return [next(messages) for _ in range(number)]


def message(index):
    arrays = [np.full(size, index, np.float32) for size in (0, 3, LARGE // 4)]
    return {"index": index, "arrays": arrays, "empty": np.zeros((0, 3), np.float32)}


def test_large_messages_come_back_as_they_were(pair):
    ours, theirs = pair
    sender = threading.Thread(target=lambda: [ours.send_whole(message(i)) for i in range(5)])
    sender.start()
    got = drained(theirs, 5)
    sender.join(30)
    for index, one in enumerate(got):
        assert one["index"] == index
        assert [a.shape for a in one["arrays"]] == [(0,), (3,), (LARGE // 4,)]
        assert all((a == index).all() for a in one["arrays"])
        assert one["arrays"][1].flags.writeable
        assert one["empty"].shape == (0, 3)


def test_nobody_waits_for_one_who_does_not_read(pair):
    ours, theirs = pair
    ours.send(message(0))  # would not return, did it wait
    assert ours.is_sending
    assert theirs.receive() == []  # not whole yet
    while ours.is_sending:
        ours.flush()
        came = theirs.receive()
    assert [one["index"] for one in came or theirs.receive()] == [0]


def test_bytes_may_come_in_any_pieces():
    ours, theirs = socket.socketpair()
    end, chance = Channel(theirs), random.Random(0)
    pickled = [pickle.dumps(("compute", [index] * index)) for index in range(20)]
    stream = b"".join(HEAD.pack(0, len(one)) + one for one in pickled)
    got = []
    while stream:
        cut = chance.randint(1, 40)
        ours.sendall(stream[:cut])
        stream = stream[cut:]
        got += end.receive()
    assert got == [("compute", [index] * index) for index in range(20)]
    ours.close()
    with pytest.raises(EOFError):
        end.receive()
    end.close()


def test_the_last_message_comes_before_the_end(pair):
    ours, theirs = pair
    ours.send("last words")
    ours.close()
    assert theirs.receive() == ["last words"]
    with pytest.raises(EOFError):
        theirs.receive()
    assert list(theirs.messages()) == []


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (HEAD.pack(0, 3) + b"abc", "3 bytes are no message"),
        (HEAD.pack(0, 2**40), "a message has at most"),
        (HEAD.pack(1, 1) + SIZE.pack(2**60) + b".", "a message has at most"),
        (HEAD.pack(2**31, 2**35), "a message has at most"),
        (HEAD.pack(0, 0), "0 bytes are no message"),
    ],
)
def test_nonsense_is_refused_and_no_memory_is_taken_for_it(said, why, monkeypatch):
    monkeypatch.setattr(channel_module, "MAX_BYTES", 2**30)
    ours, theirs = socket.socketpair()
    ours.sendall(said)
    with pytest.raises(ValueError, match=why):
        Channel(theirs).receive()
    ours.close()
    theirs.close()


def test_one_sends_while_another_receives(pair):
    ours, theirs = pair
    number = 200

    def chatter(end, got):
        threading.Thread(target=lambda: got.extend(drained(end, number)), daemon=True).start()
        for index in range(number):
            end.send_whole((index, np.full(10_000, index, np.float32)))

    got = [], []
    threads = [threading.Thread(target=chatter, args=both) for both in zip(pair, got)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    ours.send_whole("end")
    theirs.send_whole("end")
    for _ in range(1000):
        if all(len(one) == number for one in got):
            break
        threading.Event().wait(0.01)
    assert [[index for index, _ in one] for one in got] == [list(range(number))] * 2


def test_a_selector_takes_it(pair):
    ours, theirs = pair
    with selectors.DefaultSelector() as selector:
        selector.register(theirs, selectors.EVENT_READ)
        assert selector.select(0) == []
        ours.send(os.getpid())
        assert selector.select(5)
