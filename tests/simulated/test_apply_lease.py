"""The lease on a device: one holder at a time, however many ask at once."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from grappe.apply import lease
from grappe.apply.lease import Held, Holder
from grappe.model.script import Answer, Command
from simulated.sim import SimDevice, SimTransport


@pytest.fixture
def way() -> Iterator[SimTransport]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        yield SimTransport(SimDevice("d1", Path(place)))


ANA, BEN = Holder("a1.1.1", "ana@console pid 1"), Holder("b2.2.2", "ben@laptop pid 2")


def ask(way: SimTransport, question: Command) -> Answer:
    (answer,) = way.run((question,))
    return answer


def test_a_lease_is_held_by_one_until_it_is_given_back(way: SimTransport) -> None:
    until = lease.taken(ask(way, lease.take(ANA)))
    assert lease.taken(ask(way, lease.take(BEN))) == Held(ANA, until if isinstance(until, int) else 0)
    ask(way, lease.release(BEN))
    assert isinstance(lease.taken(ask(way, lease.take(BEN))), Held)
    ask(way, lease.release(ANA))
    assert isinstance(lease.taken(ask(way, lease.take(BEN))), int)


def test_a_lease_is_renewed_by_its_holder_only(way: SimTransport) -> None:
    ask(way, lease.take(ANA, seconds=50))
    assert ask(way, lease.renew(ANA, seconds=500)).ok
    held = lease.taken(ask(way, lease.take(BEN)))
    answer = ask(way, lease.renew(BEN))
    assert answer.status == 1
    assert answer.err == "the lease was lost to ana@console pid 1\n"
    assert isinstance(held, Held)
    assert str(held).startswith("held by ana@console pid 1 until ")


def test_an_expired_lease_is_taken_and_lost_to_its_holder(way: SimTransport) -> None:
    ask(way, lease.take(ANA, seconds=-1))
    assert isinstance(lease.taken(ask(way, lease.take(BEN))), int)
    assert not ask(way, lease.renew(ANA)).ok


def test_a_lease_of_a_dead_holder_is_taken_by_name(way: SimTransport) -> None:
    ask(way, lease.take(ANA))
    assert isinstance(lease.taken(ask(way, lease.take(BEN, instead_of=Holder("c3", "x")))), Held)
    assert isinstance(lease.taken(ask(way, lease.take(BEN, instead_of=ANA))), int)


@pytest.mark.parametrize("expired", [False, True])
def test_of_many_who_ask_at_once_one_gets_it(way: SimTransport, expired: bool) -> None:
    if expired:
        ask(way, lease.take(ANA, seconds=-1))
    got: list[int | Held] = []

    def take(number: int) -> None:
        got.append(lease.taken(ask(way, lease.take(Holder(f"h{number}", f"h{number}@x pid {number}")))))

    threads = [threading.Thread(target=take, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([g for g in got if isinstance(g, int)]) == 1
    assert len({g.holder for g in got if isinstance(g, Held)}) == 1


def test_a_torn_lease_counts_as_none(way: SimTransport) -> None:
    (way.device_.place / "home" / "lease").write_text("")
    assert isinstance(lease.taken(ask(way, lease.take(ANA))), int)


def test_what_is_no_answer_is_said(way: SimTransport) -> None:
    (way.device_.place / "home" / "lease.lock").mkdir()
    with pytest.raises(ValueError, match=r"lease\.lock"):
        lease.taken(ask(way, lease.take(ANA)))


def test_a_process_of_this_machine_is_known_to_be_alive_or_dead() -> None:
    me = lease.myself()
    assert lease.is_here(me)
    assert lease.is_alive(me)
    number_used_again = Holder(me.id.rpartition(".")[0] + ".1", me.who)
    assert not lease.is_alive(number_used_again)
    assert not lease.is_here(ANA)
    assert not lease.is_alive(ANA)
