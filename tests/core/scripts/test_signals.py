"""Signals stop a run where nothing is half-written, and are nobody else's business."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from types import FrameType

import pytest

from mml.core.scripts.exceptions import Interrupted
from mml.core.scripts.signals import HANDLED, guarded_signals, signals_held_back


def send(signum: int) -> None:
    os.kill(os.getpid(), signum)


def handlers() -> list[object]:
    return [signal.getsignal(signum) for signum in HANDLED]


@pytest.mark.parametrize("signum", HANDLED)
def test_signal_raises_and_handlers_are_as_before_afterwards(signum: int) -> None:
    before = handlers()
    with pytest.raises(Interrupted) as caught, guarded_signals():
        send(signum)
    assert caught.value.signum == signum
    assert handlers() == before


def test_signal_waits_until_the_deferred_block_ends() -> None:
    reached = []
    with pytest.raises(Interrupted), guarded_signals() as guard, guard.deferred():
        with guard.deferred():
            send(signal.SIGTERM)
            reached.append("inner")
        reached.append("outer")
    assert reached == ["inner", "outer"]


def test_signal_that_waits_can_be_seen() -> None:
    with pytest.raises(Interrupted), guarded_signals() as guard, guard.deferred():
        assert guard.seen is None
        send(signal.SIGTERM)
        assert guard.seen == signal.SIGTERM


def test_signal_of_a_block_that_an_error_leaves_waits_for_the_next_one() -> None:
    reached = []
    with pytest.raises(Interrupted), guarded_signals() as guard:
        with suppress(ValueError), guard.deferred():
            send(signal.SIGTERM)
            guard.release()
            raise ValueError
        reached.append("after")
        with guard.deferred():
            pass
    assert reached == ["after"]


def test_released_guard_lets_the_next_signal_through_at_once() -> None:
    with pytest.raises(Interrupted), guarded_signals() as guard, guard.deferred():
        guard.release()
        send(signal.SIGTERM)
        pytest.fail("the signal has to raise")


def test_deferred_block_without_a_signal_just_ends() -> None:
    with guarded_signals() as guard:
        for _ in range(2):
            with guard.deferred():
                pass


def test_error_of_a_deferred_block_is_the_one_that_counts() -> None:
    with pytest.raises(ValueError, match="mine"), guarded_signals() as guard, guard.deferred():
        send(signal.SIGTERM)
        raise ValueError("mine")


def test_signal_of_a_failed_block_is_raised_after_the_next_one() -> None:
    with pytest.raises(Interrupted), guarded_signals() as guard:
        with suppress(ValueError), guard.deferred():
            send(signal.SIGTERM)
            raise ValueError
        with guard.deferred():
            pass


def test_swallowed_signal_is_raised_after_the_next_deferred_block() -> None:
    with pytest.raises(Interrupted), guarded_signals() as guard:
        with suppress(Interrupted):
            send(signal.SIGINT)
        with guard.deferred():
            pass


def test_further_sigterm_does_not_tear_what_the_first_one_started() -> None:
    cleaned = []
    with pytest.raises(Interrupted), guarded_signals():
        try:
            send(signal.SIGTERM)
        finally:
            send(signal.SIGTERM)
            cleaned.append(True)
    assert cleaned == [True]


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
def test_sigint_after_another_signal_ends_the_process_at_once(first: str) -> None:
    code = (
        "import os, signal\n"
        "from mml.core.scripts.signals import guarded_signals\n"
        "with guarded_signals() as guard, guard.deferred():\n"
        f"    os.kill(os.getpid(), signal.{first})\n"
        "    print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('not here', flush=True)\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout) == (130, "still here\n")


def test_block_inside_of_another_has_the_same_guard() -> None:
    with guarded_signals() as outer, pytest.raises(Interrupted), guarded_signals() as inner:
        assert inner is outer
        send(signal.SIGTERM)
    with guarded_signals() as later:
        assert later is not outer
        assert later.seen is None


def test_sigint_after_the_inner_of_two_blocks_has_ended_with_a_signal_ends_the_process_at_once() -> None:
    code = (
        "import os, signal\n"
        "from mml.core.scripts.exceptions import Interrupted\n"
        "from mml.core.scripts.signals import guarded_signals\n"
        "with guarded_signals():\n"
        "    try:\n"
        "        with guarded_signals():\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "    except Interrupted:\n"
        "        print('saying goodbye', flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        print('not here', flush=True)\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout) == (130, "saying goodbye\n")


def test_fork_of_a_guarded_process_has_a_guard_of_its_own() -> None:
    code = (
        "import os\n"
        "from mml.core.scripts.signals import guarded_signals\n"
        "with guarded_signals() as outer:\n"
        "    if (child := os.fork()) == 0:\n"
        "        with guarded_signals() as guard:\n"
        "            os._exit(3 + (guard is outer))\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout) == (0, "3\n")


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2"])
def test_forked_child_lives_on_when_its_job_is_to_lose_the_machine(name: str) -> None:
    code = (
        "import os, signal\n"
        "from mml.core.scripts.signals import guarded_signals\n"
        "with guarded_signals() as guard, guard.deferred():\n"
        "    signal.signal(signal.SIGUSR2, guard.handle)\n"
        "    if (child := os.fork()) == 0:\n"
        f"        os.kill(os.getpid(), signal.{name})\n"
        "        os._exit(7)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout) == (0, "7\n")


def test_end_of_the_terminal_is_ignored_by_who_was_told_to() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with guarded_signals() as guard:
            send(signal.SIGHUP)
            assert guard.seen is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_who_waits_at_a_terminal_is_told_what_a_second_interrupt_does() -> None:
    code = (
        "import os, signal, sys\n"
        "from mml.core.scripts.signals import guarded_signals\n"
        "with guarded_signals() as guard, guard.deferred():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    reader, terminal = os.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stderr=terminal) as child:
        os.close(terminal)
        said = b""
        with suppress(OSError):  # nobody has the terminal open any more
            while part := os.read(reader, 1000):
                said += part
    os.close(reader)
    assert child.returncode == 130
    assert b"Ctrl-C once more stops at once" in said
    assert said.endswith(b"\x1b[?25h")


def test_pause_ends_when_its_time_is_over() -> None:
    with guarded_signals() as guard:
        guard.pause(0.001)


def test_signal_ends_a_pause_at_once() -> None:
    timer = threading.Timer(0.05, send, [signal.SIGUSR1])
    with pytest.raises(Interrupted), guarded_signals() as guard:
        timer.start()
        guard.pause(10_000)
    timer.join()


def test_signal_that_was_swallowed_ends_a_pause_before_it_begins() -> None:
    with pytest.raises(Interrupted), guarded_signals() as guard:
        with suppress(Interrupted):
            send(signal.SIGTERM)
        guard.pause(10_000)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_forked_child_dies_of_a_signal_as_any_process(name: str) -> None:
    code = (
        "import os, signal\n"
        "from mml.core.scripts.signals import guarded_signals\n"
        "with guarded_signals() as guard, guard.deferred():\n"
        "    read, write = os.pipe()\n"
        "    if (child := os.fork()) == 0:\n"
        "        os.write(write, b'.')\n"  # a signal before this would be lost in the fork
        "        while True: pass\n"
        "    os.read(read, 1)\n"
        f"    os.kill(child, signal.{name})\n"
        "    print(os.WTERMSIG(os.waitpid(child, 0)[1]))\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout) == (0, f"{int(getattr(signal, name))}\n")


def test_in_another_thread_handlers_are_left_alone() -> None:
    before, inside = handlers(), []

    def work() -> None:
        with guarded_signals() as guard, guard.deferred():
            inside.append(handlers())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [before]


def test_handler_of_an_embedding_program_comes_back() -> None:
    def own(signum: int, frame: FrameType | None) -> None:
        pass

    before = signal.signal(signal.SIGTERM, own)
    try:
        with guarded_signals():
            assert signal.getsignal(signal.SIGTERM) is not own
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_process_that_is_not_the_run_hands_a_signal_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with guarded_signals() as guard:
        guard._pid = -1  # as if this were a fork
        sent: list[tuple[int, int]] = []
        monkeypatch.setattr(os, "kill", lambda pid, signum: sent.append((pid, signum)))
        guard.handle(signal.SIGTERM, None)
        assert sent == [(os.getpid(), signal.SIGTERM)]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_second_sigint_leaves_no_time_for_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(BaseException):
        pass

    def end(code: int) -> None:
        assert code == 130
        raise Ended

    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(Ended), guarded_signals() as guard, guard.deferred():
        send(signal.SIGINT)
        send(signal.SIGINT)


def test_handler_that_python_did_not_install_becomes_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    install = signal.signal
    monkeypatch.setattr(signal, "signal", lambda signum, handler: install(signum, handler) and None)
    before = handlers()
    with guarded_signals():
        pass
    assert handlers() == [signal.SIG_DFL] * 4
    for signum, handler in zip(HANDLED, before, strict=True):
        install(signum, handler)  # type: ignore[arg-type]


def test_signal_waits_until_code_that_knows_no_guard_is_through() -> None:
    through = False
    with pytest.raises(Interrupted, match="SIGTERM"), guarded_signals():
        with signals_held_back():
            send(signal.SIGTERM)
            through = True
        raise AssertionError("the signal is lost")
    assert through


def test_holding_signals_back_repeats_none_that_was_raised_already() -> None:
    with guarded_signals():
        with suppress(Interrupted):
            send(signal.SIGTERM)
        with signals_held_back():
            pass


def test_holding_signals_back_without_a_guard_is_nothing() -> None:
    with signals_held_back():
        assert handlers() == handlers()


def test_other_threads_hold_no_signals_back() -> None:
    with guarded_signals() as guard:
        with signals_held_back():
            assert guard._depth == 1
        depths: list[int] = []

        def work() -> None:
            with signals_held_back():
                depths.append(guard._depth)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert depths == [0]
